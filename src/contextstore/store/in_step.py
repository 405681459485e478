"""Keep what is searched of the sessions in step with what is stored of them."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import Awaitable, Dict, List, Optional, Sequence, Tuple

from contextstore._background import BackgroundWork, Handle
from contextstore._hop import reach
from contextstore.backends.base import MemoryBackend
from contextstore.backends.writes import Written
from contextstore.errors import ConfigurationError, EmbeddingError
from contextstore.messages import Message
from contextstore.retrieval import arithmetic
from contextstore.retrieval.base import RetrievalBackend
from contextstore.retrieval.documents import document_of
from contextstore.retrieval.embedding import EmbedFn
from contextstore.retrieval.upkeep import Entry, VectorUpkeep
from contextstore.store.config import SessionStoreConfig, model_name
from contextstore.store.embedding import (
    CatchUp,
    EmbeddingReport,
    Progress,
    entry_of,
    take_away,
)
from contextstore.store.indexes import IndexedSession, SessionIndexes

__all__ = ["InStep"]

_logger = logging.getLogger("contextstore")


class InStep:
    """Have vectors and indexes follow what happens to the messages.

    Attributes:
        config: how to embed; ``reembed`` changes it.
        indexes: what is searched of the messages.
        upkeep: the vectors and what makes them; None where there are none.
        catch_up: finds the messages without a vector.
    """

    def __init__(
        self,
        memory: MemoryBackend,
        retrieval: Optional[RetrievalBackend],
        config: SessionStoreConfig,
    ) -> None:
        self.config = config
        self.indexes = SessionIndexes(memory)
        self.catch_up = CatchUp(memory, self.indexes)
        self.upkeep = _upkeep_of(retrieval, config, memory)
        self._memory = memory
        self._retrieval = retrieval
        self._background = BackgroundWork()

    async def follow(self, session_id: str, written: Written) -> None:
        """Bring the vectors in step with a write that is stored.

        A failure to embed is no failure of the write: ``wait`` raises it.
        """
        await self.remove(session_id, written.removed)
        if self.upkeep is not None and self.config.auto_embed:
            await arithmetic.prepare()
            entries = _entries(written.messages)
            self.indexes.expect(session_id, [entry.message_id for entry in entries])
            await self._reporting(session_id, self.upkeep.add(session_id, entries))
            await self._remove_late(session_id, written)

    async def _remove_late(self, session_id: str, written: Written) -> None:
        """Take away vectors of messages that others deleted while they were made."""
        result = written.result
        if result is None or await self.indexes.is_at(session_id, result.version):
            return
        session, gone = await self.indexes.current(session_id)
        ids = [message["id"] for message in written.messages]
        await self.remove(session_id, [*gone, *session.not_stored(ids)])

    async def remove(self, session_id: str, message_ids: Sequence[str]) -> None:
        """Take away the vectors of messages that are gone."""
        if self.upkeep is not None and message_ids:
            await self._reporting(
                session_id,
                take_away(self.indexes, self.upkeep, session_id, message_ids),
            )

    async def remove_session(self, session_id: str) -> None:
        """Take away all that is searched of a session that is gone."""
        self.indexes.forget(session_id)
        if self.upkeep is not None:
            await self._reporting(session_id, self.upkeep.remove_session(session_id))

    async def current(self, session_id: str) -> IndexedSession:
        """Return what is searched of a session, its vectors in step.

        What a crash or a failing function left without a vector is embedded now.
        """
        await arithmetic.prepare()
        session, gone = await self.indexes.current(session_id)
        await self.remove(session_id, gone)
        if self.upkeep is not None and self.config.auto_embed:
            await self._reporting(
                session_id, self.catch_up.on_use(session_id, session, self.upkeep)
            )
        return session

    async def _reporting(self, session_id: str, work: Awaitable[object]) -> None:
        """Await work on vectors that must not fail what it follows, which is stored."""
        try:
            await work
        except EmbeddingError as error:
            _logger.warning(
                "session %r: the vectors of %d messages are not in step: %s",
                session_id,
                len(error.message_ids),
                error,
            )
            self._background.report(error)

    async def add(self, upkeep: VectorUpkeep, session_id: str, entry: Entry) -> None:
        """Embed a text under an id, which may be that of no message."""
        await upkeep.add(session_id, [entry])
        if await upkeep.missing(session_id, [entry]):
            # It was deleted, or the session was, while the vector was made.
            return
        # A backend that cannot be asked for its ids would keep it from being found.
        self.indexes.note(session_id, entry.message_id, str(entry.metadata["text"]))

    def start_to_add(
        self, upkeep: VectorUpkeep, session_id: str, entry: Entry
    ) -> Handle:
        """Start ``add`` and return what stands for it; ``wait`` raises its failure."""
        return self._background.start(self.add(upkeep, session_id, entry))

    async def wait(self) -> None:
        """Wait for what was started, wherever that was.

        Raises:
            EmbeddingError: for everything that failed since the last call.
        """
        failures = await self._background.wait()
        if failures:
            raise _joined(failures)

    async def reembed(
        self,
        embed_fn: EmbedFn,
        retries: int,
        per_minute: Optional[int],
        progress: Optional[Progress],
    ) -> EmbeddingReport:
        """Move all vectors to another model; see ``SessionStore.reembed``."""
        retrieval, old_name = self._retrieval, model_name(self.config.embed_fn)
        new_name = model_name(embed_fn)
        if retrieval is None or new_name in ("", old_name):
            raise ConfigurationError(
                "reembed needs a retrieval backend, and an embed_fn whose name is not "
                "that of the one in use"
            )
        vectors = retrieval.for_model(new_name)
        if vectors is retrieval.for_model(old_name):
            raise ConfigurationError(
                f"{type(retrieval).__name__} cannot keep the vectors of two models "
                f"apart; make a new one and call embed_missing"
            )
        config = replace(self.config, embed_fn=embed_fn)
        size = config.embed_batch_size
        upkeep = VectorUpkeep(vectors, embed_fn, size, retrieval, self._memory)
        run = partial(
            CatchUp(self._memory, self.indexes).run_anew,
            retrieval.for_model(old_name),
            upkeep,
            retries,
            per_minute,
            progress,
        )
        report = await run()
        if report.failed:
            return report
        self.config, self.upkeep = config, upkeep
        # What was written between the pass over its session and the change.
        report = report.plus(await run())
        if not report.failed:
            await reach(retrieval, retrieval.delete_model(old_name))
        return report

    def embedding(self, operation: str) -> VectorUpkeep:
        """Return the vectors and what makes them, for what cannot do without.

        Raises:
            ConfigurationError: there is no retrieval backend or no ``embed_fn``.
        """
        if self.upkeep is None or not self.upkeep.embeds:
            raise ConfigurationError(
                f"{operation} needs a retrieval backend and an embedding function: "
                f"SessionStore(memory, retrieval, SessionStoreConfig(embed_fn=...))"
            )
        return self.upkeep


def _upkeep_of(
    retrieval: Optional[RetrievalBackend],
    config: SessionStoreConfig,
    memory: MemoryBackend,
) -> Optional[VectorUpkeep]:
    if retrieval is None:
        return None
    vectors = retrieval.for_model(model_name(config.embed_fn))
    size = config.embed_batch_size
    return VectorUpkeep(vectors, config.embed_fn, size, retrieval, memory)


def _entries(written: List[Message]) -> List[Entry]:
    """Return what there is to embed; a message without text has no vector."""
    documents = map(document_of, written)
    return [entry_of(document) for document in documents if document.text]


def _joined(failures: List[BaseException]) -> EmbeddingError:
    # One that failed again, at the next search, is one message all the same.
    known: Dict[Tuple[Optional[str], str], str] = {}
    for failure in failures:
        session_id = getattr(failure, "session_id", None)
        known.update(
            {(session_id, one): one for one in getattr(failure, "message_ids", ())}
        )
    ids, first = list(known.values()), failures[0]
    joined = EmbeddingError(
        f"{len(ids)} messages are without a vector: {first}",
        session_id=getattr(first, "session_id", None),
        message_ids=ids,
    )
    joined.__cause__ = first
    return joined
