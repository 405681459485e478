"""Read the table of contextstore 1.0.1: one row a session, its messages a JSON array.

That version moved every field but id, content, metadata and timestamp into ``content``
and wrapped a content that was not an object as ``{"data": ...}``; here they are moved
back. Its table stays in the file as it was.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from typing import Any, List, Set

from contextstore import messages
from contextstore.backends.place import Place
from contextstore.backends.records import Record, make_record
from contextstore.backends.sqlite import rows
from contextstore.backends.stamps import Stamps
from contextstore.errors import CorruptDataError
from contextstore.messages import Message

LEGACY_TABLE = "tb_context"

_logger = logging.getLogger("contextstore")

# The fields of a chat message that stand beside its content (OpenAI chat format).
_MESSAGE_FIELDS = (
    "role",
    "name",
    "tool_calls",
    "tool_call_id",
    "function_call",
    "refusal",
    "audio",
)


def has_legacy_table(connection: sqlite3.Connection) -> bool:
    """Tell whether contextstore 1.0.1 kept sessions in this file."""
    found = connection.execute(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?",
        (LEGACY_TABLE,),
    )
    return found.fetchone() is not None


def import_legacy(connection: sqlite3.Connection, location: str) -> None:
    """Copy every session of the old table; its oldest row, as 1.0.1 read it.

    Raises:
        CorruptDataError: a session cannot be read; nothing was copied.
    """
    stored = connection.execute(
        "SELECT session_id, context_json FROM tb_context ORDER BY id"
    ).fetchall()
    done: Set[str] = set()
    for session_id, text in stored:
        if session_id in done:
            _logger.warning(
                "tb_context holds session %r more than once; its first row was taken, "
                "as contextstore 1.0.1 did",
                session_id,
            )
            continue
        records = _records(session_id, text)
        session = rows.create_session(connection, session_id)
        rows.insert(
            connection, Place(location, session_id), session, session.last, records
        )
        done.add(session_id)
    _logger.info("copied %d sessions of contextstore 1.0.1", len(done))


def forget_session(connection: sqlite3.Connection, session_id: str) -> None:
    """Delete a session from the old table too: an erasure leaves nothing."""
    if has_legacy_table(connection):
        connection.execute("DELETE FROM tb_context WHERE session_id = ?", (session_id,))


def _records(session_id: Any, text: Any) -> List[Record]:
    try:
        messages.validate_session_id(session_id)
        old = json.loads(text) if text else []
        if not isinstance(old, list):
            raise TypeError("not a list of messages")
        context = [_restored(message) for message in old]
        prepared = messages.prepare(_with_single_ids(session_id, context))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptDataError(
            f"tb_context, session {session_id!r}: the row cannot be read, so the file "
            f"was not brought up to date and nothing was written",
            session_id=session_id if isinstance(session_id, str) else None,
        ) from error
    stamps = Stamps.of(None, None)
    return [make_record(message, stamps) for message in prepared]


def _restored(stored: Message) -> Message:
    """Put the fields that 1.0.1 moved into the content back beside it."""
    content = stored.get("content")
    if not isinstance(content, dict) or "role" in stored:
        return stored
    wrapped = "data" in content
    moved = {
        name: item
        for name, item in content.items()
        if name in _MESSAGE_FIELDS or (wrapped and name != "data")
    }
    rest = {name: item for name, item in content.items() if name not in moved}
    message = {name: item for name, item in stored.items() if name != "content"}
    if wrapped:
        message["content"] = content["data"]
    elif rest or not moved:
        message["content"] = rest
    return {**moved, **message}


def _with_single_ids(session_id: str, context: List[Message]) -> List[Message]:
    """Let the store give a new id to a message that repeats one; 1.0.1 allowed that."""
    seen = set()
    for message in context:
        if message.get("id") in seen:
            _logger.warning(
                "session %r of contextstore 1.0.1 holds the id %r more than once; the "
                "later message was given a new one",
                session_id,
                message["id"],
            )
            del message["id"]
        elif "id" in message:
            seen.add(message["id"])
    return context
