"""Keep vectors in the memory of the process."""

from __future__ import annotations

import threading
from typing import Any, ClassVar, Dict, List, Optional, Sequence

from contextstore._lifecycle import OfThisProcess, renew_after_fork
from contextstore.messages import (
    validate_message_id,
    validate_session_id,
    validate_text,
)
from contextstore.retrieval.dense import DenseScan
from contextstore.retrieval.session_vectors import SessionVectors
from contextstore.retrieval.vector_store import (
    SessionHit,
    UnitVector,
    VectorStore,
    check_dimension,
    check_query,
    ranked,
    refuse_long,
)
from contextstore.retrieval.vectors import GridQuery

__all__ = ["InMemoryEmbeddingStore"]

Sessions = Dict[str, SessionVectors]


class _Kept(OfThisProcess):
    """Be what a store and its views keep, and the lock on it.

    Attributes:
        models: the sessions of each model; one that holds nothing is not there, so
            that it may be filled again with another dimension.
    """

    location = ":memory:"

    def __init__(self) -> None:
        self.models: Dict[str, Sessions] = {}
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Begin with a free lock in a forked child, where nobody gives it back."""
        self.lock = threading.Lock()


class InMemoryEmbeddingStore(VectorStore):
    """Keep vectors in memory and search them exactly.

    Scores are cosines, the same to the bit with numpy and without, in any order of
    adding; equal ones are given in the order of adding, which is all that a store of
    vectors knows of the age of messages. An object may be used from any thread and any
    event loop. A forked child has a copy of its own.
    """

    runs_inline: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self._kept = _Kept()

    async def has_embedding(self, session_id: str, message_id: str) -> bool:
        """Tell whether the session holds a vector under this message id."""
        validate_session_id(session_id)
        validate_message_id(message_id)
        with self._kept.lock:
            session = self._session(session_id)
            return session is not None and message_id in session

    async def session_ids(self) -> List[str]:
        """Return the ids of all sessions that have a vector, sorted."""
        with self._kept.lock:
            return sorted(self._kept.models.get(self._model, {}))

    async def message_ids(self, session_id: str) -> List[str]:
        """Return the ids under which a session has a vector, oldest first."""
        validate_session_id(session_id)
        with self._kept.lock:
            session = self._session(session_id)
            return [] if session is None else session.message_ids()

    async def delete_session(self, session_id: str) -> None:
        """Remove all vectors of a session; one that has none is no error."""
        validate_session_id(session_id)
        with self._kept.lock:
            for model in self._models_deleted():
                self._kept.models[model].pop(session_id, None)
                self._drop_if_empty(model)

    async def delete_model(self, name: str) -> None:
        """Remove all vectors of one model, in every session."""
        validate_text(name, "name")
        with self._kept.lock:
            self._kept.models.pop(name, None)

    async def _keep(
        self, session_id: str, dimension: int, vectors: List[UnitVector]
    ) -> None:
        with self._kept.lock:
            check_dimension(self._dimension(), dimension)
            sessions = self._kept.models.setdefault(self._model, {})
            session = sessions.setdefault(session_id, SessionVectors(dimension))
            for vector in vectors:
                session.put(*vector)

    async def _discard(self, session_id: str, message_ids: List[str]) -> None:
        with self._kept.lock:
            for model in self._models_deleted():
                session = self._kept.models[model].get(session_id)
                if session is None:
                    continue
                for message_id in message_ids:
                    session.discard(message_id)
                if not session:
                    del self._kept.models[model][session_id]
                    self._drop_if_empty(model)

    async def _metadata(
        self, session_id: str, message_ids: List[str]
    ) -> Dict[str, Dict[str, Any]]:
        with self._kept.lock:
            session = self._session(session_id)
            return {} if session is None else session.metadata_of(message_ids)

    def _search(
        self,
        session_ids: List[str],
        queries: List[GridQuery],
        k: int,
        where: Optional[Dict[str, Any]],
        *,
        inline: bool = False,
    ) -> List[List[SessionHit]]:
        with self._kept.lock:
            for query in queries:
                check_query(self._dimension(), query)
            kept = self._kept.models.get(self._model, {})
            sessions = [one for one in session_ids if k and one in kept]
            if inline:
                refuse_long(sum(len(kept[one]) for one in sessions), queries)
            found = [(one, kept[one].search(queries, k, where)) for one in sessions]
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
        with self._kept.lock:
            check_query(self._dimension(), query)
            session = self._session(session_id)
            if session is None:
                return None
            if inline:
                refuse_long(len(session), [query])
            return session.scan(query, centring, pool, also)

    def _session(self, session_id: str) -> Optional[SessionVectors]:
        return self._kept.models.get(self._model, {}).get(session_id)

    def _dimension(self) -> Optional[int]:
        for session in self._kept.models.get(self._model, {}).values():
            return session.dimension
        return None

    def _models_deleted(self) -> List[str]:
        """Return the models that are there and that a deletion on this object means."""
        if not self._is_view:
            return list(self._kept.models)
        return [self._model] if self._model in self._kept.models else []

    def _drop_if_empty(self, model: str) -> None:
        if not self._kept.models[model]:
            del self._kept.models[model]
