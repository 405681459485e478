"""Run the fault tools for long, and write docs/reliability.md.

    python scripts/torture.py [part ...] [--seed N] [--chunks N] [--minutes M]

Without parts it runs all. A part is done in chunks, each with a seed of its own, and
stops early after ``--chunks`` or ``--minutes``. What each part found is kept in
.cache/torture, so that parts may be run one by one; the report holds the last run of
each, and of a part that was never run here what it said before. The exit code is how
many parts broke a promise.
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
from typing import Any, Callable, Dict, List, NamedTuple, Optional

import contextstore
from contextstore.testing.faults.children import resolve
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
RELAXED = "tests.faults.mutants:relaxed"
IN_MEMORY = "tests.faults.mutants:in_memory"
SERVERS = "tests.servers.torture"


class Part(NamedTuple):
    """Be one tool with its long run.

    Attributes:
        run: does a chunk; takes an empty directory, a seed and a printer of progress.
        chunks: how many chunks a whole run has.
        title: what is done.
        means: what its counts mean, for the report.
        may_lose: True where findings are what is measured.
        software: says what ran beside this library and Python.
    """

    run: Callable[[Path, int, Progress], FaultReport]
    chunks: int
    title: str
    means: str
    may_lose: bool = False
    software: Callable[[], str] = lambda: f"SQLite {sqlite3.sqlite_version}"


def _kills(place: Path, seed: int, progress: Progress) -> FaultReport:
    return run_kills(OURS, place, kills=50, seed=seed)


def _power(place: Path, seed: int, progress: Progress) -> FaultReport:
    return run_power_cuts(OURS, place, images=1020, steps=24, seed=seed)


def _relaxed(place: Path, seed: int, progress: Progress) -> FaultReport:
    return run_power_cuts(RELAXED, place, images=250, seed=seed)


def _crowd(place: Path, seed: int, progress: Progress) -> FaultReport:
    return run_crowd(OURS, place, processes=8, turns=1250)


def _opens(place: Path, seed: int, progress: Progress) -> FaultReport:
    return run_first_opens(OURS, place, processes=50, files=10, progress=progress)


def _histories(place: Path, seed: int, progress: Progress) -> FaultReport:
    return run_histories(OURS, place, operations=5000, seed=seed)


def _damage(place: Path, seed: int, progress: Progress) -> FaultReport:
    return run_damage(OURS, place, files=250, seed=seed)


def _disks(place: Path, seed: int, progress: Progress) -> FaultReport:
    full = run_full_disk(OURS, place, rounds=10, seed=seed)
    return merged([full, run_read_only(OURS)])


def _fuzz(place: Path, seed: int, progress: Progress) -> FaultReport:
    # What is refused does not depend on how often the disk is synced.
    file = run_fuzz(RELAXED, str(place / "fuzz.db"), examples=2000, seed_number=seed)
    memory = run_fuzz(IN_MEMORY, "", examples=2000, seed_number=seed)
    return merged([file, memory])


def _on_servers(name: str) -> Callable[[Path, int, Progress], FaultReport]:
    """Return what does a chunk on servers; they are started as the tests start them."""

    def run(place: Path, seed: int, progress: Progress) -> FaultReport:
        done: FaultReport = resolve(f"{SERVERS}:{name}")(place, seed, progress)
        return done

    return run


def _servers() -> str:
    software: str = resolve(f"{SERVERS}:software")()
    return software


PARTS: Dict[str, Part] = {
    "kills": Part(
        _kills,
        20,
        "SIGKILL at random moments",
        "A process writes to four sessions of a file at once, from threads or tasks, "
        "and acknowledges each step over a pipe. It is killed ten times on each file. "
        "*acknowledged*: the steps it had told of; each has to be there, whole, and at "
        "most the one after it; `verify()` has to be content, and a repeat of that one "
        "with the same ids has to settle it.",
    ),
    "power": Part(
        _power,
        20,
        'Power cuts, `durability="full"`',
        "Every write and sync of SQLite is recorded by a wrapper around its file "
        "functions (ctypes; no tracer needed). The power is cut after any of these "
        "events (*cuts*). What was synced is on the disk; of the rest any part is: "
        "each write, a part of it cut at sectors of 512 or 4,096 bytes, each creation "
        "or deletion of a file whose directory was not synced. *images*: disks that "
        "were opened, all subsets up to three such changes, some by chance beyond. "
        "*images lost*: those that lost something acknowledged.",
    ),
    "relaxed": Part(
        _relaxed,
        4,
        'Power cuts, `durability="relaxed"`',
        "The same with NORMAL in the place of FULL: what it may lose, and the proof "
        "that the tool sees it.",
        may_lose=True,
    ),
    "crowd": Part(
        _crowd,
        1,
        "Many processes on one file",
        "8 processes append 1,250 *turns* of two messages each to one session. Every "
        "turn has to be there, whole and in the order of its process.",
    ),
    "opens": Part(
        _opens,
        1,
        "Many processes that open a new file first",
        "50 processes open a file that is not there yet at the same instant, ten "
        "times, make a session each and read it back.",
    ),
    "histories": Part(
        _histories,
        20,
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
        8,
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
        10,
        "Full disks and read-only places",
        "A write that does not fit is an UnavailableError and stores nothing; what "
        "fits is stored, and when there is room again all goes on. *limits*: file "
        "sizes at which the disk is full. *read only*: places that cannot be written.",
    ),
    "fuzz": Part(
        _fuzz,
        10,
        "Fuzzed input",
        "*examples*: Python values of any kind and bytes read as JSON, given to save "
        "and append of SQLiteMemory and InMemoryMemory: stored and given back equal "
        "(*accepted*), or refused with an InvalidInputError and nothing stored "
        "(*refused*).",
    ),
    "server-kills": Part(
        _on_servers("kills"),
        5,
        "Servers: SIGKILL of clients",
        "As with files: a process that writes to four sessions is killed ten times on "
        "each of four kinds: Postgres, one Valkey, a cluster of six, and Postgres with "
        "that cluster as its cache. Loads of the last are answered by the cache "
        "wherever it can.",
        software=_servers,
    ),
    "server-histories": Part(
        _on_servers("histories"),
        5,
        "Servers: histories checked for linearizability",
        "The histories of files on these four kinds.",
        software=_servers,
    ),
    "server-crowd": Part(
        _on_servers("crowd"),
        1,
        "Servers: many processes",
        "8 processes append 250 *turns* each to one session, and 8 are the first to "
        "open a database or namespace, five times, on these four kinds.",
        software=_servers,
    ),
    "failovers": Part(
        _on_servers("failovers"),
        3,
        "Servers: SIGKILL of servers under load",
        "32 writers (8 for the second) append while a server is killed: a primary of "
        "Postgres, whose synchronous standby is promoted; a lone Postgres, which is "
        "started again; a master of a cluster of six (`replicas=1, "
        'if_fewer="accept"`, `cluster-node-timeout 2000`). Nothing acknowledged may be '
        "lost or doubled, no writer may hear an error, and after ten seconds all go "
        "on. *milliseconds without an answer*: the longest pauses, added up.",
        software=_servers,
    ),
}


def main(arguments: List[str]) -> int:
    """Run parts and write the report."""
    parser = argparse.ArgumentParser(description="Run the fault tools for long.")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--chunks", type=int, help="of each part, at most")
    parser.add_argument("--minutes", type=float, default=600, help="for each part")
    options = parser.parse_args(arguments)
    # Backends that break promises on purpose are kept with the tests.
    sys.path.insert(0, str(ROOT))
    broken = [
        name
        for name in options.parts or PARTS
        if not _run(name, options.seed, options.chunks, options.minutes)
    ]
    _write_report()
    if broken:
        print(f"promises broken: {', '.join(broken)}")
    return len(broken)


def _run(name: str, seed: int, chunks: Optional[int], minutes: float) -> bool:
    part = PARTS[name]
    begun = time.monotonic()

    def progress(line: str) -> None:
        print(f"{name}: {line}, {time.monotonic() - begun:.0f} s", flush=True)

    report = FaultReport({}, [])
    whole = min(part.chunks, chunks or part.chunks)
    for chunk in range(whole):
        place = Path(tempfile.mkdtemp(prefix=f"torture-{name}-"))
        try:
            found = part.run(place, 1000 * seed + chunk, progress)
        finally:
            shutil.rmtree(place, ignore_errors=True)
        for finding in found.findings if not part.may_lose else ():
            progress(f"{finding.kind}: {finding.where}: {finding.detail}")
        report = merged([report, found])
        seconds = time.monotonic() - begun
        command = f"{name} --seed {seed} --chunks {chunk + 1}"
        _keep(name, command, report, seconds)
        progress(f"chunk {chunk + 1} of {whole}")
        if seconds > 60 * minutes:
            break
    return part.may_lose or report.ok


def _keep(name: str, command: str, report: FaultReport, seconds: float) -> None:
    kinds = sorted({finding.kind for finding in report.findings})
    kept: Dict[str, Any] = {
        "counts": report.counts,
        "findings": {kind: report.count(kind) for kind in kinds},
        "command": command,
        "seconds": round(seconds),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "versions": f"contextstore {contextstore.__version__}, Python "
        f"{platform.python_version()}, {PARTS[name].software()}, "
        f"{platform.system()} {platform.release().split('-')[0]}",
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(kept), encoding="utf-8")


def _write_report() -> None:
    before = _sections(TARGET.read_text(encoding="utf-8"))
    lines = [_HEAD]
    for name, part in PARTS.items():
        path = RESULTS / f"{name}.json"
        if path.exists():
            lines += _section(part, json.loads(path.read_text(encoding="utf-8")))
        elif part.title in before:
            lines.append(before[part.title])
    lines.append(_FOUND)
    TARGET.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _sections(page: str) -> Dict[str, str]:
    """Return the sections of a page by their titles."""
    sections: Dict[str, str] = {}
    for section in page.split("\n## ")[1:]:
        sections[section.partition("\n")[0]] = f"\n## {section}".rstrip("\n")
    return sections


def _section(part: Part, kept: Dict[str, Any]) -> List[str]:
    counts = dict(kept["counts"])
    if not part.may_lose:
        counts["promises broken"] = sum(kept["findings"].values())
    return [
        f"\n## {part.title}\n",
        f"{part.means}\n",
        f"| {' | '.join(counts)} |",
        f"|{'---|' * len(counts)}",
        f"| {' | '.join(f'{count:,}' for count in counts.values())} |",
        f'\n`make torture ARGS="{kept["command"]}"`, {kept["date"]}, '
        f"{kept['seconds']:,} s, {kept['versions']}.",
    ]


_HEAD = """# Reliability

