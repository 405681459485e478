"""Delete sessions so that nothing of them stays in the file, its log or its indexes."""

from __future__ import annotations

import sqlite3
from typing import List, NamedTuple, Optional, Tuple

from contextstore.backends.sqlite import rows, text_index
from contextstore.backends.sqlite.listing import Filter, numbers
from contextstore.errors import SessionNotFoundError


class Erased(NamedTuple):
    """Say what was deleted from the tables; traces may be left until ``purge``."""

    session_ids: Tuple[str, ...]
    message_count: int


def erase(
    connection: sqlite3.Connection, session_id: Optional[str], wanted: Filter
) -> Erased:
    """Delete the sessions that are meant, and write the text index anew."""
    ids: List[str]
    if session_id is not None:
        if rows.find_session(connection, session_id) is None:
            raise SessionNotFoundError.of(session_id)
        ids = [session_id]
    else:
        ids = [name for _, name in numbers(connection, wanted)]
    count = 0
    for name in ids:
        session = rows.existing_session(connection, name)
        count += session.last - session.pruned
        rows.delete_session(connection, session)
    if ids:
        text_index.purge(connection)
    return Erased(tuple(ids), count)


def purge_log(connection: sqlite3.Connection) -> bool:
    """Copy the log into the file and empty it; False where a reader holds it up.

    Freed pages hold zeros already: every connection that writes does secure deletes.
    """
    row = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return row is None or row[0] == 0
