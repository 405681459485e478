"""Say how a SessionStore embeds, ranks and builds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from contextstore.context.builder import ContextBuilder
from contextstore.errors import ConfigurationError
from contextstore.retrieval.base import RetrievalBackend
from contextstore.retrieval.embedding import DEFAULT_BATCH_SIZE, EmbedFn
from contextstore.retrieval.weights import RetrievalWeights

__all__ = ["SessionStoreConfig"]


@dataclass(frozen=True)
class SessionStoreConfig:
    """Say how a SessionStore embeds, ranks and builds.

    Attributes:
        auto_embed: embed every message when it is saved or appended, and what lacks a
            vector before a search.
        embed_fn: turns texts into vectors: a function, sync or async, that takes a
            list of texts and gives one vector a text. Where it has a ``name``, its
            vectors are kept apart from those of other models.
        embed_batch_size: how many texts one call of ``embed_fn`` gets at most.
        weights: the constants of the rule that ranks messages.
        builder: builds prompts; by default it counts by the estimator.
    """

    auto_embed: bool = False
    embed_fn: Optional[EmbedFn] = None
    embed_batch_size: int = DEFAULT_BATCH_SIZE
    weights: RetrievalWeights = field(default_factory=RetrievalWeights)
    builder: ContextBuilder = field(default_factory=ContextBuilder)

    def check(self, retrieval: Optional[RetrievalBackend]) -> None:
        """Refuse a configuration that contradicts itself.

        Raises:
            ConfigurationError: ``auto_embed`` lacks a part that it needs, or the size
                of a batch is none.
        """
        parts: Any = (self.builder, self.weights)
        if not isinstance(parts[0], ContextBuilder):
            raise ConfigurationError("builder has to be a ContextBuilder")
        if not isinstance(parts[1], RetrievalWeights):
            raise ConfigurationError("weights have to be RetrievalWeights")
        if self.embed_fn is not None and not callable(self.embed_fn):
            raise ConfigurationError("embed_fn has to be a function")
        size: Any = self.embed_batch_size
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise ConfigurationError("embed_batch_size has to be an int of 1 or more")
        if self.auto_embed and (retrieval is None or self.embed_fn is None):
            lacking = "a retrieval backend" if retrieval is None else "embed_fn"
            raise ConfigurationError(f"auto_embed=True needs {lacking} as well")


def model_name(embed_fn: Optional[EmbedFn]) -> str:
    """Return the name of the model behind a function; empty where it has none."""
    name = getattr(embed_fn, "name", "")
    return name if isinstance(name, str) else ""
