"""Keep the connections of one event loop.

psycopg_pool was tried and left: it reconnects on a schedule of its own, so that writers
wait for it after a failover, keeps tasks running that outlive a loop, and hides why a
server cannot be reached. See docs/decisions.md.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from typing import (
    TYPE_CHECKING,
    Any,
    AsyncGenerator,
    Awaitable,
    Callable,
    Deque,
    Dict,
    List,
)

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.AsyncConnection[Any]

Connect = Callable[[], Awaitable["Connection"]]


# What waits for the end of a loop lives until then: one that is collected amid that end
# would have the loop close it, when it runs nothing any more.
_guards: Dict[asyncio.AbstractEventLoop, List[AsyncGenerator[None, None]]] = {}


class Pool:
    """Hand out the connections of a loop, the one used last first.

    Args:
        connect: makes a connection.
        limit: how many may be open at once.
    """

    def __init__(self, connect: Connect, limit: int) -> None:
        self._connect = connect
        self._free = limit
        self._idle: List[Connection] = []
        self._waiting: Deque[asyncio.Future[None]] = deque()
        self._closed = False
        self._guard = _until_loop_ends(self._idle)

    async def open(self) -> None:
        """Have the connections closed when the loop ends, as asyncio.run ends it."""
        await self._guard.__anext__()
        for ended in [loop for loop in list(_guards) if loop.is_closed()]:
            _guards.pop(ended, None)
        loop = asyncio.get_running_loop()
        _guards.setdefault(loop, []).append(self._guard)

    async def take(self, seconds: float) -> Connection:
        """Return a connection that nobody else has; ``give`` it back afterwards.

        Raises:
            asyncio.TimeoutError: all were in use for so many seconds.
        """
        await self._claim(seconds)
        try:
            while self._idle:
                connection = self._idle.pop()
                if not connection.closed:
                    return connection
            return await self._connect()
        except BaseException:
            self._release()
            raise

    def give(self, connection: Connection) -> None:
        """Take a connection back; one that is broken, or amid something, is closed."""
        if self._closed or connection.closed or not _is_idle(connection):
            finish(connection)
        else:
            self._idle.append(connection)
        self._release()

    def drop_idle(self) -> None:
        """Close what nobody uses: when one connection broke, the others did, too."""
        while self._idle:
            finish(self._idle.pop())

    def close(self) -> None:
        """Close what nobody uses, and what is given back from now on."""
        self._closed = True
        self.drop_idle()

    def leave(self) -> List[Connection]:
        """Give up the connections without a word, as they are the parent process's."""
        left = list(self._idle)
        self._idle.clear()
        self._closed = True
        return left

    async def _claim(self, seconds: float) -> None:
        if self._free > 0:
            self._free -= 1
            return
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        expiry = loop.call_later(seconds, _expire, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._release()
            raise
        finally:
            expiry.cancel()

    def _release(self) -> None:
        """Pass the place on to who waits longest, so that nobody can overtake him."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


def _expire(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_exception(asyncio.TimeoutError())


async def _until_loop_ends(idle: List[Connection]) -> AsyncGenerator[None, None]:
    # A loop that ends closes its asynchronous generators: the one sign that it gives.
    try:
        yield
    finally:
        while idle:
            finish(idle.pop())


def _is_idle(connection: Connection) -> bool:
    return int(connection.info.transaction_status) == 0


def finish(connection: Connection) -> None:
    """Close a connection without waiting for anything."""
    connection.pgconn.finish()


def cut(connection: Connection) -> None:
    """End a connection from this side, so that who waits for its answer is woken."""
    if connection.closed:
        return
    # A duplicate of the descriptor: the loop watches the one that libpq has.
    with socket.socket(fileno=os.dup(connection.fileno())) as other:
        try:
            other.shutdown(socket.SHUT_RDWR)
        except OSError:
            # It is cut already.
            pass
