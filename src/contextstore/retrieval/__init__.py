"""Find what was said: vectors, words, and both together."""

from __future__ import annotations

from contextstore.retrieval.base import (
    RetrievalBackend,
    RetrievedItem,
    retrieve_relevant,
)
from contextstore.retrieval.embedding import EmbedFn
from contextstore.retrieval.memory import InMemoryEmbeddingStore

__all__ = [
    "EmbedFn",
    "InMemoryEmbeddingStore",
    "RetrievalBackend",
    "RetrievedItem",
    "retrieve_relevant",
]