What `SQLiteMemory` keeps when processes are killed, the power is cut, files are damaged
and many write at once, and what `PostgresMemory`, `RedisMemory` and `TieredMemory` keep
when clients or servers are killed: what was done, how often, and what was found.
`make torture` does all of it again and writes this page; the tests of every change do a
short run of each part, and show for each that it catches a backend that breaks the
promise (`tests/faults/mutants.py`). The tools are `contextstore.testing.faults`, for
backends of your own, too.

*promises broken* counts what was lost, partial, changed, silently empty, complained of
by `verify()` without a reason, or not settled by a repeat of the call."""

_FOUND = """
## What these runs have found

Each of these was mended, and has a test that failed before.

- Power cut while a file is made: 2 of 20,345 disks held a first page without its first
  sector, and the file was refused where SQLite would have made it anew. Nothing was
  acknowledged yet. (`test_a_file_whose_making_was_cut_short_is_made_anew`)
- Damage to the index of positions: 16 of 1,500 flipped bits in its pages gave a list
  that was short by its end, or empty, as an append does not write the row of the
  session. A load now asks what stands after the newest message, which took 3 to 5 % of
  a load of 20. (`test_the_end_of_a_session_does_not_vanish_with_an_index_entry`)
- The same, where an index page was replaced by another and nothing stood after the
  session: 1 of 1,750 damaged files, for `k` only.
  (`test_no_session_ends_where_its_index_was_cut`)
- A file cut off within an index page, beside its log: sessions read as empty.
  (`test_a_session_whose_index_is_zeroed_is_not_empty`)
- An erased id was still in the file, in 12 to 25 of 600: SQLite leaves copies in the
  unused space of pages. `erase` now writes the file anew.
  (`test_nothing_is_left_in_the_unused_space_of_pages`)
- `verify()` failed with a TypeError over rows that hold values of another type.
  (`test_verify_tells_of_values_of_another_type`)
- A client whose clock was an hour ahead pruned on a server what was just written.
  (`test_the_clock_of_a_client_decides_nothing`)
- `updated_at` of a session of Redis went back with the clock of its server.
  (`test_the_times_of_a_session_never_go_back`)
- A quota of the disk of Postgres was an error that did not say so.
  (`test_a_full_server_is_read_on_and_says_what_is_wrong`)
- A certificate that nobody vouches for was asked for again, for 15 and 30 seconds.
  (`test_a_postgres_that_nobody_vouches_for_is_refused_at_once`)

What no load can see: a damaged log that gives an earlier state; for a `k`, the newest
messages of the session made last where their entries are lost from the index of
positions and another session was written to since (`verify()` sees it); a pinned
message whose entry is lost from the index of pinned ones (`verify()` sees it)."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
