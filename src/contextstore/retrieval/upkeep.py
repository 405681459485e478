"""Keep the vectors of a retrieval backend in step with the messages of a session."""

from __future__ import annotations

import time
from itertools import chain
from typing import (
    Any,
    Dict,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

from contextstore._flights import Flight, Flights
from contextstore._hop import reach, sleep
from contextstore._lifecycle import overrides
from contextstore.errors import ConfigurationError, EmbeddingError
from contextstore.retrieval.base import (
    RetrievalBackend,
    RetrievedItem,
    ScanningBackend,
)
from contextstore.retrieval.embedding import EmbedFn, embed, for_queries
from contextstore.retrieval.tombstones import Tombstones
from contextstore.retrieval.vector_sums import VectorSum, VectorSums

_FIRST_PAUSE = 0.5

SAID_BY = "said_by"
"""What the name of a message stands under beside its vector. An application may well
keep something of its own as ``name`` there."""


class Entry(NamedTuple):
    """Be one text to embed.

    Attributes:
        message_id: the id that the vector is found under.
        text: what is embedded.
        metadata: what is kept beside the vector; its ``text``, and for a message who
            said it, tell whether a vector is that of the text as it is now.
        is_stored: whether it is the text of a stored message.
    """

    message_id: str
    text: str
    metadata: Dict[str, Any]
    is_stored: bool = False


class Attempt(NamedTuple):
    """Say what came of an attempt to embed.

    Attributes:
        done: how many messages got a vector.
        error: names the messages that stay without one; None where there are none.
    """

    done: int
    error: Optional[EmbeddingError]


class Pace:
    """Let no more texts through a minute than so many.

    Args:
        per_minute: the texts, at least 1.
    """

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._next = 0.0

    async def turn(self, count: int) -> None:
        """Wait until so many texts more may be sent."""
        now = time.monotonic()
        await sleep(max(0.0, self._next - now))
        self._next = max(now, self._next) + 60.0 * count / self.per_minute


class VectorUpkeep:
    """Embed what lacks a vector, and take vectors away with their messages.

    A message is embedded by one call at a time: another that wants the same waits. A
    vector that arrives for a message that was deleted or changed meanwhile is dropped.

    Args:
        backend: where the vectors are kept.
        embed_fn: the function that makes them; None where only vectors that were
            added elsewhere are taken away.
        batch_size: how many texts one call of ``embed_fn`` gets at most.
        whole: the store that ``backend`` may be one model's part of; what is taken
            away is taken from all of it.
        memory: where the messages are stored.
    """

    def __init__(
        self,
        backend: RetrievalBackend,
        embed_fn: Optional[EmbedFn],
        batch_size: int,
        whole: RetrievalBackend,
        memory: object,
    ) -> None:
        self.backend = backend
        self._of_messages = backend
        if isinstance(backend, ScanningBackend):
            self._of_messages = backend.for_messages_of(memory)
        self._whole = whole
        self._embed_fn = embed_fn
        self._batch_size = batch_size
        self._tombstones = Tombstones()
        # Known, deletions are noticed for batches that are yet to come too.
        self._flights = Flights()
        # Why a message has no vector, by session and message id.
        self._reasons: Dict[Tuple[str, str], str] = {}
        self._sums = VectorSums()
        self._can_delete = overrides(
            backend, RetrievalBackend, "delete", "delete_session"
        )

    @property
    def embeds(self) -> bool:
        """Tell whether there is a function to embed with."""
        return self._embed_fn is not None

    async def missing(self, session_id: str, entries: Sequence[Entry]) -> List[Entry]:
        """Return the entries that have no vector of their text."""
        alive = [
            entry
            for entry in entries
            if not self._tombstones.is_dead(session_id, entry.message_id)
        ]
        backend = self.backend
        if isinstance(backend, ScanningBackend):
            ids = [entry.message_id for entry in alive]
            stored = await reach(backend, backend.metadata_of(session_id, ids))
            has = {
                entry.message_id
                for entry in alive
                if _is_of(stored.get(entry.message_id, {}), entry)
            }
        else:
            has = {
                entry.message_id
                for entry in alive
                if await reach(
                    backend, backend.has_embedding(session_id, entry.message_id)
                )
            }
        return [entry for entry in entries if entry.message_id not in has]

    async def add(
        self, session_id: str, entries: Sequence[Entry], *, retries: int = 0
    ) -> int:
        """Embed the entries whose messages have no vector yet; return how many.

        Args:
            retries: as in ``attempt``.

        Raises:
            EmbeddingError: naming the messages that stay without a vector.
        """
        attempt = await self.attempt(session_id, entries, retries=retries)
        if attempt.error is not None:
            raise attempt.error
        return attempt.done

    async def attempt(
        self,
        session_id: str,
        entries: Sequence[Entry],
        *,
        retries: int = 0,
        pace: Optional[Pace] = None,
    ) -> Attempt:
        """Embed the entries whose messages have no vector yet, as far as it goes.

        What a batch fails on holds up no other; a function that fails on two in a row
        is asked no more.

        Args:
            retries: how often a batch that failed is tried again, after a pause that
                doubles. With any, a batch that still fails is then tried in halves, so
                that a text that the function refuses keeps back itself alone.
            pace: holds back each batch until its turn.
        """
        ids = [entry.message_id for entry in entries]
        async with self._flights.of(session_id, ids) as flight:
            try:
                missing = await self.missing(session_id, entries)
            except Exception as error:
                return self._ended(session_id, entries, entries, error)
            failed, cause = await self._add_all(flight, missing, retries, pace)
        return self._ended(session_id, missing, failed, cause)

    def _ended(
        self,
        session_id: str,
        tried: Sequence[Entry],
        failed: Sequence[Entry],
        cause: Optional[Exception],
    ) -> Attempt:
        """Write down why messages lack a vector, and say what came of it."""
        for entry in tried:
            self._reasons.pop((session_id, entry.message_id), None)
        done = len(tried) - len(failed)
        if cause is None:
            return Attempt(done, None)
        error = _failure(cause, session_id, failed)
        for entry in failed:
            self._reasons[session_id, entry.message_id] = str(error)
        return Attempt(done, error)

    def failures(
        self, session_id: str, entries: Sequence[Entry]
    ) -> Dict[Tuple[str, str], str]:
        """Return why the last try failed, for those entries that were tried."""
        keys = [(session_id, entry.message_id) for entry in entries]
        return {key: self._reasons[key] for key in keys if key in self._reasons}

    async def remove(self, session_id: str, message_ids: Sequence[str]) -> None:
        """Take away the vectors of messages that went or changed.

        Raises:
            EmbeddingError: the backend failed; no search finds them all the same, as
                long as this object lives.
        """
        if message_ids:
            self._flights.no_longer_want(session_id, message_ids)
            for message_id in message_ids:
                self._reasons.pop((session_id, message_id), None)
            await self._take_away(session_id, message_ids)

    async def _take_away(self, session_id: str, message_ids: Sequence[str]) -> None:
        self._sums.drop(session_id, message_ids)
        # Until they are gone, no search finds them.
        self._tombstones.bury(session_id, message_ids)
        if self._can_delete:
            try:
                await reach(self._whole, self._whole.delete(session_id, message_ids))
            except Exception as error:
                raise _not_removed(error, session_id, message_ids) from error
            self._tombstones.lift(session_id, message_ids)

    async def remove_session(self, session_id: str) -> None:
        """Take away all vectors of a session.

        Raises:
            EmbeddingError: as by ``remove``.
        """
        self._flights.no_longer_want(session_id, None)
        # A copy of the keys in one step: other threads write down reasons meanwhile.
        for key in list(self._reasons):
            if key[0] == session_id:
                self._reasons.pop(key, None)
        self._sums.drop_session(session_id)
        self._tombstones.bury_session(session_id)
        if self._can_delete:
            try:
                await reach(self._whole, self._whole.delete_session(session_id))
            except Exception as error:
                raise _not_removed(error, session_id, ()) from error
            self._tombstones.lift_session(session_id)

    async def embed_query(self, query: str) -> List[float]:
        """Return the vector of a query.

        Raises:
            EmbeddingError: the function failed.
        """
        (vector,) = await embed(for_queries(self._function()), [query])
        return vector

    def sum_of(self, session_id: str, texts: Mapping[str, int]) -> Optional[VectorSum]:
        """Return the sum of the vectors of these texts, None where it is unknown.

        It is kept for a backend that cannot score a whole session itself.

        Args:
            texts: ``text_key`` of what is indexed of each message of the session.
        """
        return self._sums.of(session_id, texts)

    async def nearest(
        self, session_id: str, vector: Sequence[float], k: int
    ) -> List[RetrievedItem]:
        """Return the ``k`` living messages nearest to a vector, best first."""
        asked = k
        while True:
            found = await reach(
                self.backend, self.backend.search(session_id, vector, asked)
            )
            alive = [
                item
                for item in found
                if not self._tombstones.is_dead(session_id, item.message_id)
            ]
            if len(alive) >= k or len(found) < asked:
                return alive[:k]
            asked *= 2

    def _function(self) -> EmbedFn:
        if self._embed_fn is None:
            raise ConfigurationError("there is no embed_fn to embed with")
        return self._embed_fn

    async def _add_all(
        self,
        flight: Flight,
        missing: Sequence[Entry],
        retries: int,
        pace: Optional[Pace],
    ) -> Tuple[List[Entry], Optional[Exception]]:
        """Embed batch by batch; return what failed, and the first failure."""
        size = self._batch_size
        if pace is not None:
            size = min(size, pace.per_minute)
        batches = [missing[at : at + size] for at in range(0, len(missing), size)]
        # Down to the single text, and then the first that is none the worse.
        patience = size.bit_length() + 1 if retries else 2
        failed: List[Entry] = []
        first: Optional[Exception] = None
        in_a_row = 0
        while batches:
            batch = batches.pop(0)
            if pace is not None:
                await pace.turn(len(batch))
            try:
                await self._add_batch(flight, batch, 0 if in_a_row else retries)
            except Exception as error:
                first = first or error
                in_a_row += 1
                half = len(batch) // 2
                if in_a_row >= patience:
                    return [*failed, *batch, *chain(*batches)], first
                if retries and half:
                    batches[:0] = [batch[:half], batch[half:]]
                else:
                    failed += batch
            else:
                in_a_row = 0
        return failed, first

    async def _add_batch(
        self, flight: Flight, batch: Sequence[Entry], retries: int
    ) -> None:
        wanted = [entry for entry in batch if entry.message_id in flight.wanted]
        texts = [entry.text for entry in wanted]
        vectors = await self._embedded(texts, retries)
        for entry, vector in zip(wanted, vectors):
            # Before it is looked whether it is wanted, which may change meanwhile.
            flight.writing = entry.message_id
            await self._store(flight, entry, vector)
        flight.writing = None

    async def _embedded(self, texts: Sequence[str], retries: int) -> List[List[float]]:
        function, pause = self._function(), _FIRST_PAUSE
        while True:
            try:
                return await embed(function, texts, batch_size=self._batch_size)
            except EmbeddingError:
                if retries == 0:
                    raise
            retries -= 1
            await sleep(pause)
            pause *= 2

    async def _store(self, flight: Flight, entry: Entry, vector: List[float]) -> None:
        session_id, message_id = flight.session_id, entry.message_id
        if message_id not in flight.wanted:
            return
        place = self._of_messages if entry.is_stored else self.backend
        await reach(place, place.add(session_id, message_id, vector, entry.metadata))
        # Not before: until then, what a search would find is the vector that died.
        self._tombstones.revive(session_id, message_id)
        if not isinstance(place, ScanningBackend):
            self._sums.add(session_id, message_id, entry.text, vector)
        if message_id not in flight.wanted:
            # The message went while its vector was being written.
            await self._take_away(session_id, [message_id])


def _is_of(kept: Mapping[str, Any], entry: Entry) -> bool:
    """Tell by what is kept beside a vector whether it is that of an entry."""
    # A text that was embedded by hand stands for itself, whoever said it.
    names = ("text", SAID_BY) if entry.is_stored else ("text",)
    return all(kept.get(name) == entry.metadata.get(name) for name in names)


def _failure(
    error: Exception, session_id: str, missing: Sequence[Entry]
) -> EmbeddingError:
    text = str(error)
    if isinstance(error, ConfigurationError):
        text = f"the vectors could not be kept: {error}"
    elif not isinstance(error, EmbeddingError):
        text = f"the vectors could not be kept ({type(error).__name__}; see the cause)"
    return EmbeddingError(
        text, session_id=session_id, message_ids=[entry.message_id for entry in missing]
    )


def _not_removed(
    error: Exception, session_id: str, message_ids: Sequence[str]
) -> EmbeddingError:
    return EmbeddingError(
        f"the vectors of messages that went could not be removed "
        f"({type(error).__name__}; see the cause)",
        session_id=session_id,
        message_ids=message_ids,
    )
