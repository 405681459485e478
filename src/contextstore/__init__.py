"""Keep what was said to a language model and give back the right part of it.

A name is loaded when it is first used: importing the package costs next to nothing, and
a program that only keeps messages does not load what cuts or searches them.
"""

from __future__ import annotations

import importlib
import threading
from typing import TYPE_CHECKING, Any, List

if TYPE_CHECKING:
    from contextstore.backends.base import MemoryBackend
    from contextstore.backends.memory import InMemoryMemory
    from contextstore.backends.postgres import PostgresMemory
    from contextstore.backends.redis import RedisMemory
    from contextstore.backends.results import (
        EraseReceipt,
        Problem,
        PruneResult,
        SessionInfo,
        SessionPage,
        TextMatch,
        VerifyReport,
        WriteResult,
    )
    from contextstore.backends.sqlite import SQLiteMemory
    from contextstore.backends.tiered import TieredMemory
    from contextstore.backends.url import open_memory
    from contextstore.context.builder import BuildResult, ContextBuilder
    from contextstore.context.strategies import register_strategy
    from contextstore.context.tokenizers import Tokenizer, tokenizer_from_name
    from contextstore.errors import (
        AsyncContextError,
        BusyError,
        ClosedError,
        ConfigurationError,
        ConflictError,
        ContextOverflowError,
        ContextStoreError,
        CorruptDataError,
        EmbeddingError,
        InteractionNotFoundError,
        InvalidInputError,
        MissingDependencyError,
        NotFoundError,
        SchemaVersionError,
        SessionNotFoundError,
        StorageError,
        UnavailableError,
        UnsupportedOperationError,
    )
    from contextstore.retrieval.base import (
        RetrievalBackend,
        RetrievedItem,
        retrieve_relevant,
    )
    from contextstore.retrieval.embedding import EmbedFn
    from contextstore.retrieval.memory import InMemoryEmbeddingStore
    from contextstore.retrieval.pgvector import PgVectorStore
    from contextstore.retrieval.sqlite import SQLiteEmbeddingStore
    from contextstore.retrieval.weights import RetrievalWeights
    from contextstore.store import (
        EmbeddingReport,
        EmbeddingStatus,
        SessionStore,
        SessionStoreConfig,
    )
    from contextstore.sync import SyncMemory, SyncRetrieval, SyncSessionStore

__version__ = "2.0.0a1"

__all__ = [
    "AsyncContextError",
    "BuildResult",
    "BusyError",
    "ClosedError",
    "ConfigurationError",
    "ConflictError",
    "ContextBuilder",
    "ContextOverflowError",
    "ContextStoreError",
    "CorruptDataError",
    "EmbedFn",
    "EmbeddingError",
    "EmbeddingReport",
    "EmbeddingStatus",
    "EraseReceipt",
    "InMemoryEmbeddingStore",
    "InMemoryMemory",
    "InteractionNotFoundError",
    "InvalidInputError",
    "MemoryBackend",
    "MissingDependencyError",
    "NotFoundError",
    "PgVectorStore",
    "PostgresMemory",
    "Problem",
    "PruneResult",
    "RedisMemory",
    "RetrievalBackend",
    "RetrievalWeights",
    "RetrievedItem",
    "SQLiteEmbeddingStore",
    "SQLiteMemory",
    "SchemaVersionError",
    "SessionInfo",
    "SessionNotFoundError",
    "SessionPage",
    "SessionStore",
    "SessionStoreConfig",
    "StorageError",
    "SyncMemory",
    "SyncRetrieval",
    "SyncSessionStore",
    "TextMatch",
    "TieredMemory",
    "Tokenizer",
    "UnavailableError",
    "UnsupportedOperationError",
    "VerifyReport",
    "WriteResult",
    "open_memory",
    "register_strategy",
    "retrieve_relevant",
    "tokenizer_from_name",
]

# Where the names are.
_HOMES = {
    "AsyncContextError": "contextstore.errors",
    "BuildResult": "contextstore.context.builder",
    "BusyError": "contextstore.errors",
    "ClosedError": "contextstore.errors",
    "ConfigurationError": "contextstore.errors",
    "ConflictError": "contextstore.errors",
    "ContextBuilder": "contextstore.context.builder",
    "ContextOverflowError": "contextstore.errors",
    "ContextStoreError": "contextstore.errors",
    "CorruptDataError": "contextstore.errors",
    "EmbedFn": "contextstore.retrieval.embedding",
    "EmbeddingError": "contextstore.errors",
    "EmbeddingReport": "contextstore.store",
    "EmbeddingStatus": "contextstore.store",
    "EraseReceipt": "contextstore.backends.results",
    "InMemoryEmbeddingStore": "contextstore.retrieval.memory",
    "InMemoryMemory": "contextstore.backends.memory",
    "InteractionNotFoundError": "contextstore.errors",
    "InvalidInputError": "contextstore.errors",
    "MemoryBackend": "contextstore.backends.base",
    "MissingDependencyError": "contextstore.errors",
    "NotFoundError": "contextstore.errors",
    "PgVectorStore": "contextstore.retrieval.pgvector",
    "PostgresMemory": "contextstore.backends.postgres",
    "Problem": "contextstore.backends.results",
    "PruneResult": "contextstore.backends.results",
    "RedisMemory": "contextstore.backends.redis",
    "RetrievalBackend": "contextstore.retrieval.base",
    "RetrievalWeights": "contextstore.retrieval.weights",
    "RetrievedItem": "contextstore.retrieval.base",
    "SQLiteEmbeddingStore": "contextstore.retrieval.sqlite",
    "SQLiteMemory": "contextstore.backends.sqlite",
    "SchemaVersionError": "contextstore.errors",
    "SessionInfo": "contextstore.backends.results",
    "SessionNotFoundError": "contextstore.errors",
    "SessionPage": "contextstore.backends.results",
    "SessionStore": "contextstore.store",
    "SessionStoreConfig": "contextstore.store",
    "StorageError": "contextstore.errors",
    "SyncMemory": "contextstore.sync",
    "SyncRetrieval": "contextstore.sync",
    "SyncSessionStore": "contextstore.sync",
    "TextMatch": "contextstore.backends.results",
    "TieredMemory": "contextstore.backends.tiered",
    "Tokenizer": "contextstore.context.tokenizers",
    "UnavailableError": "contextstore.errors",
    "UnsupportedOperationError": "contextstore.errors",
    "VerifyReport": "contextstore.backends.results",
    "WriteResult": "contextstore.backends.results",
    "open_memory": "contextstore.backends.url",
    "register_strategy": "contextstore.context.strategies",
    "retrieve_relevant": "contextstore.retrieval.base",
    "tokenizer_from_name": "contextstore.context.tokenizers",
}

_MODULES = (
    "backends",
    "context",
    "embedders",
    "errors",
    "messages",
    "retrieval",
    "store",
    "sync",
)
# Threads that import modules of one package in different orders wait for each other.
_loading = threading.RLock()


def _load(name: str) -> Any:
    """Return a public name, or a module of the package, at its first use."""
    if name not in _HOMES and name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with _loading:
        if name in _HOMES:
            value = getattr(importlib.import_module(_HOMES[name]), name)
        else:
            value = importlib.import_module(f"{__name__}.{name}")
    globals()[name] = value
    return value


def __dir__() -> List[str]:
    return sorted({*globals(), *__all__, *_MODULES})


if not TYPE_CHECKING:
    # Type checkers would believe in any name.
    __getattr__ = _load
