"""Join sync and async: the one place where the two meet.

Everything above this file is written once, as coroutines that await nothing but each
other and two verbs:

``call(function)``
    for our own blocking code. With no running loop it calls at once; with one, the work
    goes to a thread and comes back by ``call_soon_threadsafe``.
``wait(awaitable)``
    for anything foreign, such as a third party's backend or what an embedding function
    returned. With a running loop it is awaited on the spot; without one it is sent to
    one shared thread that runs a loop, the portal.

A coroutine built from these never suspends where no loop runs, so ``drive`` can run it
to its end in the caller's own thread. Measured, that costs 1.1 times a direct call;
``asyncio.run`` costs 33 times.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import functools
import os
import threading
import time
from queue import SimpleQueue
from typing import (
    Any,
    Awaitable,
    Callable,
    Dict,
    Iterable,
    List,
    Optional,
    Set,
    TypeVar,
)

from contextstore.errors import AsyncContextError, ConfigurationError

T = TypeVar("T")
Loop = asyncio.AbstractEventLoop

# How often who waits for others looks whether they are at work at all.
_GLANCE = 1.0


class OwnThread(threading.Thread):
    """Be a thread of this library; it never keeps a process from ending."""

    def __init__(self, target: Callable[[], object], name: str) -> None:
        super().__init__(target=target, name=name, daemon=True)


def on_own_thread() -> bool:
    """Tell whether this code runs on a thread of this library."""
    return isinstance(threading.current_thread(), OwnThread)


def running_loop() -> Optional[Loop]:
    """Return the event loop that runs in this thread, or None."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def drive(awaitable: Awaitable[T], *, inline: bool = True) -> T:
    """Run an awaitable to its end from sync code.

    Args:
        inline: True runs it in this thread and expects it never to suspend; False
            sends it to the portal.

    Raises:
        AsyncContextError: an event loop runs in this thread, which waiting would block.
        ConfigurationError: it suspended although it was declared to run inline.
    """
    if running_loop() is not None:
        name = _abandon(awaitable)
        raise AsyncContextError(
            f"the sync face was called where an event loop is running: write "
            f"`await ...{name}(...)`, without `.sync`, on the object itself"
        )
    if not inline:
        return portal.run(awaitable)
    steps = awaitable.__await__()
    try:
        next(steps)
    except StopIteration as stop:
        result: T = stop.value
        return result
    name = _abandon(awaitable)
    raise ConfigurationError(
        f"{name}() waits for an event loop although its class sets runs_inline = True; "
        f"leave runs_inline out of a class that awaits anything foreign"
    )


def _abandon(awaitable: Any) -> str:
    """Close a coroutine that will not run, and return the name to call it by."""
    close = getattr(awaitable, "close", None)
    if close is not None:
        close()
    return str(getattr(awaitable, "__name__", "method"))


async def wait(awaitable: Awaitable[T]) -> T:
    """Await something foreign: here if a loop runs, on the portal if none does."""
    if running_loop() is not None:
        return await awaitable
    return portal.run(awaitable)


async def reach(owner: Any, awaitable: Awaitable[T]) -> T:
    """Await a method of a backend: as our own if it runs inline, else as foreign."""
    if owner.runs_inline:
        return await awaitable
    return await wait(awaitable)


async def sleep(seconds: float) -> None:
    """Wait without stalling a loop: in it if one runs, in this thread else."""
    if running_loop() is None:
        time.sleep(seconds)  # noqa: ASYNC251 - there is no loop to stall
    else:
        await asyncio.sleep(seconds)


async def settled(future: concurrent.futures.Future[Any]) -> None:
    """Wait until a future of another thread or loop is done, whatever it gives.

    A caller that is cancelled leaves a trace on the future, as nothing can be taken off
    one again: where many may give up, let them wait for a ``Signal``.
    """
    if running_loop() is None:
        concurrent.futures.wait([future])
    elif not future.done():
        # A caller that is cancelled must not cancel what others wait for.
        await asyncio.wait([asyncio.wrap_future(future)])


