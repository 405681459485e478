"""Let what several callers want done at once be done by one of them."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import (
    Any,
    AsyncGenerator,
    Awaitable,
    Callable,
    Dict,
    Hashable,
    Iterable,
    Optional,
    Set,
)

from contextstore._hop import Signal, running_loop
from contextstore._lifecycle import renew_after_fork

__all__ = ["Flight", "Flights", "SharedCalls"]

# Longer than a summary takes, most often; who waits in vain loses no more than this.
_LONGEST_WAIT = 60.0


class Flight:
    """Be the work of one caller, from its first look to its last write.

    Attributes:
        session_id: the session that it works for.
        wanted: what is still wanted of what it does.
        writing: what it writes just now, wanted or not any more.
        ended: given when the work is over, however it ended.
    """

    def __init__(self, session_id: str, wanted: Set[str]) -> None:
        self.session_id = session_id
        self.wanted = wanted
        self.writing: Optional[str] = None
        self.ended = Signal()
        self._loop = running_loop()

    def at_work_on(self) -> Set[str]:
        """Return what no other may begin with before this is over."""
        return self.wanted if self.writing is None else {*self.wanted, self.writing}

    def is_stranded(self) -> bool:
        """Tell whether the loop that does the work stands still, perhaps for good."""
        return self._loop is not None and not self._loop.is_running()

    async def end(self) -> None:
        """Wait until the work is over, or stranded."""
        await self.ended.wait_while(lambda: not self.is_stranded())


class Flights:
    """Hold the work that is under way, in whatever thread or loop."""

    def __init__(self) -> None:
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Begin anew in a forked child, where no work of the parent ever ends."""
        self._lock = threading.Lock()
        self._under_way: Set[Flight] = set()
        self._waiting: Set[Flight] = set()

    @asynccontextmanager
    async def of(
        self, session_id: str, wanted: Iterable[str]
    ) -> AsyncGenerator[Flight, None]:
        """Wait for those who do some of this already, then be the one who does it.

        What they did has to be looked up afterwards: they may have failed.
        """
        flight = Flight(session_id, set(wanted))
        with self._lock:
            self._waiting.add(flight)
        try:
            await self._take_off(flight)
            yield flight
        finally:
            with self._lock:
                # In a child that was forked meanwhile it is not there.
                self._under_way.discard(flight)
                self._waiting.discard(flight)
            flight.ended.give()

    async def _take_off(self, flight: Flight) -> None:
        while True:
            with self._lock:
                others = [
                    other
                    for other in self._under_way
                    if other.session_id == flight.session_id
                    and not flight.wanted.isdisjoint(other.at_work_on())
                    and not other.is_stranded()
                ]
                if not others:
                    self._under_way.add(flight)
                    return
            for other in others:
                await other.end()

    def no_longer_want(self, session_id: str, what: Optional[Iterable[str]]) -> None:
        """Tell whoever works on it that something is not wanted; None for all."""
        with self._lock:
            for flight in self._under_way | self._waiting:
                if flight.session_id == session_id:
                    gone = flight.wanted if what is None else what
                    flight.wanted = flight.wanted.difference(gone)


class _Call:
    """Be a call that is under way, and then what came of it.

    Attributes:
        ended: given when it is over, however it ended.
        outcome: what it returned or raised; not done where it was cut short.
    """

    def __init__(self) -> None:
        self.ended = Signal()
        self.outcome: Future[Any] = Future()


# True for code that runs inside a shared call, and for what that starts.
_is_inside: ContextVar[bool] = ContextVar("contextstore_is_inside", default=False)


class SharedCalls:
    """Let equal calls at the same time be one, whose result or failure all share.

    Nobody waits for ever. Who is inside a call waits for none: that might be waiting
    for it. Where a thread hides that from us, or the loop of the caller stands still,
    the wait has an end, and the one who waited calls for itself.
    """

    def __init__(self) -> None:
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Begin anew in a forked child, where no call of the parent ever ends."""
        self._lock = threading.Lock()
        self._under_way: Dict[Hashable, _Call] = {}

    async def call(self, key: Hashable, function: Callable[[], Awaitable[Any]]) -> Any:
        """Return what a function gives, or what the same call of another gives.

        If that other is cancelled, one of those who wait takes over, once.

        Args:
            key: says which calls are the same.
        """
        for _ in range(0 if _is_inside.get() else 2):
            mine = _Call()
            with self._lock:
                call = self._under_way.setdefault(key, mine)
            if call is mine:
                return await self._lead(key, call, function)
            if not await call.ended.wait(_LONGEST_WAIT):
                break
            if call.outcome.done():
                return call.outcome.result()
        return await function()

    async def _lead(
        self, key: Hashable, call: _Call, function: Callable[[], Awaitable[Any]]
    ) -> Any:
        _is_inside.set(True)
        try:
            result = await function()
            call.outcome.set_result(result)
        except Exception as error:
            call.outcome.set_exception(error)
            raise
        finally:
            _is_inside.set(False)
            with self._lock:
                # In a child that was forked meanwhile it is not there.
                if self._under_way.get(key) is call:
                    del self._under_way[key]
            call.ended.give()
        return result
