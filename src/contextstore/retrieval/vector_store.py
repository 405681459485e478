"""Check what comes into a store of vectors, and copy what goes out of it.

The stores of this library differ in where they keep vectors. What they take and give is
written here, once.
"""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from typing import (
    TYPE_CHECKING,
    Any,
    Dict,
    Iterable,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    TypeVar,
)

from contextstore import _hop
from contextstore.errors import InvalidInputError
from contextstore.messages import (
    copy_json,
    validate_message_id,
    validate_session_id,
    validate_text,
)
from contextstore.retrieval.base import (
    RetrievedItem,
    ScanningBackend,
    VectorItem,
    validate_count,
)
from contextstore.retrieval.dense import DenseScan
from contextstore.retrieval.session_vectors import Hit
from contextstore.retrieval.vectors import (
    GridQuery,
    floats_of,
    grid_query,
    unit_vectors,
)

if TYPE_CHECKING:
    from contextstore.retrieval.vectors import FloatArray

__all__ = [
    "SessionHit",
    "TakesLongError",
    "UnitVector",
    "VectorStore",
    "check_dimension",
    "check_query",
    "item_of",
    "ranked",
    "refuse_long",
]

Self = TypeVar("Self", bound="VectorStore")
SessionHit = Tuple[str, Hit]

# A scan of so many numbers takes about a millisecond: longer ones leave the event loop
# to others, shorter ones cost less than the way to a thread and back.
_INLINE_NUMBERS = 2_000_000

_UNCHANGEABLE = frozenset({str, int, float, bool, type(None)})


class TakesLongError(Exception):
    """Say that a scan should go to a thread; no caller of the library sees it."""


class UnitVector(NamedTuple):
    """Be a vector on the grid, with what is kept beside it."""

    message_id: str
    components: FloatArray
    metadata: Dict[str, Any]


class VectorStore(ScanningBackend):
    """Be the base of the stores of this library.

    An object stands for the vectors of one model: the store itself for those that were
    added without naming one, and what ``for_model`` returns for those of that model.
    One model's vectors have one dimension, and never answer the query of another.
    """

    def __init__(self) -> None:
        self._model = ""
        # What the store itself deletes goes from every model.
        self._is_view = False

    def for_model(self: Self, name: str) -> Self:
        """Return this store, seen through the vectors of one model.

        What is added there is of that model, and only that is searched and deleted.
        Closing it closes nothing: it is the same store.

        Args:
            name: any text; ``""`` is the model of what is added to the store itself.
        """
        view = copy.copy(self)
        view._model = validate_text(name, "name")
        view._is_view = True
        return view

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
                of a model have one dimension, given by the first.
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
        starts = range(0, len(units), dimension)
        added = [
            UnitVector(one, units[start : start + dimension], beside)
            for one, start, beside in zip(ids, starts, metadata)
        ]
        await self._keep(session_id, dimension, added)

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
                dimension than the vectors of this model.
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
        found = await self._found([session_id], query_vectors, k, where)
        return [[item_of(hit) for _, hit in hits] for hits in found]

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
        sessions = list(dict.fromkeys(map(validate_session_id, session_ids)))
        (found,) = await self._found(sessions, [query_vector], k, where)
        return [item_of(hit, session_id) for session_id, hit in found]

    async def _found(
        self,
        session_ids: List[str],
        query_vectors: Sequence[Sequence[float]],
        k: int,
        where: Optional[Dict[str, Any]],
    ) -> List[List[SessionHit]]:
        """Search where it stalls nobody: short scans here, long ones in a thread."""
        validate_count(k)
        wanted = None if where is None else _validated_metadata(where)
        queries = [_query(vector) for vector in query_vectors]
        arguments = (session_ids, queries, k, wanted)
        try:
            return self._search(*arguments, inline=True)
        except TakesLongError:
            return await _hop.call(self._search, *arguments)

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
        arguments = (session_id, _query(query_vector), centring, pool, also)
        try:
            return self._scan(*arguments, inline=True)
        except TakesLongError:
            return await _hop.call(self._scan, *arguments)

    async def metadata_of(
        self, session_id: str, message_ids: Sequence[str]
    ) -> Dict[str, Dict[str, Any]]:
        """Return copies of the metadata of those messages that have a vector."""
        validate_session_id(session_id)
        ids = [validate_message_id(message_id) for message_id in message_ids]
        found = await self._metadata(session_id, ids)
        return {one: _copied(kept) for one, kept in found.items()}

    async def delete(self, session_id: str, message_ids: Sequence[str]) -> None:
        """Remove the vectors of some messages; ids without a vector are passed over."""
        validate_session_id(session_id)
        ids = [validate_message_id(message_id) for message_id in message_ids]
        if ids:
            await self._discard(session_id, ids)

    @abstractmethod
    async def _keep(
        self, session_id: str, dimension: int, vectors: List[UnitVector]
    ) -> None:
        """Keep vectors of one dimension: all of them or none."""

    @abstractmethod
    def _search(
        self,
        session_ids: List[str],
        queries: List[GridQuery],
        k: int,
        where: Optional[Dict[str, Any]],
        *,
        inline: bool = False,
    ) -> List[List[SessionHit]]:
        """Return what is nearest to each query, the metadata not yet copied.

        Args:
            inline: raise TakesLongError rather than hold up an event loop.
        """

    @abstractmethod
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
        """Score a session.

        Args:
            inline: raise TakesLongError rather than hold up an event loop.
        """

    @abstractmethod
    async def _metadata(
        self, session_id: str, message_ids: List[str]
    ) -> Dict[str, Dict[str, Any]]:
        """Return the metadata of those messages that have a vector."""

    @abstractmethod
    async def _discard(self, session_id: str, message_ids: List[str]) -> None:
        """Remove vectors, which need not be there."""


