"""Run reads and writes on one SQLite file: plain sync code, safe from any thread.

All objects of a process on one file share one engine, so that there is one writer a
process.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import Any, Callable, Container, List, Set, TypeVar

from contextstore.backends.sqlite import text_index
from contextstore.backends.sqlite.at_fork import inside
from contextstore.backends.sqlite.connections import MEMORY
from contextstore.backends.sqlite.failures import DRIVER_ERRORS
from contextstore.backends.sqlite.readers import Readers
from contextstore.backends.sqlite.writer import Writer
from contextstore.errors import StorageError

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

# What was in use when this process was forked: to close it could delete the parent's
# log, so it is kept from the garbage collector; and what is opened beside it would have
# no locks (https://sqlite.org/howtocorrupt.html, section 2.6).
_inherited: List[Any] = []
_inherited_files: Set[str] = set()


class Engine:
    """Join the writer and the readers of a file.

    Args:
        location: the absolute path, or ``:memory:``.
    """

    def __init__(self, location: str) -> None:
        self.location = location
        self._durability = "relaxed"
        self._start()

    def _start(self, *, was_in_use: bool = False) -> None:
        self.writer = Writer(
            self.location, was_in_use=was_in_use or self.location in _inherited_files
        )
        self.writer.require_durability(self._durability)
        self.readers = Readers(self.location, self.writer)

    def require_durability(self, durability: str) -> None:
        """Sync as the strictest of those who share the file asks for."""
        if durability == "full":
            self._durability = durability
        self.writer.require_durability(durability)

    async def change(self, change: Work[T]) -> T:
        """Run a change that takes messages out of the text index, damaged or not."""
        try:
            return await self.writer.submit(change)
        except text_index.DamagedIndexError:
            await self.writer.submit(text_index.discard)
            return await self.writer.submit(change)

    def close(self) -> None:
        """Close all connections; a call after this raises ClosedError."""
        # The writer is the last: it copies the log into the file under its lock.
        self.readers.close()
        self.writer.close()

    def is_used(self, engines: Container[object]) -> bool:
        """Tell whether it is among what threads are inside of."""
        return self.writer in engines

    def disconnect(self, is_pointless: Callable[[], bool]) -> None:
        """Close what is open of a file, for a fork; the next use opens it anew.

        Args:
            is_pointless: asked while another process writes: whether to give up.
        """
        with suppress(StorageError, *DRIVER_ERRORS):
            inside(self.writer, self._disconnect, is_pointless)

    def _disconnect(self, is_pointless: Callable[[], bool]) -> None:
        if self.location != MEMORY:
            self.readers.disconnect()
            self.writer.disconnect(is_pointless)

    def forget_parent(self, *, was_in_use: bool) -> None:
        """Let go of the parent's locks and threads in a forked child.

        An in-memory database has nothing to share: the child keeps its own copy.

        Args:
            was_in_use: whether the child has a copy of half a call.
        """
        connection, inherited = self.writer.connection, (self.writer, self.readers)
        self.writer.forget_lock()
        if self.location != MEMORY:
            was_in_use = was_in_use or self._is_connected
        if was_in_use:
            _inherited.append(inherited)
        if was_in_use and self.location != MEMORY:
            _inherited_files.add(self.location)
        self._start(was_in_use=was_in_use)
        if not was_in_use:
            self.writer.connection = connection

    @property
    def _is_connected(self) -> bool:
        return self.writer.connection is not None or self.readers.is_connected
