"""Find vectors of all sessions by an HNSW index of pgvector, which is derived.

Adding a vector does not touch the index: a search first puts in what is new. The column
``embedding`` holds a vector in half precision; the one in full is what is scored.
"""

from __future__ import annotations

from array import array
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Dict, List, Sequence, Tuple

from contextstore._optional import require
from contextstore.backends.filters import Filter
from contextstore.backends.postgres import failures
from contextstore.backends.postgres.keys import Place
from contextstore.backends.postgres.listing import range_of
from contextstore.backends.postgres.vector_rows import StoredVector, VectorPlace
from contextstore.errors import UnsupportedOperationError

if TYPE_CHECKING:
    from contextstore.backends.postgres.engine import Engine, Row, Session

# What HNSW takes of numbers in half precision (pgvector's README, "HNSW").
_MOST_COMPONENTS = 4000
_BATCH = 500
_EXTENSION = "CREATE EXTENSION IF NOT EXISTS vector"
_COLUMN = "ALTER TABLE context_vectors ADD COLUMN IF NOT EXISTS embedding halfvec"
_PENDING = (
    "CREATE INDEX IF NOT EXISTS context_vectors_pending ON context_vectors (model)"
    " WHERE embedded < revision"
)
_FIND_PENDING = """
SELECT session::text, message_key::text, revision, vector FROM context_vectors
WHERE model = %(model)s AND embedded < revision LIMIT %(limit)s"""
_FILL = """
UPDATE context_vectors AS v SET embedding = given.embedding::halfvec,
    embedded = given.revision
FROM unnest(%(sessions)s::uuid[], %(keys)s::uuid[], %(revisions)s::bigint[],
    %(embeddings)s::text[]) AS given (session, key, revision, embedding)
WHERE v.session = given.session AND v.model = %(model)s AND v.message_key = given.key
    AND v.revision = given.revision
RETURNING 1"""
_NEAREST = """
SELECT h.session_id, v.checksum, v.message_key::text, v.message_name, v.metadata,
    v.vector
FROM context_vectors AS v JOIN context_vector_sessions AS h USING (session, model)
WHERE v.model = {model} AND h.session_id >= %(first)s AND h.session_id < %(end)s
    AND v.embedding IS NOT NULL
ORDER BY v.embedding::halfvec({dimension}) <=> %(query)s::halfvec({dimension})
LIMIT %(limit)s"""
# As many as are asked for are wanted, however many the filter leaves out.
_SETTINGS = """
SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true),
    set_config('hnsw.ef_search', %(breadth)s, true)"""
_MOST_BREADTH = 1000


async def build(engine: Engine, model: str, dimension: int) -> None:
    """Make the index of a model, and put all its vectors in."""
    if dimension > _MOST_COMPONENTS:
        raise UnsupportedOperationError(
            f"vectors of {dimension} components are too long for an index; pgvector "
            f"takes up to {_MOST_COMPONENTS}"
        )
    await engine.do(_extend)
    await _catch_up(engine, model)
    await engine.do(partial(_index, model=model, dimension=dimension))


async def nearest(
    engine: Engine, model: str, query: Sequence[float], limit: int, prefix: str
) -> List[Tuple[str, StoredVector]]:
    """Return the vectors nearest to a query, with the ids of their sessions.

    Raises:
        CorruptDataError: one of them is damaged.
    """
    await engine.do(_extend)
    await _catch_up(engine, model)
    first, end = range_of(Filter(prefix))
    values = {
        "first": first,
        "end": end,
        "query": _text(query),
        "limit": limit,
        "breadth": str(min(limit, _MOST_BREADTH)),
    }
    work = partial(_ask, model=model, dimension=len(query), values=values)
    return [_opened(engine.location, model, row) for row in await engine.do(work)]


async def _extend(session: Session) -> None:
    """Make what the index needs; what is there already is left alone."""
    if await session.fetch(
        "SELECT 1 FROM pg_attribute WHERE attrelid = 'context_vectors'::regclass"
        " AND attname = 'embedding'",
        {},
    ):
        return
    try:
        async with session.connection.transaction():
            for statement in (_EXTENSION, _COLUMN, _PENDING):
                await session.run(statement)
    except failures.driver().errors.FeatureNotSupported as error:
        raise UnsupportedOperationError(
            "the server has no extension 'vector': install pgvector on it"
        ) from error


async def _index(session: Session, model: str, dimension: int) -> None:
    sql = require("psycopg.sql", "postgres")
    name = f"context_vectors_{sha256(model.encode('utf-8')).hexdigest()[:16]}"
    statement = sql.SQL(
        "CREATE INDEX IF NOT EXISTS {} ON context_vectors USING hnsw"
        " ((embedding::halfvec({})) halfvec_cosine_ops) WHERE model = {}"
    ).format(sql.Identifier(name), sql.Literal(dimension), sql.Literal(model))
    await session.run(statement.as_string(session.connection))


async def _catch_up(engine: Engine, model: str) -> None:
    """Put the vectors into the index that are not in it yet."""
    while True:
        values: Dict[str, Any] = {"model": model, "limit": _BATCH}
        found = await engine.fetch(_FIND_PENDING, values)
        if not found:
            return
        values = {
            "model": model,
            "sessions": [row[0] for row in found],
            "keys": [row[1] for row in found],
            "revisions": [row[2] for row in found],
            "embeddings": [_text(array("f", row[3])) for row in found],
        }
        await engine.fetch(_FILL, values)


async def _ask(
    session: Session, model: str, dimension: int, values: Dict[str, Any]
) -> List[Row]:
    sql = require("psycopg.sql", "postgres")
    # The planner takes an index of one model only where it can read which it is.
    statement = sql.SQL(_NEAREST).format(
        model=sql.Literal(model), dimension=sql.Literal(dimension)
    )
    async with session.connection.transaction():
        await session.run("SET LOCAL plan_cache_mode = force_custom_plan")
        await session.fetch(_SETTINGS, values)
        return await session.fetch(statement.as_string(session.connection), values)


def _opened(location: str, model: str, row: Row) -> Tuple[str, StoredVector]:
    session_id, *stored = row
    place = VectorPlace(Place.of(location, session_id), model)
    return session_id, place.opened(*stored)


def _text(components: Sequence[float]) -> str:
    return f"[{','.join(map(repr, components))}]"
