"""Embed by a model of sentence-transformers, on this machine."""

from __future__ import annotations

import threading
from typing import Any, Dict, List, Optional, Union

from contextstore import _optional

__all__ = ["SentenceTransformersEmbedder"]

# How the models that come with prompts name them.
_DOCUMENT_PROMPTS = ("document", "passage")
_QUERY_PROMPTS = ("query",)


class SentenceTransformersEmbedder:
    """Embed by a model of sentence-transformers, loaded at the first call.

    Models that read a query otherwise than a text say so in their prompts; those named
    ``query``, ``document`` and ``passage`` are used.

    Args:
        model: the name of a model, a path, or a model that is loaded already.
        batch_size: how many texts the model takes at once.
        query_prompt: put before each query, instead of the model's own.
        document_prompt: put before each text that is not a query, instead of the
            model's own.

    Raises:
        MissingDependencyError: at the first call, if the package is not installed.
    """

    def __init__(
        self,
        model: Union[str, Any] = "all-MiniLM-L6-v2",
        *,
        batch_size: int = 32,
        query_prompt: Optional[str] = None,
        document_prompt: Optional[str] = None,
    ) -> None:
        self.batch_size = batch_size
        self._query_prompt = query_prompt
        self._document_prompt = document_prompt
        self._lock = threading.Lock()
        self._model: Any = None if isinstance(model, str) else model
        self.name = model if isinstance(model, str) else _name_of(model)

    @property
    def dimension(self) -> Optional[int]:
        """Give the components of a vector, None where the model does not say."""
        found: Optional[int] = self._loaded().get_sentence_embedding_dimension()
        return found

    def __call__(self, texts: List[str]) -> List[List[float]]:
        """Return one vector a text."""
        return self._encode(texts, self._document_prompt, _DOCUMENT_PROMPTS)

    def embed_queries(self, texts: List[str]) -> List[List[float]]:
        """Return one vector a query."""
        return self._encode(texts, self._query_prompt, _QUERY_PROMPTS)

    def _encode(
        self, texts: List[str], prompt: Optional[str], names: Any
    ) -> List[List[float]]:
        model = self._loaded()
        if prompt is None:
            prompts: Dict[str, str] = getattr(model, "prompts", None) or {}
            prompt = next((prompts[name] for name in names if prompts.get(name)), "")
        vectors: List[List[float]] = model.encode(
            [prompt + text for text in texts],
            batch_size=self.batch_size,
            show_progress_bar=False,
        ).tolist()
        return vectors

    def _loaded(self) -> Any:
        with self._lock:
            if self._model is None:
                package = _optional.require("sentence_transformers", "embedders")
                self._model = package.SentenceTransformer(self.name)
            return self._model


def _name_of(model: Any) -> str:
    """Return what a loaded model calls itself."""
    card = getattr(model, "model_card_data", None)
    name = getattr(card, "model_id", None) or getattr(card, "base_model", None)
    return str(name or type(model).__name__)
