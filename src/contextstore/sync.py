"""Give the sync face of memories and stores: the same methods, without await.

One line a method and no logic: the async methods are the only implementation, and
``_hop.drive`` runs them to their end in the caller's thread. Every method raises
AsyncContextError where an event loop is running.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import (
    Any,
    Awaitable,
    Dict,
    List,
    Mapping,
    Optional,
    Sequence,
    Type,
    TypeVar,
    Union,
    cast,
)

from contextstore._background import Handle
from contextstore._hop import drive
from contextstore.backends.base import MemoryBackend, PruneAge
from contextstore.backends.results import (
    EraseReceipt,
    PruneResult,
    SessionInfo,
    SessionPage,
    TextMatch,
    VerifyReport,
    WriteResult,
)
from contextstore.backends.told import Memory, Telling, Told
from contextstore.backends.writes import with_options
from contextstore.context.builder import BuildResult, ContextBuilder
from contextstore.context.strategies.relevant import DEFAULT_RECENT_SHARE
from contextstore.retrieval.base import RetrievalBackend, RetrievedItem, VectorItem
from contextstore.retrieval.embedding import EmbedFn
from contextstore.retrieval.snippets import DEFAULT_SNIPPET_CHARS
from contextstore.store import (
    EmbeddingReport,
    EmbeddingStatus,
    SessionStore,
    SessionStoreConfig,
)
from contextstore.store.embedding import Progress

T = TypeVar("T")
Self = TypeVar("Self", bound="_Face")


class _Face:
    """Be usable in a ``with`` block."""

    def close(self) -> None:
        """Free what the object holds."""
        raise NotImplementedError

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self,
        error_type: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()


class SyncMemory(_Face, Telling[Told]):
    """Call a memory backend, ours or your own, from sync code.

    Args:
        backend: the backend; ``backend.sync`` gives the same face.
    """

    def __init__(self, backend: Memory[Told]) -> None:
        self.backend: MemoryBackend = cast(MemoryBackend, backend)

    def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Dict[str, Any]]:
        """Return the messages of a session; see MemoryBackend.load_context."""
        return self._drive(self.backend.load_context(session_id, k))

    def save_context(
        self,
        session_id: str,
        context: Sequence[Mapping[str, Any]],
        *,
        expected_version: Optional[int] = None,
    ) -> Told:
        """Make these the messages of a session; see MemoryBackend.save_context."""
        save = with_options(
            self.backend.save_context, expected_version=expected_version
        )
        return cast(Told, self._drive(save(session_id, context)))

    def append_context(
        self,
        session_id: str,
        context: Sequence[Mapping[str, Any]],
        *,
        create: bool = False,
        expected_version: Optional[int] = None,
    ) -> Told:
        """Add messages at the end of a session; see MemoryBackend.append_context."""
        append = with_options(
            self.backend.append_context,
            create=create,
            expected_version=expected_version,
        )
        return cast(Told, self._drive(append(session_id, context)))

    def delete_session(self, session_id: str) -> None:
        """Delete a session; see MemoryBackend.delete_session."""
        self._drive(self.backend.delete_session(session_id))

    def delete_interaction(self, session_id: str, interaction_id: str) -> Told:
        """Delete a message and all after it; see MemoryBackend.delete_interaction."""
        deleting = self.backend.delete_interaction(session_id, interaction_id)
        return cast(Told, self._drive(deleting))

    def session_info(self, session_id: str) -> SessionInfo:
        """Describe a session; see MemoryBackend.session_info."""
        return self._drive(self.backend.session_info(session_id))

    def list_sessions(
        self,
        *,
        limit: int = 50,
        cursor: Optional[str] = None,
        prefix: Optional[str] = None,
        metadata: Optional[Mapping[str, Any]] = None,
    ) -> SessionPage:
        """Return a page of sessions; see MemoryBackend.list_sessions."""
        return self._drive(
            self.backend.list_sessions(
                limit=limit, cursor=cursor, prefix=prefix, metadata=metadata
            )
        )

    def load_page(
        self,
        session_id: str,
        *,
        before: Optional[str] = None,
        after: Optional[str] = None,
        limit: int = 50,
    ) -> List[Dict[str, Any]]:
        """Return a stretch of a session; see MemoryBackend.load_page."""
        return self._drive(
            self.backend.load_page(session_id, before=before, after=after, limit=limit)
        )

    def load_pinned(self, session_id: str) -> List[Dict[str, Any]]:
        """Return the pinned messages; see MemoryBackend.load_pinned."""
        return self._drive(self.backend.load_pinned(session_id))

    def update_interaction(
        self,
        session_id: str,
        interaction_id: str,
        message: Dict[str, Any],
        *,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        """Put another message in place; see MemoryBackend.update_interaction."""
        return self._drive(
            self.backend.update_interaction(
                session_id, interaction_id, message, expected_version=expected_version
            )
        )

    def fork_session(
        self, session_id: str, new_session_id: str, *, at: Optional[str] = None
    ) -> WriteResult:
        """Copy a session; see MemoryBackend.fork_session."""
        return self._drive(self.backend.fork_session(session_id, new_session_id, at=at))

    def set_metadata(
        self,
        session_id: str,
        metadata: Dict[str, Any],
        *,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        """Give a session metadata; see MemoryBackend.set_metadata."""
        return self._drive(
            self.backend.set_metadata(
                session_id, metadata, expected_version=expected_version
            )
        )

    def prune(
        self,
        session_id: Optional[str] = None,
        *,
        older_than: Optional[PruneAge] = None,
        keep_last: Optional[int] = None,
        dry_run: bool = False,
    ) -> PruneResult:
        """Remove old messages; see MemoryBackend.prune."""
        return self._drive(
            self.backend.prune(
                session_id, older_than=older_than, keep_last=keep_last, dry_run=dry_run
            )
        )

    def erase(
        self,
        *,
        session_id: Optional[str] = None,
        where: Optional[Mapping[str, Any]] = None,
    ) -> EraseReceipt:
        """Delete sessions without a trace; see MemoryBackend.erase."""
        return self._drive(self.backend.erase(session_id=session_id, where=where))

    def search_text(
        self,
        query: str,
        *,
        session_id: Optional[str] = None,
        prefix: Optional[str] = None,
        limit: int = 10,
    ) -> List[TextMatch]:
        """Return the messages that hold the words; see MemoryBackend.search_text."""
        return self._drive(
            self.backend.search_text(
                query, session_id=session_id, prefix=prefix, limit=limit
            )
        )

    def load_summaries(self, session_id: str) -> Dict[str, str]:
        """Return the summaries of a session; see MemoryBackend.load_summaries."""
        return self._drive(self.backend.load_summaries(session_id))

    def save_summaries(self, session_id: str, summaries: Mapping[str, str]) -> None:
        """Keep summaries of a session; see MemoryBackend.save_summaries."""
        self._drive(self.backend.save_summaries(session_id, summaries))

    def verify(self, *, repair: bool = False) -> VerifyReport:
        """Tell what is damaged; see MemoryBackend.verify."""
        return self._drive(self.backend.verify(repair=repair))

    def backup(self, path: Union[str, os.PathLike[str]]) -> None:
        """Copy the store into a new file; see MemoryBackend.backup."""
        self._drive(self.backend.backup(path))

    def close(self) -> None:
        """Free what the backend holds."""
        self._drive(self.backend.close())

    def _drive(self, awaitable: Awaitable[T]) -> T:
        return drive(awaitable, inline=self.backend.runs_inline)


class SyncRetrieval(_Face):
    """Call a retrieval backend, ours or your own, from sync code.

    Args:
        backend: the backend; ``backend.sync`` gives the same face.
    """

    def __init__(self, backend: RetrievalBackend) -> None:
        self.backend = backend

    def add(
        self,
        session_id: str,
        message_id: str,
        vector: Sequence[float],
        metadata: Optional[Dict[str, Any]] = None,
    ) -> None:
        """Keep a vector; see RetrievalBackend.add."""
        self._drive(self.backend.add(session_id, message_id, vector, metadata))

    def add_many(self, session_id: str, items: Sequence[VectorItem]) -> None:
        """Keep several vectors; see RetrievalBackend.add_many."""
        self._drive(self.backend.add_many(session_id, items))

    def search(
        self, session_id: str, query_vector: Sequence[float], k: int
    ) -> List[RetrievedItem]:
        """Return the nearest vectors; see RetrievalBackend.search."""
        return self._drive(self.backend.search(session_id, query_vector, k))

    def search_many(
        self, session_id: str, query_vectors: Sequence[Sequence[float]], k: int
    ) -> List[List[RetrievedItem]]:
        """Search for several queries; see RetrievalBackend.search_many."""
        return self._drive(self.backend.search_many(session_id, query_vectors, k))

    def search_sessions(
        self, session_ids: Sequence[str], query_vector: Sequence[float], k: int
    ) -> List[RetrievedItem]:
        """Search several sessions; see RetrievalBackend.search_sessions."""
        return self._drive(self.backend.search_sessions(session_ids, query_vector, k))

    def has_embedding(self, session_id: str, message_id: str) -> bool:
        """Tell whether a message has a vector; see RetrievalBackend.has_embedding."""
        return self._drive(self.backend.has_embedding(session_id, message_id))

    def delete(self, session_id: str, message_ids: Sequence[str]) -> None:
        """Remove vectors; see RetrievalBackend.delete."""
        self._drive(self.backend.delete(session_id, message_ids))

    def delete_session(self, session_id: str) -> None:
        """Remove the vectors of a session; see RetrievalBackend.delete_session."""
        self._drive(self.backend.delete_session(session_id))

    def for_model(self, name: str) -> SyncRetrieval:
        """Return the face of one model's vectors; see RetrievalBackend.for_model."""
        return SyncRetrieval(self.backend.for_model(name))

    def delete_model(self, name: str) -> None:
        """Remove all vectors of a model; see RetrievalBackend.delete_model."""
        self._drive(self.backend.delete_model(name))

    def message_ids(self, session_id: str) -> List[str]:
        """Return the ids with a vector; see RetrievalBackend.message_ids."""
        return self._drive(self.backend.message_ids(session_id))

    def close(self) -> None:
        """Free what the backend holds."""
        self._drive(self.backend.close())

    def _drive(self, awaitable: Awaitable[T]) -> T:
        return drive(awaitable, inline=self.backend.runs_inline)


