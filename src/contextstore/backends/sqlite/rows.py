"""Hold the SQL over sessions and messages: functions of a connection, in a transaction.

``context_sessions`` has one row a session and ``context_messages`` one row a message. A
position is an integer that the store gives out, from 1 on without gaps; time never
decides order.
"""

from __future__ import annotations

import sqlite3
import time
from itertools import chain, islice
from typing import Any, Iterable, List, NamedTuple, Optional, Sequence, Tuple
from zlib import crc32

from contextstore import messages
from contextstore.backends.place import Place, seal
from contextstore.backends.records import FILLED_NAMES, FILLED_NUMBERS, Record
from contextstore.backends.sqlite import text_index
from contextstore.backends.sqlite.failures import refuse_no_numbers
from contextstore.errors import InteractionNotFoundError, SessionNotFoundError
from contextstore.messages import Message

# The largest integer of SQLite; sqlite3 raises OverflowError for a larger one.
_MOST_ROWS = 2**63 - 1
# How many rows a load checks and decodes at a time; from 50 to 1,000 it makes no
# difference.
_ROWS_TOGETHER = 200
# The newest messages, and what tells whether they are: an index entry whose session
# was damaged would cut off the end in silence. So the message after them has to be the
# first of its session (1 here), or else, where none follows, the newest row of the
# table to be the last message (minus its position); and where that is of another
# session, the other index has to know of no message after them, either (0 here).
_LOAD = """
SELECT position, checksum, body, pruned, ifnull(
    (SELECT next.position - ifnull(
            (SELECT pruned FROM context_sessions WHERE number = next.session), -1)
        FROM context_messages AS next WHERE next.session >
            (SELECT number FROM context_sessions WHERE session_id = ?1)
        ORDER BY next.session, next.position LIMIT 1),
    ifnull(
        (SELECT -position FROM context_messages WHERE session =
                (SELECT number FROM context_sessions WHERE session_id = ?1)
            AND row = (SELECT max(row) FROM context_messages)),
        (SELECT 0 FROM context_messages INDEXED BY context_messages_id WHERE session >
                (SELECT number FROM context_sessions WHERE session_id = ?1) LIMIT 1)))
FROM context_sessions CROSS JOIN context_messages ON session = number
WHERE session_id = ?1 ORDER BY position DESC LIMIT ?2
"""
# How many messages each of the two indexes knows, and the first position missing.
_COUNT_BOTH = """
SELECT ifnull(last, pruned) - pruned, count,
    CAST(ifnull(last, pruned) AS INTEGER) + 1 FROM (
    SELECT pruned,
        (SELECT max(position) FROM context_messages
            INDEXED BY context_messages_position WHERE session = number) AS last,
        (SELECT count(*) FROM context_messages
            INDEXED BY context_messages_id WHERE session = number) AS count
    FROM context_sessions WHERE session_id = ?)
"""


class SessionRow(NamedTuple):
    """Be the state of one session.

    Attributes:
        number: the key that its messages carry.
        pruned: the position before its first message.
        last: the position of its newest message; ``pruned`` where it has none.
        changes: how many changes it saw other than plain appends.
    """

    number: int
    pruned: int
    last: int
    changes: int

    @property
    def version(self) -> int:
        """Give the version: an append raises it by what it adds, a change by one."""
        return self.last + self.changes