async def call(function: Callable[..., T], *arguments: Any) -> T:
    """Call blocking code without stalling a loop: in a thread of its own if one runs.

    A caller that is cancelled does not wait for the thread.
    """
    loop = running_loop()
    if loop is None:
        return function(*arguments)
    ticket = Ticket(functools.partial(function, *arguments), loop)
    context = contextvars.copy_context()
    OwnThread(lambda: context.run(_complete, ticket), "contextstore-call").start()
    result: T = await ticket.outcome()
    return result


class Claim:
    """Be work that one thread begins, unless its caller withdraws it before."""

    __slots__ = ("_claim",)

    def __init__(self) -> None:
        self._claim = [True]

    def begin(self) -> bool:
        """Claim the work for a thread; False if its caller withdrew it before."""
        try:
            # Popping a list is atomic, so only one of thread and caller gets the claim.
            return self._claim.pop()
        except IndexError:
            return False

    def is_open(self) -> bool:
        """Tell whether the work neither has begun nor was withdrawn."""
        return bool(self._claim)


class Ticket(Claim):
    """Be one piece of blocking work that a coroutine waits for.

    The thread that does the work calls ``begin`` and ``run``, and then ``deliver``; the
    coroutine awaits ``outcome`` or ``settled_outcome``.
    """

    __slots__ = ("_delivered", "_future", "error", "loop", "result", "work")

    def __init__(self, work: Callable[..., Any], loop: Loop) -> None:
        super().__init__()
        self.work = work
        self.loop = loop
        self.result: Any = None
        self.error: Optional[BaseException] = None
        self._delivered = False
        self._future: asyncio.Future[Any] = loop.create_future()

    def run(self, *arguments: Any) -> None:
        """Do the work and keep what came of it."""
        self.result = self.error = None
        try:
            self.result = self.work(*arguments)
        except StopIteration as error:
            # No future takes this one: it would end the coroutine that waits.
            self.error = RuntimeError("blocking code raised StopIteration")
            self.error.__cause__ = error
        except BaseException as error:
            # The thread is ours: whatever ends its work belongs to the one who waits.
            self.error = error

    async def outcome(self) -> Any:
        """Wait for the result; a cancelled caller leaves at once."""
        try:
            return await self._future
        except asyncio.CancelledError:
            self.begin()
            raise

    async def settled_outcome(self) -> Any:
        """Wait for the result; a cancelled caller leaves when the outcome is certain.

        Work that has not begun is withdrawn. Work that has begun is waited for, and
        only then is the cancellation passed on.
        """
        try:
            return await self._future
        except asyncio.CancelledError:
            if not self.begin():
                await self._settle()
            raise

    async def _settle(self) -> None:
        while not self._delivered:
            self._future = self.loop.create_future()
            try:
                await self._future
            except asyncio.CancelledError:
                continue
            except BaseException:
                return

    def resolve(self) -> None:
        """Hand the result to the caller; runs in the caller's loop."""
        self._delivered = True
        if self._future.done():
            return
        if self.error is not None:
            self._future.set_exception(self.error)
        else:
            self._future.set_result(self.result)


def deliver(tickets: Iterable[Ticket]) -> None:
    """Wake the callers of finished tickets, once for each loop that is open."""
    by_loop: Dict[asyncio.AbstractEventLoop, List[Ticket]] = {}
    for ticket in tickets:
        by_loop.setdefault(ticket.loop, []).append(ticket)
    for loop, finished in by_loop.items():
        try:
            loop.call_soon_threadsafe(_resolve_all, loop, finished)
        except RuntimeError:
            # The loop was closed: nobody waits any more.
            continue


def _resolve_all(loop: Loop, tickets: List[Ticket]) -> None:
    try:
        for ticket in tickets:
            ticket.resolve()
    except BaseException:
        # An interrupt (Ctrl-C) must not leave the others waiting for ever. To resolve
        # one twice does no harm.
        loop.call_soon(_resolve_all, loop, tickets)
        raise


def _complete(ticket: Ticket) -> None:
    if ticket.begin():
        ticket.run()
        deliver([ticket])


