"""Turn the figures of a run into the storage section of docs/benchmarks.md."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, List, Mapping, Tuple

from benchmarks.common.document import DOCUMENT, table
from benchmarks.common.plots import Bar, bars
from benchmarks.common.processes import median
from benchmarks.storage.goals import rows as goal_rows
from benchmarks.storage.variants import PEERS, TITLES, pinned_versions

Kept = Mapping[str, Any]
_NOT_MEASURED = "-"
_LINES: List[Tuple[str, str]] = [
    ("disk", "the disk: a page and `fdatasync`"),
    ("floor, full", "floor"),
    ("floor, relaxed", "floor, relaxed"),
    ("sync, full", "**ours**, sync"),
    ("sync, relaxed", "**ours**, sync, relaxed"),
    ("sync, orjson", "**ours**, sync, with orjson"),
    ("async, full", "**ours**, async"),
    ("async, relaxed", "**ours**, async, relaxed"),
    ("async, orjson", "**ours**, async, with orjson"),
    *((name, TITLES[name]) for name in PEERS),
]

_INTRODUCTION = """
## Storage

{date}; `make bench` writes this section. Each system runs in an environment and a
process of its own and is given the same messages: turns of a user's and an assistant's
message, 200 to 2,000 characters each. All processes are alive at once and take short
turns, {rounds} rounds of them, in alternating order; the figures are medians over the
rounds, and ratios are medians of the ratios within a round. The machine was not idle:
the load it had is given.

The **floor** is raw `sqlite3` from one thread: WAL, a row a message, one unique index,
`json`, positions counted in memory; nothing is validated, stamped, checked or awaited.
"""

_NOTES = """
What the rows mean:

- *Full* (our default) returns when the data is on the disk; *relaxed* is WAL with
  `synchronous=NORMAL`. Peers run as they come: those with one sync an append keep a WAL
  at FULL, those with four or eight keep SQLite's rollback journal.
- *Syncs* counts `fdatasync` and its kin with `strace` over 20 lone appends of a turn.
- *Lone append* is a turn, appended by one caller who waits for it, to a session of 50
  and of 5,000 messages.
- *Last 20 of 50,000* and *all of 5,000* load messages that have an id and a timestamp,
  in every system that keeps what it is given. Google ADK appends one event a call;
  50,000 were not prepared for it.
- *64 writers* are tasks of one event loop, each with a session of its own, which start
  the next turn when the last was acknowledged. *Stall* is how late a task that wakes
  every millisecond is called, 99th percentile.
- *Bytes written* are those handed to write calls (`wchar` in `/proc/self/io`), log and
  file, up to and including `close`; the *payload* is the messages as compact JSON, as
  given, without id and timestamp, which the store adds. {turns} turns over 64 sessions;
  a system that was not done in time wrote fewer, and grows from there.
- LangGraph keeps the whole state in each checkpoint, so an append is a load and a put.
  LangChain has no limit on what is loaded; LlamaIndex counts from the oldest.
"""


def text(kept: Kept) -> str:
    """Return the section as Markdown."""
    now = datetime.now(timezone.utc)
    parts = [
        _INTRODUCTION.strip().format(date=f"{now:%Y-%m-%d}", rounds=kept["rounds"]),
        "### The goals",
        table(["measure", "goal", "measured", "met"], goal_rows(kept)),
        "![64 writers](benchmarks/storage-writers.svg)",
        "### All systems",
        _times(kept),
        _counts(kept),
        _NOTES.strip().format(turns=f"{kept['turns']:,}"),
        "### The machine",
        table(["", ""], [[key, value] for key, value in kept["machine"].items()]),
        "Versions: " + ", ".join(" ".join(pair) for pair in pinned_versions()) + ".",
    ]
    return "\n\n".join(parts)


def draw(kept: Kept) -> None:
    """Write the plot of the writers' turns a second."""
    names = {"floor, full": "floor", "async, full": "contextstore"}
    names.update((name, TITLES[name]) for name in PEERS)
    writers = kept["writers"]
    items = [
        Bar(title, median(writers[name], "turns a second"), name == "async, full")
        for name, title in names.items()
    ]
    folder = DOCUMENT.parent / "benchmarks"
    folder.mkdir(exist_ok=True)
    title = "Turns a second by 64 async writers, all acknowledged (log scale)"
    (folder / "storage-writers.svg").write_text(
        bars(title, items, lambda value: f"{value:,.0f}", floor=1)
    )


def _times(kept: Kept) -> str:
    columns = [
        ("append", "small", _microseconds),
        ("append", "large", _microseconds),
        ("load", "last 20", _microseconds),
        ("load", "all", _milliseconds),
        ("writers", "turns a second", _whole),
        ("writers", "stall", _tenths),
        ("writers", "errors", _whole),
    ]
    header = [
        "",
        "lone append at 50, µs",
        "at 5,000, µs",
        "last 20 of 50,000, µs",
        "all of 5,000, ms",
        "64 writers, turns/s",
        "stall p99, ms",
        "errors",
    ]
    lines = []
    for name, title in _LINES:
        cells = [
            _cell(kept.get(measure, {}).get(name), key, show)
            for measure, key, show in columns
        ]
        lines.append([title, *cells])
    return table(header, lines)


def _counts(kept: Kept) -> str:
    header = [
        "",
        "syncs a lone append",
        "bytes written / payload",
        "kept / payload",
        "turns",
        "64 turns a commit, of one session",
        "of 64 sessions",
    ]
    columns = [
        ("trace", "syncs", _tenths),
        ("fill", "written", _tenths),
        ("fill", "kept", _hundredths),
        ("fill", "turns", _whole),
        ("fill together", "written, 1", _tenths),
        ("fill together", "written, 64", _tenths),
    ]
    lines = []
    for name, title in _LINES:
        cells = [
            _cell(kept.get(measure, {}).get(name), key, show)
            for measure, key, show in columns
        ]
        if any(cell != _NOT_MEASURED for cell in cells):
            lines.append([title, *cells])
    return table(header, lines)


def _cell(results: Any, key: str, show: Any) -> str:
    if not results:
        return _NOT_MEASURED
    value = median(results, key)
    return _NOT_MEASURED if value != value else str(show(value))


def _microseconds(value: float) -> str:
    return f"{value:,.0f}"


def _milliseconds(value: float) -> str:
    return f"{value / 1000:,.1f}"


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _tenths(value: float) -> str:
    return f"{value:,.1f}"


def _hundredths(value: float) -> str:
    return f"{value:,.2f}"
