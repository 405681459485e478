"""Measure one system: the time of a search in one session."""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from random import Random
from typing import Any, Dict, List

from benchmarks.retrieval.searchers import SEARCHERS

DIMENSION = 384
TOPICS = 50
QUERIES = 50
WARM_UP = 10


def vectors(count: int) -> List[List[float]]:
    """Make vectors around some topics, as the texts of a conversation are."""
    random = Random(1)
    topics = [[random.gauss(0, 1) for _ in range(DIMENSION)] for _ in range(TOPICS)]
    return [
        [part + random.gauss(0, 1) for part in random.choice(topics)]
        for _ in range(count)
    ]


def main() -> None:
    task: Dict[str, Any] = json.loads(sys.argv[1])
    rows = vectors(task["vectors"])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    search = SEARCHERS[task["system"]](rows)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    queries = [[part + 0.1 for part in row] for row in rows[:QUERIES]]
    for query in queries[:WARM_UP]:
        search(query)
    for _ in sys.stdin:
        taken: List[float] = []
        until = time.perf_counter() + task["seconds"]
        while not taken or time.perf_counter() < until:
            query = queries[len(taken) % len(queries)]
            start = time.perf_counter()
            search(query)
            taken.append((time.perf_counter() - start) * 1e6)
        answer = {"us": statistics.median(taken), "least_us": min(taken)}
        answer["bytes_a_vector"] = grown * 1024 / len(rows)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
