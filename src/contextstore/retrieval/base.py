"""Define what a store of vectors is, what it finds, and the plainest way to ask it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import (
    TYPE_CHECKING,
    Any,
    Dict,
    List,
    Optional,
    Sequence,
    Tuple,
)

from contextstore import _hop
from contextstore._lifecycle import Backend
from contextstore.errors import InvalidInputError
from contextstore.messages import validate_k, validate_session_id
from contextstore.retrieval.dense import DenseScan
from contextstore.retrieval.embedding import EmbedFn, embed, for_queries

if TYPE_CHECKING:
    from contextstore.sync import SyncRetrieval

__all__ = [
    "RetrievalBackend",
    "RetrievedItem",
    "ScanningBackend",
    "VectorItem",
    "retrieve_relevant",
    "validate_count",
    "validate_query",
]

VectorItem = Tuple[str, Sequence[float], Optional[Dict[str, Any]]]
"""A message id, its vector and its metadata, as ``add_many`` takes them."""


@dataclass(frozen=True)
class RetrievedItem:
    """Be one message that was found.

    Attributes:
        message_id: the id that the vector was added under.
        score: what the result is ordered by; larger is more relevant. A store of
            vectors gives the cosine here.
        metadata: a copy of what was stored beside the vector; ``{}`` for nothing.
        cosine: the cosine of query and message, from -1 to 1, where it is known.
        lexical: the score of the words that they share, where it is known.
        session_id: the session of the message, where several were searched.
    """

    message_id: str
    score: float
    metadata: Dict[str, Any]
    cosine: Optional[float] = None
    lexical: Optional[float] = None
    session_id: Optional[str] = None


class RetrievalBackend(Backend, ABC):
    """Be the base of every store of vectors; a subclass writes three methods.

    Attributes:
        runs_inline: True for a class whose coroutines never suspend where no event loop
            runs, so that sync callers run them in their own thread. Each class has to
            say it itself.
    """

    @abstractmethod
    async def add(
        self,
        session_id: str,
        message_id: str,
        vector: Sequence[float],
        metadata: Optional[Dict[str, Any]],
    ) -> None:
        """Keep a vector under a message id; the same id again replaces it."""

    @abstractmethod
    async def search(
        self, session_id: str, query_vector: Sequence[float], k: int
    ) -> List[RetrievedItem]:
        """Return the ``k`` vectors of a session most similar to a query, best first."""

    @abstractmethod
    async def has_embedding(self, session_id: str, message_id: str) -> bool:
        """Tell whether the session holds a vector under this message id."""

    async def add_many(self, session_id: str, items: Sequence[VectorItem]) -> None:
        """Keep several vectors of one session: all of them or, on an error, none.

        Raises:
            UnsupportedOperationError: this backend only adds one at a time.
        """
        self._unsupported("add_many")

    async def search_many(
        self,
        session_id: str,
        query_vectors: Sequence[Sequence[float]],
        k: int,
    ) -> List[List[RetrievedItem]]:
        """Search a session for several queries, and return the results of each."""
        return [await self.search(session_id, vector, k) for vector in query_vectors]

    async def search_sessions(
        self, session_ids: Sequence[str], query_vector: Sequence[float], k: int
    ) -> List[RetrievedItem]:
        """Return the ``k`` messages of some sessions most similar to a query.

        Nothing outside the sessions named is looked at. Each result carries its
        ``session_id``; among equals the session named first comes first.
        """
        found: List[RetrievedItem] = []
        for session_id in dict.fromkeys(session_ids):
            for item in await self.search(session_id, query_vector, k):
                found.append(replace(item, session_id=session_id))
        # Sorting is stable: what a session gave stays in its order.
        found.sort(key=lambda item: -item.score)
        return found[: validate_count(k)]

    async def delete(self, session_id: str, message_ids: Sequence[str]) -> None:
        """Remove the vectors of some messages; ids without a vector are passed over.

        Raises:
            UnsupportedOperationError: this backend cannot remove a vector.
        """
        self._unsupported("delete")

    async def delete_session(self, session_id: str) -> None:
        """Remove all vectors of a session; one that has none is no error.

        Raises:
            UnsupportedOperationError: this backend cannot remove a session.
        """
        self._unsupported("delete_session")

    def for_model(self, name: str) -> RetrievalBackend:
        """Return this store, seen through the vectors of one model.

        What is added there is of that model, and only that is searched and deleted.
        Here the store itself is returned: a backend that does not override this cannot
        tell models apart, and holds the vectors of one.

        Args:
            name: the model that makes the vectors.
        """
        return self

    async def delete_model(self, name: str) -> None:
        """Remove all vectors of one model, in every session.

        Raises:
            UnsupportedOperationError: this backend cannot tell models apart.
        """
        self._unsupported("delete_model")

    async def message_ids(self, session_id: str) -> List[str]:
        """Return the ids under which a session has a vector, oldest first.

        Raises:
            UnsupportedOperationError: this backend can only be asked for one id.
        """
        self._unsupported("message_ids")

    @property
    def sync(self) -> SyncRetrieval:
        """Give the sync face of this store: the same methods, without ``await``."""
        # The sync face stands above this room; imported here, it closes no circle.
        from contextstore.sync import SyncRetrieval  # noqa: PLC0415

        return SyncRetrieval(self)


class ScanningBackend(RetrievalBackend):
    """Be the base of the stores of this library, which can score a whole session."""

    @abstractmethod
    async def scan(
        self,
        session_id: str,
        query_vector: Sequence[float],
        centring: float,
        pool: Optional[int] = None,
        also: Sequence[str] = (),
    ) -> Optional[DenseScan]:
        """Score the vectors of a session for a query; None where it has none.

        Args:
            centring: the share of the mean vector that is taken out.
            pool: score only so many, those nearest to the query when that share is
                taken out of it, what equals the last of them, and those of ``also``.
        """

    @abstractmethod
    async def session_ids(self) -> List[str]:
        """Return the ids of all sessions that have a vector, sorted."""

    def for_messages_of(self, memory: object) -> ScanningBackend:
        """Return this store, seen as the place of the vectors of a memory's messages.

        Where both share a file, what is added there for a message that is not stored,
        or not any more, is not kept: so none stays behind a message that was deleted
        while it was embedded, even if the process dies. Anywhere else it is the store
        itself.
        """
        return self

    @abstractmethod
    async def metadata_of(
        self, session_id: str, message_ids: Sequence[str]
    ) -> Dict[str, Dict[str, Any]]:
        """Return copies of the metadata of those messages that have a vector."""


def validate_count(k: Any) -> int:
    """Return how many results to give: a non-negative int.

    Raises:
        InvalidInputError: it is None, a bool, negative, or no int.
    """
    count = validate_k(k)
    if count is None:
        raise InvalidInputError("k is None; pass a non-negative int", path="k")
    return count


def validate_query(query: Any) -> str:
    """Return the text to look for.

    Raises:
        InvalidInputError: it is no string.
    """
    if not isinstance(query, str):
        raise InvalidInputError(
            f"query is of type {type(query).__name__}; pass the text to look for",
            path="query",
        )
    return query


async def retrieve_relevant(
    session_id: str,
    query: str,
    embed_fn: EmbedFn,
    store: RetrievalBackend,
    k: int = 5,
) -> List[RetrievedItem]:
    """Embed a query and return the messages of a session nearest to it in meaning.

    The score is the cosine, and nothing but the vectors is looked at. The method of
    the same name on ``SessionStore`` weighs words as well, and finds more.

    Args:
        query: the text to look for.
        embed_fn: the function that embedded the stored messages; see ``EmbedFn``.
        k: how many to return at most; 0 gives ``[]`` and embeds nothing.

    Raises:
        InvalidInputError: an argument cannot be taken.
        EmbeddingError: ``embed_fn`` failed or gave no usable vector.
    """
    validate_session_id(session_id)
    validate_query(query)
    if validate_count(k) == 0:
        return []
    (vector,) = await embed(for_queries(embed_fn), [query])
    return await _hop.reach(store, store.search(session_id, vector, k))
