"""Own the connections to one SQLite file: plain sync code, safe from any thread.

The write connection belongs to whoever holds the write lock; a write is a function of
that connection inside one transaction. Reads have connections of their own.
"""

from __future__ import annotations

import sqlite3
import threading
from typing import Any, Callable, List, Optional, TypeVar

from contextstore._hop import Ticket, Worker, running_loop
from contextstore.backends.sqlite.connections import (
    BUSY_SECONDS,
    MEMORY,
    open_reader,
    open_writer,
)
from contextstore.backends.sqlite.failures import mapped
from contextstore.backends.sqlite.process_lock import ProcessLock
from contextstore.errors import ClosedError

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

_IDLE_READERS = 4
# What a forked child inherited: closing it could delete the parent's log, so it is kept
# from the garbage collector (https://sqlite.org/howtocorrupt.html, section 2.6).
_inherited: List[Any] = []


class Engine:
    """Run reads and writes on one SQLite file.

    Args:
        location: the absolute path, or ``:memory:``.
    """

    def __init__(self, location: str) -> None:
        self.location = location
        self._writer: Optional[sqlite3.Connection] = None
        self._closed = False
        self._start()

    def _start(self) -> None:
        """Make what a process does not share with another one."""
        self._write_lock = threading.Lock()
        self._readers_lock = threading.Lock()
        self._readers: List[sqlite3.Connection] = []
        self._writing = Worker("contextstore-sqlite-write")
        self._reading = Worker("contextstore-sqlite-read")
        self._process_lock = (
            ProcessLock(self.location, BUSY_SECONDS, wanted=False)
            if self.location == MEMORY
            else ProcessLock.beside(self.location, BUSY_SECONDS)
        )

    def write(self, change: Work[T]) -> T:
        """Run a change in a transaction of its own; it is kept when this returns.

        Raises:
            StorageError: nothing of the change was stored.
        """
        with self._write_lock, mapped(self.location):
            connection = self._open()
            with self._process_lock:
                return _in_transaction(connection, change)

    async def submit(self, change: Work[T]) -> T:
        """Run a change for an async caller.

        A caller that is cancelled leaves when it is certain whether it was stored.
        """
        loop = running_loop()
        if loop is None:
            return self.write(change)
        ticket = Ticket(lambda: self.write(change), loop)
        self._writing.submit(ticket)
        result: T = await ticket.settled_outcome()
        return result

    def read(self, query: Work[T]) -> T:
        """Run a query of one statement, which sees one state of the file."""
        if self.location == MEMORY:
            with self._write_lock, mapped(self.location):
                return query(self._open())
        reader = self._take_reader()
        try:
            with mapped(self.location):
                return query(reader)
        finally:
            self._give_back(reader)

    async def fetch(self, query: Work[T]) -> T:
        """Run a query for an async caller."""
        return await self._reading.call(lambda: self.read(query))

    def close(self) -> None:
        """Close all connections; a call after this raises ClosedError."""
        with self._write_lock:
            self._closed = True
            self._writing.close()
            self._reading.close()
            with self._readers_lock:
                readers, self._readers = self._readers, []
            # The last connection to close copies the log into the file.
            with self._process_lock:
                for reader in readers:
                    reader.close()
                if self._writer is not None:
                    self._writer.close()
            self._writer = None
            self._process_lock.close()

    def forget_parent(self) -> None:
        """Let go of the parent's connections, locks and threads in a forked child."""
        if self.location != MEMORY:
            _inherited.append((self._writer, self._readers, self._process_lock))
            self._writer = None
        self._start()

    def _open(self) -> sqlite3.Connection:
        """Return the write connection; call it with the write lock held."""
        if self._closed:
            raise ClosedError(f"{self.location} was closed", location=self.location)
        if self._writer is None:
            with self._process_lock:
                self._writer = open_writer(self.location)
        return self._writer

    def _take_reader(self) -> sqlite3.Connection:
        if self._writer is None:
            # The writer makes the tables, and keeps the log in place for the readers.
            with self._write_lock:
                self._open()
        with self._readers_lock:
            if self._readers:
                return self._readers.pop()
        return open_reader(self.location)

    def _give_back(self, reader: sqlite3.Connection) -> None:
        with self._readers_lock:
            if not self._closed and len(self._readers) < _IDLE_READERS:
                self._readers.append(reader)
                return
        with self._write_lock, self._process_lock:
            reader.close()


def _in_transaction(connection: sqlite3.Connection, change: Work[T]) -> T:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = change(connection)
        connection.execute("COMMIT")
    except BaseException:
        # An error such as a full disk ends the transaction by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result
