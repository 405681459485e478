"""Cut the power: replay what was written and synced to every disk that it could leave.

A trace of writes, cuts, syncs, creations and deletions is recorded while scripts run.
The power is cut between any two events. What was synced is on the disk; of the rest,
any part is: each write or none or some of its sectors, each creation or deletion of a
file where the directory was not synced. Each such disk is opened, and has to hold what
was acknowledged before the cut.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import shutil
from pathlib import Path
from typing import Dict, Iterator, List

from contextstore.errors import StorageError
from contextstore.testing.faults.children import last_line, open_backend, start
from contextstore.testing.faults.recorder import Event, Recorder
from contextstore.testing.faults.report import (
    FaultReport,
    Finding,
    Progress,
    merged,
    quiet,
    shown,
)
from contextstore.testing.faults.script import (
    Script,
    complaints,
    examine,
    make_script,
)

_SESSIONS = 3
_LIVES = 3
_SECTORS = (512, 4096)
# Up to so many pending changes, every subset is tried; beyond, some by chance.
_EXHAUSTIVE = 3

Trace = List[Event]
Image = Dict[str, bytes]


class Disk:
    """Be the disk while a trace is replayed.

    Attributes:
        pending: the changes that no sync has made safe yet, in their order.
        acknowledged: how many steps of each session were acknowledged.
    """

    def __init__(self) -> None:
        self._files: Dict[int, bytearray] = {}
        self._names: Dict[str, int] = {}
        self.pending: List[Event] = []
        self.acknowledged: Dict[str, int] = {}

    def follow(self, event: Event) -> None:
        """Let an event happen."""
        if event.kind == "ack":
            self.acknowledged[event.name] = event.number + 1
        elif event.kind == "sync":
            self._settle(event.inode, directory=bool(event.number))
        else:
            self.pending.append(event)
            if event.kind == "delete" and event.number:
                self._settle(0, directory=True)

    def _settle(self, inode: int, *, directory: bool) -> None:
        left: List[Event] = []
        for event in self.pending:
            is_name = event.kind in ("open", "delete")
            if directory if is_name else event.inode == inode:
                _apply(event, self._files, self._names)
            else:
                left.append(event)
        self.pending = left

    def image(self, kept: Dict[int, Event]) -> Image:
        """Return the files of the disk where these of the pending changes got there."""
        touched = {event.inode for event in kept.values()}
        files = {
            inode: bytearray(data) if inode in touched else data
            for inode, data in self._files.items()
        }
        names = dict(self._names)
        for index in sorted(kept):
            _apply(kept[index], files, names)
        return {
            name: bytes(files.get(inode, b"")) for name, inode in sorted(names.items())
        }


def _apply(event: Event, files: Dict[int, bytearray], names: Dict[str, int]) -> None:
    if event.kind == "open":
        names[event.name] = event.inode
    elif event.kind == "delete":
        if names.get(event.name) == event.inode:
            del names[event.name]
    else:
        data = files.setdefault(event.inode, bytearray())
        if event.kind == "truncate":
            del data[event.number :]
            return
        missing = event.number - len(data)
        data.extend(bytes(max(0, missing)))
        data[event.number : event.number + len(event.data)] = event.data


def choices(
    pending: List[Event], chance: random.Random, most: int
) -> Iterator[Dict[int, Event]]:
    """Give sets of the pending changes that got to the disk, by their place."""
    count = len(pending)
    if 2**count <= most and count <= _EXHAUSTIVE:
        for bits in range(2**count):
            yield {n: pending[n] for n in range(count) if bits >> n & 1}
        return
    for _ in range(most):
        share = chance.choice((0.0, 1.0, 0.5, 0.9, 0.1))
        kept = {n: pending[n] for n in range(count) if chance.random() < share}
        if kept and chance.random() < 0.5:
            torn = chance.choice(sorted(kept))
            kept.update(_torn(torn, kept[torn], chance))
        yield kept


def _torn(place: int, event: Event, chance: random.Random) -> Dict[int, Event]:
    """Let only some sectors of a write get to the disk: here, those before a cut."""
    sector = chance.choice(_SECTORS)
    # Sectors are those of the disk, so the first of a write may be a part.
    first = sector - event.number % sector
    cuts = range(first, len(event.data), sector)
    if event.kind != "write" or not cuts:
        return {}
    cut = chance.choice(cuts)
    if chance.random() < 0.5:
        return {place: event._replace(data=event.data[:cut])}
    later = event._replace(number=event.number + cut, data=event.data[cut:])
    return {place: later}


def record(opener: str, directory: Path, *, seed: object, steps: int) -> Trace:
    """Record the trace of a child that carries out scripts and acknowledges steps.

    Raises:
        StorageError: the child failed.
    """
    target = directory / "trace.json"
    child = start(
        "contextstore.testing.faults.power:write_and_record",
        opener=opener,
        path=str(directory / "chat.db"),
        target=str(target),
        seed=str(seed),
        steps=steps,
    )
    _, errors = child.communicate()
    if child.returncode:
        raise StorageError(f"nothing was recorded: {last_line(errors)}")
    rows = json.loads(target.read_text(encoding="ascii"))
    return [
        Event(kind, name, inode, number, base64.b64decode(data))
        for kind, name, inode, number, data in rows
    ]


def write_and_record(
    opener: str, path: str, target: str, seed: str, steps: int
) -> None:
    """Carry out scripts, closing now and then, and write the trace; in the child."""
    recorder = Recorder()
    scripts = _scripts(seed, steps)

    async def write(life: int) -> None:
        async with open_backend(opener, path) as backend:

            async def carry_out(script: Script) -> None:
                for number in range(
                    life * steps // _LIVES, (life + 1) * steps // _LIVES
                ):
                    await script.steps[number].apply(backend, script.session_id)
                    recorder.acknowledge(script.session_id, number)

            await asyncio.gather(*map(carry_out, scripts))

    for life in range(_LIVES):
        asyncio.run(write(life))
    rows = [
        (*event[:4], base64.b64encode(event.data).decode("ascii"))
        for event in recorder.events
    ]
    Path(target).write_text(json.dumps(rows), encoding="ascii")


def _scripts(seed: str, steps: int) -> List[Script]:
    return [
        make_script(seed, f"s{number}", steps, edits=False)
        for number in range(_SESSIONS)
    ]


def run_power_cuts(
    opener: str,
    directory: Path,
    *,
    images: int,
    traces: int = 1,
    steps: int = 12,
    seed: int = 1,
    progress: Progress = quiet,
) -> FaultReport:
    """Record so many traces, and open so many of the disks that power cuts could leave.

    Args:
        opener: ``package.module:function``; called with a path, it gives the backend,
            which has to keep its data by this process's SQLite.
        directory: an empty place for the files; best in memory.
        steps: how long the script of each of the sessions is.

    Returns:
        In its counts ``images``, ``writes`` and ``syncs`` of the traces, ``cuts`` and
        ``images lost``: those that lost what was acknowledged.
    """
    reports: List[FaultReport] = []
    for number in range(traces):
        place = directory / f"trace{number}"
        place.mkdir()
        name = f"{seed}/{number}"
        trace = record(opener, place, seed=name, steps=steps)
        replay = _Replay(opener, place / "image", _scripts(name, steps), name)
        reports.append(replay.run(trace, images // traces))
        progress(f"{(number + 1) * images // traces} of {images} images")
    return merged(reports)


class _Replay:
    def __init__(
        self, opener: str, place: Path, scripts: List[Script], name: str
    ) -> None:
        self._opener = opener
        self._place = place
        self._scripts = scripts
        self._name = name
        self._chance = random.Random(name)

    def run(self, trace: Trace, images: int) -> FaultReport:
        disk = Disk()
        findings: List[Finding] = []
        opened = lost = 0
        for number, event in enumerate(trace):
            disk.follow(event)
            # So many as are left, spread over the cuts that are left.
            share = (images - opened) / (len(trace) - number)
            most = int(share) + (self._chance.random() < share % 1)
            for kept in choices(disk.pending, self._chance, most):
                where = f"trace {self._name}, cut after event {number}, {sorted(kept)}"
                found = self._examine(disk, disk.image(kept), where)
                opened += 1
                lost += any(finding.kind == "lost" for finding in found)
                findings += found
        counts = {
            "images": opened,
            "cuts": len(trace),
            "writes": sum(event.kind == "write" for event in trace),
            "syncs": sum(event.kind == "sync" for event in trace),
            "images lost": lost,
        }
        return FaultReport(counts, findings)

    def _examine(self, disk: Disk, image: Image, where: str) -> List[Finding]:
        shutil.rmtree(self._place, ignore_errors=True)
        self._place.mkdir()
        for name, data in image.items():
            (self._place / name).write_bytes(data)
        findings: List[Finding] = []
        try:
            with open_backend(self._opener, str(self._place / "chat.db")).sync as face:
                for script in self._scripts:
                    done = disk.acknowledged.get(script.session_id, 0)
                    findings += examine(face, script, done, done + 1, where)
                findings += complaints(face, where)
        except Exception as error:
            findings.append(Finding("error", where, shown(error)))
        return findings
