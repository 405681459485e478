"""Remove sessions that outlived their lifetime.

Nobody sees them from the moment they expire; the rows go when somebody makes a session
of the same id, or when ``sweep`` is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, List

from contextstore.backends.postgres.keys import Place
from contextstore.backends.postgres.rows import NOW

if TYPE_CHECKING:
    from contextstore.backends.postgres.engine import Engine, Session

_DEAD = f"lifetime IS NOT NULL AND updated + lifetime <= {NOW}"
_DISCARD = f"""
WITH held AS (
    DELETE FROM context_sessions WHERE session = ANY(%(sessions)s::uuid[]) AND {_DEAD}
    RETURNING session
), messages AS (
    DELETE FROM context_messages WHERE session IN (SELECT session FROM held)
), texts AS (
    DELETE FROM context_texts WHERE session IN (SELECT session FROM held)
), summaries AS (
    DELETE FROM context_summaries WHERE session IN (SELECT session FROM held)
), vectors AS (
    DELETE FROM context_vectors WHERE session IN (SELECT session FROM held)
), heads AS (
    DELETE FROM context_vector_sessions WHERE session IN (SELECT session FROM held)
)
SELECT session::text FROM held"""
# A write of the same instant moves its end: the row is then left out, and so are its
# messages, as no row of it is locked.
_FIND_DEAD = f"""
SELECT session::text FROM context_sessions WHERE {_DEAD}
ORDER BY recent LIMIT %(limit)s"""
_BATCH = 500


async def discard(session: Session, place: Place) -> None:
    """Remove a session if it has expired."""
    await session.fetch(_DISCARD, {"sessions": [place.key]})


async def sweep(engine: Engine) -> int:
    """Remove the sessions that have expired, and return how many these were."""
    count = 0
    while True:
        found = await engine.fetch(_FIND_DEAD, {"limit": _BATCH})
        dead: List[str] = [row[0] for row in found]
        if not dead:
            return count
        gone = await engine.fetch(_DISCARD, {"sessions": dead})
        count += len(gone)
