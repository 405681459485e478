"""Join memory, retrieval and context: the one place where the three meet."""

from __future__ import annotations

from contextstore.store.config import SessionStoreConfig
from contextstore.store.embedding import EmbeddingReport, EmbeddingStatus
from contextstore.store.session_store import SessionStore

__all__ = ["EmbeddingReport", "EmbeddingStatus", "SessionStore", "SessionStoreConfig"]
