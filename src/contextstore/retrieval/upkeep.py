"""Keep the vectors of a retrieval backend in step with the messages of a session."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import Any, Dict, Generator, List, NamedTuple, Optional, Sequence, Set

from contextstore._hop import reach
from contextstore.errors import ConfigurationError, EmbeddingError
from contextstore.retrieval.base import RetrievalBackend, RetrievedItem
from contextstore.retrieval.embedding import EmbedFn, embed
from contextstore.retrieval.tombstones import Tombstones


class Entry(NamedTuple):
    """Be one text to embed.

    Attributes:
        message_id: the id that the vector is found under.
        text: what is embedded.
        metadata: what is kept beside the vector.
    """

    message_id: str
    text: str
    metadata: Optional[Dict[str, Any]]


class VectorUpkeep:
    """Embed what lacks a vector, and take vectors away with their messages.

    A vector that arrives for a message that was deleted or changed meanwhile is
    dropped.

    Args:
        backend: where the vectors are kept.
        embed_fn: the function that makes them; None where only vectors that were
            added elsewhere are taken away.
        batch_size: how many texts one call of ``embed_fn`` gets at most.
    """

    def __init__(
        self, backend: RetrievalBackend, embed_fn: Optional[EmbedFn], batch_size: int
    ) -> None:
        self._backend = backend
        self._embed_fn = embed_fn
        self._batch_size = batch_size
        self._tombstones = Tombstones()
        self._lock = threading.Lock()
        self._under_way: List[_Flight] = []
        cls = type(backend)
        self._can_delete = (
            cls.delete is not RetrievalBackend.delete
            and cls.delete_session is not RetrievalBackend.delete_session
        )

    async def add(self, session_id: str, entries: Sequence[Entry]) -> None:
        """Embed the entries whose messages have no vector yet.

        Raises:
            EmbeddingError: naming the messages that stay without a vector.
        """
        missing = list(entries)
        with self._in_flight(session_id, entries) as flight:
            try:
                missing = [
                    entry for entry in entries if not await self._has(session_id, entry)
                ]
                while missing:
                    await self._add_batch(flight, missing[: self._batch_size])
                    missing = missing[self._batch_size :]
            except Exception as error:
                raise _failure(error, session_id, missing) from error

    async def remove(self, session_id: str, message_ids: Sequence[str]) -> None:
        """Take away the vectors of messages that went or changed."""
        if message_ids:
            self._no_longer_wanted(session_id, message_ids)
            await self._take_away(session_id, message_ids)

    async def _take_away(self, session_id: str, message_ids: Sequence[str]) -> None:
        if self._can_delete:
            await reach(self._backend, self._backend.delete(session_id, message_ids))
        else:
            self._tombstones.bury(session_id, message_ids)

    async def remove_session(self, session_id: str) -> None:
        """Take away all vectors of a session."""
        self._no_longer_wanted(session_id, None)
        if self._can_delete:
            await reach(self._backend, self._backend.delete_session(session_id))
        else:
            self._tombstones.bury_session(session_id)

    async def search(self, session_id: str, query: str, k: int) -> List[RetrievedItem]:
        """Return the ``k`` living messages nearest to a query, best first."""
        (vector,) = await embed(self._function(), [query])
        asked = k
        while True:
            found = await reach(
                self._backend, self._backend.search(session_id, vector, asked)
            )
            alive = [item for item in found if not self._is_dead(session_id, item)]
            if len(alive) >= k or len(found) < asked:
                return alive[:k]
            asked *= 2

    def _function(self) -> EmbedFn:
        if self._embed_fn is None:
            raise ConfigurationError("there is no embed_fn to embed with")
        return self._embed_fn

    def _is_dead(self, session_id: str, item: RetrievedItem) -> bool:
        return self._tombstones.is_dead(session_id, item.message_id)

    async def _has(self, session_id: str, entry: Entry) -> bool:
        if self._tombstones.is_dead(session_id, entry.message_id):
            return False
        return await reach(
            self._backend, self._backend.has_embedding(session_id, entry.message_id)
        )

    @contextmanager
    def _in_flight(
        self, session_id: str, entries: Sequence[Entry]
    ) -> Generator[_Flight, None, None]:
        """Let deletions be noticed, for messages whose batch is yet to come as well."""
        flight = _Flight(session_id, {entry.message_id for entry in entries})
        with self._lock:
            self._under_way.append(flight)
        try:
            yield flight
        finally:
            with self._lock:
                self._under_way.remove(flight)

    async def _add_batch(self, flight: _Flight, batch: Sequence[Entry]) -> None:
        wanted = [entry for entry in batch if entry.message_id in flight.wanted]
        texts = [entry.text for entry in wanted]
        vectors = await embed(self._function(), texts, batch_size=self._batch_size)
        for entry, vector in zip(wanted, vectors):
            await self._store(flight, entry, vector)

    async def _store(self, flight: _Flight, entry: Entry, vector: List[float]) -> None:
        session_id, message_id, backend = (
            flight.session_id,
            entry.message_id,
            self._backend,
        )
        if message_id not in flight.wanted:
            return
        self._tombstones.revive(session_id, message_id)
        await reach(
            backend, backend.add(session_id, message_id, vector, entry.metadata or {})
        )
        if message_id not in flight.wanted:
            # The message went while its vector was being written.
            await self._take_away(session_id, [message_id])

    def _no_longer_wanted(
        self, session_id: str, message_ids: Optional[Sequence[str]]
    ) -> None:
        with self._lock:
            for flight in self._under_way:
                if flight.session_id == session_id:
                    gone = flight.wanted if message_ids is None else message_ids
                    flight.wanted = flight.wanted.difference(gone)


class _Flight:
    """Be what one call embeds, from its reading to the keeping of its vectors."""

    def __init__(self, session_id: str, wanted: Set[str]) -> None:
        self.session_id = session_id
        self.wanted = wanted


def _failure(
    error: Exception, session_id: str, missing: Sequence[Entry]
) -> EmbeddingError:
    text = str(error)
    if not isinstance(error, EmbeddingError):
        text = f"the vectors could not be kept ({type(error).__name__}; see the cause)"
    return EmbeddingError(
        text, session_id=session_id, message_ids=[entry.message_id for entry in missing]
    )
