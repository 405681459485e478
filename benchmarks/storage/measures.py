"""Measure one system, in the process of its own that worker.py starts.

Each function is a generator: it takes a task, and gives the figures of one turn at a
time. report.py says what they mean.
"""

from __future__ import annotations

import asyncio
import os
import statistics
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Callable, Dict, Generator, Iterator, List, Tuple

from benchmarks.common.machine import fdatasync_microseconds
from benchmarks.storage import payload
from benchmarks.storage.clock import Clock
from benchmarks.storage.systems.base import System, make
from benchmarks.storage.writers import append_together, write_concurrently

Task = Dict[str, Any]
Turns = Generator[Dict[str, Any], None, None]

# The names that a tracer looks for: what lies between them is counted.
TRACE_START, TRACE_END = "/bench-trace-start", "/bench-trace-end"
_WARM_UP = 5


def prepare(task: Task) -> Turns:
    """Fill a file with one session of each size."""
    with _opened(task) as (system, clock):
        for size in task["sizes"]:
            messages = system.native(payload.stamped_history(size))
            clock.call(system.append, f"of {size}", messages)
        clock.call(system.close)
        yield {}


def append(task: Task) -> Turns:
    """Time lone appends of a turn to a small and to a large session.

    The small session is made anew each time, so that it stays small. Which of the two
    is first changes from turn to turn.
    """
    with _opened(task) as (system, clock):
        for turn in range(task["turns"]):
            sessions = {"small": f"small {turn}", "large": f"of {task['large']}"}
            messages = system.native(payload.history(task["small"]))
            clock.call(system.append, sessions["small"], messages)
            order = ["small", "large"] if turn % 2 == 0 else ["large", "small"]
            yield {
                size: _appends_timed(task, system, clock, sessions[size])
                for size in order
            }
        clock.call(system.close)


def disk(task: Task) -> Turns:
    """Time what any append to a file of this disk takes at least: a page, synced."""
    for _ in range(task["turns"]):
        taken = fdatasync_microseconds(Path(task["folder"]), task["count"])
        yield {"small": statistics.median(taken)}


def load(task: Task) -> Turns:
    """Time loading the end of a long session and all of a shorter one."""
    with _opened(task) as (system, clock):
        for size, last, _ in task["loads"].values():
            found = clock.call(system.load, f"of {size}", last)
            assert len(found) >= (last or size), f"{len(found)} of {last or size}"
        for _ in range(task["turns"]):
            figures: Dict[str, float] = {}
            for name, (size, last, count) in task["loads"].items():
                calls = [partial(system.load, f"of {size}", last)] * count
                taken = clock.microseconds(calls, seconds=task["seconds"])
                figures[name] = statistics.median(taken)
            yield figures
        clock.call(system.close)


def writers(task: Task) -> Turns:
    """Let many async writers append to sessions of their own, for some seconds."""
    with _opened(task) as (system, clock):
        arguments = (system, task["writers"], task["seconds"])
        for _ in range(task["turns"]):
            if system.is_blocking:
                yield asyncio.run(write_concurrently(*arguments))
            else:
                yield clock.call(write_concurrently, *arguments)
        clock.call(system.close)


def trace(task: Task) -> Turns:
    """Append turns between two marks in the list of system calls."""
    with _opened(task) as (system, clock):
        calls = _appends(system, "traced", task["count"] + _WARM_UP)
        clock.microseconds(calls[:_WARM_UP], seconds=600)
        os.access(TRACE_START, os.F_OK)
        clock.microseconds(calls[_WARM_UP:], seconds=600)
        os.access(TRACE_END, os.F_OK)
        clock.call(system.close)
        yield {}


def change(task: Task) -> Turns:
    """Count the bytes written for two more messages, saved with all or appended."""
    with _opened(task) as (system, clock):
        stored = clock.call(system.load, task["session"], None)
        added = system.native(payload.history(2))
        before = _bytes_written()
        if task["how"] == "save":
            clock.call(system.save, task["session"], [*stored, *added])
        else:
            clock.call(system.append, task["session"], added)
        to_log = _bytes_written() - before
        clock.call(system.close)
        yield {"to log": to_log, "to log and file": _bytes_written() - before}


def fill(task: Task) -> Turns:
    """Count the bytes written, and kept, for turns that come one by one."""
    with _opened(task) as (system, clock):
        turns = list(islice(payload.turns(), task["count"]))
        calls = [
            partial(system.append, f"session {number % task['sessions']}", native)
            for number, native in enumerate(map(system.native, turns))
        ]
        before = _bytes_written()
        done = len(clock.microseconds(calls, seconds=task["seconds"]))
        clock.call(system.close)
        yield _amplification(task, turns[:done], before)


def fill_together(task: Task) -> Turns:
    """Count the same for turns that come many at a time, and so share a commit."""
    with _opened(task) as (system, clock):
        turns = list(islice(payload.turns(), task["count"]))
        placed = [
            (f"session {number % task['sessions']}", turn)
            for number, turn in enumerate(turns)
        ]
        size = task["together"]
        batches = [placed[at : at + size] for at in range(0, len(placed), size)]
        before = _bytes_written()
        if system.is_blocking:
            for batch in batches:
                system.append_all(batch)
        else:
            clock.call(append_together, system, batches)
        clock.call(system.close)
        yield _amplification(task, turns, before)


@contextmanager
def _opened(task: Task) -> Iterator[Tuple[Any, Clock]]:
    """Open the system of a task, with the clock that calls it."""
    system = make(task["system"], task["folder"], task["durability"])
    with Clock(system) as clock:
        clock.call(system.open)
        yield system, clock


def _appends_timed(task: Task, system: System, clock: Clock, session_id: str) -> float:
    calls = _appends(system, session_id, task["count"] + _WARM_UP)
    clock.microseconds(calls[:_WARM_UP], seconds=task["seconds"])
    taken = clock.microseconds(calls[_WARM_UP:], seconds=task["seconds"])
    return statistics.median(taken)


def _appends(system: System, session_id: str, count: int) -> List[Callable[[], Any]]:
    natives = map(system.native, islice(payload.turns(), count))
    return [partial(system.append, session_id, native) for native in natives]


def _amplification(task: Task, turns: List[Any], before: int) -> Dict[str, Any]:
    given = sum(payload.size(turn) for turn in turns)
    kept = sum(file.stat().st_size for file in Path(task["folder"]).iterdir())
    return {
        "turns": len(turns),
        "written": (_bytes_written() - before) / given,
        "kept": kept / given,
    }


def _bytes_written() -> int:
    """Return what this process has handed to write calls so far."""
    for line in Path("/proc/self/io").read_text().splitlines():
        name, value = line.split(": ")
        if name == "wchar":
            return int(value)
    raise AssertionError("/proc/self/io has no wchar")
