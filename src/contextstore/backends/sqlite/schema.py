"""Define the tables, create them, and bring files of older versions up to date.

A migration is a plain function that takes a connection inside a transaction and raises
the file by one version. Migrations are only ever added.
"""

from __future__ import annotations

import re
import sqlite3
from typing import Callable, List, Tuple

from contextstore.backends.sqlite.legacy import (
    LEGACY_TABLE,
    has_legacy_table,
    import_legacy,
)
from contextstore.errors import SchemaVersionError

# "CtxS" in ASCII marks the file as ours (https://sqlite.org/pragma.html).
APPLICATION_ID = 0x43747853

_TABLES = """
CREATE TABLE context_sessions (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    session_id TEXT NOT NULL UNIQUE,
    -- Position of the last message that was pruned from the front; 0 if none was.
    pruned INTEGER NOT NULL DEFAULT 0,
    -- Changes other than plain appends; with the last position, the version.
    changes INTEGER NOT NULL,
    -- When it was made, and when it last saw such a change, in milliseconds since 1970.
    created INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    metadata TEXT NOT NULL DEFAULT '{}'
);
CREATE TABLE context_messages (
    row INTEGER PRIMARY KEY,
    session INTEGER NOT NULL,
    position INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    -- A number made of the message id, to find it by: not unique.
    id_key INTEGER NOT NULL,
    -- What the store filled in: 1 the id, 2 the timestamp.
    filled INTEGER NOT NULL,
    pinned INTEGER NOT NULL,
    -- When the store wrote it, in milliseconds since 1970 UTC.
    written INTEGER NOT NULL,
    -- CRC-32 of session id, position and body.
    checksum INTEGER NOT NULL,
    body BLOB NOT NULL
);
-- One row once there is a text index: the newest message row that it holds.
CREATE TABLE context_text_state (newest INTEGER NOT NULL);
CREATE UNIQUE INDEX context_messages_position ON context_messages (session, position);
CREATE INDEX context_messages_pinned ON context_messages (session, position)
    WHERE pinned = 1;
CREATE INDEX context_messages_id ON context_messages (session, id_key);

-- Summaries of ranges of messages, by a hash of these.
CREATE TABLE context_summaries (
    row INTEGER PRIMARY KEY,
    session INTEGER NOT NULL,
    key TEXT NOT NULL,
    summary TEXT NOT NULL
);
CREATE INDEX context_summaries_session ON context_summaries (session);

CREATE TABLE context_vector_sessions (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    session_id TEXT NOT NULL,
    model TEXT NOT NULL,
    dimension INTEGER NOT NULL,
    -- Raised where vectors are removed or replaced: whoever holds copies begins anew.
    changes INTEGER NOT NULL DEFAULT 0,
    -- Vectors that were ever added: whoever holds copies reads on from there.
    added INTEGER NOT NULL DEFAULT 0,
    UNIQUE (session_id, model)
);
CREATE INDEX context_vector_sessions_model
    ON context_vector_sessions (model, dimension);
CREATE TABLE context_vectors (
    -- The number of the session in the upper 32 bits, the order of adding in the lower:
    -- what belongs together lies together, which halves the time to read it.
    place INTEGER PRIMARY KEY,
    session INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    -- CRC-32 of id, metadata and vector, plus that of session id and model; and from
    -- 2**33 on a number at random.
    checksum INTEGER NOT NULL,
    metadata BLOB NOT NULL,
    vector BLOB NOT NULL
);
CREATE UNIQUE INDEX context_vectors_id ON context_vectors (session, message_id);
-- Messages that a save is about to delete and to write again as they were: their
-- vectors stay. Empty outside its transaction.
CREATE TABLE context_messages_rewritten (message_id TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_OWN_TABLES = frozenset([*re.findall(r"CREATE TABLE (\w+)", _TABLES), LEGACY_TABLE])
# FTS5 makes tables of its own whose names begin so.
_TEXT_INDEX = "context_text"
# An error names no more tables of another program than these.
_MOST_NAMED = 3

# The vectors of a message go with it, and a session without vectors is forgotten.
_VECTORS_OF_MESSAGE = """
DELETE FROM context_vectors WHERE message_id = OLD.message_id AND session IN (
    SELECT v.number FROM context_sessions AS s
    JOIN context_vector_sessions AS v ON v.session_id = s.session_id
    WHERE s.number = OLD.session
)"""
_TRIGGERS = (
    f"""
