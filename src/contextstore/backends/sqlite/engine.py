"""Run reads and writes on one SQLite file: plain sync code, safe from any thread.

All objects of a process on one file share one engine, so that there is one writer a
process.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Callable, List, TypeVar

from contextstore.backends.sqlite import text_index
from contextstore.backends.sqlite.connections import MEMORY
from contextstore.backends.sqlite.readers import Readers
from contextstore.backends.sqlite.writer import Writer

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

# What a forked child inherited: closing it could delete the parent's log, so it is kept
# from the garbage collector (https://sqlite.org/howtocorrupt.html, section 2.6).
_inherited: List[Any] = []


class Engine:
    """Join the writer and the readers of a file.

    Args:
        location: the absolute path, or ``:memory:``.
    """

    def __init__(self, location: str) -> None:
        self.location = location
        self._durability = "relaxed"
        self._start()

    def _start(self) -> None:
        self.writer = Writer(self.location)
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

    def forget_parent(self) -> None:
        """Let go of the parent's connections, locks and threads in a forked child.

        An in-memory database has nothing to share: the child keeps its own copy.
        """
        if self.location == MEMORY:
            connection = self.writer.connection
            self._start()
            self.writer.connection = connection
        else:
            self.writer.forget_lock()
            _inherited.append((self.writer, self.readers))
            self._start()