class SyncSessionStore(_Face, Telling[Told]):
    """Call a SessionStore from sync code.

    The arguments are those of SessionStore; ``store.sync`` gives the same face of a
    store that is there.
    """

    def __init__(
        self,
        memory: Memory[Told],
        retrieval: Optional[RetrievalBackend] = None,
        config: Optional[SessionStoreConfig] = None,
    ) -> None:
        self.store: SessionStore[Told] = SessionStore(memory, retrieval, config)

    @classmethod
    def of(cls, store: SessionStore[Told]) -> SyncSessionStore[Told]:
        """Return the sync face of a store."""
        face = cls.__new__(cls)
        face.store = store
        return face

    def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Dict[str, Any]]:
        """Return the messages of a session; see SessionStore.load_context."""
        return drive(self.store.load_context(session_id, k))

    def save_context(
        self,
        session_id: str,
        context: Sequence[Mapping[str, Any]],
        *,
        expected_version: Optional[int] = None,
    ) -> Told:
        """Make these the messages of a session; see SessionStore.save_context."""
        return drive(
            self.store.save_context(
                session_id, context, expected_version=expected_version
            )
        )

    def append_context(
        self,
        session_id: str,
        context: Sequence[Mapping[str, Any]],
        *,
        create: bool = False,
        expected_version: Optional[int] = None,
    ) -> Told:
        """Add messages at the end of a session; see SessionStore.append_context."""
        return drive(
            self.store.append_context(
                session_id, context, create=create, expected_version=expected_version
            )
        )

    def delete_session(self, session_id: str) -> None:
        """Delete a session with its vectors; see SessionStore.delete_session."""
        drive(self.store.delete_session(session_id))

    def delete_interaction(self, session_id: str, interaction_id: str) -> Told:
        """Delete a message and all after it; see SessionStore.delete_interaction."""
        return drive(self.store.delete_interaction(session_id, interaction_id))

    def add_message_embedding(
        self,
        session_id: str,
        message_id: str,
        text: str,
        metadata: Optional[Dict[str, Any]] = None,
    ) -> None:
        """Embed a text under an id; see SessionStore.add_message_embedding."""
        drive(self.store.add_message_embedding(session_id, message_id, text, metadata))

    def spawn_background_embedding(
        self,
        session_id: str,
        message_id: str,
        text: str,
        metadata: Optional[Dict[str, Any]] = None,
    ) -> Handle:
        """Embed on another thread; see SessionStore.spawn_background_embedding."""
        return self.store.spawn_background_embedding(
            session_id, message_id, text, metadata
        )

    def update_interaction(
        self,
        session_id: str,
        interaction_id: str,
        message: Dict[str, Any],
        *,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        """Put another message in place; see SessionStore.update_interaction."""
        return drive(
            self.store.update_interaction(
                session_id, interaction_id, message, expected_version=expected_version
            )
        )

    def fork_session(
        self, session_id: str, new_session_id: str, *, at: Optional[str] = None
    ) -> WriteResult:
        """Copy a session; see SessionStore.fork_session."""
        return drive(self.store.fork_session(session_id, new_session_id, at=at))

    def set_metadata(
        self,
        session_id: str,
        metadata: Dict[str, Any],
        *,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        """Give a session metadata; see SessionStore.set_metadata."""
        return drive(
            self.store.set_metadata(
                session_id, metadata, expected_version=expected_version
            )
        )

    def prune(
        self,
        session_id: Optional[str] = None,
        *,
        older_than: Optional[PruneAge] = None,
        keep_last: Optional[int] = None,
        dry_run: bool = False,
    ) -> PruneResult:
        """Remove old messages with their vectors; see SessionStore.prune."""
        return drive(
            self.store.prune(
                session_id, older_than=older_than, keep_last=keep_last, dry_run=dry_run
            )
        )

    def erase(
        self,
        *,
        session_id: Optional[str] = None,
        where: Optional[Mapping[str, Any]] = None,
    ) -> EraseReceipt:
        """Delete sessions without a trace; see SessionStore.erase."""
        return drive(self.store.erase(session_id=session_id, where=where))

    def retrieve_relevant(
        self, session_id: str, query: str, k: int = 5, *, mode: str = "hybrid"
    ) -> List[RetrievedItem]:
        """Return what a query is about; see SessionStore.retrieve_relevant."""
        return drive(self.store.retrieve_relevant(session_id, query, k, mode=mode))

    def search(
        self,
        query: str,
        *,
        where: Optional[Mapping[str, Any]] = None,
        prefix: Optional[str] = None,
        k: int = 5,
    ) -> List[RetrievedItem]:
        """Return what a query is about, across sessions; see SessionStore.search."""
        return drive(self.store.search(query, where=where, prefix=prefix, k=k))

    def build_context(
        self,
        session_id: str,
        max_tokens: int,
        query: Optional[str] = None,
        recent_share: float = DEFAULT_RECENT_SHARE,
        *,
        strategy: Optional[str] = None,
        strategy_opts: Optional[Mapping[str, Any]] = None,
        snippet_chars: Optional[int] = DEFAULT_SNIPPET_CHARS,
        builder: Optional[ContextBuilder] = None,
        tools: Optional[Sequence[Dict[str, Any]]] = None,
        tool_choice: Any = None,
    ) -> BuildResult:
        """Return a prompt from a session; see SessionStore.build_context."""
        return drive(
            self.store.build_context(
                session_id,
                max_tokens,
                query,
                recent_share,
                strategy=strategy,
                strategy_opts=strategy_opts,
                snippet_chars=snippet_chars,
                builder=builder,
                tools=tools,
                tool_choice=tool_choice,
            )
        )

    def load_window(
        self,
        session_id: str,
        max_tokens: int,
        *,
        builder: Optional[ContextBuilder] = None,
    ) -> List[Dict[str, Any]]:
        """Return what a budget can hold; see SessionStore.load_window."""
        return drive(self.store.load_window(session_id, max_tokens, builder=builder))

    def embed_missing(
        self,
        session_id: Optional[str] = None,
        *,
        retries: int = 2,
        per_minute: Optional[int] = None,
        progress: Optional[Progress] = None,
    ) -> EmbeddingReport:
        """Embed what lacks a vector; see SessionStore.embed_missing."""
        return drive(
            self.store.embed_missing(
                session_id, retries=retries, per_minute=per_minute, progress=progress
            )
        )

    def embedding_status(self, session_id: Optional[str] = None) -> EmbeddingStatus:
        """Count what has a vector; see SessionStore.embedding_status."""
        return drive(self.store.embedding_status(session_id))

    def reembed(
        self,
        embed_fn: EmbedFn,
        *,
        retries: int = 2,
        per_minute: Optional[int] = None,
        progress: Optional[Progress] = None,
    ) -> EmbeddingReport:
        """Move to another model; see SessionStore.reembed."""
        return drive(
            self.store.reembed(
                embed_fn, retries=retries, per_minute=per_minute, progress=progress
            )
        )

    def wait_for_embeddings(self) -> None:
        """Wait for all embeddings; see SessionStore.wait_for_embeddings."""
        drive(self.store.wait_for_embeddings())

    def close(self) -> None:
        """Wait for the embeddings; what the store was given stays open."""
        drive(self.store.close())
