"""Ranking and scores have the same bits on any Python, numpy, BLAS and store."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from contextstore import (
    InMemoryEmbeddingStore,
    RetrievalWeights,
    SessionStoreConfig,
    SQLiteEmbeddingStore,
    SQLiteMemory,
    SyncSessionStore,
    _optional,
)
from contextstore.retrieval.vector_store import VectorStore
from contextstore.testing.faults.children import last_line, say, start

# So many numbers that OpenBLAS takes several cores, and the scan several blocks.
DIMENSION = 384
COUNT = 1_100
WORDS = [f"{first}{last}" for first in "bdfgklmnprst" for last in ("oat", "ine", "ed")]
NAMES = ["Anna", "Bert", None]

# What it has to be wherever this runs. Another rule or other data have another one; the
# test that fails then prints it.
EXPECTED = "d11b7249fd9aa5555d638d422267c30fbf4dadb6ca89477f22554a0174ff493b"

SETTINGS: List[Dict[str, str]] = [
    {},
    {},
    {"OPENBLAS_CORETYPE": "Sandybridge", "OPENBLAS_NUM_THREADS": "1"},
    {"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_NUM_THREADS": "2"},
]


def embed(texts: List[str]) -> List[List[float]]:
    """Give texts that share words vectors that lie near each other."""
    return [_vector(text) for text in texts]


def _vector(text: str) -> List[float]:
    chance = random.Random(text)
    vector = [chance.random() for _ in range(DIMENSION)]
    for word in text.split():
        vector[WORDS.index(word) if word in WORDS else 0] += 2.0
    return vector


def messages() -> List[Dict[str, Any]]:
    chance = random.Random(7)
    found: List[Dict[str, Any]] = []
    for number in range(COUNT):
        words = [WORDS[int(chance.random() * len(WORDS))] for _ in range(6)]
        # Every ninth says what others say, so that there are ties.
        text = "boat" if number % 9 == 0 else " ".join(words[: 1 + number % 6])
        message = {
            "id": f"m{number}",
            "role": ["user", "assistant"][number % 2],
            "content": text,
            "timestamp": f"2024-0{1 + number % 9}-1{number % 10}T00:00:00Z",
        }
        name = NAMES[number % 3]
        found.append(message if name is None else {**message, "name": name})
    return found


def outcomes(directory: Path, vectors: VectorStore) -> Iterator[str]:
    """Give what searches find, with every bit of their scores."""
    memory = SQLiteMemory(directory / "messages.db")
    for weights in (RetrievalWeights(), RetrievalWeights(full_scan=100, pool=20)):
        config = SessionStoreConfig(auto_embed=True, embed_fn=embed, weights=weights)
        store = SyncSessionStore(memory, vectors, config)
        store.save_context("s", messages())
        store.update_interaction("s", "m9", {"role": "user", "content": "loat"})
        store.save_context("t", messages()[:50])
        for query in ("boat", "What did Anna say of doat in March 2024?", "fine"):
            for mode in ("hybrid", "dense", "lexical"):
                for item in store.retrieve_relevant("s", query, 40, mode=mode):
                    yield _bits(item)
            for item in store.search(query, k=20):
                yield _bits(item)
        store.delete_interaction("s", "m1050")
    queries = embed(["boat", "goat dine", "x"])
    face = vectors.sync
    for k in (1, 30, 2_000):
        for found in face.search_many("s", queries, k):
            yield from map(_bits, found)
        for item in face.search_sessions(["t", "s"], queries[0], k):
            yield _bits(item)
    memory.sync.close()
    face.close()


def _bits(item: Any) -> str:
    scores = (item.score, item.cosine, item.lexical)
    shown = [None if one is None else float(one).hex() for one in scores]
    return repr((item.session_id, item.message_id, shown))


def say_hash(directory: str, *, with_numpy: bool) -> None:
    """Print the hash of all outcomes, in memory and in a file; in the child."""
    if not with_numpy:
        find = _optional.find
        _optional.find = lambda module: None if "numpy" in module else find(module)
    place = Path(directory)
    for name in ("memory", "file"):
        (place / name).mkdir()
        vectors = (
            InMemoryEmbeddingStore()
            if name == "memory"
            else SQLiteEmbeddingStore(place / name / "vectors.db")
        )
        digest = hashlib.sha256()
        for outcome in outcomes(place / name, vectors):
            digest.update(outcome.encode())
        say(digest.hexdigest())


def hashes(directory: Path, *, with_numpy: bool) -> List[str]:
    child = start(
        f"{__name__}:say_hash", directory=str(directory), with_numpy=with_numpy
    )
    printed, errors = child.communicate()
    assert child.returncode == 0, last_line(errors)
    return printed.decode().split()


@pytest.mark.parametrize("number", range(len(SETTINGS)))
def test_with_numpy(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("numpy")
    for name, value in SETTINGS[number].items():
        monkeypatch.setenv(name, value)
    assert hashes(tmp_path, with_numpy=True) == [EXPECTED] * 2


def test_without_numpy(tmp_path: Path) -> None:
    assert hashes(tmp_path, with_numpy=False) == [EXPECTED] * 2
