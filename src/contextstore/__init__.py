"""Keep what was said to a language model and give back the right part of it."""

from __future__ import annotations

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
