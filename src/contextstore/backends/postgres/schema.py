"""Define the tables, make them, and bring those of older versions up to date.

Every table is split by the hash of ``session``, with which every key begins, and no
table refers to another: a statement about one session touches one partition of each, on
one machine where the tables are distributed. No sequence is asked by any write.

A migration is a plain function that returns statements and raises the schema by one
version. Migrations are only ever added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Iterator, Tuple

from contextstore.backends.postgres import failures
from contextstore.errors import ConfigurationError, SchemaVersionError

if TYPE_CHECKING:
    from contextstore.backends.postgres.engine import Session

# "CtxS" in ASCII: held while tables are made, so that two programs do not make them.
_LOCK = 0x43747853

_SESSIONS = """
CREATE TABLE context_sessions (
    -- The first 16 bytes of the SHA-256 of the id.
    session uuid NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    -- Position of the newest message, and of the last that was pruned from the front.
    last bigint NOT NULL,
    pruned bigint NOT NULL,
    -- Changes other than appends, from a number on that no session of the id had; with
    -- the last position, the version.
    changes bigint NOT NULL,
    -- Milliseconds since 1970 UTC, by the clock of the server.
    created bigint NOT NULL,
    updated bigint NOT NULL,
    -- The same in steps of 2**20 ms, 17 minutes: what lists are sorted by first. The
    -- exact time in an index would make every append write all indexes anew.
    recent integer NOT NULL,
    -- Up to which position the words of messages are in context_texts.
    indexed bigint NOT NULL,
    -- How often vectors were added for its messages: a change that deletes messages
    -- looks again if one came meanwhile, which it has not seen.
    vectors bigint NOT NULL DEFAULT 0,
    -- For how many milliseconds it outlives its newest write; NULL for ever.
    lifetime bigint,
    -- Names the newest change other than an append, so that who lost his connection
    -- amid a change finds out whether it was made.
    change uuid NOT NULL,
    metadata bytea NOT NULL,
    -- Hashes of the keys and values of the metadata, to find it by.
    marks bigint[] NOT NULL,
    PRIMARY KEY (session)
) PARTITION BY HASH (session)"""
_MESSAGES = """
CREATE TABLE context_messages (
    session uuid NOT NULL,
    message_key uuid NOT NULL,
    position bigint NOT NULL,
    written bigint NOT NULL,
    -- CRC-32 of the body, by exclusive or with that of the session id and the position.
    checksum integer NOT NULL,
    -- What the store filled in, 1 the id, 2 the timestamp; and 4 where it is pinned.
    flags smallint NOT NULL,
    -- The id; NULL where that is the key, as text.
    message_name text COLLATE "C",
    -- Bytes, as jsonb refuses U+0000, reorders keys and changes numbers.
    body bytea NOT NULL,
    PRIMARY KEY (session, position),
    UNIQUE (session, message_key)
) PARTITION BY HASH (session)"""
_TEXTS = """
CREATE TABLE context_texts (
    session uuid NOT NULL,
    position bigint NOT NULL,
    words tsvector NOT NULL,
    PRIMARY KEY (session, position)
) PARTITION BY HASH (session)"""
_SUMMARIES = """
CREATE TABLE context_summaries (
    session uuid NOT NULL,
    -- A JSON object: a hash of messages, and the summary that stands for them.
    summaries bytea NOT NULL,
    PRIMARY KEY (session)
) PARTITION BY HASH (session)"""
_VECTOR_SESSIONS = """
CREATE TABLE context_vector_sessions (
    session uuid NOT NULL,
    model text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    dimension integer NOT NULL,
    -- Raised by every vector that is added or replaced: who holds copies reads on from
    -- there; and where some are removed: he begins anew. Both to microseconds of the
    -- clock at least, which no other state of the session has.
    revision bigint NOT NULL,
    removed bigint NOT NULL,
    PRIMARY KEY (session, model)
) PARTITION BY HASH (session)"""
_VECTORS = """
CREATE TABLE context_vectors (
    session uuid NOT NULL,
    model text COLLATE "C" NOT NULL,
    message_key uuid NOT NULL,
    -- The revision that first added it, for the order; and the one that wrote it last.
    place bigint NOT NULL,
    revision bigint NOT NULL,
    -- The revision that is in the index over all sessions, where there is one.
    embedded bigint NOT NULL DEFAULT 0,
    -- CRC-32 of id, metadata and vector, by exclusive or with those of the session id
    -- and the model.
    checksum integer NOT NULL,
    message_name text COLLATE "C",
    metadata bytea NOT NULL,
    -- Little-endian float32.
    vector bytea NOT NULL,
    PRIMARY KEY (session, model, message_key)
) PARTITION BY HASH (session)"""
_TABLES = {
    "context_sessions": _SESSIONS,
    "context_messages": _MESSAGES,
    "context_texts": _TEXTS,
    "context_summaries": _SUMMARIES,
    "context_vector_sessions": _VECTOR_SESSIONS,
    "context_vectors": _VECTORS,
}
_INDEXES = (
    "CREATE INDEX context_sessions_recent ON context_sessions (recent)",
    "CREATE INDEX context_sessions_id ON context_sessions (session_id)",
    "CREATE INDEX context_sessions_marks ON context_sessions USING gin (marks)",
    "CREATE INDEX context_sessions_mortal ON context_sessions (recent)"
    " WHERE lifetime IS NOT NULL",
    "CREATE INDEX context_messages_pinned ON context_messages (session, position)"
    " WHERE flags >= 4",
    "CREATE INDEX context_vector_sessions_model ON context_vector_sessions (model)",
    "CREATE INDEX context_texts_words ON context_texts USING gin (words)",
)
# English stems without a list of words to leave out: what is searched is what was said.
_WORDS = (
    "CREATE TEXT SEARCH DICTIONARY context_stem"
    " (TEMPLATE = snowball, LANGUAGE = english)",
    "CREATE TEXT SEARCH CONFIGURATION context_words (COPY = simple)",
    "ALTER TEXT SEARCH CONFIGURATION context_words"
    " ALTER MAPPING REPLACE simple WITH context_stem",
)


def m001_tables(partitions: int) -> Iterator[str]:
    """Create the tables."""
    for name, definition in _TABLES.items():
        yield definition
        # An append writes the row of its session anew, on the same page if it fits.
        room = " WITH (fillfactor = 70)" if name == "context_sessions" else ""
        for number in range(partitions):
            yield (
                f"CREATE TABLE {name}_{number} PARTITION OF {name}"
                f" FOR VALUES WITH (MODULUS {partitions}, REMAINDER {number}){room}"
            )
    yield from _INDEXES
    yield from _WORDS


MIGRATIONS: Tuple[Callable[[int], Iterator[str]], ...] = (m001_tables,)
SCHEMA_VERSION = len(MIGRATIONS)


def validate_partitions(partitions: int) -> int:
    """Return the number of partitions a table.

    Raises:
        ConfigurationError: it is none from 1 to 1024.
    """
    if type(partitions) is not int or not 1 <= partitions <= 1024:
        raise ConfigurationError("partitions has to be an int from 1 to 1024")
    return partitions


async def bring_up_to_date(session: Session, location: str, partitions: int) -> None:
    """Make the tables, or bring them up to date.

    Raises:
        ConfigurationError: the database cannot hold every text.
        SchemaVersionError: a newer version of the library made them.
    """
    _refuse_other_encoding(session, location)
    if await _version(session) == SCHEMA_VERSION:
        return
    async with session.connection.transaction():
        await session.run(f"SELECT pg_advisory_xact_lock({_LOCK})")
        await session.run(
            "CREATE TABLE IF NOT EXISTS context_schema"
            " (version integer NOT NULL, searched integer NOT NULL)"
        )
        version = await _version(session)
        if version > SCHEMA_VERSION:
            raise SchemaVersionError(
                f"{location} has schema {version}, and this version of the library "
                f"knows schemas up to {SCHEMA_VERSION}: upgrade contextstore",
                location=location,
            )
        for migration in MIGRATIONS[version:]:
            for statement in migration(partitions):
                await session.run(statement)
        await session.run("DELETE FROM context_schema")
        await session.run(f"INSERT INTO context_schema VALUES ({SCHEMA_VERSION}, 0)")


def _refuse_other_encoding(session: Session, location: str) -> None:
    """Refuse a database that is not in UTF-8, as ids and words are any characters.

    Raises:
        ConfigurationError: it is in another encoding.
    """
    # The server says it when one connects, so that it costs no round trip.
    encoding = session.connection.info.parameter_status("server_encoding")
    if encoding not in (None, "UTF8"):
        raise ConfigurationError(
            f"{location} is in the encoding {encoding}, which cannot hold every text: "
            f"make a database with ENCODING 'UTF8' (and TEMPLATE template0)"
        )


async def _version(session: Session) -> int:
    """Return the version of the tables; 0 where there are none."""
    try:
        found = await session.fetch("SELECT version FROM context_schema", {})
    except failures.driver().Error as error:
        if failures.code_of(error) != failures.UNDEFINED_TABLE:
            raise
        return 0
    return int(found[0][0]) if found else 0
