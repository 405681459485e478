"""Commit many writes with one sync of the disk, and give each its own outcome.

A write is a function of a connection. The writes of a batch run in one transaction, in
a savepoint each, so that one that fails hurts no other. An error that ends the
transaction itself, such as a full disk, undoes the whole batch: then every write is
tried once more alone.
"""

from __future__ import annotations

import copy
import sqlite3
import threading
from typing import Any, Callable, List, Optional, Sequence, Union

from contextstore._hop import Claim, Ticket, deliver
from contextstore.backends.sqlite.waiting import begin


class SyncTicket(Claim):
    """Be a write that a thread waits for; the counterpart of ``Ticket``."""

    __slots__ = ("_done", "_is_done", "error", "result", "work")

    def __init__(self, work: Callable[..., Any]) -> None:
        super().__init__()
        self.work = work
        self.result: Any = None
        self.error: Optional[BaseException] = None
        self._is_done = False
        self._done = threading.Lock()
        self._done.acquire()

    def run(self, connection: sqlite3.Connection) -> None:
        """Do the write and keep what came of it, an interrupt too."""
        self.result = self.error = None
        try:
            self.result = self.work(connection)
        except BaseException as error:
            self.error = error

    def wake(self) -> None:
        """Let the waiting thread go on."""
        self._is_done = True
        self._done.release()

    def wait(self) -> None:
        """Wait until the outcome is certain.

        A thread that is interrupted meanwhile (Ctrl-C) withdraws a write that has not
        begun, and waits for one that has.
        """
        try:
            self._done.acquire()
        except BaseException:
            if not self.begin() and not self._is_done:
                self._done.acquire()
            raise

    def outcome(self) -> Any:
        """Return the result of a write that is done, or raise its error."""
        if self.error is not None:
            raise self.error
        return self.result


AnyTicket = Union[Ticket, SyncTicket]


def commit(connection: sqlite3.Connection, writes: Sequence[AnyTicket]) -> None:
    """Run writes in the transaction that was begun, and commit it.

    Each keeps its own result or error.

    Raises:
        sqlite3.Error: the one write there was could not be committed.
        BaseException: an interrupt between the writes; whether they are stored is not
            certain.
    """
    if len(writes) == 1:
        _commit_alone(connection, writes[0])
        return
    if _commit_together(connection, writes):
        return
    for write in writes:
        try:
            begin(connection)
            _commit_alone(connection, write)
        except sqlite3.Error as error:
            write.error = error


def _commit_together(
    connection: sqlite3.Connection, writes: Sequence[AnyTicket]
) -> bool:
    """Run writes in the open transaction; False where an error ended or spoilt it."""
    try:
        for write in writes:
            connection.execute("SAVEPOINT one_write")
            write.run(connection)
            if not connection.in_transaction:
                # The savepoints went with the transaction: nothing of it is stored.
                return False
            if write.error is not None:
                connection.execute("ROLLBACK TO one_write")
            connection.execute("RELEASE one_write")
        connection.execute("COMMIT")
    except sqlite3.Error:
        return False
    else:
        return True
    finally:
        _roll_back(connection)


def _commit_alone(connection: sqlite3.Connection, write: AnyTicket) -> None:
    try:
        write.run(connection)
        if write.error is None:
            connection.execute("COMMIT")
    finally:
        _roll_back(connection)


def _roll_back(connection: sqlite3.Connection) -> None:
    """Undo a transaction that was not committed."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def fail(writes: Sequence[AnyTicket], error: BaseException) -> None:
    """Give every write the error, as an object of its own."""
    for write in writes:
        write.error = copy.copy(error)
        write.error.__cause__ = error.__cause__


def wake(writes: Sequence[AnyTicket]) -> None:
    """Let the callers of writes that are done go on."""
    tickets: List[Ticket] = []
    for write in writes:
        if isinstance(write, Ticket):
            tickets.append(write)
        else:
            write.wake()
    deliver(tickets)
