"""Keep vectors in Postgres, beside the messages or in a database of their own."""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from typing import Any, ClassVar, Dict, List, Optional, Sequence, Tuple

from contextstore import messages
from contextstore.backends.postgres import PostgresMemory, neighbours, vector_rows
from contextstore.backends.postgres.engine import Engine, Options
from contextstore.backends.postgres.keys import Place
from contextstore.backends.postgres.vector_rows import (
    NOTHING,
    Held,
    Loaded,
    StoredVector,
    VectorPlace,
)
from contextstore.errors import ConfigurationError
from contextstore.messages import (
    validate_message_id,
    validate_session_id,
    validate_text,
)
from contextstore.retrieval.base import RetrievedItem, validate_count
from contextstore.retrieval.dense import DenseScan
from contextstore.retrieval.session_vectors import SessionVectors
from contextstore.retrieval.vector_store import (
    SessionHit,
    UnitVector,
    VectorStore,
    check_dimension,
    check_query,
    item_of,
    ranked,
    refuse_long,
)
from contextstore.retrieval.vectors import GridQuery, from_bytes, grid_query, to_bytes

__all__ = ["PgVectorStore"]

_CACHE_BYTES = 256 << 20
# What a vector takes in memory beside its components: see SQLiteEmbeddingStore.
_ROW_BYTES = 500
# So many neighbours are scored exactly for each one that is asked for.
_CANDIDATES = 4
_FEWEST_CANDIDATES = 100


class HeldSession:
    """Be the vectors of one session and model as they were at some state.

    Attributes:
        lock: held by whoever uses ``vectors``.
        state: which vectors these are.
        vectors: the vectors at that state.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.state = NOTHING
        self.vectors = SessionVectors(1)

    def bring_to(self, asked: Held, loaded: Loaded) -> bool:
        """Add what came since a state; False where another one is held by now."""
        with self.lock:
            if self.state != asked:
                return False
            if loaded.is_whole:
                self.vectors = SessionVectors(loaded.head.dimension)
            # What is half applied is nothing to go on from.
            self.state = NOTHING
            for message_id, metadata, vector in loaded.rows:
                kept = messages.decode(metadata)
                self.vectors.put(message_id, from_bytes(vector), kept)
            self.state = Held(loaded.head, loaded.newest)
            return True

    @property
    def size(self) -> int:
        """Estimate the bytes of memory that it takes."""
        return self.vectors.nbytes + _ROW_BYTES * len(self.vectors)


class HeldSessions:
    """Hold sessions until they take more than so many bytes; least recently used go."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._sessions: OrderedDict[Tuple[str, str], HeldSession] = OrderedDict()

    def at(self, model: str, session_id: str) -> HeldSession:
        """Return a session, as the one used last; one that was not held is empty."""
        with self._lock:
            held = self._sessions.setdefault((model, session_id), HeldSession())
            self._sessions.move_to_end((model, session_id))
            return held

    def shrink(self) -> None:
        """Let go of what is too much."""
        with self._lock:
            left = self._limit - sum(one.size for one in self._sessions.values())
            while left < 0 and self._sessions:
                _, oldest = self._sessions.popitem(last=False)
                left += oldest.size


