"""Damage the files of a store in many ways, and see what it makes of them."""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Dict, List, Optional, Tuple

from contextstore.errors import NotFoundError, StorageError
from contextstore.sync import SyncMemory
from contextstore.testing.faults.children import open_backend
from contextstore.testing.faults.report import (
    FaultReport,
    Finding,
    Progress,
    at_most,
    merged,
    quiet,
    shown,
)
from contextstore.testing.faults.script import Message

LOG = "-wal"
_SESSIONS = 30
_APPENDS = 400
_APPENDS_IN_LOG = 20
_PAGE = 4096
_TAILS = (1, 3, 20)

Damage = Callable[[random.Random, bytearray], str]


def flip_bits(chance: random.Random, data: bytearray) -> str:
    """Flip one to four bits."""
    places = [chance.randrange(8 * len(data)) for _ in range(chance.choice((1, 1, 4)))]
    for place in places:
        data[place // 8] ^= 1 << place % 8
    return f"bits {places} flipped"


def zero_page(chance: random.Random, data: bytearray) -> str:
    """Zero a page or a sector."""
    size = chance.choice((512, _PAGE))
    first = chance.randrange(0, len(data), size)
    end = min(first + size, len(data))
    data[first:end] = bytes(end - first)
    return f"bytes {first} to {end} zeroed"


def cut_off(chance: random.Random, data: bytearray) -> str:
    """Cut the end off."""
    length = chance.randrange(1, len(data))
    del data[length:]
    return f"cut to {length} bytes"


def random_bytes(chance: random.Random, data: bytearray) -> str:
    """Write random bytes over some, or over a page."""
    size = min(chance.choice((1, 4, 64, 512, _PAGE)), len(data))
    first = chance.randrange(len(data) - size + 1)
    data[first : first + size] = bytes(chance.randrange(256) for _ in range(size))
    return f"{size} random bytes at {first}"


def misplaced_page(chance: random.Random, data: bytearray) -> str:
    """Write a page to the place of another."""
    pages = max(1, len(data) // _PAGE)
    source, target = (_PAGE * chance.randrange(pages) for _ in range(2))
    page = data[source : source + _PAGE]
    data[target : target + len(page)] = page
    return f"the page at {source} written at {target}"


DAMAGES: Tuple[Damage, ...] = (
    flip_bits,
    flip_bits,
    zero_page,
    cut_off,
    random_bytes,
    misplaced_page,
)


@dataclass(frozen=True)
class Sound:
    """Be a store before it is damaged.

    Attributes:
        opened: its files while it is open, by what follows the name of the first,
            such as ``-wal``.
        closed: its one file after it was closed.
        sessions: the messages of each session.
        earlier: what each session held at each commit that only the log has.
    """

    opened: Dict[str, bytes]
    closed: bytes
    sessions: Dict[str, List[Message]]
    earlier: Dict[str, List[List[Message]]] = field(default_factory=dict)


def make_sound(opener: str, directory: Path, seed: object) -> Sound:
    """Make a store with some sessions, a part of it in the log alone."""
    chance = random.Random(f"sound {seed}")
    directory.mkdir()
    path = str(directory / "sound.db")
    states: Dict[str, List[List[Message]]] = {
        f"session-{number}": [[]] for number in range(_SESSIONS)
    }
    with open_backend(opener, path).sync as face:
        for session_id in states:
            face.save_context(session_id, [])
        for _ in range(_APPENDS):
            _append(face, chance, states)
    # A sound store has no free pages worth damaging, hence appends alone.
    earlier = {name: [history[-1]] for name, history in states.items()}
    with open_backend(opener, path).sync as face:
        for _ in range(_APPENDS_IN_LOG):
            _append(face, chance, earlier)
        # While it is open, so that the log is still there.
        opened = {
            suffix: Path(path + suffix).read_bytes()
            for suffix in ("", LOG)
            if Path(path + suffix).exists()
        }
    sessions = {name: history[-1] for name, history in earlier.items()}
    return Sound(opened, Path(path).read_bytes(), sessions, earlier)


def _append(
    face: SyncMemory, chance: random.Random, states: Dict[str, List[List[Message]]]
) -> None:
    # Cubed: some sessions are far longer than others.
    session_id = f"session-{int(_SESSIONS * chance.random() ** 3)}"
    history = states[session_id]
    count = len(history[-1])
    new = [
        {
            "id": f"{session_id}-{number}",
            "role": "user" if number % 2 else "assistant",
            "content": f"{number} " + "hay " * chance.choice((2, 20, 100)),
            "timestamp": "2024-01-01T00:00:00Z",
        }
        for number in range(count, count + chance.choice((1, 2, 3)))
    ]
    face.append_context(session_id, new)
    history.append(history[-1] + new)


def run_damage(
    opener: str,
    directory: Path,
    *,
    files: int,
    seed: int = 1,
    progress: Progress = quiet,
) -> FaultReport:
    """Damage so many copies of a store, and load everything from each.

    A session that is found gives the right messages or a StorageError, whatever ``k``.
    One that is not found has to be missed by ``verify``. Loading leaves the file as it
    is. A log that ends early cannot be told from one whose end was never written, so a
    damaged log may give an earlier state that was whole: those are counted.

    Args:
        opener: ``package.module:function``; called with a path, it gives the backend.

    Returns:
        In its counts: ``right`` (everything loads right), ``errors`` (some load is a
        typed error), ``vanished`` (a session is not found), ``rolled back`` (a session
        is as it was before, after damage to the log), ``only verify`` (everything loads
        right, and ``verify`` finds damage), ``unnoticed`` (nothing finds anything, as
        it hit what is not in use), ``log copied`` (a file that could not be opened got
        what its log held, as SQLite does when the last connection lets go).
    """
    reports: List[FaultReport] = []
    sound = Sound({}, b"", {})
    for number in range(files):
        if number % 250 == 0:
            place = directory / f"sound{number}"
            sound = make_sound(opener, place, f"{seed}/{number}")
        chance = random.Random(f"{seed}/{number}")
        reports.append(_damage_one(opener, directory / "copy", sound, chance, number))
        if number % 250 == 249 or number == files - 1:
            progress(f"{number + 1} of {files} damaged files")
    return merged(reports)


def _damage_one(
    opener: str, place: Path, sound: Sound, chance: random.Random, number: int
) -> FaultReport:
    files = dict(sound.opened) if chance.random() < 0.5 else {"": sound.closed}
    suffix = chance.choice([*sorted(files), ""])
    damaged = bytearray(files[suffix])
    said = chance.choice(DAMAGES)(chance, damaged)
    files[suffix] = bytes(damaged)
    where = (
        f"file {number}{suffix}{' beside its log' if len(files) > 1 else ''}: {said}"
    )
    return examine_files(opener, place, sound, files, where)


def examine_files(
    opener: str, place: Path, sound: Sound, files: Dict[str, bytes], where: str
) -> FaultReport:
    """Open a store of these files and compare what it gives with the sound one."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    path = place / "chat.db"
    for suffix, data in files.items():
        Path(f"{path}{suffix}").write_bytes(data)
    log_is_damaged = LOG in files and files[LOG] != sound.opened[LOG]
    check = _Check(sound, where, log_is_damaged=log_is_damaged)
    try:
        face = open_backend(opener, str(path)).sync
        try:
            check.sessions(face)
            if path.read_bytes() != files[""]:
                check.changed(beside_log=LOG in files)
            check.verify(face)
        finally:
            face.close()
    except StorageError:
        check.seen.add("errors")
    return check.report()


class _Check:
    """Judge what a damaged store gives.

    Attributes:
        seen: the names of the counts to raise.
    """

    def __init__(self, sound: Sound, where: str, *, log_is_damaged: bool) -> None:
        self._sound = sound
        self._where = where
        self._log_is_damaged = log_is_damaged
        self._findings: List[Finding] = []
        self.seen: set[str] = set()

    def find(self, kind: str, detail: str) -> None:
        self._findings.append(Finding(kind, self._where, detail))

    def sessions(self, face: SyncMemory) -> None:
        for session_id, messages in self._sound.sessions.items():
            for k in (None, *_TAILS):
                try:
                    self._load(face, session_id, k, messages)
                except StorageError:
                    self.seen.add("errors")
                except Exception as error:
                    self.find("error", f"{session_id}, k={k}: {shown(error)}")

    def _load(
        self,
        face: SyncMemory,
        session_id: str,
        k: Optional[int],
        messages: List[Message],
    ) -> None:
        loaded = face.load_context(session_id, k)
        first = 0 if k is None else -k
        if loaded == messages[first:]:
            return
        earlier = self._sound.earlier[session_id]
        if self._log_is_damaged and loaded in [state[first:] for state in earlier]:
            self.seen.add("rolled back")
        elif loaded:
            self.find("wrong", f"{session_id}, k={k}: {at_most(loaded)}")
        elif self._is_found(face, session_id):
            self.find("silent", f"{session_id}, k={k}: an empty list")
        else:
            self.seen.add("vanished")

    def _is_found(self, face: SyncMemory, session_id: str) -> bool:
        try:
            face.session_info(session_id)
        except NotFoundError:
            return False
        return True

    def changed(self, *, beside_log: bool) -> None:
        if beside_log:
            # Not the load: SQLite copies a log when the last connection lets go.
            self.seen.add("log copied")
        else:
            self.find("written", "loading changed the file")

    def verify(self, face: SyncMemory) -> None:
        try:
            problems = bool(face.verify().problems)
        except StorageError:
            problems = True
        except Exception as error:
            self.find("verify", shown(error))
            return
        if not self.seen - {"log copied"}:
            self.seen.add("right")
            self.seen.add("only verify" if problems else "unnoticed")
        elif "vanished" in self.seen and not problems and not self._log_is_damaged:
            self.find("verify", "it does not miss a session that vanished")

    def report(self) -> FaultReport:
        names = (
            *("right", "errors", "vanished", "rolled back", "only verify"),
            *("unnoticed", "log copied"),
        )
        counts = {name: int(name in self.seen) for name in names}
        return FaultReport({"files": 1, **counts}, self._findings)
