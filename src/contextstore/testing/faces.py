"""Call a backend through either face from one plain test body."""

from __future__ import annotations

import asyncio
from typing import Any, Awaitable, Dict, Type, TypeVar

from contextstore.backends.base import MemoryBackend
from contextstore.retrieval.base import RetrievalBackend
from contextstore.sync import SyncMemory, SyncRetrieval

T = TypeVar("T")


class _Loop:
    """Run awaitables in one event loop, which is made at the first and then kept."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    def run(self, awaitable: Awaitable[T]) -> T:
        return self._loop.run_until_complete(_awaited(awaitable))

    def close(self) -> None:
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


async def _awaited(awaitable: Awaitable[T]) -> T:
    return await awaitable


class AsyncMemoryFace(SyncMemory):
    """Await the methods of a backend in a running loop, behind the sync names."""

    def __init__(self, backend: MemoryBackend) -> None:
        super().__init__(backend)
        self._loop = _Loop()

    def close(self) -> None:
        """Close the backend and the loop."""
        super().close()
        self._loop.close()

    def _drive(self, awaitable: Awaitable[T]) -> T:
        return self._loop.run(awaitable)


class AsyncRetrievalFace(SyncRetrieval):
    """Await the methods of a backend in a running loop, behind the sync names."""

    def __init__(self, backend: RetrievalBackend) -> None:
        super().__init__(backend)
        self._loop = _Loop()

    def close(self) -> None:
        """Close the backend and the loop."""
        super().close()
        self._loop.close()

    def _drive(self, awaitable: Awaitable[T]) -> T:
        return self._loop.run(awaitable)


MEMORY_FACES: Dict[str, Type[SyncMemory]] = {
    "async": AsyncMemoryFace,
    "sync": SyncMemory,
}
RETRIEVAL_FACES: Dict[str, Type[SyncRetrieval]] = {
    "async": AsyncRetrievalFace,
    "sync": SyncRetrieval,
}
FACES = tuple(MEMORY_FACES)


def gathered(calls: Any) -> Any:
    """Run coroutine functions together in a loop of their own, as asyncio.run does."""

    async def together() -> Any:
        return await asyncio.gather(*(call() for call in calls))

    return asyncio.run(together())
