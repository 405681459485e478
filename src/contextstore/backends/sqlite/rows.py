"""Hold the SQL over sessions and messages: functions of a connection, in a transaction.

``sessions`` has one row a session and ``messages`` one row a message. A position is an
integer that the store gives out, from 1 on without gaps; time never decides order.
"""

from __future__ import annotations

import sqlite3
import time
from typing import List, NamedTuple, Optional, Sequence, Tuple
from zlib import crc32

from contextstore import messages
from contextstore.backends.records import Record
from contextstore.backends.sqlite.failures import damaged
from contextstore.errors import CorruptDataError
from contextstore.messages import Message

# How the column ``filled`` says which fields the store filled in.
_FILLED_NAMES = ((), ("id",), ("timestamp",), ("id", "timestamp"))
_FILLED_NUMBERS = {names: number for number, names in enumerate(_FILLED_NAMES)}


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
    number, pruned, last, changes = row
    return SessionRow(number, pruned, pruned if last is None else last, changes)


def create_session(connection: sqlite3.Connection, session_id: str) -> SessionRow:
    """Make an empty session."""
    connection.execute(
        "INSERT INTO context_sessions (session_id, changes) VALUES (?, 1)",
        (session_id,),
    )
    (number,) = connection.execute("SELECT last_insert_rowid()").fetchone()
    return SessionRow(number, pruned=0, last=0, changes=1)


def insert(
    connection: sqlite3.Connection,
    session_id: str,
    session: SessionRow,
    last: int,
    records: Sequence[Record],
) -> None:
    """Add records after a position."""
    base = _checksum_base(session_id)
    written = time.time_ns() // 1_000_000
    connection.executemany(
        "INSERT INTO context_messages (session, position, message_id, id_key, filled,"
        " pinned, written, checksum, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                session.number,
                position,
                record.id,
                _id_key(record.id),
                _FILLED_NUMBERS[record.filled],
                record.pinned,
                written,
                _checksum(base, position, record.body),
                record.body,
            )
            for position, record in enumerate(records, start=last + 1)
        ],
    )


def _id_key(message_id: str) -> int:
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


def _checksum_base(session_id: str) -> int:
    return crc32(session_id.encode("utf-8"))


def _checksum(base: int, position: int, body: bytes) -> int:
    return crc32(body, crc32(b"%d:" % position, base))


def load(
    connection: sqlite3.Connection, location: str, session_id: str, k: Optional[int]
) -> List[Message]:
    """Return the newest ``k`` messages of a session, or all, oldest first.

    Raises:
        CorruptDataError: one of them is damaged or missing.
    """
    found = connection.execute(
        "SELECT position, pruned, checksum, body FROM context_sessions"
        " CROSS JOIN context_messages ON session = number"
        " WHERE session_id = ? ORDER BY position DESC LIMIT ?",
        (session_id, -1 if k is None else k),
    ).fetchall()
    found.reverse()
    _check_whole(location, session_id, found, k)
    base = _checksum_base(session_id)
    return [
        _decoded(location, session_id, base, position, checksum, body)
        for position, _, checksum, body in found
    ]


def _check_whole(
    location: str, session_id: str, found: Sequence[Tuple[int, ...]], k: Optional[int]
) -> None:
    if not found:
        return
    position = found[0][0]
    if (k is None or len(found) < k) and position != found[0][1] + 1:
        position = found[0][1]
        raise _missing(location, session_id, position + 1)
    for row in found:
        if row[0] != position:
            raise _missing(location, session_id, position)
        position += 1


def _missing(location: str, session_id: str, position: int) -> CorruptDataError:
    return damaged(
        location, "the message is missing", session_id=session_id, position=position
    )


def _decoded(
    location: str, session_id: str, base: int, position: int, checksum: int, body: bytes
) -> Message:
    _check_body(location, session_id, base, position, checksum, body)
    return messages.decode(body)


def _check_body(
    location: str, session_id: str, base: int, position: int, checksum: int, body: bytes
) -> None:
    # A damaged row may hold another type in the place of the body.
    if type(body) is not bytes or _checksum(base, position, body) != checksum:
        raise damaged(
            location,
            "the checksum of the message is wrong",
            session_id=session_id,
            position=position,
        )


def load_records(
    connection: sqlite3.Connection, location: str, session_id: str, session: SessionRow
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
            raise _missing(location, session_id, expected)
    base = _checksum_base(session_id)
    return [_record(location, session_id, base, *row) for row in found]


def find_record(
    connection: sqlite3.Connection,
    location: str,
    session_id: str,
    session: SessionRow,
    message_id: str,
) -> Optional[Record]:
    """Return the record with this id, or None.

    Raises:
        CorruptDataError: it is damaged.
    """
    row = connection.execute(
        "SELECT position, checksum, body, message_id, filled, pinned"
        " FROM context_messages WHERE session = ? AND id_key = ? AND message_id = ?",
        (session.number, _id_key(message_id), message_id),
    ).fetchone()
    if row is None:
        return None
    return _record(location, session_id, _checksum_base(session_id), *row)


def _record(
    location: str,
    session_id: str,
    base: int,
    position: int,
    checksum: int,
    body: bytes,
    message_id: str,
    filled: int,
    pinned: int,
) -> Record:
    _check_body(location, session_id, base, position, checksum, body)
    return Record(message_id, body, _FILLED_NAMES[filled & 3], bool(pinned))


def find_position(
    connection: sqlite3.Connection, session: SessionRow, message_id: str
) -> Optional[int]:
    """Return the position of a message, or None where the session has no such id."""
    row = connection.execute(
        "SELECT position FROM context_messages"
        " WHERE session = ? AND id_key = ? AND message_id = ?",
        (session.number, _id_key(message_id), message_id),
    ).fetchone()
    return None if row is None else row[0]


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


def delete_from(
    connection: sqlite3.Connection, session: SessionRow, position: int
) -> None:
    """Delete the messages from a position on."""
    connection.execute(
        "DELETE FROM context_messages WHERE session = ? AND position >= ?",
        (session.number, position),
    )


def set_version(
    connection: sqlite3.Connection, session: SessionRow, last: int, version: int
) -> None:
    """Give the session the version, now that its newest message is at ``last``."""
    connection.execute(
        "UPDATE context_sessions SET changes = ? WHERE number = ?",
        (version - last, session.number),
    )


def delete_session(connection: sqlite3.Connection, session: SessionRow) -> None:
    """Delete a session and all its messages."""
    delete_from(connection, session, 0)
    connection.execute(
        "DELETE FROM context_sessions WHERE number = ?", (session.number,)
    )
