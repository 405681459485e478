"""Own the one connection of a process that writes to a file, and commit in groups.

The connection belongs to whoever holds the lock. A sync caller that finds it free
leads: it commits its own write together with what is queued. Otherwise it queues and
waits. A thread leads for async callers and for those who found the lock taken. While
one batch is being synced to the disk, the next one gathers. Who leads takes from the
queue when it is its turn to write: what waits for another process can be withdrawn.

The main thread leads for itself alone. An interrupt (Ctrl-C) that comes during a commit
is raised right after it, when nobody can tell any more whether the writes are stored:
that is for the interrupted to find out, and for no one else.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Callable, Deque, Generator, List, Optional, TypeVar

from contextstore._hop import Loop, OwnThread, Ticket, call, deliver, running_loop
from contextstore.backends.sqlite.at_fork import Visit, inside, leave
from contextstore.backends.sqlite.connections import (
    MEMORY,
    open_writer,
    set_durability,
)
from contextstore.backends.sqlite.failures import (
    DRIVER_ERRORS,
    in_use_at_fork,
    mapped,
    translated,
)
from contextstore.backends.sqlite.group_commit import (
    AnyTicket,
    SyncTicket,
    commit,
    fail,
    wake,
)
from contextstore.backends.sqlite.process_lock import ProcessLock
from contextstore.backends.sqlite.waiting import BUSY_SECONDS, begin, never
from contextstore.errors import ClosedError, ConfigurationError, StorageError

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

# An async caller waits for room beyond this many writes; threads are their own bound.
MOST_QUEUED = 1024
# One commit must neither hold up its first caller nor grow the log without end.
MOST_TOGETHER = 256


class Writer:
    """Write to one SQLite file, from any thread and any loop.

    Args:
        location: the absolute path, or ``:memory:``.
        was_in_use: whether threads of the parent used it when it forked this process;
            then nobody can in this one.

    Attributes:
        connection: None until the first use opens it.
    """

    def __init__(self, location: str, *, was_in_use: bool = False) -> None:
        self._location = location
        self._was_in_use = was_in_use
        self._lock = threading.Lock()
        # The thread that commits; what runs inside must not wait for its own lock.
        self._leader: Optional[int] = None
        self._process_lock = (
            ProcessLock(location, BUSY_SECONDS, wanted=False)
            if location == MEMORY
            else ProcessLock.beside(location, BUSY_SECONDS)
        )
        self.connection: Optional[sqlite3.Connection] = None
        self._durability = "relaxed"
        self._durability_set = ""
        # Re-entrant: the garbage collector may close the writer at any point.
        self._queue_lock = threading.RLock()
        self._queue: Deque[AnyTicket] = deque()
        self._waiting_for_room: List[Ticket] = []
        self._closed = False
        self._calls: SimpleQueue[bool] = SimpleQueue()
        self._thread: Optional[threading.Thread] = None
        self._called = False

    def write(self, change: Work[T]) -> T:
        """Run a change in a transaction; it is kept when this returns.

        Raises:
            StorageError: nothing of the change was stored.
        """
        write = SyncTicket(self._mapped(change))
        alone = threading.current_thread() is threading.main_thread()
        # Who may not take along what waits does not overtake it either.
        if not (alone and self._queue) and self._lock.acquire(blocking=False):
            try:
                done = inside(self, self._commit, write, alone)
            finally:
                self._lock.release()
            wake(done)
        else:
            self.refuse_from_within()
            self._enqueue(write)
            write.wait()
        result: T = write.outcome()
        return result

    async def submit(self, change: Work[T]) -> T:
        """Run a change for an async caller.

        A caller that is cancelled leaves when it is certain whether it was stored.
        """
        self.refuse_from_within()
        loop = running_loop()
        if loop is None or self._location == MEMORY:
            return self.write(change)
        await self._room(loop)
        ticket = Ticket(self._mapped(change), loop)
        self._enqueue(ticket)
        result: T = await ticket.settled_outcome()
        return result

    async def submit_exclusive(self, action: Work[T]) -> T:
        """Run an action outside any transaction, alone, for an async caller."""
        self.refuse_from_within()

        def run() -> T:
            with self.exclusively() as connection:
                return action(connection)

        return await call(run)

    @contextmanager
    def exclusively(self) -> Generator[sqlite3.Connection, None, None]:
        """Hold the connection, outside any transaction and apart from all processes."""
        self.refuse_from_within()
        visit = Visit(self)
        with self._lock, mapped(self._location):
            try:
                visit.begin()
                connection = self._open()
                with self._process_lock:
                    yield connection
            finally:
                leave(visit)

    def require_durability(self, durability: str) -> None:
        """Sync as the strictest of those who share the file asks for."""
        if durability == "full":
            self._durability = durability

    def close(self) -> None:
        """Close the connection; what is still queued fails with ClosedError."""
        with self._lock:
            with self._queue_lock:
                self._closed = True
                left = [write for write in self._queue if write.begin()]
                self._queue.clear()
                waiting, self._waiting_for_room = self._waiting_for_room, []
            inside(self, self.disconnect)
            self._process_lock.close()
        self._calls.put(False)
        fail(left, self._closed_error())
        wake(left)
        deliver(waiting)

    def disconnect(self, is_pointless: Callable[[], bool] = never) -> None:
        """Close the connection where no thread is inside; the next use opens another.

        Args:
            is_pointless: asked while another process writes: whether to give up.
        """
        if self.connection is not None:
            with self._process_lock.held(is_pointless):
                self.connection.close()
        self.connection = None

    def forget_lock(self) -> None:
        """Let go of the lock file in a forked child.

        Parent and child share one lock: a child that kept it open would hold it for a
        parent that was killed, and one that unlocked it would take it from the parent.
        """
        self._process_lock.close()

    def _serve(self) -> None:
        """Lead for those who do not; runs on a thread until the writer is closed."""
        while self._calls.get():
            with self._queue_lock:
                self._called = False
            while self._queue:
                with self._lock:
                    done = inside(self, self._commit)
                wake(done)

    def _commit(
        self, own: Optional[SyncTicket] = None, alone: bool = False
    ) -> List[AnyTicket]:
        """Commit a write, and unless it is to be alone what is queued.

        Returns:
            The writes, each with its result or its error.
        """
        writes: List[AnyTicket] = [] if own is None else [own]
        waiting = 0 if alone else len(self._queue)
        if not writes and not waiting:
            return writes
        is_pointless = never if own is not None else self._nobody_waits
        try:
            with mapped(self._location):
                connection = self._open(is_pointless)
                with self._process_lock.held(is_pointless):
                    begin(connection, is_pointless)
                    if not alone:
                        writes += self._take(MOST_TOGETHER)
                    waiting = 0
                    self._leader = threading.get_ident()
                    commit(connection, writes)
        except BaseException as error:
            # Of an interrupt too they have to hear: nobody else will wake them. Who
            # came while they waited may wait as long as they did.
            writes += self._take(waiting)
            fail(writes, error)
            return writes
        finally:
            self._leader = None
        for write in writes:
            if isinstance(write.error, DRIVER_ERRORS):
                write.error = self._translated(write.error)
        return writes

    def _nobody_waits(self) -> bool:
        """Tell whether all that is queued was withdrawn."""
        with self._queue_lock:
            return not any(write.is_open() for write in self._queue)

    def refuse_from_within(self) -> None:
        """Refuse to wait for a write that itself waits for this call.

        Raises:
            ConfigurationError: an id factory or a clock called the store it works for.
        """
        if self._leader == threading.get_ident():
            raise ConfigurationError(
                f"{self._location} was called from within a write to it: an id_factory "
                f"or a clock has to do without the store that calls it"
            )

    def _open(self, is_pointless: Callable[[], bool] = never) -> sqlite3.Connection:
        """Return the connection; call it with the lock held."""
        if self._closed:
            raise self._closed_error()
        if self._was_in_use:
            raise in_use_at_fork(self._location)
        if self.connection is not None and self.connection.in_transaction:
            self._undo(self.connection)
        if self.connection is None:
            self.connection = open_writer(
                self._location, self._process_lock, is_pointless
            )
            self._durability_set = ""
        if self._durability_set != self._durability:
            self._durability_set = self._durability
            set_durability(self.connection, self._durability_set)
        return self.connection

    def _undo(self, connection: sqlite3.Connection) -> None:
        """End a transaction that an interrupt left open."""
        try:
            connection.execute("ROLLBACK")
        except sqlite3.Error:
            if self._location == MEMORY:
                # Closing it would lose everything.
                raise
            connection.close()
            self.connection = None

    def _mapped(self, change: Work[T]) -> Work[T]:
        # A context manager would cost as much as a statement.
        def run(connection: sqlite3.Connection) -> T:
            try:
                return change(connection)
            except DRIVER_ERRORS as error:
                raise self._translated(error) from error

        return run

    def _translated(self, cause: Exception) -> StorageError:
        error = translated(cause, self._location)
        error.__cause__ = cause
        return error

    def _enqueue(self, write: AnyTicket) -> None:
        with self._queue_lock:
            if self._closed:
                raise self._closed_error()
            self._queue.append(write)
            self._call_thread()

    async def _room(self, loop: Loop) -> None:
        """Wait while too much is queued."""
        while len(self._queue) >= MOST_QUEUED:
            ticket = Ticket(lambda: None, loop)
            with self._queue_lock:
                self._waiting_for_room.append(ticket)
            if self._queue:
                await ticket.outcome()

    def _take(self, most: int) -> List[AnyTicket]:
        """Take the oldest writes from the queue, leaving out what was withdrawn."""
        with self._queue_lock:
            oldest = [self._queue.popleft() for _ in range(min(most, len(self._queue)))]
            taken = [write for write in oldest if write.begin()]
            waiting, self._waiting_for_room = self._waiting_for_room, []
        deliver(waiting)
        return taken

    def _call_thread(self) -> None:
        """See to it that the thread looks at the queue; call it with its lock held."""
        if self._called:
            return
        # Noted last: an interrupt in between must not leave a call that nobody hears.
        if self._thread is None:
            thread = OwnThread(self._serve, "contextstore-sqlite-write")
            thread.start()
            self._thread = thread
        self._calls.put(True)
        self._called = True

    def _closed_error(self) -> ClosedError:
        return ClosedError(f"{self._location} was closed", location=self._location)
