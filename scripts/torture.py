"""Run the fault tools for long, and write docs/reliability.md.

    python scripts/torture.py [part ...] [--seed N] [--share X]

Without parts it runs all. What each part found is kept in .cache/torture, so that parts
may be run one by one; the report holds the last run of each. ``--share 0.01`` does a
hundredth of it. It ends with 1 where a promise was broken.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import sqlite3
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple

import contextstore
from contextstore.testing.faults.crowd import run_crowd, run_first_opens
from contextstore.testing.faults.damage import run_damage
from contextstore.testing.faults.disks import run_full_disk, run_read_only
from contextstore.testing.faults.fuzz import run_fuzz
from contextstore.testing.faults.histories import run_histories
from contextstore.testing.faults.kills import run_kills
from contextstore.testing.faults.power import run_power_cuts
from contextstore.testing.faults.report import FaultReport, Progress, merged

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / ".cache" / "torture"
TARGET = ROOT / "docs" / "reliability.md"
OURS = "contextstore:SQLiteMemory"


class Run(NamedTuple):
    """Say what a part is given.

    Attributes:
        place: an empty directory.
        seed: the seed.
        share: how much of the long run to do.
        progress: prints a line.
    """

    place: Path
    seed: int
    share: float
    progress: Progress

    def of(self, count: int) -> int:
        """Return the share of a count, at least 1."""
        return max(1, int(count * self.share))


class Part(NamedTuple):
    """Be one tool with its long run.

    Attributes:
        run: runs it.
        title: what is done.
        means: what its counts mean, for the report.
        may_lose: True where findings are what is measured.
    """

    run: Callable[[Run], FaultReport]
    title: str
    means: str
    may_lose: bool = False


def _kills(run: Run) -> FaultReport:
    return run_kills(
        OURS, run.place, kills=run.of(1000), seed=run.seed, progress=run.progress
    )


def _power(run: Run) -> FaultReport:
    return run_power_cuts(
        OURS,
        run.place,
        images=run.of(20_400),
        traces=run.of(20),
        steps=24,
        seed=run.seed,
        progress=run.progress,
    )


def _relaxed(run: Run) -> FaultReport:
    return run_power_cuts(
        "tests.faults.mutants:relaxed",
        run.place,
        images=run.of(1000),
        traces=run.of(4),
        seed=run.seed,
        progress=run.progress,
    )


def _crowd(run: Run) -> FaultReport:
    turns = run.of(1250)
    crowd = run_crowd(OURS, run.place, processes=8, turns=turns)
    run.progress(f"{8 * turns} turns")
    opens = run_first_opens(
        OURS, run.place, processes=50, files=run.of(10), progress=run.progress
    )
    return merged([crowd, opens])


def _histories(run: Run) -> FaultReport:
    return run_histories(
        OURS,
        run.place,
        operations=run.of(100_000),
        seed=run.seed,
        progress=run.progress,
    )


def _damage(run: Run) -> FaultReport:
    return run_damage(
        OURS, run.place, files=run.of(2000), seed=run.seed, progress=run.progress
    )


def _disks(run: Run) -> FaultReport:
    full = run_full_disk(OURS, run.place, rounds=run.of(100), seed=run.seed)
    return merged([full, run_read_only(OURS)])


def _fuzz(run: Run) -> FaultReport:
    examples = run.of(20_000)
    # What is refused does not depend on how often the disk is synced.
    opener = "tests.faults.mutants:relaxed"
    file = run_fuzz(
        opener, str(run.place / "fuzz.db"), examples=examples, seed_number=run.seed
    )
    run.progress("SQLiteMemory")
    opener = "tests.faults.mutants:in_memory"
    memory = run_fuzz(opener, "", examples=examples, seed_number=run.seed)
    return merged([file, memory])


PARTS: Dict[str, Part] = {
    "kills": Part(
        _kills,
        "SIGKILL at random moments",
        "A process writes to four sessions of a file at once, from threads or tasks, "
        "and acknowledges each step over a pipe. It is killed ten times on each file. "
        "*acknowledged*: the steps it had told of; each has to be there, whole, and at "
        "most the one after it; `verify()` has to be content, and a repeat of that one "
        "with the same ids has to settle it.",
    ),
    "power": Part(
        _power,
        'Power cuts, `durability="full"`',
        "Every write and sync of SQLite is recorded by a wrapper around its file "
        "functions (ctypes; no tracer needed). The power is cut after any of these "
        "events (*cuts*). What was synced is on the disk; of the rest any part is: each "
        "write, a part of it cut at sectors of 512 or 4,096 bytes, each creation or "
        "deletion of a file whose directory was not synced. *images*: disks that were "
        "opened, all subsets up to three such changes, some by chance beyond. *images "
        "lost*: those that lost something acknowledged.",
    ),
    "relaxed": Part(
        _relaxed,
        'Power cuts, `durability="relaxed"`',
        "The same with NORMAL in the place of FULL: what it may lose, and the proof "
        "that the tool sees it.",
        may_lose=True,
    ),
    "crowd": Part(
        _crowd,
        "Many processes on one file",
        "8 processes append 1,250 *turns* of two messages each to one session; then 50 "
        "processes are the first to open a file, at the same instant, ten times (*first "
        "opens*). Every turn has to be there, whole and in the order of its process.",
    ),
    "histories": Part(
        _histories,
        "Histories checked for linearizability",
        "Six clients append, save with `expected_version`, load, rewind and delete the "
        "same three sessions: threads, tasks, tasks of two loops, tasks of two "
        "processes. *cancelled*: calls whose caller was cancelled, which may have "
        "happened or not, but only while they ran. *histories*: those of one session "
        "each, for each of which one order has to explain all that was seen (Wing and "
        "Gong, with memory).",
    ),
    "damage": Part(
        _damage,
        "Damaged files",
        "Bits flipped, pages zeroed, misplaced or overwritten, ends cut off, in the "
        "file or its log. A session that is found has to give the right messages or a "
        "typed error, for every `k`. *right*: everything loads right. *errors*: some "
        "load is a typed error. *vanished*: a session is not found (its key was hit), "
        "which `verify()` has to tell. *rolled back*: a damaged log gives an earlier "
        "state that was whole, as a log that ends early cannot be told from one whose "
        "end was never written. *only verify*: all loads are right, and `verify()` "
        "finds damage. *unnoticed*: nothing finds anything: it hit what is not in use. "
        "*log copied*: SQLite copied a log into a file that could not be opened.",
    ),
    "disks": Part(
        _disks,
        "Full disks and read-only places",
        "A write that does not fit is an UnavailableError and stores nothing; what fits "
        "is stored, and after there is room again everything goes on. *limits*: file "
        "sizes at which the disk is full. *read only*: places that cannot be written.",
    ),
    "fuzz": Part(
        _fuzz,
        "Fuzzed input",
        "*examples*: Python values of any kind and bytes read as JSON, given to save "
        "and append of SQLiteMemory and InMemoryMemory: stored and given back equal "
        "(*accepted*), or refused with an InvalidInputError and nothing stored "
        "(*refused*).",
    ),
}


def main(arguments: List[str]) -> int:
    """Run parts and write the report."""
    parser = argparse.ArgumentParser(description="Run the fault tools for long.")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--share", type=float, default=1.0)
    options = parser.parse_args(arguments)
    sys.path.insert(0, str(ROOT))
    broken = [
        name
        for name in options.parts or PARTS
        if not _run(name, options.seed, options.share)
    ]
    if broken:
        print(f"promises broken: {', '.join(broken)}")
    return len(broken)


def _run(name: str, seed: int, share: float) -> bool:
    part = PARTS[name]
    place = Path(tempfile.mkdtemp(prefix=f"torture-{name}-"))
    begun = time.monotonic()

    def progress(line: str) -> None:
        print(f"{name}: {line}, {time.monotonic() - begun:.0f} s", flush=True)

    try:
        report = part.run(Run(place, seed, share, progress))
    finally:
        shutil.rmtree(place, ignore_errors=True)
    for finding in report.findings[:20] if not part.may_lose else ():
        print(f"{name}: {finding.kind}: {finding.where}: {finding.detail}")
    _keep(name, seed, share, report, time.monotonic() - begun)
    if share == 1.0:
        _write_report()
    return part.may_lose or report.ok


def _keep(
    name: str, seed: int, share: float, report: FaultReport, seconds: float
) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    kinds = sorted({finding.kind for finding in report.findings})
    kept: Dict[str, Any] = {
        "counts": report.counts,
        "findings": {kind: report.count(kind) for kind in kinds},
        "seed": seed,
        "share": share,
        "seconds": round(seconds),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "versions": f"contextstore {contextstore.__version__}, Python "
        f"{platform.python_version()}, SQLite {sqlite3.sqlite_version}, "
        f"{platform.system()} {platform.release().split('-')[0]}",
    }
    print(f"{name}: {json.dumps(kept)}", flush=True)
    path = RESULTS / f"{name}{'' if share == 1.0 else '-short'}.json"
    path.write_text(json.dumps(kept), encoding="utf-8")


def _write_report() -> None:
    lines = [_HEAD]
    for name, part in PARTS.items():
        path = RESULTS / f"{name}.json"
        if path.exists():
            lines += _section(name, part, json.loads(path.read_text(encoding="utf-8")))
    TARGET.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _section(name: str, part: Part, kept: Dict[str, Any]) -> List[str]:
    findings = kept["findings"]
    counts = {**kept["counts"], "promises broken": sum(findings.values())}
    if part.may_lose:
        del counts["promises broken"]
    return [
        f"\n## {part.title}\n",
        f"{part.means}\n",
        f"| {' | '.join(counts)} |",
        f"|{'---|' * len(counts)}",
        f"| {' | '.join(f'{count:,}' for count in counts.values())} |",
        f'\n`make torture ARGS="{name} --seed {kept["seed"]}"`, {kept["date"]}, '
        f"{kept['seconds']:,} s, {kept['versions']}.",
    ]


_HEAD = """# Reliability

What `SQLiteMemory` keeps when processes are killed, the power is cut, files are damaged
and many write at once: what was done, how often, and what was found. `make torture`
does all of it again and writes this page; the tests of every change do a short run of
each part, and show for each that it catches a backend that breaks the promise
(`tests/faults/mutants.py`). The tools are `contextstore.testing.faults`, for backends
of your own, too.

*promises broken* counts what was lost, partial, changed, silently empty, complained of
by `verify()` without a reason, or not settled by a repeat of the call."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
