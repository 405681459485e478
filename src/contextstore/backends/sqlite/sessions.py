"""Carry out what a caller asks of a session, inside one transaction.

Each function takes a connection in a transaction, works out the change with the shared
rules of ``records``, and writes it with the SQL of ``rows``.
"""

from __future__ import annotations

import sqlite3
from typing import List, NamedTuple, Optional, Sequence

from contextstore.backends.base import WriteResult
from contextstore.backends.records import (
    Record,
    check_version,
    plan_append,
    plan_save,
)
from contextstore.backends.sqlite import rows
from contextstore.backends.sqlite.rows import SessionRow
from contextstore.backends.stamps import Stamps
from contextstore.errors import InteractionNotFoundError, SessionNotFoundError
from contextstore.messages import Message


class Place(NamedTuple):
    """Say which session in which file, for the functions here and their errors."""

    location: str
    session_id: str


def load(
    connection: sqlite3.Connection, place: Place, k: Optional[int]
) -> List[Message]:
    """Return the newest ``k`` messages, or all, oldest first."""
    return rows.load(connection, place.location, place.session_id, k)


def append(
    connection: sqlite3.Connection,
    place: Place,
    incoming: Sequence[Message],
    stamps: Stamps,
    *,
    create: bool,
    expected_version: Optional[int],
) -> WriteResult:
    """Add the messages that are not there yet; see InMemoryMemory.append_context."""
    session = rows.find_session(connection, place.session_id)
    if session is None and not create:
        raise SessionNotFoundError.of(place.session_id)
    check_version(place.session_id, expected_version, session.version if session else 0)
    if session is None:
        session = rows.create_session(connection, place.session_id)
    state = session

    def find(message_id: str) -> Optional[Record]:
        return rows.find_record(
            connection, place.location, place.session_id, state, message_id
        )

    plan = plan_append(place.session_id, incoming, find, stamps)
    rows.insert(connection, place.session_id, session, session.last, plan.added)
    return WriteResult(plan.ids, session.version + len(plan.added))


def save(
    connection: sqlite3.Connection,
    place: Place,
    incoming: Sequence[Message],
    stamps: Stamps,
    *,
    expected_version: Optional[int],
) -> WriteResult:
    """Write from where the new history parts from the stored one, and only that."""
    session = rows.find_session(connection, place.session_id)
    check_version(place.session_id, expected_version, session.version if session else 0)
    if session is None:
        session = rows.create_session(connection, place.session_id)
    stored = rows.load_records(connection, place.location, place.session_id, session)
    plan = plan_save(incoming, stored, stamps)
    last = session.pruned + plan.kept
    if last == session.last:
        rows.insert(connection, place.session_id, session, last, plan.added)
        return WriteResult(plan.ids, session.version + len(plan.added), plan.removed)
    rows.delete_from(connection, session, last + 1)
    rows.insert(connection, place.session_id, session, last, plan.added)
    version = session.version + 1
    rows.set_version(connection, session, last + len(plan.added), version)
    return WriteResult(plan.ids, version, plan.removed)


def delete_interaction(
    connection: sqlite3.Connection, place: Place, interaction_id: str
) -> WriteResult:
    """Delete a message and all after it."""
    session = _existing(connection, place.session_id)
    position = rows.find_position(connection, session, interaction_id)
    if position is None:
        raise InteractionNotFoundError.of(place.session_id, interaction_id)
    removed = rows.ids_from(connection, session, position)
    rows.delete_from(connection, session, position)
    version = session.version + 1
    rows.set_version(connection, session, position - 1, version)
    return WriteResult((), version, removed)


def delete_session(connection: sqlite3.Connection, place: Place) -> None:
    """Delete a session and all its messages."""
    rows.delete_session(connection, _existing(connection, place.session_id))


def _existing(connection: sqlite3.Connection, session_id: str) -> SessionRow:
    session = rows.find_session(connection, session_id)
    if session is None:
        raise SessionNotFoundError.of(session_id)
    return session
