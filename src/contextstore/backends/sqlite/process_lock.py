"""Keep two processes from writing to one file at once, where SQLite is unsafe.

SQLite 3.7.0 to 3.51.2 can lose a commit or damage the file when two connections write
and checkpoint a write-ahead log at the same instant (the WAL-reset race, mended in
3.51.3, https://sqlite.org/releaselog/3_51_3.html). With such a version every write
transaction, checkpoint and close holds an advisory lock on a file beside the database.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from contextlib import contextmanager
from types import TracebackType
from typing import Callable, Generator, Optional, Type

from contextstore.backends.sqlite.waiting import never
from contextstore.errors import BusyError, UnavailableError

if sys.platform != "win32":
    import fcntl

_MENDED = (3, 51, 3)
_FIRST_PAUSE = 0.0002
_LONGEST_PAUSE = 0.005


def needs_process_lock(version: tuple[int, int, int]) -> bool:
    """Tell whether this version of SQLite has the WAL-reset race."""
    return version < _MENDED


class ProcessLock:
    """Hold the lock file of a database for the length of a ``with`` block.

    Threads of one process have to take turns by other means.

    Args:
        location: the database; the lock file's name is this and ``-lock``.
        seconds: how long to wait for another process.
        wanted: whether to lock at all.
    """

    def __init__(self, location: str, seconds: float, *, wanted: bool) -> None:
        self._location = location
        self._path = f"{location}-lock"
        self._seconds = seconds
        # Windows has no advisory locks of this kind.
        self._wanted = wanted and sys.platform != "win32"
        self._file: Optional[int] = None

    @classmethod
    def beside(cls, location: str, seconds: float) -> ProcessLock:
        """Return the lock of a database file as this version of SQLite needs it."""
        wanted = needs_process_lock(sqlite3.sqlite_version_info)
        return cls(location, seconds, wanted=wanted)

    def __enter__(self) -> None:
        self._acquire(never)

    @contextmanager
    def held(self, is_pointless: Callable[[], bool]) -> Generator[None, None, None]:
        """Hold the lock for the length of a ``with`` block.

        Args:
            is_pointless: asked while another process has it: whether to give up.
        """
        self._acquire(is_pointless)
        try:
            yield
        finally:
            self._release()

    def _acquire(self, is_pointless: Callable[[], bool]) -> None:
        if not self._wanted:
            return
        if self._file is None:
            self._file = self._opened()
        self._wait(self._file, is_pointless)

    def _opened(self) -> int:
        flags = os.O_CREAT | os.O_RDWR | getattr(os, "O_CLOEXEC", 0)
        try:
            return os.open(self._path, flags, 0o600)
        except OSError as error:
            raise UnavailableError(
                f"{self._location} cannot be used: its lock file {self._path} cannot "
                f"be opened ({error.strerror}); its directory has to exist and be "
                f"writable",
                location=self._location,
            ) from error

    def _wait(self, file: int, is_pointless: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self._seconds
        pause = _FIRST_PAUSE
        while not _try_to_lock(file):
            if time.monotonic() > deadline or is_pointless():
                raise BusyError(
                    f"{self._location} stayed locked by another process for "
                    f"{self._seconds:g} seconds; try again",
                    location=self._location,
                )
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def __exit__(
        self,
        exc_type: Optional[Type[BaseException]],
        exc: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self._release()

    def _release(self) -> None:
        if self._file is not None:
            _unlock(self._file)

    def close(self) -> None:
        """Let go of the lock file; it stays where it is."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _try_to_lock(file: int) -> bool:
    if sys.platform != "win32":
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _unlock(file: int) -> None:
    if sys.platform != "win32":
        fcntl.flock(file, fcntl.LOCK_UN)
