"""Measure retrieval as a whole; see README.md.

    .venv/bin/python -m benchmarks.retrieval [--sizes 100 1000] [--systems langchain]
        [--conversations locomo10.json]

First, searches of one session of vectors, exact ones and others: each system in an
environment and a process of its own, in short turns that take each other's place, so
that what else the machine does falls on all alike. Then the modules beside this one.
"""

from __future__ import annotations

import argparse
import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

from benchmarks.common.environments import ROOT, provide, provide_ours
from benchmarks.common.processes import Result, Worker, interleave, median, median_ratio

SIZES = (100, 1_000, 100_000)
ROUNDS = 7
LONGEST_SECONDS = 300.0
ALONE = ("cached", "hybrid")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="*", type=int, default=SIZES)
    parser.add_argument("--systems", nargs="*", help="peers to measure; all by default")
    parser.add_argument("--seconds", type=float, default=0.5, help="of each turn")
    parser.add_argument("--conversations", help="a file in the format of LoCoMo")
    options = parser.parse_args()
    pythons = _pythons(options.systems)
    for size in options.sizes:
        start = {
            name: functools.partial(_worker, python, name, size, options.seconds)
            for name, python in pythons.items()
        }
        _report(size, interleave(start, ROUNDS, _tell))
    for module in ALONE:
        _run(pythons["ours"], module)
    if options.conversations:
        # It has the model, and counts tokens as the sources do.
        python = Path(sys.executable)
        _run(python, "quality", options.conversations, "--model", "none")
        _run(python, "quality", options.conversations, "--model", "minilm")


def _run(python: Path, module: str, *arguments: str) -> None:
    print(f"\n{module}", flush=True)
    command = [str(python), "-m", f"benchmarks.retrieval.{module}", *arguments]
    subprocess.run(command, cwd=ROOT, check=True)


def _pythons(chosen: Any) -> Dict[str, Path]:
    peers = json.loads(Path(__file__).with_name("peers.json").read_text())
    ours = provide_ours("retrieval-ours", "numpy")
    pythons = {"ours": ours, "M @ q": ours}
    for name, requirements in peers.items():
        if chosen is None or name in chosen:
            folder = name.replace(" ", "-")
            pythons[name] = provide(f"retrieval-{folder}", requirements)
    return pythons


def _worker(python: Path, name: str, size: int, seconds: float) -> Worker:
    task = {"system": name, "vectors": size, "seconds": seconds}
    return Worker(python, "benchmarks.retrieval.worker", task, timeout=LONGEST_SECONDS)


def _tell(name: str, answer: Result) -> None:
    print(f"  {name}: {answer}", file=sys.stderr, flush=True)


def _report(size: int, results: Dict[str, List[Result]]) -> None:
    print(f"\n{size:,} vectors of 384: microseconds a search, median of {ROUNDS} turns")
    ours = results["ours"]
    for name, found in results.items():
        ratio = median_ratio(found, ours, "us")
        print(
            f"  {name:20} {median(found, 'us'):10.0f}"
            f"  least {median(found, 'least_us'):10.0f}"
            f"  {ratio:7.2f} of ours"
            f"  {median(found, 'bytes_a_vector'):7.0f} bytes a vector"
        )


if __name__ == "__main__":
    main()
