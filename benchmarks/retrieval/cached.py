"""Measure a search of a session that SQLite's store holds; see README.md."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, List

from benchmarks.retrieval.searchers import K
from benchmarks.retrieval.worker import DIMENSION, QUERIES, vectors
from contextstore import InMemoryEmbeddingStore, SQLiteEmbeddingStore

SIZES = (100, 1_000, 10_000)
ROUNDS = 15
# A commit each so many seconds, of another process and to other sessions.
PAUSE = 0.002

WRITE = f"""
import itertools, sys, time
from contextstore import SQLiteEmbeddingStore

store = SQLiteEmbeddingStore(sys.argv[1]).sync
for number in itertools.count():
    vector = [float(number % 7 + 1)] * {DIMENSION}
    store.add(f"other{{number % 50}}", str(number), vector)
    time.sleep({PAUSE})
"""


def filled(store: Any, rows: List[List[float]]) -> Any:
    """Return the sync face of a store that holds these vectors."""
    items = [(str(place), row, {"text": "a text"}) for place, row in enumerate(rows)]
    store.sync.add_many("s", items)
    return store.sync


def turn(store: Any, queries: List[List[float]]) -> float:
    """Return the median time of some searches, in microseconds."""
    taken: List[float] = []
    for query in queries * 4:
        start = time.perf_counter()
        store.search("s", query, K)
        taken.append((time.perf_counter() - start) * 1e6)
    return statistics.median(taken)


def measure(count: int, folder: Path) -> None:
    """Print both stores beside each other, and the ratio of turns that alternate."""
    rows, path = vectors(count), folder / f"{count}.db"
    memory, file = InMemoryEmbeddingStore(), SQLiteEmbeddingStore(path)
    stores = [filled(memory, rows), filled(file, rows)]
    queries = [[part + 0.1 for part in row] for row in rows[:QUERIES]]
    other = subprocess.Popen([sys.executable, "-c", WRITE, str(path)])
    try:
        turns = [[turn(store, queries) for store in stores] for _ in range(ROUNDS)]
    finally:
        other.kill()
        other.wait()
    ratio = statistics.median(cached / plain for plain, cached in turns)
    plain, cached = (statistics.median(column) for column in zip(*turns))
    print(
        f"{count:6,} vectors: {plain:6.0f} us in memory, {cached:6.0f} us in SQLite,"
        f" ratio {ratio:.2f}"
    )


def main() -> None:
    print("a cached search, while another process commits to other sessions")
    with tempfile.TemporaryDirectory() as folder:
        for count in SIZES:
            measure(count, Path(folder))


if __name__ == "__main__":
    main()
