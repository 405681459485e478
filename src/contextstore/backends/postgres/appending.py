"""Append: one statement, whatever the number of messages.

The statement raises the last position of the session, which keeps others out until it
is done, and inserts at the positions so won. Where it finds the session missing or at
another version it writes nothing; where an id is there already, the unique index ends
it. What was wrong is then asked by a second statement, for the error or, if everything
is stored as it was to be, for the answer that a repeat gets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence

from contextstore.backends.postgres import expiring, failures, rows
from contextstore.backends.postgres.keys import Place, message_key, message_name, seal
from contextstore.backends.postgres.rows import ALIVE, NOW, State
from contextstore.backends.records import (
    Record,
    check_version,
    make_record,
    plan_append,
    refuse_repeats,
)
from contextstore.backends.results import WriteResult
from contextstore.backends.stamps import Stamps, time_ordered_id
from contextstore.errors import SessionNotFoundError
from contextstore.messages import Message

if TYPE_CHECKING:
    from contextstore.backends.postgres.engine import Session

_COUNT = "cardinality(%(keys)s::uuid[])"
_RAISE = f"""
    UPDATE context_sessions SET last = last + {_COUNT},
        updated = greatest(updated, {NOW}),
        recent = (greatest(updated, {NOW}) >> 20)::integer
    WHERE session = %(session)s::uuid AND {ALIVE}
        AND (%(expected)s::bigint IS NULL OR last + changes = %(expected)s::bigint)
    RETURNING last, changes, updated"""
_RAISE_OR_MAKE = f"""
    INSERT INTO context_sessions AS s (session, session_id, last, pruned, changes,
        created, updated, recent, indexed, lifetime, change, metadata, marks)
    VALUES (%(session)s::uuid, %(session_id)s, {_COUNT}, 0,
        (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, {NOW}, {NOW},
        ({NOW} >> 20)::integer, 0, %(lifetime)s::bigint, %(change)s::uuid,
        '{{}}', '{{}}')
    ON CONFLICT (session) DO UPDATE SET last = s.last + {_COUNT},
        updated = greatest(s.updated, {NOW}),
        recent = (greatest(s.updated, {NOW}) >> 20)::integer
    WHERE (s.lifetime IS NULL OR s.updated + s.lifetime > {NOW})
        AND %(expected)s::bigint IS NULL
    RETURNING last, changes, updated"""
_APPEND = f"""
WITH held AS ({{held}}), added AS (
    INSERT INTO context_messages (session, message_key, position, written, checksum,
        flags, message_name, body)
    SELECT %(session)s::uuid, key, held.last - {_COUNT} + number, held.updated,
        checksum # (held.last - {_COUNT} + number)::bit(32)::integer,
        flags, name, body
    FROM held, unnest(%(keys)s::uuid[], %(names)s::text[], %(bodies)s::bytea[],
        %(checksums)s::integer[], %(flags)s::smallint[])
        WITH ORDINALITY AS given (key, name, body, checksum, flags, number)
)
SELECT last, changes FROM held"""
_TO_EXISTING = _APPEND.format(held=_RAISE)
_TO_ANY = _APPEND.format(held=_RAISE_OR_MAKE)

# How often others may come between a look and the write that follows from it.
_MOST_TRIES = 100
# The largest bigint of Postgres; no session comes near it.
_MOST_VERSION = 2**63 - 1


def columns(place: Place, records: Sequence[Record]) -> Dict[str, Any]:
    """Return what a statement stores of records, a list for each column."""
    base = place.base()
    return {
        "keys": [message_key(record.id) for record in records],
        "names": [message_name(record.id) for record in records],
        "bodies": [record.body for record in records],
        "checksums": [seal(base, record.body) for record in records],
        "flags": [rows.flags_of(record) for record in records],
    }


class Append:
    """Be one append: its messages are stamped once, so that repeating it is safe.

    Args:
        place: the session.
        incoming: prepared messages.
        stamps: fills in what they lack.
        create: make the session where it does not exist.
        expected_version: the version it must have; None for any.
        lifetime: how long a session that is made outlives its newest write.

    Attributes:
        size: how many bytes its messages have.
        was_sent: whether it was sent before, and nobody heard what became of it.
    """

    def __init__(
        self,
        place: Place,
        incoming: Sequence[Message],
        stamps: Stamps,
        *,
        create: bool,
        expected_version: Optional[int],
        lifetime: Optional[int],
    ) -> None:
        self.place = place
        self._incoming = incoming
        self._records = [make_record(dict(message), stamps) for message in incoming]
        self._ids = tuple(record.id for record in self._records)
        refuse_repeats(self._ids)
        self.create = create
        self._expected = expected_version
        self.lifetime = lifetime
        self.was_sent = False
        self.size = sum(len(record.body) for record in self._records)

    @property
    def shape(self) -> Optional[bool]:
        """Give what those have in common that share a statement; None for alone."""
        shares = self._records and self._expected is None
        return self.create if shares else None

    @property
    def writes(self) -> str:
        """Give the key of the session, to which one append goes at once."""
        return self.place.key

    def columns(self) -> Dict[str, Any]:
        """Return what a statement stores of its messages, a list for each column."""
        return columns(self.place, self._records)

    def answered(self, version: int) -> WriteResult:
        """Return the answer where all messages were added."""
        return WriteResult(self._ids, version, before=version - len(self._records))

    async def run(self, session: Session) -> WriteResult:
        """Append, or find out what an append that was cut off has done."""
        is_repeat, self.was_sent = self.was_sent, True
        wanted = self._records
        look = not wanted
        for _ in range(_MOST_TRIES):
            if not look:
                written = await self._write(session, wanted)
                if written is not None:
                    return written
            state, wanted = await self._look(session, is_repeat=is_repeat)
            if state is not None and not wanted:
                return WriteResult(self._ids, state.version, before=state.version)
            look = False
        raise self.place.overtaken()

    async def _write(
        self, session: Session, records: Sequence[Record]
    ) -> Optional[WriteResult]:
        """Write records; None where something speaks against it."""
        makes = self.create and not self._expected
        values = {
            **columns(self.place, records),
            "session": self.place.key,
            "expected": self._expected and min(self._expected, _MOST_VERSION),
        }
        if makes:
            values["session_id"] = self.place.session_id
            values["lifetime"] = self.lifetime
            values["change"] = time_ordered_id()
        try:
            found = await session.fetch(_TO_ANY if makes else _TO_EXISTING, values)
        except failures.driver().errors.UniqueViolation:
            return None
        if not found:
            return None
        last, changes = found[0]
        version = last + changes
        return WriteResult(self._ids, version, before=version - len(records))

    async def _look(
        self, session: Session, *, is_repeat: bool
    ) -> tuple[Optional[State], List[Record]]:
        """Return the state of the session, and which records it lacks.

        Raises:
            SessionNotFoundError: there is no such session, and none is to be made.
            ConflictError: an id is stored with other content, or the version differs.
        """
        place = self.place
        keys = [message_key(message_id) for message_id in self._ids]
        state, stored = await rows.load_some(session, place, keys)
        if state is None and not self.create:
            raise SessionNotFoundError.of(place.session_id)
        known = {one.record.id: one.record for one in stored}
        lacking = self._lacking(known, is_repeat=is_repeat)
        before = state.version if state else 0
        if lacking or not self._incoming or not before:
            # A repeat of what is stored says so, whatever the version is by now.
            check_version(place.session_id, self._expected, before)
        if state is None:
            await expiring.discard(session, place)
        return state, lacking

    def _lacking(self, known: Dict[str, Record], *, is_repeat: bool) -> List[Record]:
        given = [
            {**message, "id": record.id} if is_repeat else message
            for message, record in zip(self._incoming, self._records)
        ]
        made = [
            record.id
            for message, record in zip(given, self._records)
            if "id" not in message
        ]
        # Ids are made once: who asks again gets the same.
        replayed = Stamps(iter(made).__next__, str)
        plan = plan_append(self.place.session_id, given, known.get, replayed)
        added = {record.id for record in plan.added}
        return [record for record in self._records if record.id in added]
