"""Read sessions and messages: one statement each, in one snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Iterable, List, NamedTuple, Optional, Tuple

from contextstore import messages
from contextstore.backends.postgres.keys import (
    Place,
    message_key,
    message_name,
    place_seal,
    seal,
)
from contextstore.backends.records import FILLED_NAMES, FILLED_NUMBERS, Record
from contextstore.errors import SessionNotFoundError
from contextstore.messages import Message

if TYPE_CHECKING:
    from contextstore.backends.postgres.engine import Engine, Row, Session

# Milliseconds since 1970, by the clock of the server: those of clients may differ.
NOW = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
# A session that outlived its lifetime is as good as gone; sweeping deletes it.
ALIVE = f"(lifetime IS NULL OR updated + lifetime > {NOW})"
PINNED = 4

_STATE = "last, pruned, changes, indexed, vectors, change::text, lifetime, created"
_MESSAGE = "position, checksum, body, message_key::text, message_name, flags, written"
_LOAD_STATE = f"""
SELECT {_STATE} FROM context_sessions WHERE session = %(session)s::uuid AND {ALIVE}"""
_LOAD_RECORDS = f"""
SELECT {_STATE}, {_MESSAGE} FROM context_sessions AS s LEFT JOIN context_messages AS m
    ON m.session = %(session)s::uuid
WHERE s.session = %(session)s::uuid AND {ALIVE} ORDER BY position"""
_LOAD_SOME = f"""
SELECT {_STATE}, {_MESSAGE} FROM context_sessions AS s LEFT JOIN context_messages AS m
    ON m.session = %(session)s::uuid AND m.message_key = ANY(%(keys)s::uuid[])
WHERE s.session = %(session)s::uuid AND {ALIVE}"""
_LOAD_PINNED = f"""
SELECT position, checksum, body FROM context_messages
WHERE session = %(session)s::uuid AND flags >= {PINNED} AND EXISTS (
    SELECT FROM context_sessions WHERE session = %(session)s::uuid AND {ALIVE})
