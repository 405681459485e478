"""Let what several callers want done at once be done by one of them."""

from __future__ import annotations

import threading
from contextlib import asynccontextmanager
from typing import AsyncGenerator, Iterable, Optional, Set

from contextstore._hop import Signal
from contextstore._lifecycle import renew_after_fork

__all__ = ["Flight", "Flights"]


class Flight:
    """Be the work of one caller, from its first look to its last write.

    Attributes:
        session_id: the session that it works for.
        wanted: what is still wanted of what it does.
        ended: given when the work is over, however it ended.
    """

    def __init__(self, session_id: str, wanted: Set[str]) -> None:
        self.session_id = session_id
        self.wanted = wanted
        self.ended = Signal()


class Flights:
    """Hold the work that is under way, in whatever thread or loop."""

    def __init__(self) -> None:
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Begin anew in a forked child, where no work of the parent ever ends."""
        self._lock = threading.Lock()
        self._under_way: Set[Flight] = set()

    @asynccontextmanager
    async def of(
        self, session_id: str, wanted: Iterable[str]
    ) -> AsyncGenerator[Flight, None]:
        """Wait for those who do some of this already, then be the one who does it.

        What they did has to be looked up afterwards: they may have failed.
        """
        flight = await self._take_off(Flight(session_id, set(wanted)))
        try:
            yield flight
        finally:
            with self._lock:
                # In a child that was forked meanwhile it is not there.
                self._under_way.discard(flight)
            flight.ended.give()

    async def _take_off(self, flight: Flight) -> Flight:
        while True:
            with self._lock:
                others = [
                    other
                    for other in self._under_way
                    if other.session_id == flight.session_id
                    and not flight.wanted.isdisjoint(other.wanted)
                ]
                if not others:
                    self._under_way.add(flight)
                    return flight
            for other in others:
                await other.ended.wait()

    def no_longer_want(self, session_id: str, what: Optional[Iterable[str]]) -> None:
        """Tell whoever works on it that something is not wanted; None for all."""
        with self._lock:
            for flight in self._under_way:
                if flight.session_id == session_id:
                    gone = flight.wanted if what is None else what
                    flight.wanted = flight.wanted.difference(gone)
