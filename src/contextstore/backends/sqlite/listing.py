"""List sessions and describe them."""

from __future__ import annotations

import re
import sqlite3
from typing import Any, Dict, Iterator, List, Optional, Tuple

from contextstore.backends.filters import Filter, metadata_or_none
from contextstore.backends.place import damaged
from contextstore.backends.results import SessionInfo, SessionPage
from contextstore.backends.sqlite.connections import MEMORY
from contextstore.backends.sqlite.failures import refuse_no_numbers
from contextstore.backends.stamps import iso_time
from contextstore.errors import InvalidInputError, SessionNotFoundError

# At most 18 digits: SQLite counts to 2**63.
_CURSOR = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")
# The newest message tells when a session was last appended to: appends do not write
# the row of the session.
_DESCRIBED = """
SELECT number, session_id, pruned, changes, created, metadata,
    ifnull(last, pruned) AS last,
    max(changed, ifnull((SELECT written FROM context_messages
        WHERE session = number AND position = last), 0)) AS updated
FROM (SELECT *, (SELECT max(position) FROM context_messages
        WHERE session = number) AS last
    FROM context_sessions)
"""


def info(connection: sqlite3.Connection, session_id: str) -> SessionInfo:
    """Describe one session."""
    row = connection.execute(
        f"{_DESCRIBED} WHERE session_id = ?",
        (session_id,),
    ).fetchone()
    if row is None:
        raise SessionNotFoundError.of(session_id)
    return _described(connection, row)


def page(
    connection: sqlite3.Connection,
    wanted: Filter,
    limit: int,
    cursor: Optional[Tuple[int, int]],
) -> SessionPage:
    """Return a page of sessions, the newest change first, ties newest session first."""
    found: List[Tuple[Any, ...]] = []
    for row in _newest_first(connection, wanted, cursor):
        if not wanted.metadata or wanted.admits(_metadata(connection, row[1], row[5])):
            found.append(row)
            if len(found) > limit:
                break
    sessions = [_described(connection, row) for row in found[:limit]]
    if len(found) <= limit:
        return SessionPage(sessions, None)
    number, updated = found[limit - 1][0], found[limit - 1][7]
    return SessionPage(sessions, f"{updated}-{number}")


def _newest_first(
    connection: sqlite3.Connection, wanted: Filter, cursor: Optional[Tuple[int, int]]
) -> Iterator[Tuple[Any, ...]]:
    first, end = wanted.range()
    updated, number = cursor or (2**63 - 1, 0)
    return connection.execute(
        f"SELECT * FROM ({_DESCRIBED} WHERE session_id >= ? AND session_id < ?)"  # noqa: S608 - a constant
        " WHERE updated < ? OR (updated = ? AND number < ?)"
        " ORDER BY updated DESC, number DESC",
        (first, end, updated, updated, number),
    )


def parse_cursor(cursor: Any) -> Optional[Tuple[int, int]]:
    """Return what a cursor stands for.

    Raises:
        InvalidInputError: no page gave this cursor.
    """
    if cursor is None:
        return None
    found = _CURSOR.fullmatch(cursor) if isinstance(cursor, str) else None
    if found is None:
        raise InvalidInputError("cursor is none that list_sessions gave", path="cursor")
    return int(found.group(1)), int(found.group(2))


def numbers(connection: sqlite3.Connection, wanted: Filter) -> List[Tuple[int, str]]:
    """Return number and id of all sessions that are meant, by id."""
    first, end = wanted.range()
    found = connection.execute(
        "SELECT number, session_id, metadata FROM context_sessions"
        " WHERE session_id >= ? AND session_id < ? ORDER BY session_id",
        (first, end),
    )
    return [
        (number, session_id)
        for number, session_id, metadata in found
        if not wanted.metadata
        or wanted.admits(_metadata(connection, session_id, metadata))
    ]


def _described(connection: sqlite3.Connection, row: Tuple[Any, ...]) -> SessionInfo:
    _, session_id, pruned, changes, created, metadata, last, updated = row
    refuse_no_numbers(pruned, changes, created, last, updated)
    return SessionInfo(
        session_id=session_id,
        version=last + changes,
        message_count=last - pruned,
        created_at=_time(created),
        updated_at=_time(updated),
        metadata=_metadata(connection, session_id, metadata),
    )


def _time(milliseconds: int) -> str:
    try:
        return iso_time(milliseconds)
    except (OverflowError, ValueError, OSError) as error:
        raise sqlite3.DatabaseError(f"malformed row: {error}") from error


def _metadata(
    connection: sqlite3.Connection, session_id: str, encoded: Any
) -> Dict[str, Any]:
    """Return the metadata of a session.

    Raises:
        CorruptDataError: it is damaged.
    """
    metadata = metadata_or_none(encoded)
    if metadata is None:
        _, _, location = connection.execute("PRAGMA database_list").fetchone()
        fault = "the metadata of the session is damaged"
        raise damaged(location or MEMORY, fault, session_id=session_id)
    return metadata
