"""Keep vectors in a SQLite file, beside the messages or in a file of their own."""

from __future__ import annotations

import copy
import os
import sqlite3
import weakref
from functools import partial
from typing import (
    Any,
    Callable,
    ClassVar,
    Dict,
    Iterator,
    List,
    Optional,
    Sequence,
    Tuple,
    TypeVar,
    Union,
)

from contextstore import messages
from contextstore._hop import call
from contextstore.backends.sqlite import vector_rows
from contextstore.backends.sqlite.connections import MEMORY
from contextstore.backends.sqlite.engine import Engine
from contextstore.backends.sqlite.memory import SQLiteMemory, absolute_path
from contextstore.backends.sqlite.shared import Lease
from contextstore.backends.sqlite.vector_rows import Head, StoredVector, VectorPlace
from contextstore.errors import ConfigurationError
from contextstore.messages import (
    validate_message_id,
    validate_session_id,
    validate_text,
)
from contextstore.retrieval.dense import DenseScan
from contextstore.retrieval.session_vectors import Hit, SessionVectors
from contextstore.retrieval.sqlite.cache import (
    CachedSession,
    VectorCache,
    loaded_blocks,
    size_of,
)
from contextstore.retrieval.vector_store import (
    SessionHit,
    TakesLongError,
    UnitVector,
    VectorStore,
    check_dimension,
    check_query,
    ranked,
    refuse_long,
)
from contextstore.retrieval.vectors import GridQuery, to_bytes

__all__ = ["SQLiteEmbeddingStore"]

T = TypeVar("T")
SessionHead = Tuple[str, Head]

_CACHE_BYTES = 256 << 20
# Reading so many rows more takes less than the way to a thread and back.
_INLINE_ROWS = 16


