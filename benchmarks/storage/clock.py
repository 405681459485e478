"""Time calls of a system, sync or async, and wait for its loop where it needs one."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Any, Callable, List, Optional, Sequence, Type

from benchmarks.storage.systems.base import System


class Clock:
    """Call a system and measure what calls take.

    Each call of a system with coroutines is awaited in one loop that stays.
    """

    def __init__(self, system: System) -> None:
        self._is_blocking = system.is_blocking
        self._runner: Optional[asyncio.Runner] = None
        if not self._is_blocking:
            self._runner = asyncio.Runner()

    def __enter__(self) -> Clock:
        return self

    def __exit__(
        self,
        exc_type: Optional[Type[BaseException]],
        exc: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        if self._runner is not None:
            self._runner.close()

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a method and return what it gives."""
        if self._runner is None:
            return function(*arguments)
        return self._runner.run(_awaited(function, arguments))

    def microseconds(
        self, calls: Sequence[Callable[[], Any]], *, seconds: float
    ) -> List[float]:
        """Make calls, one after the other, and return what each took.

        Args:
            seconds: stop early when so much time has passed, after one call at least.
        """
        if self._runner is None:
            return _timed(calls, time.perf_counter() + seconds)
        return self._runner.run(_timed_async(calls, time.perf_counter() + seconds))


async def _awaited(function: Callable[..., Any], arguments: Any) -> Any:
    return await function(*arguments)


def _timed(calls: Sequence[Callable[[], Any]], deadline: float) -> List[float]:
    taken: List[float] = []
    for call in calls:
        start = time.perf_counter()
        call()
        end = time.perf_counter()
        taken.append((end - start) * 1e6)
        if end > deadline:
            break
    return taken


async def _timed_async(
    calls: Sequence[Callable[[], Any]], deadline: float
) -> List[float]:
    taken: List[float] = []
    for call in calls:
        start = time.perf_counter()
        await call()
        end = time.perf_counter()
        taken.append((end - start) * 1e6)
        if end > deadline:
            break
    return taken
