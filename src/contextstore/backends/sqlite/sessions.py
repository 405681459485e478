"""Carry out what the contract asks of a session, inside one transaction.

Each function takes a connection in a transaction, works out the change with the shared
rules of ``records``, and writes it with the SQL of ``rows``.
"""

from __future__ import annotations

import sqlite3
from typing import Optional, Sequence

from contextstore.backends.place import Place
from contextstore.backends.records import (
    Record,
    check_version,
    plan_append,
    plan_save,
)
from contextstore.backends.results import WriteResult
from contextstore.backends.sqlite import rows, vector_rows
from contextstore.backends.stamps import Stamps
from contextstore.errors import SessionNotFoundError
from contextstore.messages import Message


def append(
    connection: sqlite3.Connection,
    place: Place,
    incoming: Sequence[Message],
    stamps: Stamps,
    *,
    create: bool,
    expected_version: Optional[int],
) -> WriteResult:
    """Add the messages that are not there yet."""
    session = rows.find_session(connection, place.session_id)
    if session is None and not create:
        raise SessionNotFoundError.of(place.session_id)
    before = session.version if session else 0
    if session is None:
        session = rows.create_session(connection, place.session_id)
    state = session

    def find(message_id: str) -> Optional[Record]:
        return rows.find_record(connection, place, state, message_id)

    plan = plan_append(place.session_id, incoming, find, stamps)
    if plan.added or not incoming or not before:
        # A repeat of what is stored already says so, whatever the version is by now.
        check_version(place.session_id, expected_version, before)
    rows.insert(connection, place, session, session.last, plan.added)
    version = session.version
    return WriteResult(plan.ids, version + len(plan.added), before=version)


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
    before = session.version if session else 0
    if session is None:
        session = rows.create_session(connection, place.session_id)
    plan = plan_save(incoming, rows.load_records(connection, place, session), stamps)
    kept = session.pruned + plan.kept
    if kept < session.last or plan.added or not before:
        # A repeat of what is stored already says so, whatever the version is by now.
        check_version(place.session_id, expected_version, before)
    if kept == session.last:
        rows.insert(connection, place, session, kept, plan.added)
        return WriteResult(plan.ids, session.version + len(plan.added), plan.removed)
    old = rows.ids_from(connection, session, kept + 1)
    rewritten = sorted(set(old).difference(plan.removed))
    with vector_rows.staying(connection, place.session_id, rewritten):
        rows.delete_range(connection, session, kept + 1, session.last)
    rows.insert(connection, place, session, kept, plan.added)
    # More than what it adds, so that no reader takes it for an append.
    version = session.version + 1 + len(plan.added)
    rows.set_version(connection, session, kept + len(plan.added), version)
    return WriteResult(plan.ids, version, plan.removed)


def delete_interaction(
    connection: sqlite3.Connection, place: Place, interaction_id: str
) -> WriteResult:
    """Delete a message and all after it."""
    session = rows.existing_session(connection, place.session_id)
    position = rows.existing_position(connection, place, session, interaction_id)
    removed = rows.ids_from(connection, session, position)
    rows.delete_range(connection, session, position, session.last)
    version = session.version + 1
    rows.set_version(connection, session, position - 1, version)
    return WriteResult((), version, removed)


def delete_session(connection: sqlite3.Connection, place: Place) -> None:
    """Delete a session and all its messages."""
    session = rows.existing_session(connection, place.session_id)
    rows.delete_session(connection, session)