class Signal:
    """Be something that happens once, for any number of waiters in threads and loops.

    Whoever gives up waiting leaves nothing behind.
    """

    def __init__(self) -> None:
        # Re-entrant: the garbage collector may end a waiter at any point.
        self._lock = threading.RLock()
        self._event = threading.Event()
        self._waiting: Set[Ticket] = set()

    def give(self) -> None:
        """Let all waiters go on, and whoever comes later not wait at all."""
        with self._lock:
            self._event.set()
            waiting, self._waiting = self._waiting, set()
        deliver(waiting)

    async def wait(self, seconds: Optional[float] = None) -> bool:
        """Wait until it happens, so long at most; tell whether it has."""
        loop = running_loop()
        if loop is None:
            return self._event.wait(seconds)
        ticket = Ticket(_nothing, loop)
        with self._lock:
            if self._event.is_set():
                return True
            self._waiting.add(ticket)
        timer = None if seconds is None else loop.call_later(seconds, ticket.resolve)
        try:
            await ticket.outcome()
        finally:
            if timer is not None:
                timer.cancel()
            with self._lock:
                self._waiting.discard(ticket)
        return self._event.is_set()

    async def wait_while(self, goes_on: Callable[[], bool]) -> bool:
        """Wait until it happens, or nobody works for it any more; tell which.

        Args:
            goes_on: tells whether somebody does; asked now and then.
        """
        while goes_on():
            if await self.wait(_GLANCE):
                return True
        return self._event.is_set()


def _nothing() -> None:
    """Be the work of who only waits."""


class Worker:
    """Be a thread that does tickets one after the other.

    It starts with the first ticket, is a daemon, and is made anew in a forked child.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._queue: Optional[SimpleQueue[Optional[Ticket]]] = None
        self._pid = 0

    def submit(self, ticket: Ticket) -> None:
        """Queue a ticket."""
        self._started().put(ticket)

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call blocking code on this thread; with no running loop, call at once.

        A caller that is cancelled does not wait for the thread.
        """
        loop = running_loop()
        if loop is None:
            return function(*arguments)
        ticket = Ticket(functools.partial(function, *arguments), loop)
        self.submit(ticket)
        result: T = await ticket.outcome()
        return result

    def close(self) -> None:
        """End the thread when what is queued is done."""
        with self._lock:
            if self._queue is not None and self._pid == os.getpid():
                self._queue.put(None)
            self._queue = None

    def _started(self) -> SimpleQueue[Optional[Ticket]]:
        with self._lock:
            if self._queue is None or self._pid != os.getpid():
                self._queue = SimpleQueue()
                self._pid = os.getpid()
                serve = functools.partial(_serve, self._queue)
                OwnThread(serve, self._name).start()
            return self._queue


def _serve(queue: SimpleQueue[Optional[Ticket]]) -> None:
    # Only the queue is held here, so that the owner of the worker can be collected.
    while True:
        ticket = queue.get()
        if ticket is None:
            return
        _complete(ticket)
        del ticket


class Portal:
    """Be a thread with a running loop, for foreign awaitables of sync callers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: Optional[Loop] = None
        self._pid = 0

    def run(self, awaitable: Awaitable[T]) -> T:
        """Run an awaitable on the portal's loop and return what it gives."""
        future = self.submit(awaitable)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def submit(self, awaitable: Awaitable[T]) -> concurrent.futures.Future[T]:
        """Start an awaitable on the portal's loop."""
        return asyncio.run_coroutine_threadsafe(_awaited(awaitable), self._started())

    def _started(self) -> Loop:
        with self._lock:
            if self._loop is None or self._pid != os.getpid():
                self._loop = asyncio.new_event_loop()
                self._pid = os.getpid()
                OwnThread(self._loop.run_forever, "contextstore-portal").start()
            return self._loop


async def _awaited(awaitable: Awaitable[T]) -> T:
    return await awaitable


portal = Portal()


def _renew_after_fork() -> None:
    """Give a forked child a portal whose lock nobody holds."""
    portal.__init__()  # type: ignore[misc]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_after_fork)
