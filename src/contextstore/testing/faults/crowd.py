"""Let many processes write to one file, and be the first to open one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Dict, Iterable, List

from contextstore.testing.faults.children import last_line, open_backend, say, start
from contextstore.testing.faults.report import (
    FaultReport,
    Finding,
    Progress,
    merged,
    quiet,
    shown,
)
from contextstore.testing.faults.script import complaints


def run_crowd(
    opener: str, directory: Path, *, processes: int, turns: int
) -> FaultReport:
    """Let processes append turns of two messages to one session, all at once.

    Every turn has to be there, whole, and in the order in which its process wrote.

    Args:
        opener: ``package.module:function``; called with a path, it gives the backend.
        turns: how many each process appends.
    """
    path = str(directory / "crowd.db")
    with open_backend(opener, path).sync as face:
        face.save_context("s", [])
    children = {
        name: start(
            "contextstore.testing.faults.crowd:append_turns",
            opener=opener,
            path=path,
            name=name,
            turns=turns,
        )
        for name in (f"p{number}" for number in range(processes))
    }
    findings = _answers(list(children.values()), "ready", "the start")
    _tell(children.values(), "go")
    for name, child in children.items():
        output, errors = child.communicate()
        if output != b"done\n":
            findings.append(Finding("error", f"process {name}", last_line(errors)))
    findings += _missing_turns(opener, path, list(children), turns)
    return FaultReport({"processes": processes, "turns": processes * turns}, findings)


def append_turns(opener: str, path: str, name: str, turns: int) -> None:
    """Append turns, one call each; in the child."""
    say("ready")
    sys.stdin.readline()
    with open_backend(opener, path).sync as face:
        for number in range(turns):
            face.append_context("s", _turn(name, number))
    say("done")


def _turn(name: str, number: int) -> List[Dict[str, str]]:
    return [
        {"id": f"{name}-{number}-{role}", "role": role, "content": f"turn {number}"}
        for role in ("user", "assistant")
    ]


def _missing_turns(
    opener: str, path: str, names: List[str], turns: int
) -> List[Finding]:
    with open_backend(opener, path).sync as face:
        kept = [message["id"] for message in face.load_context("s")]
        findings = complaints(face, "after the crowd")
    for name in names:
        own = [one for one in kept if one.startswith(f"{name}-")]
        asked = [m["id"] for number in range(turns) for m in _turn(name, number)]
        lost = len(set(asked) - set(own))
        if lost:
            findings.append(Finding("lost", f"process {name}", f"{lost} messages"))
        elif own != asked:
            findings.append(Finding("wrong", f"process {name}", "in another order"))
    parts = list(zip(kept[::2], kept[1::2]))
    torn = sum(user.split("-")[:2] != other.split("-")[:2] for user, other in parts)
    if torn:
        findings.append(Finding("wrong", "the session", f"{torn} turns are torn apart"))
    return findings


def run_first_opens(
    opener: str,
    directory: Path,
    *,
    processes: int,
    files: int,
    progress: Progress = quiet,
) -> FaultReport:
    """Let processes be the first to open a file, all at the same instant.

    Each makes a session of its own in each file and has to read it back.

    Args:
        opener: ``package.module:function``; called with a path, it gives the backend.
        files: how many files they open one after the other; the opens are processes
            times files.
    """
    children = [
        start(
            "contextstore.testing.faults.crowd:open_files",
            opener=opener,
            name=f"p{number}",
        )
        for number in range(processes)
    ]
    reports = [FaultReport({}, _answers(children, "ready", "the start"))]
    for number in range(files):
        path = str(directory / f"first{number}.db")
        findings = _open_at_once(children, path)
        findings += _missing_sessions(opener, path, processes)
        reports.append(FaultReport({"first opens": processes}, findings))
        progress(f"{(number + 1) * processes} of {files * processes} first opens")
    for child in children:
        child.communicate()
    return merged(reports)


def _open_at_once(children: List[subprocess.Popen[bytes]], path: str) -> List[Finding]:
    # Each has answered before, and so waits for this line.
    _tell(children, json.dumps(path))
    return _answers(children, "1", path)


def _tell(children: Iterable[subprocess.Popen[bytes]], line: str) -> None:
    for child in children:
        assert child.stdin is not None
        try:
            child.stdin.write(f"{line}\n".encode())
        except BrokenPipeError:
            # It ended: that it does not answer tells.
            continue


def _answers(
    children: List[subprocess.Popen[bytes]], expected: str, where: str
) -> List[Finding]:
    """Wait for a line of each child, and return those that are not as expected."""
    findings: List[Finding] = []
    for child in children:
        assert child.stdout is not None
        answer = child.stdout.readline().decode().strip()
        if answer != expected:
            findings.append(Finding("error", where, answer or "the process ended"))
    return findings


def _missing_sessions(opener: str, path: str, processes: int) -> List[Finding]:
    findings: List[Finding] = []
    try:
        with open_backend(opener, path).sync as face:
            for name in (f"p{number}" for number in range(processes)):
                if [m["id"] for m in face.load_context(name)] != ["1"]:
                    findings.append(Finding("lost", path, f"session of {name}"))
            return findings + complaints(face, path)
    except Exception as error:
        return [*findings, Finding("error", path, shown(error))]


def open_files(opener: str, name: str) -> None:
    """Open each file that the parent names, and tell what came of it; in the child."""
    say("ready")
    for line in sys.stdin:
        try:
            with open_backend(opener, json.loads(line)).sync as face:
                face.save_context(name, [{"id": "1"}])
                say(str(len(face.load_context(name))))
        except Exception as error:
            say(shown(error)[:500])
