"""Hold the SQL over vectors, one statement for each thing that is done.

``context_vector_sessions`` has one row for each session and model that has, or had,
vectors, and ``context_vectors`` one row a vector. What deletes messages deletes their
vectors in the same statement, see ``changes``. Where a model may be None, every model
is meant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Sequence, Tuple
from zlib import crc32

from contextstore.backends.postgres.keys import (
    Place,
    message_key,
    message_name,
    signed,
)
from contextstore.errors import CorruptDataError

if TYPE_CHECKING:
    from contextstore.backends.postgres.engine import Engine, Row

StoredVector = Tuple[str, bytes, bytes]
"""A message id, its metadata in JSON, and its vector in little-endian float32."""

# Microseconds since 1970 by the clock of the server. What a write counts up, it takes
# to that at least: a database that was put back to a backup gives no number again.
MOMENT = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
ONE_MORE_REMOVED = f"greatest(removed + 1, {MOMENT})"
# A session of this model that has vectors, whatever the dimension.
_ANY = """
    SELECT h.dimension FROM context_vector_sessions AS h WHERE h.model = %(model)s
        AND EXISTS (SELECT FROM context_vectors AS v
            WHERE v.session = h.session AND v.model = h.model)"""
_GIVEN = """
    unnest(%(keys)s::uuid[], %(names)s::text[], %(checksums)s::integer[],
        %(metadata)s::bytea[], %(vectors)s::bytea[]) WITH ORDINALITY
        AS given (key, name, checksum, metadata, vector, number)"""
# Nothing is added where the model has another dimension.
_KEEP = f"""
WITH fits AS (
    SELECT 1 WHERE NOT EXISTS ({_ANY} AND h.dimension <> %(dimension)s)
), seen AS (
    SELECT session, change FROM context_sessions WHERE session = %(session)s::uuid
        AND %(of_messages)s AND EXISTS (SELECT FROM fits)
), noted AS (
    -- Where a change of the session went before while this waited for it, what is read
    -- of the messages below is out of date.
    UPDATE context_sessions AS s SET vectors = s.vectors + 1
    FROM seen WHERE s.session = %(session)s::uuid AND s.change = seen.change
    RETURNING s.session
), head AS (
    INSERT INTO context_vector_sessions AS h (session, model, session_id, dimension,
        revision, removed)
    SELECT %(session)s::uuid, %(model)s, %(session_id)s, %(dimension)s,
        {MOMENT} + cardinality(%(keys)s::uuid[]), {MOMENT}
    FROM fits WHERE NOT %(of_messages)s OR EXISTS (SELECT FROM noted)
    ON CONFLICT (session, model) DO UPDATE SET
        revision = greatest(h.revision, {MOMENT}) + cardinality(%(keys)s::uuid[]),
        dimension = excluded.dimension
    RETURNING revision
), kept AS (
    INSERT INTO context_vectors (session, model, message_key, place, revision,
        checksum, message_name, metadata, vector)
    SELECT %(session)s::uuid, %(model)s, key,
        head.revision - cardinality(%(keys)s::uuid[]) + number,
        head.revision - cardinality(%(keys)s::uuid[]) + number,
        checksum, name, metadata, vector
    FROM head, {_GIVEN}
    WHERE NOT %(of_messages)s OR EXISTS (
        SELECT FROM context_messages AS m
        WHERE m.session = %(session)s::uuid AND m.message_key = given.key)
    ON CONFLICT (session, model, message_key) DO UPDATE SET
        revision = excluded.revision, checksum = excluded.checksum,
        metadata = excluded.metadata, vector = excluded.vector
)
SELECT (SELECT 1 FROM fits), ({_ANY} LIMIT 1),
    (SELECT count(*) FROM seen) > (SELECT count(*) FROM noted)"""
# What is held shows by its newest vector, which comes along with what was added since,
# that it is of this very history: a backup that was written on lacks it.
_LOAD = """
SELECT h.number, h.dimension, h.revision, h.removed, h.known, v.revision, v.checksum,
    v.message_key::text, v.message_name, v.metadata, v.vector
FROM (
    SELECT wanted.number, s.session, s.dimension, s.revision, s.removed, wanted.newest,
        CASE WHEN s.removed = wanted.removed AND s.revision >= wanted.revision
            THEN wanted.revision ELSE 0 END AS known
    FROM unnest(%(sessions)s::uuid[], %(revisions)s::bigint[], %(removals)s::bigint[],
            %(newest)s::bigint[])
        WITH ORDINALITY AS wanted (session, revision, removed, newest, number)
    JOIN context_vector_sessions AS s
        ON s.session = wanted.session AND s.model = %(model)s
) AS h
LEFT JOIN context_vectors AS v ON v.session = h.session AND v.model = %(model)s
    AND (v.revision > h.known OR v.revision = h.newest AND h.revision > h.known)
