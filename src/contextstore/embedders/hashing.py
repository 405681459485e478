"""Embed by hashing words: for tests, where no model may be needed."""

from __future__ import annotations

from hashlib import blake2b
from typing import List

from contextstore.errors import InvalidInputError
from contextstore.retrieval.terms import terms_of

__all__ = ["HashingEmbedder"]


class HashingEmbedder:
    """Embed a text by its words, each hashed to a place and a sign. For tests only.

    Texts that share words get similar vectors, and the same text the same vector in
    every process; it knows nothing of meaning. What the rule of retrieval finds by
    words it finds without this.

    Args:
        dimension: components of a vector.
    """

    batch_size = 1_024

    def __init__(self, dimension: int = 256) -> None:
        if type(dimension) is not int or dimension < 1:
            raise InvalidInputError(
                "dimension must be a positive int", path="dimension"
            )
        self.dimension = dimension
        self.name = f"hashing-{dimension} (for tests only)"

    def __call__(self, texts: List[str]) -> List[List[float]]:
        """Return one vector a text."""
        return [self._embed(text) for text in texts]

    def embed_queries(self, texts: List[str]) -> List[List[float]]:
        """Return one vector a query; they are embedded as texts are."""
        return self(texts)

    def _embed(self, text: str) -> List[float]:
        vector = [0.0] * self.dimension
        for term in terms_of(text):
            digest = blake2b(term.encode("utf-8", "replace"), digest_size=8).digest()
            number = int.from_bytes(digest, "big")
            vector[(number >> 1) % self.dimension] += 1.0 if number & 1 else -1.0
        return vector
