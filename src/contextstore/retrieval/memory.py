"""Keep vectors in the memory of the process."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, ClassVar, Dict, List, Optional, Sequence, Tuple

from contextstore import _hop
from contextstore.errors import InvalidInputError
from contextstore.messages import (
    copy_json,
    validate_message_id,
    validate_session_id,
)
from contextstore.retrieval.base import (
    RetrievedItem,
    ScanningBackend,
    VectorItem,
    validate_count,
)
from contextstore.retrieval.dense import DenseScan
from contextstore.retrieval.session_vectors import Hit, SessionVectors
from contextstore.retrieval.vectors import floats_of, unit_vectors

if TYPE_CHECKING:
    from contextstore.retrieval.vectors import FloatArray

__all__ = ["InMemoryEmbeddingStore"]

SessionHit = Tuple[str, Hit]

# A scan of so many numbers takes about a millisecond: longer ones leave the event loop
# to others, shorter ones cost less than the way to a thread and back.
_INLINE_NUMBERS = 2_000_000

_UNCHANGEABLE = frozenset({str, int, float, bool, type(None)})


class InMemoryEmbeddingStore(ScanningBackend):
    """Keep vectors in memory and search them exactly.

    Scores are cosines, the same to the bit with numpy and without, in any order of
    adding; equal ones are given oldest first. An object may be used from any thread
    and any event loop.
    """

    runs_inline: ClassVar[bool] = True

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: Dict[str, SessionVectors] = {}
        self._dimension: Optional[int] = None

    async def add(
        self,
        session_id: str,
        message_id: str,
        vector: Sequence[float],
        metadata: Optional[Dict[str, Any]] = None,
    ) -> None:
        """Keep a vector under a message id, which need not be a stored message.

        The same id again replaces vector and metadata and keeps its age.

        Args:
            vector: numbers, of any length; only their direction counts. All vectors
                in the store have one dimension, given by the first.
            metadata: any JSON object; a copy is kept.

        Raises:
            InvalidInputError: an argument cannot be taken; nothing was kept.
        """
        await self.add_many(session_id, [(message_id, vector, metadata)])

    async def add_many(self, session_id: str, items: Sequence[VectorItem]) -> None:
        """Keep several vectors of one session: all of them or, on an error, none.

        Raises:
            InvalidInputError: an argument cannot be taken; nothing was kept.
        """
        validate_session_id(session_id)
        if not items:
            return
        ids = [validate_message_id(item[0]) for item in items]
        metadata = [_validated_metadata(item[2]) for item in items]
        vectors = [floats_of(item[1]) for item in items]
        dimension = _common_dimension(vectors)
        units = unit_vectors(vectors)
        with self._lock:
            self._check_dimension(dimension, "vector")
            self._dimension = dimension
            session = self._sessions.setdefault(session_id, SessionVectors(dimension))
            for index, message_id in enumerate(ids):
                unit = units[index * dimension : (index + 1) * dimension]
                session.put(message_id, unit, metadata[index])

    async def search(
        self,
        session_id: str,
        query_vector: Sequence[float],
        k: int,
        *,
        where: Optional[Dict[str, Any]] = None,
    ) -> List[RetrievedItem]:
        """Return the ``k`` messages of a session nearest to a query, best first.

        A session that is not there has none.

        Args:
            where: metadata that a message must have, each key with an equal value; it
                is looked at before the vectors are, so nothing is missed.

        Raises:
            InvalidInputError: an argument cannot be taken, or the query has another
                dimension than the store.
        """
        (found,) = await self.search_many(session_id, [query_vector], k, where=where)
        return found

    async def search_many(
        self,
        session_id: str,
        query_vectors: Sequence[Sequence[float]],
        k: int,
        *,
        where: Optional[Dict[str, Any]] = None,
    ) -> List[List[RetrievedItem]]:
        """Search a session for several queries, and return the results of each.

        Each is what ``search`` gives; together they cost a third in a long session.
        """
        validate_session_id(session_id)
        validate_count(k)
        wanted = None if where is None else _validated_metadata(where)
        found = await self._found([session_id], query_vectors, k, wanted)
        return [[_item(hit) for _, hit in hits] for hits in found]

    async def search_sessions(
        self,
        session_ids: Sequence[str],
        query_vector: Sequence[float],
        k: int,
        *,
        where: Optional[Dict[str, Any]] = None,
    ) -> List[RetrievedItem]:
        """Return the ``k`` messages of some sessions nearest to a query, best first.

        Nothing outside the sessions named is looked at. Each result carries its
        ``session_id``; among equals the session named first comes first.
        """
        validate_count(k)
        sessions = list(dict.fromkeys(map(validate_session_id, session_ids)))
        wanted = None if where is None else _validated_metadata(where)
        (found,) = await self._found(sessions, [query_vector], k, wanted)
        return [_item(hit, session_id) for session_id, hit in found]

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
        query = floats_of(query_vector, "query_vector")
        arguments = (session_id, query, centring, pool, also)
        if self._is_short([session_id], [query]):
            return self._scan(*arguments)
        return await _hop.call(self._scan, *arguments)

    async def metadata_of(
        self, session_id: str, message_ids: Sequence[str]
    ) -> Dict[str, Dict[str, Any]]:
        """Return copies of the metadata of those messages that have a vector."""
        validate_session_id(session_id)
        with self._lock:
            session = self._sessions.get(session_id)
            if session is None:
                return {}
            found = {one: session.metadata_of(one) for one in message_ids}
        return {one: _copied(kept) for one, kept in found.items() if kept is not None}

    async def has_embedding(self, session_id: str, message_id: str) -> bool:
        """Tell whether the session holds a vector under this message id."""
        validate_session_id(session_id)
        validate_message_id(message_id)
        with self._lock:
            session = self._sessions.get(session_id)
            return session is not None and message_id in session

    async def delete(self, session_id: str, message_ids: Sequence[str]) -> None:
        """Remove the vectors of some messages; ids without a vector are passed over."""
        validate_session_id(session_id)
        ids = [validate_message_id(message_id) for message_id in message_ids]
        with self._lock:
            session = self._sessions.get(session_id)
            if session is None:
                return
            for message_id in ids:
                session.discard(message_id)
            if not session:
                self._drop(session_id)

    async def delete_session(self, session_id: str) -> None:
        """Remove all vectors of a session; one that has none is no error."""
        validate_session_id(session_id)
        with self._lock:
            self._drop(session_id)

    def _drop(self, session_id: str) -> None:
        self._sessions.pop(session_id, None)
        if not self._sessions:
            # An empty store may be filled again by another model.
            self._dimension = None

    async def _found(
        self,
        session_ids: List[str],
        query_vectors: Sequence[Sequence[float]],
        k: int,
        where: Optional[Dict[str, Any]],
    ) -> List[List[SessionHit]]:
        """Search where it stalls nobody: short scans here, long ones in a thread."""
        queries = [floats_of(vector, "query_vector") for vector in query_vectors]
        arguments = (session_ids, queries, k, where)
        if self._is_short(session_ids, queries):
            return self._search(*arguments)
        return await _hop.call(self._search, *arguments)

    def _is_short(
        self, session_ids: Sequence[str], queries: Sequence[FloatArray]
    ) -> bool:
        with self._lock:
            rows = sum(len(self._sessions.get(one, ())) for one in session_ids)
        return rows * sum(map(len, queries)) <= _INLINE_NUMBERS

    def _search(
        self,
        session_ids: Sequence[str],
        queries: Sequence[FloatArray],
        k: int,
        where: Optional[Dict[str, Any]],
    ) -> List[List[SessionHit]]:
        units = [unit_vectors([query]) for query in queries]
        ranked: List[List[SessionHit]] = [[] for _ in queries]
        with self._lock:
            for query in queries:
                self._check_dimension(len(query), "query_vector")
            for session_id in session_ids if k else ():
                session = self._sessions.get(session_id)
                if session is not None:
                    for found, hits in zip(ranked, session.search(units, k, where)):
                        found += [(session_id, hit) for hit in hits]
        # Sorting is stable: what a session gave stays in its order.
        return [sorted(found, key=lambda pair: -pair[1].score)[:k] for found in ranked]

    def _scan(
        self,
        session_id: str,
        query: FloatArray,
        centring: float,
        pool: Optional[int],
        also: Sequence[str],
    ) -> Optional[DenseScan]:
        with self._lock:
            self._check_dimension(len(query), "query_vector")
            session = self._sessions.get(session_id)
            if session is None:
                return None
            unit = unit_vectors([query])
            if pool is None:
                return session.scan(unit, centring)
            return session.scan_pool(unit, centring, pool, also)

    def _check_dimension(self, dimension: int, path: str) -> None:
        if self._dimension is not None and dimension != self._dimension:
            raise InvalidInputError(
                f"{path} has {dimension} components, but this store holds vectors of "
                f"{self._dimension}; one store keeps the vectors of one model",
                path=path,
            )


def _common_dimension(vectors: List[FloatArray]) -> int:
    dimensions = sorted({len(vector) for vector in vectors})
    if len(dimensions) > 1:
        raise InvalidInputError(
            f"the vectors have {dimensions[0]} and {dimensions[-1]} components; one "
            f"store keeps the vectors of one model",
            path="vector",
        )
    return dimensions[0]


def _item(hit: Hit, session_id: Optional[str] = None) -> RetrievedItem:
    cosine = max(-1.0, min(1.0, hit.score))
    metadata = _copied(hit.metadata)
    return RetrievedItem(
        hit.message_id, cosine, metadata, cosine, session_id=session_id
    )


def _validated_metadata(metadata: Any) -> Dict[str, Any]:
    if metadata is None:
        return {}
    if not isinstance(metadata, dict):
        raise InvalidInputError(
            f"metadata is of type {type(metadata).__name__}; pass a dict or None",
            path="metadata",
        )
    validated: Dict[str, Any] = copy_json(metadata, "metadata")
    return validated


def _copied(metadata: Any) -> Dict[str, Any]:
    if _UNCHANGEABLE.issuperset(map(type, metadata.values())):
        # What is kept is valid, and one level of it is nearly always all there is.
        return dict(metadata)
    copied: Dict[str, Any] = copy_json(metadata, "metadata")
    return copied
