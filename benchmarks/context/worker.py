"""Measure one system: the time of a warm build, and the prompts of a growing chat."""

from __future__ import annotations

import importlib
import json
import statistics
import sys
import time
from random import Random
from typing import Any, Callable, Dict, List

from benchmarks.context.histories import conversation, turn
from benchmarks.context.trimmers.base import Costs, Trimmer

_FIRST_PROMPT = 99
_MOST_REPEATS = 1000


def main() -> None:
    task = json.loads(sys.argv[1])
    module = importlib.import_module(f"benchmarks.context.trimmers.{task['system']}")
    measure = {"time": _time, "chat": _chat}[task["measure"]]
    for _ in sys.stdin:
        print(json.dumps(measure(module.System, task)), flush=True)


def _time(system: Callable[..., Trimmer], task: Dict[str, Any]) -> Dict[str, Any]:
    trimmer = system(Costs(remembered=False), task["budget"])
    trimmer.add(conversation(task["messages"]))
    prompt = trimmer.prompt(trimmer.trim())
    taken: List[float] = []
    until = time.perf_counter() + task["seconds"]
    while not taken or (time.perf_counter() < until and len(taken) < _MOST_REPEATS):
        trimmer.renew()
        start = time.perf_counter()
        trimmer.trim()
        taken.append((time.perf_counter() - start) * 1000)
    return {
        "ms": statistics.median(taken),
        "least_ms": min(taken),
        "runs": len(taken),
        "prompt": prompt,
    }


def _chat(system: Callable[..., Trimmer], task: Dict[str, Any]) -> Dict[str, Any]:
    """Return the prompts before each answer of a chat, from the hundredth turn on."""
    random = Random(4)
    # Counts are remembered: only what is sent is looked at here.
    trimmer = system(Costs(remembered=True), task["budget"])
    trimmer.add(conversation(1))
    prompts: List[Any] = []
    for number in range(task["turns"]):
        *asked, answer = turn(random, number)
        trimmer.add(asked)
        trimmed = trimmer.trim()
        if number >= _FIRST_PROMPT:
            prompts.append(trimmer.prompt(trimmed))
        trimmer.add([answer])
    return {"prompts": prompts}


if __name__ == "__main__":
    main()
