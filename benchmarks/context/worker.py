"""Measure one system: the time of a warm build, and the prompts of a growing chat."""

from __future__ import annotations

import json
import statistics
import sys
import time
from random import Random
from typing import Any, Dict, List

from benchmarks.context.histories import conversation, turn
from benchmarks.context.trimmers import TRIMMERS, Trim


def main() -> None:
    task = json.loads(sys.argv[1])
    trim = TRIMMERS[task["system"]]()
    measure = {"time": _time, "chat": _chat}[task["measure"]]
    for _ in sys.stdin:
        print(json.dumps(measure(trim, task)), flush=True)


def _time(trim: Trim, task: Dict[str, Any]) -> Dict[str, Any]:
    history = conversation(task["messages"])
    prompt = trim(history, task["budget"])
    taken: List[float] = []
    until = time.perf_counter() + task["seconds"]
    while not taken or (time.perf_counter() < until and len(taken) < 1000):
        start = time.perf_counter()
        trim(history, task["budget"])
        taken.append((time.perf_counter() - start) * 1000)
    return {
        "ms": statistics.median(taken),
        "least_ms": min(taken),
        "runs": len(taken),
        "prompt": prompt,
    }


def _chat(trim: Trim, task: Dict[str, Any]) -> Dict[str, Any]:
    """Return the prompts before each answer of a chat, from the hundredth turn on."""
    random = Random(4)
    history = conversation(1)
    prompts: List[Any] = []
    for number in range(task["turns"]):
        history += turn(random, number)
        if number >= 99:
            prompts.append(trim(history[:-1], task["budget"]))
    return {"prompts": prompts}


if __name__ == "__main__":
    main()
