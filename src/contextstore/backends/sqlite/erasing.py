"""Delete sessions so that nothing of them stays in the file, its log or its indexes."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple, Optional, Tuple

from contextstore.backends.filters import Filter
from contextstore.backends.sqlite import legacy, rows, text_index, vector_rows
from contextstore.backends.sqlite.listing import numbers
from contextstore.backends.sqlite.waiting import STEP_SECONDS, patiently
from contextstore.errors import BusyError, SessionNotFoundError

# How long to wait for a reader, in milliseconds.
_PATIENCE = 1000


class Erased(NamedTuple):
    """Say what was deleted from the tables; traces may be left until ``purge``."""

    session_ids: Tuple[str, ...]
    message_count: int
    vector_count: int


def erase(
    connection: sqlite3.Connection, session_id: Optional[str], wanted: Filter
) -> Erased:
    """Delete the sessions that are meant, and drop the text index with its words.

    A session may have vectors alone, under ids that are no stored messages.
    """
    if session_id is not None:
        ids = [session_id]
    else:
        ids = [name for _, name in numbers(connection, wanted)]
    message_count = vector_count = 0
    for name in ids:
        session = rows.find_session(connection, name)
        vectors = vector_rows.discard_session(connection, name, None)
        if session is not None:
            message_count += session.last - session.pruned
            rows.delete_session(connection, session)
        elif not vectors:
            raise SessionNotFoundError.of(name)
        vector_count += vectors
        legacy.forget_session(connection, name)
    if ids:
        text_index.purge(connection)
    return Erased(tuple(ids), message_count, vector_count)


def purge_file(connection: sqlite3.Connection) -> bool:
    """Write the file anew without what was deleted; outside a transaction.

    Overwriting what is deleted (PRAGMA secure_delete) is not enough: SQLite leaves
    copies in the unused space of pages when it moves rows between them.

    Returns:
        False where the file cannot be written anew, for damage or want of room, or
        where a reader holds up the log, which then keeps the old pages.
    """
    try:
        patiently(lambda: connection.execute("VACUUM"))
        is_new = True
    except sqlite3.DatabaseError:
        # What was deleted is gone for every reader all the same: no error of a write.
        is_new = False
    return _empty_log(connection) and is_new


def traces_left(location: str) -> BusyError:
    """Return the error for sessions that are gone while their traces may be left."""
    return BusyError(
        f"{location}: there is no such session, but traces of one that was erased may "
        f"be left: end what reads the file, make room on the disk, verify() the file, "
        f"and erase again",
        location=location,
    )


def _empty_log(connection: sqlite3.Connection) -> bool:
    """Copy the log into the file and cut it; False where a reader holds it up."""
    # Nobody can write meanwhile, so it does not wait for a reader as long as they do.
    connection.execute(f"PRAGMA busy_timeout = {_PATIENCE}")
    try:
        row = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.DatabaseError:
        return False
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(STEP_SECONDS * 1000)}")
    return row is None or row[0] == 0
