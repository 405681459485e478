"""Keep summaries of ranges of a session beside its messages, which stay whole."""

from __future__ import annotations

import sqlite3
from typing import Dict, Mapping

from contextstore.backends.place import Place
from contextstore.backends.sqlite import rows
from contextstore.backends.sqlite.rows import SessionRow


def load(connection: sqlite3.Connection, place: Place) -> Dict[str, str]:
    """Return the summaries of a session, the oldest first."""
    found = connection.execute(
        "SELECT key, summary FROM context_summaries WHERE session ="
        " (SELECT number FROM context_sessions WHERE session_id = ?) ORDER BY row",
        (place.session_id,),
    )
    return dict(found.fetchall())


def save(
    connection: sqlite3.Connection, place: Place, summaries: Mapping[str, str]
) -> None:
    """Make these the summaries of a session; its version stays."""
    session = rows.existing_session(connection, place.session_id)
    discard(connection, session)
    connection.executemany(
        "INSERT INTO context_summaries (session, key, summary) VALUES (?, ?, ?)",
        [(session.number, key, text) for key, text in summaries.items()],
    )


def copy(
    connection: sqlite3.Connection, source: SessionRow, target: SessionRow
) -> None:
    """Give a fork the summaries of what it was copied from.

    They are found by a hash of the messages they stand for, so that those of messages
    that were not copied are never used.
    """
    connection.execute(
        "INSERT INTO context_summaries (session, key, summary)"
        " SELECT ?, key, summary FROM context_summaries WHERE session = ? ORDER BY row",
        (target.number, source.number),
    )


def discard(connection: sqlite3.Connection, session: SessionRow) -> None:
    """Delete the summaries of a session."""
    connection.execute(
        "DELETE FROM context_summaries WHERE session = ?", (session.number,)
    )
