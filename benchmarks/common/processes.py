"""Measure each system in a process of its own, in turns so short that all see one day.

A worker is a module that reads its task from its argument and then, for every line
that it is sent, measures for a moment and prints the figures as one line of JSON. All
workers are started before the first turn; those that wait take no time of the machine.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import threading
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from benchmarks.common.environments import ROOT

Result = Dict[str, Any]


class Worker:
    """Be one process that measures.

    Args:
        python: the interpreter of the environment that has the system.
        prefix: a command to run it under, such as that of a tracer.
        timeout: how many seconds one answer may take.
    """

    def __init__(
        self,
        python: Path,
        module: str,
        task: Mapping[str, Any],
        *,
        timeout: float,
        prefix: Sequence[str] = (),
    ) -> None:
        self._timeout = timeout
        self._failure: Optional[Result] = None
        self._process = subprocess.Popen(
            [*prefix, str(python), "-m", module, json.dumps(task)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ask(self) -> Result:
        """Return the figures of one turn, or ``{"error": ...}`` once it has failed."""
        if self._failure is not None:
            return self._failure
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        killer = threading.Timer(self._timeout, self._process.kill)
        killer.start()
        try:
            self._process.stdin.write("go\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        finally:
            killer.cancel()
        if not answer:
            self._failure = {"error": self._last_words()}
            return self._failure
        result: Result = json.loads(answer)
        return result

    def close(self) -> None:
        """Let the worker end, and wait for it."""
        try:
            self._process.communicate(timeout=self._timeout)
        except (subprocess.TimeoutExpired, ValueError, BrokenPipeError):
            self._process.kill()
            self._process.wait()

    def _last_words(self) -> str:
        assert self._process.stderr is not None
        lines = self._process.stderr.read().strip().splitlines()
        return lines[-1] if lines else f"no answer within {self._timeout:g} s"


def interleave(
    start: Mapping[str, Callable[[], Worker]],
    rounds: int,
    tell: Callable[[str, Result], None],
) -> Dict[str, List[Result]]:
    """Ask every worker once a round, each second round in the opposite order.

    What else the machine does at the time so falls on all of them alike.
    """
    workers = {name: make() for name, make in start.items()}
    results: Dict[str, List[Result]] = {name: [] for name in workers}
    try:
        for number in range(rounds):
            names = list(workers)
            for name in names if number % 2 == 0 else reversed(names):
                answer = workers[name].ask()
                tell(name, answer)
                results[name].append(answer)
    finally:
        for worker in workers.values():
            worker.close()
    return results


def median(results: Sequence[Result], key: str) -> float:
    """Return the median of a figure over the rounds that have it; NaN if none has."""
    found = [result[key] for result in results if key in result]
    return statistics.median(found) if found else float("nan")


def median_ratio(over: Sequence[Result], under: Sequence[Result], key: str) -> float:
    """Return the median over all rounds of the ratio of two systems in one round."""
    ratios = [a[key] / b[key] for a, b in zip(over, under) if key in a and b.get(key)]
    return statistics.median(ratios) if ratios else float("nan")