def refuse_long(rows: int, queries: Sequence[GridQuery]) -> None:
    """Refuse a scan during which others could have gone on.

    Raises:
        TakesLongError: there are too many rows for these queries.
    """
    if rows * sum(len(query.numbers) for query in queries) > _INLINE_NUMBERS:
        raise TakesLongError


def ranked(
    found: Iterable[Tuple[str, List[List[Hit]]]], queries: int, k: int
) -> List[List[SessionHit]]:
    """Return the ``k`` best for each query of what several sessions gave for it."""
    merged: List[List[SessionHit]] = [[] for _ in range(queries)]
    sessions = 0
    for session_id, hits_of_queries in found:
        sessions += 1
        for best, hits in zip(merged, hits_of_queries):
            best += [(session_id, hit) for hit in hits]
    if sessions < 2:
        return merged
    # Sorting is stable: what a session gave stays in its order.
    return [sorted(best, key=lambda pair: -pair[1][1])[:k] for best in merged]


def check_query(stored: Optional[int], query: GridQuery) -> None:
    """Refuse a query whose dimension is not that of the model; see the next."""
    check_dimension(stored, len(query.numbers), "query_vector")


def check_dimension(
    stored: Optional[int], dimension: int, path: str = "vector"
) -> None:
    """Refuse a vector whose dimension is not that of its model.

    Args:
        stored: the dimension of what is stored; None where there is nothing.

    Raises:
        InvalidInputError: they differ.
    """
    if stored is not None and dimension != stored:
        raise InvalidInputError(
            f"{path} has {dimension} components, but this store holds vectors of "
            f"{stored}; for another model use for_model(name), or empty the store",
            path=path,
        )


def _common_dimension(vectors: List[FloatArray]) -> int:
    dimensions = sorted({len(vector) for vector in vectors})
    if len(dimensions) > 1:
        raise InvalidInputError(
            f"the vectors have {dimensions[0]} and {dimensions[-1]} components; the "
            f"vectors of one model have one dimension",
            path="vector",
        )
    return dimensions[0]


def item_of(hit: Hit, session_id: Optional[str] = None) -> RetrievedItem:
    """Return what was found as the caller gets it."""
    message_id, score, kept = hit
    cosine = score if -1.0 <= score <= 1.0 else math.copysign(1.0, score)
    return RetrievedItem(message_id, cosine, _copied(kept), cosine, None, session_id)


def _query(vector: Any) -> GridQuery:
    return grid_query(vector, "query_vector")


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
