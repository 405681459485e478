"""Append to many sessions: one statement, and so one round trip and one commit.

What speaks against one of the appends keeps all from being written, or that one alone;
who is not answered finds out alone what it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence

from contextstore.backends.postgres import failures
from contextstore.backends.postgres.rows import NOW
from contextstore.backends.postgres.sharing import Kind, Lanes
from contextstore.backends.results import WriteResult
from contextstore.backends.stamps import time_ordered_id

if TYPE_CHECKING:
    from contextstore.backends.postgres.appending import Append
    from contextstore.backends.postgres.engine import Engine, Session

_MOST_BYTES = 16 << 20

_ALIVE = f"(s.lifetime IS NULL OR s.updated + s.lifetime > {NOW})"
_WANTED = """
    unnest(%(sessions)s::uuid[], %(names)s::text[], %(counts)s::bigint[],
        %(lifetimes)s::bigint[]) AS wanted (session, name, count, lifetime)"""
# Rows are locked in one order, so that two programs do not wait for each other.
_RAISE = f"""
locked AS (
    SELECT s.session FROM context_sessions AS s
    WHERE s.session = ANY(%(sessions)s::uuid[]) AND {_ALIVE}
    ORDER BY s.session FOR UPDATE
), held AS (
    UPDATE context_sessions AS s SET last = s.last + wanted.count,
        updated = greatest(s.updated, {NOW}),
        recent = (greatest(s.updated, {NOW}) >> 20)::integer
    FROM {_WANTED}
    WHERE s.session = wanted.session AND {_ALIVE}
        AND s.session = ANY(ARRAY(SELECT session FROM locked))
    RETURNING s.session, s.last, s.changes, s.updated
)"""
_RAISE_OR_MAKE = f"""
held AS (
    INSERT INTO context_sessions AS s (session, session_id, last, pruned, changes,
        created, updated, recent, indexed, lifetime, change, metadata, marks)
    SELECT session, name, count, 0,
        (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, {NOW}, {NOW},
        ({NOW} >> 20)::integer, 0, lifetime, %(change)s::uuid, '{{}}', '{{}}'
    FROM {_WANTED} ORDER BY session
    ON CONFLICT (session) DO UPDATE SET last = s.last + excluded.last,
        updated = greatest(s.updated, {NOW}),
        recent = (greatest(s.updated, {NOW}) >> 20)::integer
    WHERE {_ALIVE}
    RETURNING s.session, s.last, s.changes, s.updated
)"""
# ``before_end`` counts from the end of a batch of one session: 0 for its last message.
_APPEND = """
WITH {held}, added AS (
    INSERT INTO context_messages (session, message_key, position, written, checksum,
        flags, message_name, body)
    SELECT held.session, key, held.last - before_end, held.updated,
        checksum # (held.last - before_end)::bit(32)::integer, flags, given.name, body
    FROM held JOIN unnest(%(owners)s::uuid[], %(before_end)s::bigint[],
        %(keys)s::uuid[], %(message_names)s::text[], %(bodies)s::bytea[],
        %(checksums)s::integer[], %(flags)s::smallint[])
        AS given (owner, before_end, key, name, body, checksum, flags)
        ON given.owner = held.session
)
SELECT replace(session::text, '-', ''), last, changes FROM held"""
_TO_EXISTING = _APPEND.format(held=_RAISE)
_TO_ANY = _APPEND.format(held=_RAISE_OR_MAKE)


class AppendTogether:
    """Be the appends of a batch, each to a session of its own."""

    def __init__(self, appends: Sequence[Append]) -> None:
        self._appends = appends
        self._was_sent = False

    async def __call__(self, session: Session) -> List[Optional[WriteResult]]:
        """Append, and return what was appended; None for what was not."""
        if self._was_sent:
            for append in self._appends:
                append.was_sent = True
        self._was_sent = True
        creates = self._appends[0].create
        try:
            found = await session.fetch(
                _TO_ANY if creates else _TO_EXISTING, self._values()
            )
        except failures.driver().Error as error:
            if not failures.is_of_one(error):
                raise
            # One of them repeats something, or is locked: each finds out for itself.
            return [None] * len(self._appends)
        versions = {key: last + changes for key, last, changes in found}
        return [
            append.answered(versions[append.place.key])
            if append.place.key in versions
            else None
            for append in self._appends
        ]

    def _values(self) -> Dict[str, Any]:
        lists: Dict[str, List[Any]] = {
            name: []
            for name in (
                *("sessions", "names", "counts", "lifetimes", "owners", "before_end"),
                *("keys", "message_names", "bodies", "checksums", "flags"),
            )
        }
        for append in self._appends:
            columns = append.columns()
            count = len(columns["keys"])
            lists["sessions"].append(append.place.key)
            lists["names"].append(append.place.session_id)
            lists["counts"].append(count)
            lists["lifetimes"].append(append.lifetime)
            lists["owners"] += [append.place.key] * count
            lists["before_end"] += range(count - 1, -1, -1)
            lists["message_names"] += columns["names"]
            for name in ("keys", "bodies", "checksums", "flags"):
                lists[name] += columns[name]
        return {**lists, "change": time_ordered_id()}


def lanes(engine: Engine) -> Lanes[Append, WriteResult]:
    """Return what sends the appends of each event loop."""
    return Lanes(
        engine,
        Kind(AppendTogether, most=64, most_size=_MOST_BYTES, turns=2, waits=True),
    )
