"""Measure search beside the bandwidth floor of the same run; see README.md."""

# ruff: noqa: PLC0415 - another package of the same interface lacks these modules

from __future__ import annotations

import argparse
import asyncio
import time
from typing import Any, Awaitable, Callable, List

import numpy

DIMENSION = 384
# How many searches are timed at each size, and how many results each gives.
SEARCHES = {100: 2_000, 1_000: 1_000, 100_000: 40}
K = 10


def vectors(count: int) -> Any:
    """Make vectors around fifty topics, as the texts of a conversation are."""
    random = numpy.random.RandomState(1)
    topics = random.randn(50, DIMENSION)
    rows = topics[random.randint(0, 50, count)] + random.randn(count, DIMENSION)
    return rows.astype(numpy.float32)


def show(title: str, seconds: List[float]) -> float:
    """Print the median and the least of some times, and return the median."""
    ordered = sorted(seconds)
    median = ordered[len(ordered) // 2]
    print(f"{title:46} median {median * 1e6:9.0f} us, least {ordered[0] * 1e6:9.0f} us")
    return median


def time_calls(call: Callable[[int], Any], times: int) -> List[float]:
    """Time plain calls."""
    spent: List[float] = []
    for number in range(times):
        start = time.perf_counter()
        call(number)
        spent.append(time.perf_counter() - start)
    return spent


async def time_awaits(call: Callable[[int], Awaitable[Any]], times: int) -> List[float]:
    """Time awaited calls."""
    spent: List[float] = []
    for number in range(times):
        start = time.perf_counter()
        await call(number)
        spent.append(time.perf_counter() - start)
    return spent


async def search_store(count: int) -> None:
    """Time the search of one session, and M @ q over the same vectors."""
    from contextstore import InMemoryEmbeddingStore

    rows = vectors(count)
    store = InMemoryEmbeddingStore()
    for number, row in enumerate(rows.tolist()):
        await store.add("s", str(number), row, {"text": "a message"})
    queries = (rows[:100] + 0.1).tolist()
    times = SEARCHES[count]

    async def search(number: int) -> None:
        await store.search("s", queries[number % len(queries)], K)

    found = show(f"search {count:,} vectors", await time_awaits(search, times))
    query = rows[0].copy()
    floor = show(f"M @ q, {count:,}", time_calls(lambda _: rows @ query, times))
    print(f"{'':46} ratio {found / floor:.2f}")


async def search_hybrid(count: int) -> None:
    """Time the rule over messages of ten words out of two thousand."""
    from contextstore import (
        InMemoryEmbeddingStore,
        InMemoryMemory,
        SessionStore,
        SessionStoreConfig,
    )

    random = numpy.random.RandomState(2)
    words = [f"word{number}" for number in range(2_000)]
    # Few words are common and many are rare, as in any language.
    picks = (2_000 * random.rand(count, 10) ** 3).astype(int).tolist()
    texts = [" ".join(words[pick] for pick in row) for row in picks]
    rows = dict(zip(texts, vectors(count).tolist()))

    async def embed_fn(asked: List[str]) -> List[List[float]]:
        return [rows[text] for text in asked]

    config = SessionStoreConfig(auto_embed=True, embed_fn=embed_fn)
    store = SessionStore(InMemoryMemory(), InMemoryEmbeddingStore(), config)
    messages = [
        {
            "id": str(number),
            "role": "user" if number % 2 else "assistant",
            "content": text,
            "timestamp": f"2024-01-{1 + number * 28 // count:02}T00:00:00Z",
        }
        for number, text in enumerate(texts)
    ]
    await store.save_context("s", messages)

    async def ask(number: int, mode: str) -> None:
        await store.retrieve_relevant("s", texts[number % 100], K, mode=mode)

    for mode in ("hybrid", "lexical"):
        await ask(0, mode)
        spent = await time_awaits(lambda number, mode=mode: ask(number, mode), 200)
        show(f"{mode}, {count:,} messages", spent)


def main() -> None:
    """Read the arguments and print the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=["store", "hybrid"])
    arguments = parser.parse_args()
    if arguments.only != "hybrid":
        for count in SEARCHES:
            asyncio.run(search_store(count))
    if arguments.only != "store":
        for count in (700, 9_000):
            asyncio.run(search_hybrid(count))


if __name__ == "__main__":
    main()
