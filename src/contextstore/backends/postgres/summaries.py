"""Keep summaries of ranges of a session beside its messages, which stay whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Mapping

from contextstore import messages
from contextstore.backends.postgres.keys import Place
from contextstore.backends.postgres.rows import ALIVE
from contextstore.errors import SessionNotFoundError

if TYPE_CHECKING:
    from contextstore.backends.postgres.engine import Engine

_LOAD = f"""
SELECT summaries FROM context_sessions JOIN context_summaries USING (session)
WHERE session = %(session)s::uuid AND {ALIVE}"""
_SAVE = f"""
INSERT INTO context_summaries (session, summaries)
SELECT session, %(summaries)s FROM context_sessions
WHERE session = %(session)s::uuid AND {ALIVE}
ON CONFLICT (session) DO UPDATE SET summaries = excluded.summaries RETURNING 1"""


async def load(engine: Engine, place: Place) -> Dict[str, str]:
    """Return the summaries of a session, the oldest first."""
    found = await engine.fetch(_LOAD, {"session": place.key})
    # A copy of plain texts: what a message may hold, an object of texts may, too.
    loaded: Dict[str, Any] = messages.decode(found[0][0]) if found else {}
    return loaded


async def save(engine: Engine, place: Place, summaries: Mapping[str, str]) -> None:
    """Make these the summaries of a session; its version stays."""
    encoded = messages.encode(dict(summaries))
    values = {"session": place.key, "summaries": encoded}
    if not await engine.fetch(_SAVE, values):
        raise SessionNotFoundError.of(place.session_id)
