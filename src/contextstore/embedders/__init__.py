"""Offer ready embedding functions; each is called like any other, ``embed_fn(texts)``.

Besides that they have a ``name`` and a ``dimension``, which tell two models apart, a
``batch_size``, and ``embed_queries`` for models that read a question otherwise than a
text.
"""

from __future__ import annotations

from contextstore.embedders.hashing import HashingEmbedder
from contextstore.embedders.openai_compatible import OpenAICompatibleEmbedder
from contextstore.embedders.sentence_transformers import SentenceTransformersEmbedder

__all__ = [
    "HashingEmbedder",
    "OpenAICompatibleEmbedder",
    "SentenceTransformersEmbedder",
]