ORDER BY position"""
# The messages before or after one, whose position comes with each of them; without
# one, those before the end.
_LOAD_PAGE = f"""
WITH held AS (
    SELECT last, pruned FROM context_sessions
    WHERE session = %(session)s::uuid AND {ALIVE}
), mark AS (
    SELECT CASE WHEN %(key)s::uuid IS NULL THEN (SELECT last + 1 FROM held) ELSE (
        SELECT position FROM context_messages WHERE session = %(session)s::uuid
        AND message_key = %(key)s::uuid
        AND message_name IS NOT DISTINCT FROM %(name)s::text) END AS position
)
SELECT held.last, held.pruned, mark.position, m.position, m.checksum, m.body
FROM held CROSS JOIN mark LEFT JOIN LATERAL (
    SELECT position, checksum, body FROM context_messages
    WHERE session = %(session)s::uuid AND position {{side}} mark.position
    ORDER BY position {{order}} LIMIT %(limit)s::bigint
) AS m ON true"""
_LOAD_BEFORE = _LOAD_PAGE.format(side="<", order="DESC")
_LOAD_AFTER = _LOAD_PAGE.format(side=">", order="ASC")
# The largest bigint of Postgres.
MOST_ROWS = 2**63 - 1


class State(NamedTuple):
    """Be the state of one session.

    Attributes:
        last: the position of its newest message; ``pruned`` where it has none.
        pruned: the position before its first message.
        changes: what the version is beyond the last position.
        indexed: up to which position its words are indexed.
        vectors: how often vectors were added for its messages.
        change: names its newest change other than an append.
        lifetime: for how many milliseconds it outlives its newest write; None for ever.
        created: when it was made, in milliseconds since 1970; with another time it is
            another session of the same id.
    """

    last: int
    pruned: int
    changes: int
    indexed: int
    vectors: int
    change: str
    lifetime: Optional[int]
    created: int

    @property
    def version(self) -> int:
        """Give the version: an append raises it by what it adds, a change by one."""
        return self.last + self.changes


class Stored(NamedTuple):
    """Be one stored message, where it stands and when the store wrote it."""

    position: int
    record: Record
    written: int


def flags_of(record: Record) -> int:
    """Return what the column ``flags`` says of a record."""
    return FILLED_NUMBERS[record.filled] | (PINNED if record.pinned else 0)


def opened(
    place: Place, positions: range, found: Iterable[Tuple[int, int, bytes]]
) -> List[Message]:
    """Return the messages of rows, which have to stand at exactly these positions.

    Raises:
        CorruptDataError: one of them is damaged or missing.
    """
    base = place.base()
    bodies: List[bytes] = []
    rest = iter(positions)
    for position, checksum, body in found:
        expected = next(rest, None)
        if position != expected:
            # One that is there too much stands after the end that the session knows.
            raise place.missing(position if expected is None else expected)
        if place_seal(seal(base, body), position) != checksum:
            raise place.unsealed(position)
        bodies.append(body)
    for expected in rest:
        raise place.missing(expected)
    return messages.decode_whole(bodies)


async def clock(engine: Engine) -> int:
    """Return what the clock of the server says, in milliseconds since 1970."""
    found = await engine.fetch(f"SELECT {NOW}", {})
    return int(found[0][0])


async def find_state(session: Session, place: Place) -> Optional[State]:
    """Return the state of a session, or None where it does not exist."""
    found = await session.fetch(_LOAD_STATE, {"session": place.key})
    return State(*found[0]) if found else None


def existing(state: Optional[State], place: Place) -> State:
    """Return the state of a session.

    Raises:
        SessionNotFoundError: there is no such session.
    """
    if state is None:
        raise SessionNotFoundError.of(place.session_id)
    return state


async def load_all(
    session: Session, place: Place
) -> Tuple[Optional[State], List[Stored]]:
    """Return the state of a session and all its messages, oldest first.

    Raises:
        CorruptDataError: one of them is damaged or missing.
    """
    found = await session.fetch(_LOAD_RECORDS, {"session": place.key})
    state, stored = _split(place, found)
    if state is not None:
        expected = state.pruned + 1
        for one in stored:
            if one.position != expected:
                raise place.missing(expected)
            expected += 1
        if expected != state.last + 1:
            # One that is there too much stands after the end that the session knows.
            raise place.missing(min(expected, state.last + 1))
    return state, stored


async def load_some(
    session: Session, place: Place, keys: List[str]
) -> Tuple[Optional[State], List[Stored]]:
    """Return the state of a session and those of its messages that have these keys.

    Raises:
        CorruptDataError: one of them is damaged.
    """
    values = {"session": place.key, "keys": keys}
    return _split(place, await session.fetch(_LOAD_SOME, values))


def _split(place: Place, found: List[Row]) -> Tuple[Optional[State], List[Stored]]:
    if not found:
        return None, []
    width = len(State._fields)
    stored = [stored_of(place, *row[width:]) for row in found if row[-1] is not None]
    return State(*found[0][:width]), stored


def stored_of(
    place: Place,
    position: int,
    checksum: int,
    body: bytes,
    key: str,
    name: Optional[str],
    flags: int,
    written: int,
) -> Stored:
    """Return a row as a record.

    Raises:
        CorruptDataError: it is damaged.
    """
    if place_seal(seal(place.base(), body), position) != checksum:
        raise place.unsealed(position)
    filled = FILLED_NAMES[flags & 3]
    record = Record(key if name is None else name, body, filled, flags >= PINNED)
    return Stored(position, record, written)


async def load_pinned(engine: Engine, place: Place) -> List[Message]:
    """Return the pinned messages of a session, oldest first.

    Raises:
        CorruptDataError: one of them is damaged.
    """
    found = await engine.fetch(_LOAD_PINNED, {"session": place.key})
    base = place.base()
    for position, checksum, body in found:
        if place_seal(seal(base, body), position) != checksum:
            raise place.unsealed(position)
    return messages.decode_whole([row[2] for row in found])


async def load_page(
    engine: Engine, place: Place, cursor: Optional[str], limit: int, *, after: bool
) -> Optional[List[Message]]:
    """Return the messages next to one, oldest first; None where it is not there.

    Args:
        cursor: the id of the message; None for the end of the session.

    Raises:
        CorruptDataError: one of them is damaged or missing.
    """
    values: Any = {
        "session": place.key,
        "key": None if cursor is None else message_key(cursor),
        "name": None if cursor is None else message_name(cursor),
        "limit": min(limit, MOST_ROWS),
    }
    found = await engine.fetch(_LOAD_AFTER if after else _LOAD_BEFORE, values)
    if not found or found[0][2] is None:
        return None if cursor is not None else []
    last, pruned, mark = found[0][:3]
    rows = sorted(row[3:] for row in found if row[3] is not None)
    if after:
        positions = range(mark + 1, min(mark + limit, last) + 1)
    else:
        positions = range(max(mark - limit, pruned + 1), mark)
    return opened(place, positions, rows)


_LOAD_IDS_FROM = f"""
SELECT {_STATE}, m.position, m.message_key::text, m.message_name
FROM context_sessions AS s LEFT JOIN context_messages AS m
    ON m.session = %(session)s::uuid AND m.position >= (
        SELECT position FROM context_messages
        WHERE session = %(session)s::uuid AND message_key = %(key)s::uuid)
WHERE s.session = %(session)s::uuid AND {ALIVE} ORDER BY m.position"""
_LOAD_METADATA = f"""
SELECT {_STATE}, metadata, marks FROM context_sessions
WHERE session = %(session)s::uuid AND {ALIVE}"""


async def load_ids_from(
    session: Session, place: Place, key: str
) -> Tuple[Optional[State], List[Stored]]:
    """Return the state of a session, and a message and those after it, without bodies.

    A damaged message stands in nobody's way who deletes it.
    """
    values = {"session": place.key, "key": key}
    found = await session.fetch(_LOAD_IDS_FROM, values)
    if not found:
        return None, []
    width = len(State._fields)
    stored = [
        Stored(position, Record(own if name is None else name, b"", (), False), 0)
        for position, own, name in (row[width:] for row in found)
        if position is not None
    ]
    return State(*found[0][:width]), stored


async def load_metadata(
    session: Session, place: Place
) -> Tuple[Optional[State], bytes, List[int]]:
    """Return the state of a session, its metadata in JSON, and the marks of these."""
    found = await session.fetch(_LOAD_METADATA, {"session": place.key})
    if not found:
        return None, b"{}", []
    *state, metadata, marks = found[0]
    return State(*state), metadata, marks
