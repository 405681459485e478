"""Measure that the cost of a prompt follows the prompt, not the length of the history.

    .venv/bin/python -m benchmarks.context.scaling [--messages 1000000] [--folder DIR]

A cold build has no remembered counts. Short and long are measured in turns, the file
of a session is opened anew for each; it stays in the folder, to be used again.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Sequence

from benchmarks.common.environments import ROOT

os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(ROOT / ".cache" / "vocab"))

import tiktoken

from benchmarks.context.histories import conversation
from benchmarks.context.trimmers.base import MODEL
from contextstore import ContextBuilder, SessionStore, SessionStoreConfig, SQLiteMemory

Message = Dict[str, Any]

BUDGET = 4_000
SMALL, LARGE = 1_000, 100_000
_BATCH = 10_000
_ROUNDS = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args()
    for kind in (tuple, list):
        print(f"cold build of a {kind.__name__}, {BUDGET} tokens")
        _show(_builds(kind, SMALL), _builds(kind, LARGE), SMALL, LARGE)
    print(f"load_window and build from SQLite, {BUDGET} tokens")
    small, large = (_windows(options.folder, n) for n in (SMALL, options.messages))
    _show(small, large, SMALL, options.messages)


Measure = Callable[[], Dict[str, float]]


def _show(small: Measure, large: Measure, fewer: int, more: int) -> None:
    """Measure both in turns, and print median and least of each, and their ratio."""
    taken: Dict[int, List[Dict[str, float]]] = {fewer: [], more: []}
    for _ in range(_ROUNDS):
        taken[fewer].append(small())
        taken[more].append(large())
    for part in taken[fewer][0]:
        figures = {n: [one[part] for one in taken[n]] for n in taken}
        medians = {n: statistics.median(found) for n, found in figures.items()}
        for n, found in figures.items():
            print(
                f"  {part:28} {n:>9,} messages: {medians[n]:8.3f} ms "
                f"(least {min(found):.3f})"
            )
        print(
            f"  {part:28} ratio {medians[more] / medians[fewer]:.2f} "
            f"(of the least {min(figures[more]) / min(figures[fewer]):.2f})"
        )


def _builds(kind: Callable[..., Sequence[Message]], messages: int) -> Measure:
    encode = tiktoken.encoding_for_model(MODEL).encode_ordinary
    # A list is copied, as its owner may change it; a tuple is not.
    history = kind(conversation(messages))

    def measure() -> Dict[str, float]:
        # What a function counts is remembered by its builder alone.
        builder = ContextBuilder(lambda text: len(encode(text)))
        whole = _milliseconds(lambda: builder.build(history, BUDGET))
        # Pinned messages may stand anywhere: what finding them cannot do without.
        roles = _milliseconds(
            lambda: {"metadata" in message or message["role"] for message in history}
        )
        return {
            "build": whole,
            "a pass over roles": roles,
            "beyond that pass": whole - roles,
        }

    return measure


def _windows(folder: Path, messages: int) -> Measure:
    path = folder / f"contextstore-scaling-{messages}.db"
    _fill(path, messages)
    builder = ContextBuilder.from_model(MODEL)

    def measure() -> Dict[str, float]:
        memory = SQLiteMemory(path)
        store = SessionStore(memory, config=SessionStoreConfig(builder=builder)).sync
        first = _milliseconds(lambda: _prompt(store, builder))
        again = _milliseconds(lambda: _prompt(store, builder))
        memory.sync.close()
        return {"file just opened": first, "again": again}

    return measure


def _prompt(store: Any, builder: ContextBuilder) -> None:
    window = store.load_window("s", BUDGET)
    assert builder.build(window, BUDGET).messages


def _fill(path: Path, messages: int) -> None:
    if path.exists():
        return
    unfinished = path.with_suffix(".part")
    unfinished.unlink(missing_ok=True)
    with SQLiteMemory(unfinished, durability="relaxed").sync as memory:
        for batch in _batches(messages):
            memory.append_context("s", batch, create=True)
    unfinished.rename(path)


def _batches(messages: int) -> Iterator[List[Message]]:
    """Yield whole turns, in batches; every message has an id of its own."""
    turns = conversation(_BATCH)[1:]
    number = 0
    while messages > 0:
        batch = [
            {**message, "id": f"{number}-{message['id']}"}
            for message in turns[:messages]
        ]
        yield batch
        messages -= len(batch)
        number += 1


def _milliseconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


if __name__ == "__main__":
    main()
