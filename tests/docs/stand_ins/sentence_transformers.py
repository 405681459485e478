"""Stand in for the package sentence-transformers, whose models need a download."""

from __future__ import annotations

from typing import Any, List, Optional, Union

import numpy

from tests.docs.vectors import words_as_vector


class SentenceTransformer:
    """Have the interface of the class of this name, and no model behind it."""

    def __init__(self, model_name_or_path: str) -> None:
        self.model_name_or_path = model_name_or_path

    def encode(
        self,
        sentences: Union[str, List[str]],
        *,
        batch_size: int = 32,
        show_progress_bar: Optional[bool] = None,
    ) -> Any:
        """Return one float32 row a text, or one vector for one text."""
        if isinstance(sentences, str):
            return numpy.array(words_as_vector(sentences), dtype=numpy.float32)
        rows = [words_as_vector(text) for text in sentences]
        return numpy.array(rows, dtype=numpy.float32)
