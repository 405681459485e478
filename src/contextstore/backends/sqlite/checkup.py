"""Read a whole file, tell what is damaged, and mend what can be mended.

What a load cannot see is found here: a session whose key was damaged and so cannot be
found, messages without a session, an index that differs from its table.
"""

from __future__ import annotations

import sqlite3
from typing import Iterator, List, NamedTuple, Optional, Tuple

from contextstore import messages
from contextstore.backends.filters import metadata_or_none
from contextstore.backends.place import Place, seal
from contextstore.backends.results import Problem, VerifyReport
from contextstore.backends.sqlite import rows, text_index, vector_rows
from contextstore.backends.sqlite.failures import is_damage
from contextstore.errors import CorruptDataError

_MOST_REPORTED_BY_SQLITE = 100


class _Session(NamedTuple):
    number: int
    session_id: str
    pruned: int
    metadata: object

    @property
    def has_types(self) -> bool:
        return type(self.session_id) is str and type(self.pruned) is int


def verify(
    connection: sqlite3.Connection, location: str, *, repair: bool
) -> VerifyReport:
    """Check file, sessions and messages; to repair, run it where it may write."""
    problems = list(_file_problems(connection, repair=repair))
    session_count = message_count = 0
    try:
        for session in _sessions(connection):
            session_count += 1
            # A damaged row may hold values of another type.
            if not session.has_types:
                detail = "the row of the session is damaged"
                problems.append(Problem("session", detail))
                continue
            message_count += _count(connection, session)
            problems += _session_problems(connection, location, session, repair=repair)
        problems += _orphans(connection, location, repair=repair)
        problems += _vector_problems(connection, location, repair=repair)
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        problems.append(Problem("file", f"cannot be read on ({error})"))
    return VerifyReport(session_count, message_count, tuple(problems))


def _file_problems(
    connection: sqlite3.Connection, *, repair: bool
) -> Iterator[Problem]:
    """Tell what SQLite itself finds; an index that differs can be made anew."""
    found = _integrity(connection)
    if not found:
        return
    repaired = False
    if repair and all("index" in text for text in found):
        connection.execute("REINDEX")
        repaired = not _integrity(connection)
    for text in found:
        kind = "index" if "index" in text else "file"
        yield Problem(kind, text, repaired=repaired)


def _integrity(connection: sqlite3.Connection) -> List[str]:
    try:
        found = connection.execute(
            f"PRAGMA integrity_check({_MOST_REPORTED_BY_SQLITE})"
        ).fetchall()
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        return [str(error)]
    return [text for (text,) in found if text != "ok"]


def _sessions(connection: sqlite3.Connection) -> List[_Session]:
    found = connection.execute(
        "SELECT number, session_id, pruned, metadata FROM context_sessions"
        " ORDER BY number"
    )
    return [_Session(*row) for row in found]


def _count(connection: sqlite3.Connection, session: _Session) -> int:
    (count,) = connection.execute(
        "SELECT count(*) FROM context_messages WHERE session = ?", (session.number,)
    ).fetchone()
    return int(count)


def _session_problems(
    connection: sqlite3.Connection, location: str, session: _Session, *, repair: bool
) -> Iterator[Problem]:
    if metadata_or_none(session.metadata) is None:
        # Not mended: what set_metadata gave is lost until it gives it again.
        yield Problem("session", "the metadata is damaged", session.session_id)
    mended = _mended_key(connection, session)
    if mended is not None:
        if repair:
            connection.execute(
                "UPDATE context_sessions SET session_id = ? WHERE number = ?",
                (mended, session.number),
            )
        yield Problem(
            "session",
            f"the id was damaged; by the checksums of its messages it is {mended!r}",
            session.session_id,
            repaired=repair,
        )
        session = session._replace(session_id=mended)
    yield from _message_problems(connection, location, session, repair=repair)


