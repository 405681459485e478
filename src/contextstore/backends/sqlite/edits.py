"""Change a session otherwise than by saving and appending, inside one transaction."""

from __future__ import annotations

import sqlite3
from typing import Any, Dict, Optional

from contextstore import messages
from contextstore.backends.place import Place
from contextstore.backends.records import check_version, updated_record
from contextstore.backends.results import WriteResult
from contextstore.backends.sqlite import rows, summaries, vector_rows
from contextstore.errors import ConflictError
from contextstore.messages import Message


def update_interaction(
    connection: sqlite3.Connection,
    place: Place,
    interaction_id: str,
    message: Message,
    *,
    expected_version: Optional[int],
) -> WriteResult:
    """Put another message in the place of a stored one."""
    session = rows.existing_session(connection, place.session_id)
    check_version(place.session_id, expected_version, session.version)
    position = rows.existing_position(connection, place, session, interaction_id)
    old = rows.load_record(connection, place, session, position)
    new = updated_record(message, old)
    if new is None:
        return WriteResult((interaction_id,), session.version)
    rows.replace(connection, place, session, position, new)
    version = session.version + 1
    rows.set_version(connection, session, session.last, version)
    return WriteResult((interaction_id,), version, (interaction_id,))


def set_metadata(
    connection: sqlite3.Connection,
    place: Place,
    metadata: Dict[str, Any],
    *,
    expected_version: Optional[int],
) -> WriteResult:
    """Give a session metadata, in place of what it had."""
    session = rows.existing_session(connection, place.session_id)
    check_version(place.session_id, expected_version, session.version)
    encoded = messages.encode(metadata).decode("utf-8")
    changed = connection.execute(
        "UPDATE context_sessions SET metadata = ?1"
        " WHERE number = ?2 AND metadata <> ?1",
        (encoded, session.number),
    ).rowcount
    if not changed:
        return WriteResult((), session.version)
    version = session.version + 1
    rows.set_version(connection, session, session.last, version)
    return WriteResult((), version)


def fork(
    connection: sqlite3.Connection, place: Place, target: Place, at: Optional[str]
) -> WriteResult:
    """Copy a session, its messages, their vectors and its metadata under a new id."""
    source = rows.existing_session(connection, place.session_id)
    last = source.last
    if at is not None:
        last = rows.existing_position(connection, place, source, at)
    if rows.find_session(connection, target.session_id) is not None:
        raise ConflictError(
            f"session {target.session_id!r} exists already; fork to a new id",
            session_id=target.session_id,
        )
    copy = rows.create_session(connection, target.session_id)
    connection.execute(
        "UPDATE context_sessions SET pruned = ?1, metadata ="
        " (SELECT metadata FROM context_sessions WHERE number = ?2) WHERE number = ?3",
        (source.pruned, source.number, copy.number),
    )
    # Through Python, so that damage is found and not sealed anew.
    records = rows.load_records(connection, place, source)[: last - source.pruned]
    rows.insert(connection, target, copy, source.pruned, records)
    summaries.copy(connection, source, copy)
    vector_rows.copy(
        connection, place.location, place.session_id, target.session_id, copy.number
    )
    return WriteResult(tuple(record.id for record in records), last + copy.changes)
