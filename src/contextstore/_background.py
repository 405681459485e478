"""Run work beside the caller, and keep what went wrong until somebody asks.

A piece of work runs in the loop of the caller, or on the portal where no loop runs.
Nothing here belongs to one loop: work that was started in one can be waited for in
another, or from sync code.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from functools import partial
from typing import Any, Coroutine, Dict, List, Union

from contextstore import _hop
from contextstore._lifecycle import renew_after_fork
from contextstore.errors import EmbeddingError

Handle = Union["asyncio.Task[None]", "concurrent.futures.Future[None]"]
"""What stands for the work: a task where a loop runs, else a future of a thread."""


class BackgroundWork:
    """Start work, wait for all of it, and hand out the failures once."""

    def __init__(self) -> None:
        self._failures: List[BaseException] = []
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Begin anew in a forked child, where what the parent started never ends."""
        self._lock = threading.Lock()
        self._ended: Dict[Handle, _hop.Signal] = {}

    def start(self, work: Coroutine[Any, Any, None]) -> Handle:
        """Start a coroutine and return what stands for it."""
        loop = _hop.running_loop()
        handle: Handle
        if loop is not None:
            handle = loop.create_task(work)
        else:
            handle = _hop.portal.submit(work)
        with self._lock:
            # Held here, a task is not collected before it ends.
            self._ended[handle] = _hop.Signal()
        handle.add_done_callback(self._on_end)
        return handle

    def report(self, failure: BaseException) -> None:
        """Keep a failure for the next ``wait``."""
        with self._lock:
            self._failures.append(failure)

    async def wait(self) -> List[BaseException]:
        """Wait for everything that was started, and return the failures since then."""
        with self._lock:
            running = dict(self._ended)
        for handle, ended in running.items():
            if not await ended.wait_while(partial(_goes_on, handle)):
                self._on_end(handle)
        with self._lock:
            failures, self._failures = self._failures, []
        return failures

    def _on_end(self, handle: Any) -> None:
        with self._lock:
            ended = self._ended.pop(handle, None)
            if ended is None:
                return
            failure = _failure_of(handle)
            if failure is not None:
                self._failures.append(failure)
        ended.give()


def _goes_on(handle: Handle) -> bool:
    """Tell whether work is yet to end, in a loop that has not stopped before."""
    if handle.done():
        # Nobody may tell of it: its loop can have stopped at this very step.
        return False
    return (
        isinstance(handle, concurrent.futures.Future) or handle.get_loop().is_running()
    )


def _failure_of(handle: Handle) -> Any:
    if handle.cancelled() or not handle.done():
        return EmbeddingError("the event loop ended before its embeddings were done")
    return handle.exception()
