"""Fill the disk, and forbid writing: what fails has to say so and store nothing."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Dict, List

from contextstore.backends.base import MemoryBackend
from contextstore.errors import StorageError, UnavailableError
from contextstore.testing.faults.children import last_line, open_backend, start
from contextstore.testing.faults.report import FaultReport, Finding, merged, shown
from contextstore.testing.faults.script import (
    Script,
    complaints,
    examine,
    make_script,
    settle,
)

if sys.platform != "win32":
    import resource

_SESSIONS = 8
_STEPS = 40
_NOBODY = 65534


def run_full_disk(
    opener: str, directory: Path, *, rounds: int, seed: int = 1
) -> FaultReport:
    """Let the disk be full at so many sizes, while tasks write to eight sessions.

    The size of a file is limited (RLIMIT_FSIZE). A write that fails has to raise
    UnavailableError and to store nothing; one that is acknowledged is stored, also
    where both were committed together. When there is room again, a repeat of the failed
    write has to settle it.

    Args:
        opener: ``package.module:function``; called with a path, it gives the backend.
    """
    reports: List[FaultReport] = []
    for number in range(rounds):
        child = start(
            "contextstore.testing.faults.disks:fill",
            opener=opener,
            path=str(directory / f"full{number}.db"),
            seed=f"{seed}/{number}",
        )
        output, errors = child.communicate()
        where = f"limit {number}"
        if child.returncode:
            findings = [Finding("error", where, last_line(errors))]
            reports.append(FaultReport({"limits": 1, "failed writes": 0}, findings))
            continue
        told = json.loads(output)
        findings = [Finding(kind, where, detail) for kind, detail in told["findings"]]
        counts = {"limits": 1, "failed writes": told["failed"]}
        reports.append(FaultReport(counts, findings))
    return merged(reports)


def fill(opener: str, path: str, seed: str) -> None:
    """Write until nothing fits, check, make room and go on; in the child."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    scripts = [
        make_script(seed, f"s{number}", _STEPS, edits=False)
        for number in range(_SESSIONS)
    ]
    done = dict.fromkeys((script.session_id for script in scripts), 0)
    backend = open_backend(opener, path)
    room = random.Random(seed).randrange(150_000, 600_000)
    backend.sync.load_context("none")
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    failures = asyncio.run(_write_until_full(backend, scripts, done))
    face = backend.sync
    findings: List[Finding] = []
    for script in scripts:
        step = done[script.session_id]
        # Nothing of the failed write, hence not even that.
        findings += examine(face, script, step, step, "full")
    unlimited = resource.RLIM_INFINITY
    resource.setrlimit(resource.RLIMIT_FSIZE, (unlimited, unlimited))
    for script in scripts:
        if done[script.session_id] < _STEPS:
            findings += settle(face, script, done[script.session_id], "room again")
            done[script.session_id] += 1
    face.close()
    with open_backend(opener, path).sync as face:
        for script in scripts:
            step = done[script.session_id]
            findings += examine(face, script, step, step, "opened again")
        findings += complaints(face, "opened again")
    told = [
        [finding.kind, f"{finding.where}: {finding.detail}"] for finding in findings
    ]
    wrong = [["error", text] for text in failures if text != UnavailableError.__name__]
    print(json.dumps({"findings": told + wrong, "failed": len(failures)}))


async def _write_until_full(
    backend: MemoryBackend, scripts: List[Script], done: Dict[str, int]
) -> List[str]:
    """Carry out each script up to its first error, and return the errors."""

    async def write(script: Script) -> List[str]:
        for step in script.steps:
            try:
                await step.apply(backend, script.session_id)
            except UnavailableError:
                return [UnavailableError.__name__]
            except Exception as error:
                return [shown(error)]
            done[script.session_id] += 1
        return []

    failures = await asyncio.gather(*map(write, scripts))
    return [failure for own in failures for failure in own]


def run_read_only(opener: str) -> FaultReport:
    """Open stores where nothing may be written: directory, file or both.

    A write is an UnavailableError; a load gives the right messages or a StorageError,
    and the file stays as it is. A superuser may write everywhere, so the child of one
    becomes somebody else first.

    Args:
        opener: ``package.module:function``; called with a path, it gives the backend.
    """
    place = Path(tempfile.mkdtemp(prefix="read-only-"))
    try:
        child = start(
            "contextstore.testing.faults.disks:meet_read_only",
            opener=opener,
            place=str(place),
        )
        output, errors = child.communicate()
    finally:
        for path in (place, *place.iterdir()):
            path.chmod(0o755)
        shutil.rmtree(place)
    if child.returncode:
        finding = Finding("error", "read only", last_line(errors))
        return FaultReport({"read only": 0}, [finding])
    findings = [Finding(*row) for row in json.loads(output)]
    return FaultReport({"read only": len(_PLACES)}, findings)


# Whether the file is there, and the modes of directory and file.
_PLACES = {
    "a new file in a read-only directory": (False, 0o555, 0o644),
    "a read-only file": (True, 0o755, 0o444),
    "a file in a read-only directory": (True, 0o555, 0o644),
    "a read-only file in a read-only directory": (True, 0o555, 0o444),
}


def meet_read_only(opener: str, place: str) -> None:
    """Make read-only places and use them; in the child."""
    # What is imported later, somebody else might not be allowed to read.
    with open_backend(opener, str(Path(place) / "before.db")).sync as face:
        face.save_context("s", [])
    if os.getuid() == 0:
        os.chown(place, _NOBODY, _NOBODY)
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)
    findings: List[Finding] = []
    for number, name in enumerate(_PLACES):
        findings += _meet(opener, Path(place) / str(number), name)
    print(json.dumps(findings))


def _meet(opener: str, place: Path, name: str) -> List[Finding]:
    exists, directory_mode, file_mode = _PLACES[name]
    place.mkdir()
    path = place / "chat.db"
    messages = [{"id": "1", "timestamp": "2024"}]
    if exists:
        with open_backend(opener, str(path)).sync as face:
            face.save_context("s", messages)
        path.chmod(file_mode)
    before = path.read_bytes() if exists else b""
    place.chmod(directory_mode)
    findings: List[Finding] = []
    face = open_backend(opener, str(path)).sync
    try:
        if face.load_context("s") != messages:
            findings.append(Finding("silent", name, "not what is stored"))
    except StorageError:
        pass
    except Exception as error:
        findings.append(Finding("error", name, shown(error)))
    try:
        face.save_context("s", [{"id": "2"}])
        findings.append(Finding("silent", name, "a write that cannot be"))
    except UnavailableError:
        pass
    except Exception as error:
        findings.append(Finding("error", name, shown(error)))
    face.close()
    place.chmod(0o755)
    if exists and path.read_bytes() != before:
        findings.append(Finding("written", name, "the file changed"))
    return findings