def now() -> int:
    """Return the time that the store writes down: milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000


def find_session(
    connection: sqlite3.Connection, session_id: str
) -> Optional[SessionRow]:
    """Return the state of a session, or None where it does not exist."""
    row = connection.execute(
        "SELECT number, pruned, (SELECT max(position) FROM context_messages"
        " WHERE session = number), changes FROM context_sessions WHERE session_id = ?",
        (session_id,),
    ).fetchone()
    if row is None:
        return None
    number, pruned, newest, changes = row
    last = pruned if newest is None else newest
    refuse_no_numbers(pruned, last, changes)
    return SessionRow(number, pruned, last, changes)


def existing_session(connection: sqlite3.Connection, session_id: str) -> SessionRow:
    """Return the state of a session.

    Raises:
        SessionNotFoundError: there is no such session.
    """
    session = find_session(connection, session_id)
    if session is None:
        raise SessionNotFoundError.of(session_id)
    return session


def create_session(connection: sqlite3.Connection, session_id: str) -> SessionRow:
    """Make an empty session, at a version that no session of its id had before.

    It begins at its number. SQLite gives a number once (AUTOINCREMENT), and deleting a
    session moves the numbers beyond its version.
    """
    connection.execute(
        "INSERT INTO context_sessions (session_id, changes, created, changed)"
        " SELECT ?1, ifnull(max(seq), 0) + 1, ?2, ?2 FROM sqlite_sequence"
        " WHERE name = 'context_sessions'",
        (session_id, now()),
    )
    (number,) = connection.execute("SELECT last_insert_rowid()").fetchone()
    return SessionRow(number, pruned=0, last=0, changes=number)


def set_version(
    connection: sqlite3.Connection, session: SessionRow, last: int, version: int
) -> None:
    """Give the session the version, now that its newest message is at ``last``."""
    connection.execute(
        "UPDATE context_sessions SET changes = ?, changed = ? WHERE number = ?",
        (version - last, now(), session.number),
    )


def insert(
    connection: sqlite3.Connection,
    place: Place,
    session: SessionRow,
    last: int,
    records: Sequence[Record],
) -> None:
    """Add records after a position."""
    base, written = place.base(), now()
    connection.executemany(
        "INSERT INTO context_messages (session, position, message_id, id_key, filled,"
        " pinned, written, checksum, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                session.number,
                position,
                record.id,
                id_key(record.id),
                FILLED_NUMBERS[record.filled],
                record.pinned,
                written,
                seal(base, position, record.body),
                record.body,
            )
            for position, record in enumerate(records, start=last + 1)
        ],
    )


def replace(
    connection: sqlite3.Connection,
    place: Place,
    session: SessionRow,
    position: int,
    record: Record,
) -> None:
    """Put a record in the place of the one at a position."""
    text_index.forget(connection, session.number, position, position)
    connection.execute(
        "UPDATE context_messages SET filled = ?, pinned = ?, written = ?, checksum = ?,"
        " body = ? WHERE session = ? AND position = ?",
        (
            FILLED_NUMBERS[record.filled],
            record.pinned,
            now(),
            seal(place.base(), position, record.body),
            record.body,
            session.number,
            position,
        ),
    )
    text_index.remember(connection, session.number, position)


def move(
    connection: sqlite3.Connection,
    place: Place,
    session: SessionRow,
    position: int,
    free: int,
    record: Record,
) -> None:
    """Move the record at a position to one that is free."""
    connection.execute(
        "UPDATE context_messages SET position = ?, checksum = ?"
        " WHERE session = ? AND position = ?",
        (free, seal(place.base(), free, record.body), session.number, position),
    )


def id_key(message_id: str) -> int:
    """Return a number to find an id by, which an index keeps in a fifth of the space.

    The time-ordered ids of the store give numbers that grow, so that an append touches
    the end of the index alone.
    """
    if len(message_id) == 36:
        try:
            head = message_id[:8] + message_id[9:13] + message_id[14:18]
            return int.from_bytes(bytes.fromhex(head), "big", signed=True)
        except ValueError:
            pass
    encoded = message_id.encode("utf-8")
    return crc32(encoded) << 31 ^ crc32(encoded, 1)


def load(
    connection: sqlite3.Connection, place: Place, k: Optional[int]
) -> List[Message]:
    """Return the newest ``k`` messages of a session, or all, oldest first.

    Raises:
        CorruptDataError: one of them is damaged or missing.
    """
    if k == 0:
        return []
    wanted = _MOST_ROWS if k is None else min(k, _MOST_ROWS)
    found = connection.execute(_LOAD, (place.session_id, wanted))
    newest = found.fetchone()
    if newest is None or not _is_end(newest[0], newest[4], is_all=k is None):
        _check_end(connection, place)
    if newest is None:
        return []
    position, *_, pruned, _ = newest
    loaded = _opened(place, position, -1, chain((newest,), found))
    if len(loaded) < wanted and position - len(loaded) != pruned:
        raise place.missing(position - len(loaded))
    loaded.reverse()
    return loaded


def _is_end(position: object, after: object, *, is_all: bool) -> bool:
    """Tell whether what stands after the newest message fits; see _LOAD."""
    if after is None:
        # Nothing vouches for the end; who loads all can afford to count.
        return not is_all
    # A damaged index may hold a value of another type.
    return type(position) is int and after in (1, -position)


def _check_end(connection: sqlite3.Connection, place: Place) -> None:
    """Refuse a session of which one index knows more messages than the other.

    Raises:
        CorruptDataError: its newest messages are missing.
    """
    row = connection.execute(_COUNT_BOTH, (place.session_id,)).fetchone()
    if row is not None and row[0] != row[1]:
        raise place.missing(row[2])


def load_range(
    connection: sqlite3.Connection,
    place: Place,
    session: SessionRow,
    first: int,
    last: int,
) -> List[Message]:
    """Return the messages from one position to another, oldest first.

    Raises:
        CorruptDataError: one of them is damaged or missing.
    """
    found = connection.execute(
        "SELECT position, checksum, body, 0, 0 FROM context_messages"
        " WHERE session = ? AND position BETWEEN ? AND ? ORDER BY position",
        (session.number, first, last),
    )
    loaded = _opened(place, first, 1, found)
    if first + len(loaded) <= last:
        raise place.missing(first + len(loaded))
    return loaded


def load_pinned(
    connection: sqlite3.Connection, place: Place, session: SessionRow
) -> List[Message]:
    """Return the pinned messages, oldest first.

    Raises:
        CorruptDataError: one of them is damaged.
    """
    base = place.base()
    pinned: List[Message] = []
    for position, checksum, body in connection.execute(
        "SELECT position, checksum, body FROM context_messages"
        " WHERE session = ? AND pinned = 1 ORDER BY position",
        (session.number,),
    ):
        place.check(base, position, checksum, body)
        pinned.append(messages.decode(body))
    return pinned


def _opened(
    place: Place, first: int, step: int, found: Iterable[Sequence[Any]]
) -> List[Message]:
    """Return the messages of rows that have to stand one after the other.

    Args:
        found: rows of position, checksum, body, and two more values.
        step: 1 where the oldest comes first, -1 where the newest does.
    """
    opened: List[Message] = []
    rest = iter(found)
    # Whole columns at a time: a loop over the rows would take half as long again.
    while True:
        batch = list(islice(rest, _ROWS_TOGETHER))
        if not batch:
            return opened
        positions, checksums, bodies, _, _ = zip(*batch)
        start = first + step * len(opened)
        expected = range(start, start + step * len(batch), step)
        for position, due in zip(positions, expected):
            if position != due:
                raise place.missing(due)
        place.check_all(expected, checksums, bodies)
        opened += messages.decode_whole(bodies)


def load_records(
    connection: sqlite3.Connection, place: Place, session: SessionRow
) -> List[Record]:
    """Return all records of a session, oldest first.

    Raises:
        CorruptDataError: one of them is damaged or missing.
    """
    found = connection.execute(
        "SELECT position, checksum, body, message_id, filled, pinned"
        " FROM context_messages WHERE session = ? ORDER BY position",
        (session.number,),
    ).fetchall()
    for expected, row in enumerate(found, start=session.pruned + 1):
        if row[0] != expected:
            raise place.missing(expected)
    return [_record(place, *row) for row in found]


def find_record(
    connection: sqlite3.Connection, place: Place, session: SessionRow, message_id: str
) -> Optional[Record]:
    """Return the record with this id, or None.

    Raises:
        CorruptDataError: it is damaged.
    """
    position = find_position(connection, session, message_id)
    return (
        None if position is None else load_record(connection, place, session, position)
    )


def load_record(
    connection: sqlite3.Connection, place: Place, session: SessionRow, position: int
) -> Record:
    """Return the record at a position.

    Raises:
        CorruptDataError: it is damaged or missing.
    """
    row = connection.execute(
        "SELECT position, checksum, body, message_id, filled, pinned"
        " FROM context_messages WHERE session = ? AND position = ?",
        (session.number, position),
    ).fetchone()
    if row is None:
        raise place.missing(position)
    return _record(place, *row)


def _record(
    place: Place,
    position: int,
    checksum: int,
    body: bytes,
    message_id: str,
    filled: int,
    pinned: int,
) -> Record:
    place.check(place.base(), position, checksum, body)
    refuse_no_numbers(filled)
    return Record(message_id, body, FILLED_NAMES[filled & 3], bool(pinned))


def find_position(
    connection: sqlite3.Connection, session: SessionRow, message_id: str
) -> Optional[int]:
    """Return the position of a message, or None where the session has no such id."""
    row = connection.execute(
        "SELECT position FROM context_messages"
        " WHERE session = ? AND id_key = ? AND message_id = ?",
        (session.number, id_key(message_id), message_id),
    ).fetchone()
    return None if row is None else row[0]


def existing_position(
    connection: sqlite3.Connection, place: Place, session: SessionRow, message_id: str
) -> int:
    """Return the position of a message.

    Raises:
        InteractionNotFoundError: the session has no such message.
    """
    position = find_position(connection, session, message_id)
    if position is None:
        raise InteractionNotFoundError.of(place.session_id, message_id)
    return position


def ids_from(
    connection: sqlite3.Connection, session: SessionRow, position: int
) -> Tuple[str, ...]:
    """Return the ids of the messages from a position on."""
    found = connection.execute(
        "SELECT message_id FROM context_messages"
        " WHERE session = ? AND position >= ? ORDER BY position",
        (session.number, position),
    )
    return tuple(message_id for (message_id,) in found)


def delete_range(
    connection: sqlite3.Connection, session: SessionRow, first: int, last: int
) -> None:
    """Delete the messages from one position to another."""
    text_index.forget(connection, session.number, first, last)
    connection.execute(
        "DELETE FROM context_messages WHERE session = ? AND position BETWEEN ? AND ?",
        (session.number, first, last),
    )
    text_index.settle(connection)


def delete_session(connection: sqlite3.Connection, session: SessionRow) -> None:
    """Delete a session and all its messages."""
    connection.execute(
        "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'context_sessions'",
        (session.version,),
    )
    delete_range(connection, session, 0, _MOST_ROWS)
    connection.execute(
        "DELETE FROM context_sessions WHERE number = ?", (session.number,)
    )
