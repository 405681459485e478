"""Read a stretch of a session, or its pinned messages, at the cost of what is read."""

from __future__ import annotations

import sqlite3
from typing import List, Optional

from contextstore.backends.place import Place
from contextstore.backends.sqlite import rows
from contextstore.errors import InteractionNotFoundError
from contextstore.messages import Message


def load_page(
    connection: sqlite3.Connection,
    place: Place,
    before: Optional[str],
    after: Optional[str],
    limit: int,
) -> List[Message]:
    """Return the messages next to one, or the newest of all, oldest first."""
    session = rows.find_session(connection, place.session_id)
    cursor = after if before is None else before
    if session is None:
        if cursor is not None:
            raise InteractionNotFoundError.of(place.session_id, cursor)
        return []
    if cursor is None:
        end = session.last + 1
    else:
        end = rows.existing_position(connection, place, session, cursor)
    if after is not None:
        first, last = end + 1, min(end + limit, session.last)
    else:
        first, last = max(end - limit, session.pruned + 1), end - 1
    return rows.load_range(connection, place, session, first, last)


def load_pinned(connection: sqlite3.Connection, place: Place) -> List[Message]:
    """Return the pinned messages of a session, oldest first."""
    session = rows.find_session(connection, place.session_id)
    return [] if session is None else rows.load_pinned(connection, place, session)
