"""Hold the goals of the storage engine against the figures of a run."""

from __future__ import annotations

from typing import Any, Callable, List, Mapping, NamedTuple

from benchmarks.common.processes import median, median_ratio

Kept = Mapping[str, Any]


class Goal(NamedTuple):
    """Be one row: what is measured, and what it may be at most or has to be at least.

    Attributes:
        measured: works out the figure.
        unit: stands behind the figure and the goal.
    """

    title: str
    sign: str
    bound: float
    unit: str
    measured: Callable[[Kept], float]


def rows(kept: Kept) -> List[List[str]]:
    """Return a row of the table for every goal."""
    return [_row(goal, goal.measured(kept)) for goal in GOALS]


def _row(goal: Goal, value: float) -> List[str]:
    met = {
        "=": value == goal.bound,
        "≤": value <= goal.bound,
        "≥": value >= goal.bound,
    }[goal.sign]
    if value != value:
        return [goal.title, _bound(goal), "not measured", "-"]
    shown = f"{value:.2f}" if value < 10 else f"{value:,.1f}"
    return [goal.title, _bound(goal), shown + goal.unit, "yes" if met else "**no**"]


def _bound(goal: Goal) -> str:
    return f"{goal.sign} {goal.bound:g}{goal.unit}"


def _over(measure: str, key: str, ours: str, other: str) -> Callable[[Kept], float]:
    """Give the ratio of a figure of ours to that of another in the same round."""
    return lambda kept: median_ratio(
        kept.get(measure, {}).get(ours, []), kept.get(measure, {}).get(other, []), key
    )


def _of(measure: str, key: str, name: str) -> Callable[[Kept], float]:
    """Give a figure."""
    return lambda kept: median(kept.get(measure, {}).get(name, []), key)


def _growth(name: str) -> Callable[[Kept], float]:
    """Give what an append to a large session takes over one to a small session."""

    def measured(kept: Kept) -> float:
        rounds = kept.get("append", {}).get(name, [])
        ratios = [{"growth": r["large"] / r["small"]} for r in rounds if "small" in r]
        return median(ratios, "growth")

    return measured


def _saved_over_appended(kept: Kept) -> float:
    saved = _over("change", "to log and file", "sync, full, save", "sync, full, append")
    return saved(kept)


_WRITERS = "64 async writers, turns/s"

GOALS = [
    Goal("syncs a lone append, sync", "=", 1, "", _of("trace", "syncs", "sync, full")),
    Goal(
        "syncs a lone append, async",
        "=",
        1,
        "",
        _of("trace", "syncs", "async, full"),
    ),
    Goal(
        f"{_WRITERS}, full, over openai-agents",
        "≥",
        8,
        "x",
        _over("writers", "turns a second", "async, full", "openai-agents"),
    ),
    Goal(
        f"{_WRITERS}, full, over the floor",
        "≥",
        4,
        "x",
        _over("writers", "turns a second", "async, full", "floor, full"),
    ),
    Goal(
        f"{_WRITERS}, relaxed, over the floor",
        "≥",
        1,
        "x",
        _over("writers", "turns a second", "async, relaxed", "floor, relaxed"),
    ),
    Goal(
        "64 async writers, full, stall of the loop, p99",
        "≤",
        5,
        " ms",
        _of("writers", "stall", "async, full"),
    ),
    Goal(
        "lone append, full, over the floor, sync",
        "≤",
        1.2,
        "x",
        _over("append", "small", "sync, full", "floor, full"),
    ),
    Goal(
        "lone append, full, over the floor, async",
        "≤",
        1.5,
        "x",
        _over("append", "small", "async, full", "floor, full"),
    ),
    Goal(
        "append at 5,000 over append at 50, relaxed, sync",
        "≤",
        1.2,
        "x",
        _growth("sync, relaxed"),
    ),
    Goal(
        "append at 5,000 over append at 50, relaxed, async",
        "≤",
        1.2,
        "x",
        _growth("async, relaxed"),
    ),
    Goal(
        "load last 20 of 50,000, over the floor, sync",
        "≤",
        1.2,
        "x",
        _over("load", "last 20", "sync, full", "floor, full"),
    ),
    Goal(
        "load last 20 of 50,000, over the floor, async",
        "≤",
        1.8,
        "x",
        _over("load", "last 20", "async, full", "floor, full"),
    ),
    Goal(
        "load all of 5,000, over the floor, sync",
        "≤",
        1.15,
        "x",
        _over("load", "all", "sync, full", "floor, full"),
    ),
    Goal(
        "load all of 5,000, both with orjson, over the floor, sync",
        "≤",
        1.15,
        "x",
        _over("load", "all", "sync, orjson", "floor, orjson"),
    ),
    Goal(
        "load all of 5,000, with orjson, async, over openai-agents",
        "≤",
        0.4,
        "x",
        _over("load", "all", "async, orjson", "openai-agents"),
    ),
    Goal(
        "bytes written: saving 5,000 messages and 2 new over appending the 2",
        "≤",
        2,
        "x",
        _saved_over_appended,
    ),
    Goal(
        "bytes written over the payload, a turn a transaction",
        "≤",
        16,
        "x",
        _of("fill", "written", "sync, full"),
    ),
    Goal(
        "bytes written over the payload, 64 turns of one session a commit",
        "≤",
        4,
        "x",
        _of("fill together", "written, 1", "async, full"),
    ),
    Goal(
        "bytes written over the payload, a turn of 64 sessions each a commit",
        "≤",
        4,
        "x",
        _of("fill together", "written, 64", "async, full"),
    ),
    Goal("file over the payload", "≤", 1.45, "x", _of("fill", "kept", "sync, full")),
]
