"""Kill a process that writes, at random moments, and look at what it left."""

from __future__ import annotations

import asyncio
import random
import subprocess
import threading
import time
from pathlib import Path
from typing import Dict, List

from contextstore._hop import running_loop
from contextstore.backends.base import MemoryBackend
from contextstore.testing.faults.children import last_line, open_backend, say, start
from contextstore.testing.faults.report import (
    FaultReport,
    Finding,
    Progress,
    merged,
    quiet,
)
from contextstore.testing.faults.script import (
    Script,
    complaints,
    examine,
    make_script,
    settle,
)

# One file goes through so many lives, so that what a recovery left is recovered again.
LIVES_A_FILE = 10
_STEPS_A_LIFE = 60
_SESSIONS = 4
_LONGEST_DELAY = 0.004


def run_kills(
    opener: str,
    directory: Path,
    *,
    kills: int,
    seed: int = 1,
    edits: bool = True,
    progress: Progress = quiet,
) -> FaultReport:
    """Kill a writing process so many times, by SIGKILL at random moments.

    A child carries out scripts on four sessions of one file at once, from threads or
    from tasks, and acknowledges each step over a pipe. After the kill, each session has
    to be as after its last acknowledged step, or as after the one that was on its way;
    ``verify`` has to be content, and repeating that step has to settle it.

    Args:
        opener: ``package.module:function``; called with a path, it gives the backend.
        directory: an empty place for the files.
        edits: whether the backend has ``update_interaction``.
    """
    reports: List[FaultReport] = []
    for number in range(0, kills, LIVES_A_FILE):
        lives = min(LIVES_A_FILE, kills - number)
        path = directory / f"kill{number}.db"
        file = _File(opener, path, f"{seed}/{number}", edits)
        reports += [file.live_and_die(f"kill {number + life}") for life in range(lives)]
        progress(f"{number + lives} of {kills} kills")
    return merged(reports)


class _File:
    """Be one file, with how far each of its sessions is known to be.

    Attributes:
        done: the steps of each session that are settled.
    """

    def __init__(self, opener: str, path: Path, seed: str, edits: bool) -> None:
        self._opener = opener
        self._path = str(path)
        self._edits = edits
        self._seed = seed
        self._chance = random.Random(seed)
        self._scripts = _scripts(seed, edits)
        self.done = dict.fromkeys(self._scripts, 0)

    def live_and_die(self, where: str) -> FaultReport:
        """Let a child write until it is killed, and check."""
        child = start(
            "contextstore.testing.faults.kills:write_until_killed",
            opener=self._opener,
            path=self._path,
            seed=self._seed,
            edits=self._edits,
            done=self.done,
            tasks=self._chance.random() < 0.5,
        )
        acknowledged, errors = self._kill(child)
        if errors:
            return FaultReport({"kills": 1}, [Finding("error", where, errors)])
        before = sum(self.done.values())
        findings = self._check(acknowledged, where)
        steps = sum(acknowledged.values()) - before
        return FaultReport({"kills": 1, "acknowledged": steps}, findings)

    def _kill(self, child: subprocess.Popen[bytes]) -> tuple[Dict[str, int], str]:
        """Return what was acknowledged, or what the child died of before."""
        assert child.stdout is not None
        lines: List[bytes] = []
        for _ in range(self._chance.randrange(_STEPS_A_LIFE)):
            lines.append(child.stdout.readline())
        time.sleep(self._chance.random() * _LONGEST_DELAY)
        child.kill()
        output, errors = child.communicate()
        acknowledged = dict(self.done)
        for line in [*lines, *output.splitlines()]:
            session_id, _, step = line.decode().partition(" ")
            if session_id:
                acknowledged[session_id] = int(step) + 1
        return acknowledged, last_line(errors) if errors else ""

    def _check(self, acknowledged: Dict[str, int], where: str) -> List[Finding]:
        with open_backend(self._opener, self._path).sync as face:
            findings = complaints(face, where)
            for session_id, script in self._scripts.items():
                step = acknowledged[session_id]
                faults = examine(face, script, step, step + 1, where)
                findings += faults or settle(face, script, step, where)
                self.done[session_id] = step + 1
        return findings


def _scripts(seed: str, edits: bool) -> Dict[str, Script]:
    length = LIVES_A_FILE * (_STEPS_A_LIFE + 70)
    names = [f"s{number}" for number in range(_SESSIONS)]
    return {name: make_script(seed, name, length, edits=edits) for name in names}


def write_until_killed(
    opener: str, path: str, seed: str, edits: bool, done: Dict[str, int], tasks: bool
) -> None:
    """Carry out what is left of the scripts, acknowledging each step; in the child."""
    scripts = _scripts(seed, edits)
    backend = open_backend(opener, path)
    if tasks:
        asyncio.run(_write_from_tasks(backend, scripts, done))
        return
    threads = [
        threading.Thread(target=_write_from_thread, args=(backend, script, done[name]))
        for name, script in scripts.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


async def _write_from_tasks(
    backend: MemoryBackend, scripts: Dict[str, Script], done: Dict[str, int]
) -> None:
    async def write(script: Script, first: int) -> None:
        for number in range(first, len(script.steps)):
            await script.steps[number].apply(backend, script.session_id)
            say(f"{script.session_id} {number}")

    await asyncio.gather(*(write(one, done[name]) for name, one in scripts.items()))


def _write_from_thread(backend: MemoryBackend, script: Script, first: int) -> None:
    assert running_loop() is None
    face = backend.sync
    for number in range(first, len(script.steps)):
        script.steps[number].apply(face, script.session_id)
        say(f"{script.session_id} {number}")