ORDER BY h.number, v.place"""
_DIMENSION = f"{_ANY} LIMIT 1"
_SOME = """
SELECT checksum, message_key::text, message_name, metadata, vector FROM context_vectors
WHERE session = %(session)s::uuid AND model = %(model)s
    AND message_key = ANY(%(keys)s::uuid[])"""
_IDS = """
SELECT message_key::text, message_name FROM context_vectors
WHERE session = %(session)s::uuid AND model = %(model)s ORDER BY place"""
_SESSION_IDS = """
SELECT session_id FROM context_vector_sessions AS h WHERE model = %(model)s
    AND EXISTS (SELECT FROM context_vectors AS v
        WHERE v.session = h.session AND v.model = h.model)
ORDER BY session_id"""
_DISCARD = f"""
WITH gone AS (
    DELETE FROM context_vectors WHERE session = %(session)s::uuid
        AND (%(model)s::text IS NULL OR model = %(model)s)
        AND (%(keys)s::uuid[] IS NULL OR message_key = ANY(%(keys)s::uuid[]))
    RETURNING model
), heads AS (
    UPDATE context_vector_sessions SET removed = {ONE_MORE_REMOVED}
    WHERE session = %(session)s::uuid AND model IN (SELECT model FROM gone)
)
SELECT count(*) FROM gone"""
_DISCARD_MODEL = f"""
WITH heads AS (
    UPDATE context_vector_sessions SET removed = {ONE_MORE_REMOVED}
    WHERE model = %(model)s
    RETURNING session
), gone AS (
    DELETE FROM context_vectors WHERE model = %(model)s
        AND session IN (SELECT session FROM heads) RETURNING 1
)
SELECT count(*) FROM gone"""


class VectorPlace(NamedTuple):
    """Say which vectors of which database are meant, and check what comes from there.

    Attributes:
        place: the session.
        model: the model that made them.
    """

    place: Place
    model: str

    def seal(self, row: StoredVector) -> int:
        """Return the checksum of a vector, as a column holds it."""
        message_id, metadata, vector = row
        own = crc32(vector, crc32(metadata, crc32(message_id.encode("utf-8"))))
        return signed(own ^ self.place.base() ^ crc32(self.model.encode("utf-8")))

    def opened(
        self,
        checksum: int,
        key: str,
        name: Optional[str],
        metadata: bytes,
        vector: bytes,
    ) -> StoredVector:
        """Return a row as a vector.

        Raises:
            CorruptDataError: naming database, session and message.
        """
        stored = (key if name is None else name, metadata, vector)
        if self.seal(stored) != checksum:
            raise CorruptDataError(
                f"{self.place.location}, session {self.place.session_id!r}, message "
                f"{stored[0]!r}: the checksum of the vector is wrong; delete this "
                f"vector and embed the message anew",
                location=self.place.location,
                session_id=self.place.session_id,
            )
        return stored


class Head(NamedTuple):
    """Be the state of the vectors that one session has of one model.

    Attributes:
        dimension: how many components each has.
        revision: raised by every vector that is added or replaced.
        removed: raised where vectors are removed.
    """

    dimension: int
    revision: int
    removed: int


class Held(NamedTuple):
    """Say which vectors of a session somebody holds.

    Attributes:
        head: the state that they are of.
        newest: the revision of the newest of them.
    """

    head: Head
    newest: int


NOTHING = Held(Head(0, 0, -1), 0)


class Loaded(NamedTuple):
    """Be what came of a look at a session.

    Attributes:
        head: the state that it is in.
        newest: the revision of the newest vector that came; 0 for none.
        rows: the vectors that were added since what is held, or all.
        is_whole: whether they are all.
    """

    head: Head
    newest: int
    rows: List[StoredVector]
    is_whole: bool


async def keep(
    engine: Engine,
    place: VectorPlace,
    dimension: int,
    vectors: Sequence[StoredVector],
    *,
    of_messages: bool,
) -> Optional[int]:
    """Add vectors; one whose id is there replaces that and keeps its place.

    Args:
        of_messages: keep only those whose messages are stored.

    Returns:
        The dimension of the model where that is another one, and nothing was added.
    """
    # Of one id given twice the last counts, as if they had come one by one.
    rows = list({row[0]: row for row in vectors}.values())
    values = {
        **_where(place),
        "session_id": place.place.session_id,
        "dimension": dimension,
        "of_messages": of_messages,
        "keys": [message_key(row[0]) for row in rows],
        "names": [message_name(row[0]) for row in rows],
        "checksums": [place.seal(row) for row in rows],
        "metadata": [row[1] for row in rows],
        "vectors": [row[2] for row in rows],
    }
    while True:
        ((fits, stored, overtaken),) = await engine.fetch(_KEEP, values)
        if not overtaken:
            return None if fits else stored


async def load(
    engine: Engine, places: Sequence[VectorPlace], held: Sequence[Held]
) -> Dict[int, Loaded]:
    """Return the states of sessions, by number, and what came after those held.

    Where something was removed, or the database has another history than what is held,
    all vectors come.

    Raises:
        CorruptDataError: one of them is damaged.
    """
    loaded = await _look(engine, places, held)
    strange = [number for number, one in loaded.items() if one is None]
    if strange:
        again = [places[number] for number in strange]
        whole = await _look(engine, again, [NOTHING] * len(again))
        loaded.update({strange[number]: one for number, one in whole.items()})
    return {number: one for number, one in loaded.items() if one is not None}


async def _look(
    engine: Engine, places: Sequence[VectorPlace], held: Sequence[Held]
) -> Dict[int, Optional[Loaded]]:
    """Do what ``load`` does; None stands for a session with another history."""
    # To hold no vector is to know no history.
    known = [one if one.newest else NOTHING for one in held]
    values = {
        "model": places[0].model,
        "sessions": [place.place.key for place in places],
        "revisions": [one.head.revision for one in known],
        "removals": [one.head.removed for one in known],
        "newest": [one.newest for one in known],
    }
    rows: Dict[int, List[Row]] = {}
    for number, *row in await engine.fetch(_LOAD, values):
        rows.setdefault(number - 1, []).append(tuple(row))
    return {
        number: _loaded(places[number], known[number], found)
        for number, found in rows.items()
    }


def _loaded(place: VectorPlace, held: Held, found: Sequence[Row]) -> Optional[Loaded]:
    *head, known = found[0][:4]
    state = Head(*head)
    # A session without any gives one row that is empty from here on.
    vectors = [row[4:] for row in found if row[4] is not None]
    newer = [row for row in vectors if row[0] > known]
    if known and state != held.head and len(newer) == len(vectors):
        return None
    newest = max((row[0] for row in newer), default=held.newest if known else 0)
    rows = [place.opened(*row[1:]) for row in newer]
    return Loaded(state, newest, rows, is_whole=not known)


async def messages_table(engine: Engine) -> int:
    """Return the number that the database has for the table of the messages."""
    statement = "SELECT 'context_messages'::regclass::oid::bigint"
    ((number,),) = await engine.fetch(statement, {})
    return int(number)


async def dimension_of(engine: Engine, model: str) -> Optional[int]:
    """Return the dimension of all vectors of a model; None where there are none."""
    found = await engine.fetch(_DIMENSION, {"model": model})
    return found[0][0] if found else None


async def read_some(
    engine: Engine, place: VectorPlace, wanted: Sequence[str]
) -> List[StoredVector]:
    """Return those of the vectors asked for that are there.

    Raises:
        CorruptDataError: one of them is damaged.
    """
    values = {**_where(place), "keys": [message_key(one) for one in wanted]}
    found = [place.opened(*row) for row in await engine.fetch(_SOME, values)]
    # Ids are compared, as two of one key can be made by who has years of machines.
    named = set(wanted)
    return [row for row in found if row[0] in named]


async def message_ids(engine: Engine, place: VectorPlace) -> List[str]:
    """Return the ids that have a vector, oldest first."""
    found = await engine.fetch(_IDS, _where(place))
    return [key if name is None else name for key, name in found]


async def session_ids(engine: Engine, model: str) -> List[str]:
    """Return the ids of all sessions that have a vector of a model, sorted."""
    found = await engine.fetch(_SESSION_IDS, {"model": model})
    return [row[0] for row in found]


async def discard(
    engine: Engine,
    place: Place,
    model: Optional[str],
    wanted: Optional[Sequence[str]] = None,
) -> None:
    """Remove the vectors under some ids, or all; they need not be there."""
    keys = None if wanted is None else [message_key(one) for one in wanted]
    values = {"session": place.key, "model": model, "keys": keys}
    await engine.fetch(_DISCARD, values)


async def discard_model(engine: Engine, model: str) -> None:
    """Remove all vectors of a model."""
    await engine.fetch(_DISCARD_MODEL, {"model": model})


def _where(place: VectorPlace) -> Dict[str, Any]:
    return {"session": place.place.key, "model": place.model}