class SQLiteEmbeddingStore(VectorStore):
    """Keep vectors in a SQLite file, and search them exactly.

    It gives what InMemoryEmbeddingStore gives, to the bit. In the file of a
    SQLiteMemory, the vectors of a message go with it: in the same transaction that
    deletes or changes the message, whoever does that. A fork takes them along, and
    ``erase`` leaves none. Vectors under ids that are no stored messages stay until they
    are deleted.

    The sessions searched last are held in memory. Each search asks the file whether
    something changed, so that another process's writes are seen; what was added is then
    read, and only where something was removed or replaced all of the session.

    Args:
        path: the file, made absolute at once and never taken for a URI; ``:memory:``
            keeps everything in this object.
        durability: as in SQLiteMemory; objects that share a file use the stricter.
        cache_bytes: how much memory the sessions that are held may take, 256 MiB by
            default. A session that takes more is read from the file for each search,
            block by block.
    """

    runs_inline: ClassVar[bool] = True

    def __init__(
        self,
        path: Union[str, os.PathLike[str]],
        *,
        durability: str = "full",
        cache_bytes: int = _CACHE_BYTES,
    ) -> None:
        super().__init__()
        if type(cache_bytes) is not int or cache_bytes < 0:
            raise ConfigurationError(
                f"cache_bytes is {cache_bytes!r}; pass a number of bytes, 0 or more"
            )
        self._lease = Lease(absolute_path(path), durability)
        self._cache = VectorCache(cache_bytes)
        self._only_of_messages = False
        # What views share with the store: with the last of them the file is let go.
        weakref.finalize(self._cache, self._lease.drop)

    def for_messages_of(self, memory: object) -> SQLiteEmbeddingStore:
        """Return this store, which keeps no vector of a message that is gone.

        That is so where the messages are in this file; else it is the store itself.
        """
        if not (isinstance(memory, SQLiteMemory) and self._is_in_file_of(memory)):
            return self
        view = copy.copy(self)
        view._only_of_messages = view._is_view = True
        return view

    async def has_embedding(self, session_id: str, message_id: str) -> bool:
        """Tell whether the session holds a vector under this message id."""
        return await self._engine.readers.fetch(
            partial(
                vector_rows.has,
                place=self._place(session_id),
                message_id=validate_message_id(message_id),
            )
        )

    async def session_ids(self) -> List[str]:
        """Return the ids of all sessions that have a vector, sorted."""
        return await self._engine.readers.fetch(
            partial(vector_rows.session_ids, model=self._model)
        )

    async def message_ids(self, session_id: str) -> List[str]:
        """Return the ids under which a session has a vector, oldest first."""
        place = self._place(session_id)
        return await self._engine.readers.fetch(
            partial(vector_rows.message_ids, place=place)
        )

    async def delete_session(self, session_id: str) -> None:
        """Remove all vectors of a session; one that has none is no error."""
        await self._engine.writer.submit(
            partial(
                vector_rows.discard_session,
                session_id=validate_session_id(session_id),
                model=self._models_deleted,
            )
        )

    async def delete_model(self, name: str) -> None:
        """Remove all vectors of one model, in every session."""
        model = validate_text(name, "name")
        await self._engine.writer.submit(
            partial(vector_rows.discard_model, model=model)
        )

    async def close(self) -> None:
        """Let go of the file; a call after this raises ClosedError."""
        if not self._is_view:
            await call(self._lease.release)

    async def _keep(
        self, session_id: str, dimension: int, vectors: List[UnitVector]
    ) -> None:
        await self._engine.writer.submit(
            partial(
                _keep_fitting,
                place=self._place(session_id),
                dimension=dimension,
                only_of_messages=self._only_of_messages,
                vectors=[
                    (message_id, messages.encode(metadata), to_bytes(components))
                    for message_id, components, metadata in vectors
                ],
            )
        )

    async def _discard(self, session_id: str, message_ids: List[str]) -> None:
        await self._engine.writer.submit(
            partial(
                vector_rows.discard,
                session_id=session_id,
                model=self._models_deleted,
                message_ids=message_ids,
            )
        )

    async def _metadata(
        self, session_id: str, message_ids: List[str]
    ) -> Dict[str, Dict[str, Any]]:
        place = self._place(session_id)

        def look_up(vectors: SessionVectors) -> Dict[str, Dict[str, Any]]:
            return vectors.metadata_of(message_ids)

        def query(connection: sqlite3.Connection) -> Dict[str, Dict[str, Any]]:
            found = vector_rows.read_some(connection, place, message_ids)
            return {one: messages.decode(metadata) for one, metadata, _ in found}

        held = self._use_held(session_id, [], look_up, inline=True)
        if held is not None:
            return held
        return await self._engine.readers.fetch(query, snapshot=True)

    def _search(
        self,
        session_ids: List[str],
        queries: List[GridQuery],
        k: int,
        where: Optional[Dict[str, Any]],
        *,
        inline: bool = False,
    ) -> List[List[SessionHit]]:
        def search(vectors: SessionVectors) -> List[List[Hit]]:
            return vectors.search(queries, k, where)

        if len(session_ids) == 1 and k:
            held = self._use_held(session_ids[0], queries, search, inline)
            if held is not None:
                return ranked([(session_ids[0], held)], len(queries), k)

        def query(connection: sqlite3.Connection) -> List[List[SessionHit]]:
            heads = self._heads(connection, session_ids, queries)
            if inline:
                refuse_long(sum(head.added for _, head in heads), queries)
            found = self._each(connection, heads if k else [], search, inline)
            return ranked(found, len(queries), k)

        return self._read(query, inline)

    def _each(
        self,
        connection: sqlite3.Connection,
        heads: Sequence[SessionHead],
        search: Callable[[SessionVectors], T],
        inline: bool,
    ) -> Iterator[Tuple[str, T]]:
        """Search sessions, and give what each gives, or each block of one.

        Where they take more than may be held, those that are not held already are read
        block by block, so that they neither need the memory nor drive out the others.
        """
        fits = sum(size_of(head) for _, head in heads) <= self._cache.limit
        for session_id, head in heads:
            if fits or self._is_held(session_id, head):
                found = self._use(connection, session_id, head, search, inline)
                yield session_id, found
                continue
            if inline:
                raise TakesLongError
            place = self._place(session_id)
            for block in loaded_blocks(connection, place, head):
                yield session_id, search(block)

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
        def scan(vectors: SessionVectors) -> DenseScan:
            return vectors.scan(query, centring, pool, also)

        held = self._use_held(session_id, [query], scan, inline)
        if held is not None:
            return held

        def read(connection: sqlite3.Connection) -> Optional[DenseScan]:
            for _, head in self._heads(connection, [session_id], [query]):
                if inline:
                    refuse_long(head.added, [query])
                return self._use(connection, session_id, head, scan, inline)
            return None

        return self._read(read, inline)

    def _is_held(self, session_id: str, head: Head) -> bool:
        session = self._cache.held((self._model, session_id))
        return session is not None and session.is_at(head)

    def _heads(
        self,
        connection: sqlite3.Connection,
        session_ids: Sequence[str],
        queries: Sequence[GridQuery],
    ) -> List[SessionHead]:
        """Return the states of the sessions that have vectors.

        Raises:
            InvalidInputError: a query has another dimension than they.
        """
        heads: List[SessionHead] = []
        for session_id in session_ids:
            head = vector_rows.find_head(connection, session_id, self._model)
            if head is None:
                self._cache.drop((self._model, session_id))
            else:
                heads.append((session_id, head))
        dimension = (
            heads[0][1].dimension
            if heads
            else vector_rows.dimension_of(connection, self._model)
        )
        for query in queries:
            check_query(dimension, query)
        return heads

    def _use(
        self,
        connection: sqlite3.Connection,
        session_id: str,
        head: Head,
        use: Callable[[SessionVectors], T],
        inline: bool,
    ) -> T:
        """Do something with the vectors of a session; read what is not held of them.

        Args:
            inline: raise TakesLongError rather than read much or wait.
        """
        key = (self._model, session_id)
        session = self._cache.at(key)
        if not session.lock.acquire(blocking=not inline):
            raise TakesLongError
        try:
            if not self._is_of_file(session, session_id, head):
                lacking = session.lacks(connection, head)
                if inline and (lacking is None or lacking > _INLINE_ROWS):
                    raise TakesLongError
                place = self._place(session_id)
                session.bring_to(connection, place, head, lacking)
                self._cache.settle(key, session)
            return use(session.vectors)
        finally:
            session.lock.release()

    def _is_of_file(self, session: CachedSession, session_id: str, head: Head) -> bool:
        """Tell whether what is held is of a state of the file, or of a later one."""
        if session.head is None or session.head <= head:
            return session.is_at(head)
        return session.is_between(head, self._read_head(session_id))

    def _read_head(self, session_id: str) -> Optional[Head]:
        return self._engine.readers.read(
            partial(vector_rows.find_head, session_id=session_id, model=self._model)
        )

    def _use_held(
        self,
        session_id: str,
        queries: Sequence[GridQuery],
        use: Callable[[SessionVectors], T],
        inline: bool,
    ) -> Optional[T]:
        """Do something with a session that is held as it is in the file; else None.

        It is what nearly every search comes to: a glance at the file, then memory
        alone.
        """
        session = self._cache.held((self._model, session_id))
        if session is None:
            return None
        head = self._head_of(session, session_id)
        if head is None or not session.lock.acquire(blocking=not inline):
            return None
        try:
            if not session.is_at(head):
                return None
            for query in queries:
                check_query(head.dimension, query)
            if inline:
                refuse_long(len(session.vectors), queries)
            return use(session.vectors)
        finally:
            session.lock.release()

    def _head_of(self, session: CachedSession, session_id: str) -> Optional[Head]:
        """Return the state of a session in the file; read it where that changed."""
        readers = self._engine.readers
        version = readers.version()
        read_at, head = session.in_file
        if version is None or version != read_at:
            head = self._read_head(session_id)
            # The version was read first: the state is of it, or of a later one.
            session.in_file = (version, head)
        return head

    def _read(self, query: Callable[[sqlite3.Connection], T], inline: bool) -> T:
        engine = self._engine
        if inline and engine.writer.connection is None:
            # The file has to be opened first.
            raise TakesLongError
        return engine.readers.read(query, snapshot=True)

    @property
    def _engine(self) -> Engine:
        return self._lease.engine

    @property
    def _models_deleted(self) -> Optional[str]:
        return self._model if self._is_view else None

    def _is_in_file_of(self, memory: SQLiteMemory) -> bool:
        here, there = self._lease.location, memory.location
        if MEMORY in (here, there):
            return False
        return os.path.realpath(here) == os.path.realpath(there)

    def _place(self, session_id: str) -> VectorPlace:
        validate_session_id(session_id)
        return VectorPlace(self._lease.location, session_id, self._model)


def _keep_fitting(
    connection: sqlite3.Connection,
    place: VectorPlace,
    dimension: int,
    vectors: List[StoredVector],
    *,
    only_of_messages: bool,
) -> None:
    if only_of_messages:
        vectors = vector_rows.of_messages(connection, place.session_id, vectors)
    if not vectors:
        return
    stored = vector_rows.dimension_of(connection, place.model)
    check_dimension(stored, dimension)
    vector_rows.keep(connection, place, dimension, vectors)