def _message_problems(
    connection: sqlite3.Connection, location: str, session: _Session, *, repair: bool
) -> Iterator[Problem]:
    place = Place(location, session.session_id)
    base = place.base()
    expected = session.pruned + 1
    for row, position, message_id, id_key, pinned, checksum, body in connection.execute(
        "SELECT row, position, message_id, id_key, pinned, checksum, body"
        " FROM context_messages WHERE session = ? ORDER BY position",
        (session.number,),
    ).fetchall():
        if type(position) is not int:
            detail = "the position of the message is damaged"
            yield Problem("message", detail, session.session_id)
            continue
        for absent in range(expected, min(position, expected + 1)):
            detail = f"{position - expected} messages are missing"
            yield Problem("missing", detail, session.session_id, absent)
        expected = position + 1
        try:
            place.check(base, position, checksum, body)
        except CorruptDataError:
            detail = "the checksum of the message is wrong"
            yield Problem("message", detail, session.session_id, position)
            continue
        message = messages.decode(body)
        right = (message["id"], rows.id_key(message["id"]), messages.is_pinned(message))
        if right != (message_id, id_key, bool(pinned)):
            if repair:
                connection.execute(
                    "UPDATE context_messages SET message_id = ?, id_key = ?, pinned = ?"
                    " WHERE row = ?",
                    (*right, row),
                )
            detail = "what the message is found by is not what it holds"
            yield Problem("index", detail, session.session_id, position, repair)


def _mended_key(connection: sqlite3.Connection, session: _Session) -> Optional[str]:
    """Return the session id before one of its bits flipped, where messages prove it."""
    row = connection.execute(
        "SELECT position, checksum, body FROM context_messages"
        " WHERE session = ? ORDER BY position LIMIT 1",
        (session.number,),
    ).fetchone()
    if row is None or type(row[0]) is not int or type(row[2]) is not bytes:
        return None
    stored = session.session_id.encode("utf-8")
    if _proves(stored, row):
        return None
    for bit in range(8 * len(stored)):
        flipped = bytearray(stored)
        flipped[bit // 8] ^= 1 << bit % 8
        if _proves(bytes(flipped), row):
            return _text_or_none(bytes(flipped))
    return None


def _proves(session_id: bytes, row: Tuple[int, int, bytes]) -> bool:
    text = _text_or_none(session_id)
    if text is None:
        return False
    position, checksum, body = row
    return seal(Place("", text).base(), position, body) == checksum


def _text_or_none(encoded: bytes) -> Optional[str]:
    try:
        return encoded.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _orphans(
    connection: sqlite3.Connection, location: str, *, repair: bool
) -> Iterator[Problem]:
    """Find messages whose session is gone; repair gives them one by a new name."""
    found = connection.execute(
        "SELECT session, count(*) FROM context_messages WHERE session NOT IN"
        " (SELECT number FROM context_sessions) GROUP BY session ORDER BY session"
    ).fetchall()
    for number, count in found:
        name = f"recovered-{number}"
        detail = f"{count} messages have no session"
        if repair:
            _adopt(connection, Place(location, name), number)
            detail += f"; they are now in {name!r}"
        yield Problem("orphan", detail, name if repair else None, repaired=repair)


def _adopt(connection: sqlite3.Connection, place: Place, number: int) -> None:
    connection.execute(
        "INSERT INTO context_sessions (number, session_id, changes, created, changed)"
        " VALUES (?1, ?2, 1, ?3, ?3)",
        (number, place.session_id, rows.now()),
    )
    found = connection.execute(
        "SELECT row, body FROM context_messages WHERE session = ? ORDER BY position",
        (number,),
    ).fetchall()
    # Positions that are free for sure, so that none meets one not yet moved.
    far = 1 << 40
    base = place.base()
    for shift in (far, 0):
        for position, (row, body) in enumerate(found, start=1):
            connection.execute(
                "UPDATE context_messages SET position = ?, checksum = ? WHERE row = ?",
                (position + shift, seal(base, position, body), row),
            )


def _vector_problems(
    connection: sqlite3.Connection, location: str, *, repair: bool
) -> List[Problem]:
    """Find damaged vectors; one that is removed is made anew from its message."""
    found = list(vector_rows.find_damaged(connection, location))
    for bad in found if repair else ():
        vector_rows.remove_place(connection, bad.place)
    return [
        Problem("vector", bad.fault, bad.session_id, repaired=repair) for bad in found
    ]


def text_problems(connection: sqlite3.Connection, *, repair: bool) -> List[Problem]:
    """Check the text index, which SQLite only does inside a transaction that writes."""
    faults = list(text_index.faults(connection))
    if faults and repair:
        text_index.discard(connection)
    return [Problem("index", fault, repaired=repair) for fault in faults]
