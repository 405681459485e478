"""Join memory, retrieval and context: the one place where the three meet."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Type

from contextstore import messages
from contextstore._background import BackgroundWork, Handle
from contextstore._hop import reach
from contextstore.backends.base import MemoryBackend
from contextstore.backends.results import WriteResult
from contextstore.backends.stamps import Stamps
from contextstore.backends.writes import Writer, Written
from contextstore.errors import ConfigurationError, EmbeddingError
from contextstore.messages import Message
from contextstore.retrieval.base import (
    RetrievalBackend,
    RetrievedItem,
    validate_count,
    validate_query,
)
from contextstore.retrieval.embedding import DEFAULT_BATCH_SIZE, EmbedFn
from contextstore.retrieval.upkeep import Entry, VectorUpkeep

if TYPE_CHECKING:
    from contextstore.sync import SyncSessionStore

_logger = logging.getLogger("contextstore")


@dataclass(frozen=True)
class SessionStoreConfig:
    """Say how a SessionStore embeds.

    Attributes:
        auto_embed: embed every message when it is saved or appended.
        embed_fn: turns texts into vectors: a function, sync or async, that takes a
            list of texts and gives one vector a text.
        embed_batch_size: how many texts one call of ``embed_fn`` gets at most.
    """

    auto_embed: bool = False
    embed_fn: Optional[EmbedFn] = None
    embed_batch_size: int = DEFAULT_BATCH_SIZE


class SessionStore:
    """Keep sessions and find what was said in them.

    What it was given it does not close: close the memory and the retrieval backend
    where they were made.

    Args:
        memory: keeps the messages.
        retrieval: keeps the vectors; without it nothing is embedded.
        config: says how to embed.

    Raises:
        ConfigurationError: ``auto_embed`` is on without ``embed_fn`` or ``retrieval``.
    """

    def __init__(
        self,
        memory: MemoryBackend,
        retrieval: Optional[RetrievalBackend] = None,
        config: Optional[SessionStoreConfig] = None,
    ) -> None:
        if not isinstance(memory, MemoryBackend):
            raise ConfigurationError(
                f"memory is of type {type(memory).__name__}; pass a MemoryBackend"
            )
        self.memory = memory
        self.retrieval = retrieval
        self.config = config or SessionStoreConfig()
        self._writer = Writer(memory, Stamps.of(None, None))
        self._background = BackgroundWork()
        self._upkeep = _upkeep_of(retrieval, self.config)

    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Dict[str, Any]]:
        """Return the messages of a session, oldest first.

        Args:
            k: how many of the newest to return; None for all, 0 for none.
        """
        session_id = messages.validate_session_id(session_id)
        k = messages.validate_k(k)
        return await reach(self.memory, self.memory.load_context(session_id, k))

    async def save_context(
        self,
        session_id: str,
        context: List[Dict[str, Any]],
        *,
        expected_version: Optional[int] = None,
    ) -> Optional[WriteResult]:
        """Make these the messages of a session, creating or replacing it.

        With ``auto_embed`` the new ones are embedded before this returns. A failing
        ``embed_fn`` does not fail the save: ``wait_for_embeddings`` raises it.
        """
        written = await self._writer.save(
            session_id, context, expected_version=expected_version
        )
        await self._follow(session_id, written)
        return written.result

    async def append_context(
        self,
        session_id: str,
        context: List[Dict[str, Any]],
        *,
        create: bool = False,
        expected_version: Optional[int] = None,
    ) -> Optional[WriteResult]:
        """Add messages at the end of a session; embeds them as ``save_context`` does.

        Raises:
            ValueError: there is no such session, and ``create`` is False.
        """
        written = await self._writer.append(
            session_id, context, create=create, expected_version=expected_version
        )
        await self._follow(session_id, written)
        return written.result

    async def delete_session(self, session_id: str) -> None:
        """Delete a session, its messages and its vectors.

        Raises:
            ValueError: there is no such session.
        """
        session_id = messages.validate_session_id(session_id)
        await reach(self.memory, self.memory.delete_session(session_id))
        if self._upkeep is not None:
            await self._upkeep.remove_session(session_id)

    async def delete_interaction(
        self, session_id: str, interaction_id: str
    ) -> Optional[WriteResult]:
        """Delete a message and all after it, with their vectors.

        Raises:
            ValueError: there is no such session or message.
        """
        messages.validate_session_id(session_id)
        messages.validate_message_id(interaction_id, "interaction_id")
        written = await self._writer.delete_interaction(session_id, interaction_id)
        if self._upkeep is not None:
            await self._upkeep.remove(session_id, written.removed)
        return written.result

    async def add_message_embedding(
        self,
        session_id: str,
        message_id: str,
        text: str,
        metadata: Optional[Dict[str, Any]] = None,
    ) -> None:
        """Embed a text under a message id, unless that has a vector already.

        The id need not be that of a stored message.

        Args:
            metadata: what search gives back beside the score; ``text`` is added.

        Raises:
            ConfigurationError: there is no retrieval backend or no ``embed_fn``.
            EmbeddingError: the text could not be embedded.
        """
        upkeep = self._embedding("add_message_embedding")
        entry = _entry(session_id, message_id, text, metadata)
        await upkeep.add(session_id, [entry])

    def spawn_background_embedding(
        self,
        session_id: str,
        message_id: str,
        text: str,
        metadata: Optional[Dict[str, Any]] = None,
    ) -> Handle:
        """Start ``add_message_embedding`` and return at once.

        Returns:
            The task, or a ``concurrent.futures.Future`` where no event loop runs. A
            failure is also raised by the next ``wait_for_embeddings``.
        """
        upkeep = self._embedding("spawn_background_embedding")
        entry = _entry(session_id, message_id, text, metadata)
        return self._background.start(upkeep.add(session_id, [entry]))

    async def retrieve_relevant(
        self, session_id: str, query: str, k: int = 5
    ) -> List[RetrievedItem]:
        """Return the ``k`` messages of a session nearest to a query, best first.

        Raises:
            ConfigurationError: there is no retrieval backend or no ``embed_fn``.
            EmbeddingError: the query could not be embedded.
        """
        session_id = messages.validate_session_id(session_id)
        query = validate_query(query)
        k = validate_count(k)
        upkeep = self._embedding("retrieve_relevant")
        return await upkeep.search(session_id, query, k) if k else []

    async def wait_for_embeddings(self) -> None:
        """Wait until all that was to be embedded is, in whatever loop it was started.

        Raises:
            EmbeddingError: for everything that failed since the last call, naming the
                messages without a vector; the first failure is its cause.
        """
        failures = await self._background.wait()
        if failures:
            raise _joined(failures)

    async def close(self) -> None:
        """Wait for the embeddings; what this object was given stays open."""
        await self.wait_for_embeddings()

    @property
    def sync(self) -> SyncSessionStore:
        """Give the sync face of this object: the same methods without await."""
        # The sync face stands above this file; imported here, it closes no circle.
        from contextstore.sync import SyncSessionStore  # noqa: PLC0415

        return SyncSessionStore.of(self)

    async def __aenter__(self) -> SessionStore:
        return self

    async def __aexit__(
        self,
        error_type: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        await self.close()

    async def _follow(self, session_id: str, written: Written) -> None:
        """Bring the vectors in step with a write that is stored."""
        if self._upkeep is None:
            return
        await self._upkeep.remove(session_id, written.removed)
        if not self.config.auto_embed:
            return
        try:
            await self._upkeep.add(session_id, _entries(written.messages))
        except EmbeddingError as error:
            _logger.warning(
                "session %r: %d messages are stored but not embedded: %s",
                session_id,
                len(error.message_ids),
                error,
            )
            self._background.report(error)

    def _embedding(self, operation: str) -> VectorUpkeep:
        if self._upkeep is None or self.config.embed_fn is None:
            raise ConfigurationError(
                f"{operation} needs a retrieval backend and an embedding function: "
                f"SessionStore(memory, retrieval, SessionStoreConfig(embed_fn=...))"
            )
        return self._upkeep


def _upkeep_of(
    retrieval: Optional[RetrievalBackend], config: SessionStoreConfig
) -> Optional[VectorUpkeep]:
    if config.auto_embed and (retrieval is None or config.embed_fn is None):
        lacking = "a retrieval backend" if retrieval is None else "embed_fn"
        raise ConfigurationError(f"auto_embed=True needs {lacking} as well")
    if retrieval is None:
        return None
    return VectorUpkeep(retrieval, config.embed_fn, config.embed_batch_size)


def _entries(written: List[Message]) -> List[Entry]:
    """Return what there is to embed; a message without text has no vector."""
    texts = [(message["id"], messages.text_of(message)) for message in written]
    return [
        Entry(message_id, text, {"text": text}) for message_id, text in texts if text
    ]


def _entry(
    session_id: str, message_id: str, text: str, metadata: Optional[Dict[str, Any]]
) -> Entry:
    messages.validate_session_id(session_id)
    messages.validate_message_id(message_id)
    messages.validate_text(text, "text")
    if metadata is not None:
        metadata = messages.copy_json(metadata, "metadata")
    return Entry(message_id, text, {"text": text, **(metadata or {})})


def _joined(failures: List[BaseException]) -> EmbeddingError:
    ids: List[str] = []
    for failure in failures:
        ids.extend(getattr(failure, "message_ids", ()))
    first = failures[0]
    joined = EmbeddingError(
        f"{len(ids)} messages are without a vector: {first}",
        session_id=getattr(first, "session_id", None),
        message_ids=ids,
    )
    joined.__cause__ = first
    return joined
