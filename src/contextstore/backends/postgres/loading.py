"""Load the newest messages of a session: one statement, for one session or for many."""

from __future__ import annotations

from typing import TYPE_CHECKING, List, Optional, Sequence

from contextstore.backends.postgres import rows
from contextstore.backends.postgres.keys import Place
from contextstore.backends.postgres.rows import ALIVE
from contextstore.backends.postgres.sharing import Kind, Lanes
from contextstore.messages import Message

if TYPE_CHECKING:
    from contextstore.backends.postgres.engine import Engine, Row, Session

# Of one row of a session and its newest messages by their key, read backwards.
LOAD = f"""
SELECT s.last, s.pruned, m.position, m.checksum, m.body
FROM context_sessions AS s LEFT JOIN LATERAL (
    SELECT position, checksum, body FROM context_messages
    WHERE session = %(session)s::uuid ORDER BY position DESC LIMIT %(limit)s::bigint
) AS m ON true
WHERE s.session = %(session)s::uuid AND {ALIVE}"""
# The limit of a session that is one row keeps it a lookup by key, whatever the server
# believes about the size of the table.
LOAD_MANY = f"""
SELECT given.number, s.last, s.pruned, m.position, m.checksum, m.body
FROM unnest(%(sessions)s::uuid[], %(limits)s::bigint[]) WITH ORDINALITY
    AS given (session, most, number)
CROSS JOIN LATERAL (
    SELECT last, pruned FROM context_sessions
    WHERE session = given.session AND {ALIVE} LIMIT 1
) AS s LEFT JOIN LATERAL (
    SELECT position, checksum, body FROM context_messages
    WHERE session = given.session ORDER BY position DESC LIMIT given.most
) AS m ON true"""

# Messages; a load of more shares nothing, as it would hold up others.
_MOST_SHARED = 100
_MOST_ROWS = 1000


class Load:
    """Be one load of the newest messages, as rows.

    Args:
        place: the session.
        limit: how many messages; None for all.
    """

    writes = None

    def __init__(self, place: Place, limit: Optional[int]) -> None:
        self.place = place
        self.limit = limit
        self.size = limit or 0
        self.shape = True if limit is not None and limit <= _MOST_SHARED else None

    async def run(self, session: Session) -> List[Row]:
        """Read the rows: last position, pruned, and position, checksum and body."""
        return await session.fetch(
            LOAD, {"session": self.place.key, "limit": self.limit}
        )


class LoadTogether:
    """Be the loads that share a statement.

    Attributes:
        loads: these.
    """

    def __init__(self, loads: Sequence[Load]) -> None:
        self.loads = loads

    async def __call__(self, session: Session) -> List[List[Row]]:
        """Read the rows of each."""
        values = {
            "sessions": [load.place.key for load in self.loads],
            "limits": [load.limit for load in self.loads],
        }
        found: List[List[Row]] = [[] for _ in self.loads]
        for number, *row in await session.fetch(LOAD_MANY, values):
            found[number - 1].append(tuple(row))
        return found


def lanes(engine: Engine) -> Lanes[Load, List[Row]]:
    """Return what sends the loads of each event loop."""
    kind: Kind[Load, List[Row]] = Kind(
        LoadTogether, most=64, most_size=_MOST_ROWS, turns=3, waits=False
    )
    return Lanes(engine, kind)


async def load(
    lanes: Lanes[Load, List[Row]], place: Place, k: Optional[int]
) -> List[Message]:
    """Return the newest ``k`` messages of a session, or all, oldest first.

    Raises:
        CorruptDataError: one of them is damaged or missing.
    """
    if k == 0:
        return []
    limit = None if k is None else min(k, rows.MOST_ROWS)
    found = await lanes.here().do(Load(place, limit))
    if not found:
        return []
    last, pruned = found[0][:2]
    wanted = last - pruned if k is None else min(k, last - pruned)
    # A nested loop gives them in this order already, and no rule says that it must.
    newest = sorted((row[2:] for row in found if row[2] is not None), reverse=True)
    return rows.opened(place, range(last - wanted + 1, last + 1), reversed(newest))