class PgVectorStore(VectorStore):
    """Keep vectors in Postgres; search sessions exactly, and all of them by an index.

    Within sessions it gives what InMemoryEmbeddingStore gives, to the bit, in one round
    trip: the sessions searched last are held in memory, and what was added since comes
    with the answer. Across all sessions ``search_all`` asks an HNSW index of pgvector
    for candidates, and scores these exactly. Needs the extra ``postgres``; the
    extension ``vector`` is needed by ``build_index`` and ``search_all`` alone.

    In the database of a PostgresMemory, the vectors of a message go with it, in the
    same transaction. A fork takes them along, and ``erase`` leaves none.

    Args:
        dsn: as in PostgresMemory.
        timeout: seconds that a statement may take, with all its repeats.
        pool_size: how many connections each event loop may open.
        prepare_threshold: as in PostgresMemory.
        partitions: as in PostgresMemory.
        cache_bytes: how much memory the sessions that are held may take.
    """

    runs_inline: ClassVar[bool] = False

    def __init__(
        self,
        dsn: str,
        *,
        timeout: float = 30.0,
        pool_size: int = 10,
        prepare_threshold: Optional[int] = 5,
        partitions: int = 16,
        cache_bytes: int = _CACHE_BYTES,
    ) -> None:
        super().__init__()
        if type(cache_bytes) is not int or cache_bytes < 0:
            raise ConfigurationError(
                f"cache_bytes is {cache_bytes!r}; pass a number of bytes, 0 or more"
            )
        options = Options.checked(dsn, timeout, pool_size, prepare_threshold)
        self._engine = Engine(options, partitions)
        self._held = HeldSessions(cache_bytes)
        # Whose messages alone have vectors here, and whether their table was seen.
        self._messages: Optional[PostgresMemory] = None
        self._is_beside = False
        # The sessions that a search looks at, while it looks.
        self._looked_at: Dict[str, HeldSession] = {}

    def for_messages_of(self, memory: object) -> PgVectorStore:
        """Return this store, which keeps no vector of a message that is gone.

        That is so where the messages are in this database; else it is the store itself.
        To add raises ConfigurationError where the two find other tables in the
        database, by their ``search_path``: nothing would lie beside the messages.
        """
        here = self._engine.location
        if not (isinstance(memory, PostgresMemory) and memory.location == here):
            return self
        view = copy.copy(self)
        view._messages, view._is_view = memory, True
        return view

    async def has_embedding(self, session_id: str, message_id: str) -> bool:
        """Tell whether the session holds a vector under this message id."""
        place = self._place(session_id)
        wanted = [validate_message_id(message_id)]
        return bool(await vector_rows.read_some(self._engine, place, wanted))

    async def session_ids(self) -> List[str]:
        """Return the ids of all sessions that have a vector, sorted."""
        return await vector_rows.session_ids(self._engine, self._model)

    async def message_ids(self, session_id: str) -> List[str]:
        """Return the ids under which a session has a vector, oldest first."""
        return await vector_rows.message_ids(self._engine, self._place(session_id))

    async def delete_session(self, session_id: str) -> None:
        """Remove all vectors of a session; one that has none is no error."""
        place = self._place(session_id).place
        await vector_rows.discard(self._engine, place, self._models_deleted)

    async def delete_model(self, name: str) -> None:
        """Remove all vectors of one model, in every session."""
        model = validate_text(name, "name")
        await vector_rows.discard_model(self._engine, model)

    async def build_index(self) -> None:
        """Make the HNSW index of this model, which ``search_all`` asks.

        Made once, it is kept for good; vectors added later enter it with the next
        ``search_all``. While it is made, vectors cannot be written.

        Raises:
            UnsupportedOperationError: the server has no extension ``vector``, or the
                vectors have more than 4,000 components, which it cannot index.
        """
        dimension = await vector_rows.dimension_of(self._engine, self._model)
        if dimension is not None:
            await neighbours.build(self._engine, self._model, dimension)

    async def search_all(
        self, query_vector: Sequence[float], k: int, *, prefix: str = ""
    ) -> List[RetrievedItem]:
        """Return about the ``k`` messages of all sessions nearest to a query.

        The index finds candidates, and may miss one; their scores are exact. Without
        ``build_index`` every vector is looked at.

        Args:
            prefix: only sessions whose id begins with it.

        Raises:
            UnsupportedOperationError: the server has no extension ``vector``.
        """
        count = validate_count(k)
        query = grid_query(query_vector, "query_vector")
        stored = await vector_rows.dimension_of(self._engine, self._model)
        check_query(stored, query)
        if stored is None or not count:
            return []
        found = await neighbours.nearest(
            self._engine,
            self._model,
            [number * query.scale for number in query.numbers],
            max(_CANDIDATES * count, _FEWEST_CANDIDATES),
            validate_text(prefix, "prefix"),
        )
        return _rescored(found, query)[:count]

    async def close(self) -> None:
        """Close the connections; a call after this raises ClosedError."""
        if not self._is_view:
            self._engine.close()

    async def scan(
        self,
        session_id: str,
        query_vector: Sequence[float],
        centring: float,
        pool: Optional[int] = None,
        also: Sequence[str] = (),
    ) -> Optional[DenseScan]:
        """Score the vectors of a session for a query; see ``ScanningBackend``."""
        validate_session_id(session_id)
        looking = await self._looking_at([session_id], [query_vector])
        return await super(PgVectorStore, looking).scan(
            session_id, query_vector, centring, pool, also
        )

    async def _found(
        self,
        session_ids: List[str],
        query_vectors: Sequence[Sequence[float]],
        k: int,
        where: Optional[Dict[str, Any]],
    ) -> List[List[SessionHit]]:
        looking = await self._looking_at(session_ids, query_vectors)
        return await super(PgVectorStore, looking)._found(
            session_ids, query_vectors, k, where
        )

    async def _looking_at(
        self, session_ids: Sequence[str], query_vectors: Sequence[Sequence[float]]
    ) -> PgVectorStore:
        """Return this store with some sessions as they are now.

        Raises:
            InvalidInputError: a query has another dimension than the vectors.
        """
        looking = copy.copy(self)
        looking._is_view = True
        looking._looked_at = await self._as_they_are(session_ids)
        dimension: Optional[int] = None
        for held in looking._looked_at.values():
            dimension = held.state.head.dimension
        if dimension is None and query_vectors:
            dimension = await vector_rows.dimension_of(self._engine, self._model)
        for vector in query_vectors:
            check_query(dimension, grid_query(vector, "query_vector"))
        return looking

    async def _as_they_are(self, session_ids: Sequence[str]) -> Dict[str, HeldSession]:
        """Return those sessions that have vectors, brought up to date."""
        current: Dict[str, HeldSession] = {}
        wanted = list(dict.fromkeys(session_ids))
        while wanted:
            helds = [self._held.at(self._model, one) for one in wanted]
            asked = [held.state for held in helds]
            places = [self._place(one) for one in wanted]
            loaded = await vector_rows.load(self._engine, places, asked)
            overtaken: List[str] = []
            for number, found in loaded.items():
                held = helds[number]
                if not held.bring_to(asked[number], found):
                    overtaken.append(wanted[number])
                elif len(held.vectors):
                    current[wanted[number]] = held
            wanted = overtaken
        self._held.shrink()
        return {one: current[one] for one in session_ids if one in current}

    async def _keep(
        self, session_id: str, dimension: int, vectors: List[UnitVector]
    ) -> None:
        await self._refuse_other_tables()
        other = await vector_rows.keep(
            self._engine,
            self._place(session_id),
            dimension,
            [
                (message_id, messages.encode(metadata), to_bytes(components))
                for message_id, components, metadata in vectors
            ],
            of_messages=self._messages is not None,
        )
        check_dimension(other, dimension)

    async def _refuse_other_tables(self) -> None:
        """Refuse to keep vectors where their messages are not.

        Raises:
            ConfigurationError: the memory has its tables elsewhere in the database.
        """
        if self._messages is None or self._is_beside:
            return
        there = await self._messages.messages_table()
        if there != await vector_rows.messages_table(self._engine):
            raise ConfigurationError(
                f"{self._engine.location}: this PgVectorStore finds other tables there "
                f"than the PostgresMemory does, so that no vector would lie beside its "
                f"message: give both the same user and search_path"
            )
        self._is_beside = True

    async def _discard(self, session_id: str, message_ids: List[str]) -> None:
        place = self._place(session_id).place
        await vector_rows.discard(
            self._engine, place, self._models_deleted, message_ids
        )

    async def _metadata(
        self, session_id: str, message_ids: List[str]
    ) -> Dict[str, Dict[str, Any]]:
        place = self._place(session_id)
        found = await vector_rows.read_some(self._engine, place, message_ids)
        return {one: messages.decode(metadata) for one, metadata, _ in found}

    def _search(
        self,
        session_ids: List[str],
        queries: List[GridQuery],
        k: int,
        where: Optional[Dict[str, Any]],
        *,
        inline: bool = False,
    ) -> List[List[SessionHit]]:
        looked_at = self._looked_at if k else {}
        if inline:
            rows = sum(len(held.vectors) for held in looked_at.values())
            refuse_long(rows, queries)
        found = []
        for session_id, held in looked_at.items():
            with held.lock:
                found.append((session_id, held.vectors.search(queries, k, where)))
        return ranked(found, len(queries), k)

    def _scan(
        self,
        session_id: str,
        query: GridQuery,
        centring: float,
        pool: Optional[int],
        also: Sequence[str],
        *,
        inline: bool = False,
    ) -> Optional[DenseScan]:
        held = self._looked_at.get(session_id)
        if held is None:
            return None
        if inline:
            refuse_long(len(held.vectors), [query])
        with held.lock:
            return held.vectors.scan(query, centring, pool, also)

    @property
    def _models_deleted(self) -> Optional[str]:
        return self._model if self._is_view else None

    def _place(self, session_id: str) -> VectorPlace:
        name = validate_session_id(session_id)
        return VectorPlace(Place.of(self._engine.location, name), self._model)


def _rescored(
    found: Sequence[Tuple[str, StoredVector]], query: GridQuery
) -> List[RetrievedItem]:
    """Score candidates exactly, the best first; among equals by session and message."""
    if not found:
        return []
    vectors = SessionVectors(len(query.numbers))
    names = sorted((session_id, *row) for session_id, row in found)
    for row, (_, _, metadata, vector) in enumerate(names):
        vectors.put(str(row), from_bytes(vector), messages.decode(metadata))
    (hits,) = vectors.search([query], len(names), None)
    items: List[RetrievedItem] = []
    for number, score, kept in hits:
        session_id, message_id = names[int(number)][:2]
        items.append(item_of((message_id, score, kept), session_id))
    return items