CREATE TRIGGER context_messages_deleted AFTER DELETE ON context_messages
WHEN OLD.message_id NOT IN context_messages_rewritten
BEGIN {_VECTORS_OF_MESSAGE}; END""",
    f"""
CREATE TRIGGER context_messages_changed AFTER UPDATE OF body ON context_messages
WHEN NEW.body IS NOT OLD.body
BEGIN {_VECTORS_OF_MESSAGE}; END""",
    """
CREATE TRIGGER context_sessions_deleted AFTER DELETE ON context_sessions
BEGIN DELETE FROM context_summaries WHERE session = OLD.number; END""",
    # By a number at random: a file that was put back to a backup, and written on, does
    # not come to the same again.
    """
CREATE TRIGGER context_vectors_deleted AFTER DELETE ON context_vectors
BEGIN
    UPDATE context_vector_sessions SET changes = changes + 1 + (random() & 0x3fffffff)
    WHERE number = OLD.session;
    DELETE FROM context_vector_sessions WHERE number = OLD.session
    AND NOT EXISTS (SELECT 1 FROM context_vectors WHERE session = OLD.session);
END""",
    """
CREATE TRIGGER context_vectors_changed AFTER UPDATE ON context_vectors
BEGIN
    UPDATE context_vector_sessions SET changes = changes + 1 + (random() & 0x3fffffff)
    WHERE number = NEW.session;
END""",
)


def m001_rows(connection: sqlite3.Connection, location: str) -> None:
    """Create the tables, and bring over what contextstore 1.0.1 left in the file."""
    for statement in (*_TABLES.split(";\n"), *_TRIGGERS):
        if statement.strip():
            connection.execute(statement)
    if has_legacy_table(connection):
        import_legacy(connection, location)


MIGRATIONS: Tuple[Callable[[sqlite3.Connection, str], None], ...] = (m001_rows,)
SCHEMA_VERSION = len(MIGRATIONS)


def is_current(connection: sqlite3.Connection, location: str) -> bool:
    """Tell whether the file has the newest tables; write nothing.

    Raises:
        SchemaVersionError: a newer version of the library, or another program, made it.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if not is_ours(connection):
        _refuse_foreign(connection, location, version)
    if version > SCHEMA_VERSION:
        raise SchemaVersionError(
            f"{location} has schema {version}, and this version of the library knows "
            f"schemas up to {SCHEMA_VERSION}: upgrade contextstore",
            location=location,
        )
    return bool(version == SCHEMA_VERSION)


def is_ours(connection: sqlite3.Connection) -> bool:
    """Tell whether this library has made its tables in the file."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    return bool(application == APPLICATION_ID)


def _refuse_foreign(
    connection: sqlite3.Connection, location: str, version: int
) -> None:
    """Refuse a file without our mark that has the mark or the tables of others."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    tables = _foreign_tables(connection)
    # Asked again: another process may have made our tables since.
    if is_ours(connection) or not (application or version or tables):
        return
    named = ", ".join(tables[:_MOST_NAMED]) + (", ..." * (len(tables) > _MOST_NAMED))
    raise SchemaVersionError(
        f"{location} is a database of another program"
        f"{f' (it has the table {named})' if tables else ''}; give ContextStore a "
        f"file of its own",
        location=location,
    )


def _foreign_tables(connection: sqlite3.Connection) -> List[str]:
    """Return the tables that neither SQLite nor this library makes, sorted."""
    found = connection.execute(
        "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"
        " AND substr(name, 1, 7) <> 'sqlite_' ORDER BY name"
    )
    return [
        name
        for (name,) in found
        if name not in _OWN_TABLES and not name.startswith(_TEXT_INDEX)
    ]


def migrate(connection: sqlite3.Connection, location: str) -> None:
    """Bring the file up to date; runs inside one transaction."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    for migration in MIGRATIONS[version:]:
        migration(connection, location)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
