"""Own the connections that read one SQLite file; readers and the writer do not wait."""

from __future__ import annotations

import sqlite3
import threading
from typing import Callable, List, Optional, TypeVar

from contextstore._hop import Worker
from contextstore.backends.sqlite.at_fork import Visit, inside, leave
from contextstore.backends.sqlite.connections import MEMORY, open_reader
from contextstore.backends.sqlite.failures import mapped
from contextstore.backends.sqlite.process_lock import ProcessLock
from contextstore.backends.sqlite.waiting import BUSY_SECONDS
from contextstore.backends.sqlite.watch import FileVersion, Watch
from contextstore.backends.sqlite.writer import Writer

T = TypeVar("T")

_MOST_IDLE = 4


class Readers:
    """Read one SQLite file, from any thread and any loop.

    Args:
        writer: opens the file first, and reads where there is only its connection.
    """

    def __init__(self, location: str, writer: Writer) -> None:
        self._location = location
        self._writer = writer
        # Re-entrant: the garbage collector may close the readers at any point.
        self._lock = threading.RLock()
        self._idle: List[sqlite3.Connection] = []
        self._closed = False
        self._worker = Worker("contextstore-sqlite-read")
        self._watch = Watch(location)

    def version(self) -> Optional[FileVersion]:
        """Return what every commit to the file changes; None where it is not known."""
        # In memory there is one connection, and it does not count its own commits.
        if self._location == MEMORY:
            return None
        return inside(self._writer, self._version)

    def read(
        self, query: Callable[[sqlite3.Connection], T], *, snapshot: bool = False
    ) -> T:
        """Run a query.

        Args:
            snapshot: let all its statements see one state of the file; a single
                statement always does.
        """
        if self._location == MEMORY:
            with self._writer.exclusively() as connection:
                return query(connection)
        visit = Visit(self._writer)
        try:
            visit.begin()
            while self._writer.connection is None:
                # It makes the tables, and keeps the log in place for the readers.
                leave(visit)
                with self._writer.exclusively():
                    pass
                visit.begin()
            return self._read(query, snapshot)
        finally:
            leave(visit)

    async def fetch(
        self, query: Callable[[sqlite3.Connection], T], *, snapshot: bool = False
    ) -> T:
        """Run a query for an async caller, on the one thread that reads for these."""
        if self._location == MEMORY:
            return self.read(query)
        return await self._worker.call(lambda: self.read(query, snapshot=snapshot))

    def close(self) -> None:
        """Close the connections that nobody uses now, and each other one after use."""
        self._worker.close()
        with self._lock:
            self._closed = True
        self._watch.close()
        inside(self._writer, self.disconnect)

    def disconnect(self) -> None:
        """Close the connections that nobody uses now; a call after this opens anew."""
        self._watch.disconnect()
        with self._lock:
            idle, self._idle = self._idle, []
        for reader in idle:
            reader.close()

    @property
    def is_connected(self) -> bool:
        """Tell whether a connection is open that nobody uses now."""
        return bool(self._idle) or self._watch.is_connected

    def _version(self) -> Optional[FileVersion]:
        return None if self._writer.connection is None else self._watch.version()

    def _read(self, query: Callable[[sqlite3.Connection], T], snapshot: bool) -> T:
        reader = self._take()
        try:
            with mapped(self._location):
                return _in_snapshot(reader, query) if snapshot else query(reader)
        finally:
            self._give_back(reader)

    def _take(self) -> sqlite3.Connection:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return open_reader(self._location)

    def _give_back(self, reader: sqlite3.Connection) -> None:
        # Where an interrupt left a snapshot open, it would show old messages for good.
        is_clean = not reader.in_transaction
        with self._lock:
            if is_clean and not self._closed and len(self._idle) < _MOST_IDLE:
                self._idle.append(reader)
                return
        # After the writer closed, this may be the last connection, and copy the log.
        lock = ProcessLock.beside(self._location, BUSY_SECONDS)
        with lock:
            reader.close()
        lock.close()


def _in_snapshot(
    reader: sqlite3.Connection, query: Callable[[sqlite3.Connection], T]
) -> T:
    reader.execute("BEGIN")
    try:
        return query(reader)
    finally:
        reader.execute("ROLLBACK")
