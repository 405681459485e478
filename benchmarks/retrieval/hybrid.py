"""Measure retrieve_relevant, the embedding of the query apart; see README.md."""

from __future__ import annotations

import asyncio
import statistics
import time
from random import Random
from typing import List

from benchmarks.retrieval.searchers import K
from benchmarks.retrieval.worker import vectors
from contextstore import (
    InMemoryEmbeddingStore,
    InMemoryMemory,
    SessionStore,
    SessionStoreConfig,
)

SIZES = (700, 9_000)
MODES = ("hybrid", "lexical", "dense")
WORDS = 2_000
TIMES = 200


def sentences(count: int) -> List[str]:
    """Make texts of ten words, few of them common and many rare."""
    random = Random(2)
    return [
        " ".join(f"word{int(WORDS * random.random() ** 3)}" for _ in range(10))
        for _ in range(count)
    ]


async def measure(count: int) -> None:
    """Print the times over one session."""
    texts = sentences(count)
    rows = dict(zip(texts, vectors(count)))

    async def embed_fn(asked: List[str]) -> List[List[float]]:
        return [rows[text] for text in asked]

    config = SessionStoreConfig(auto_embed=True, embed_fn=embed_fn)
    store = SessionStore(InMemoryMemory(), InMemoryEmbeddingStore(), config)
    messages = [
        {"role": "user" if place % 2 else "assistant", "content": text}
        for place, text in enumerate(texts)
    ]
    await store.save_context("s", messages)
    for mode in MODES:
        taken: List[float] = []
        for number in range(TIMES):
            query = texts[number % 100]
            start = time.perf_counter()
            await store.retrieve_relevant("s", query, K, mode=mode)
            taken.append((time.perf_counter() - start) * 1e3)
        print(
            f"{count:6,} messages, {mode:8} median {statistics.median(taken):6.2f} ms,"
            f" least {min(taken):6.2f} ms"
        )


def main() -> None:
    for count in SIZES:
        asyncio.run(measure(count))


if __name__ == "__main__":
    main()
