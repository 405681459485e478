"""Talk to one server: connections, and many requests in one round trip.

The sockets block, and threads of this library wait at them for async callers: one that
reads and one that writes for each server. While one batch is on its way the next one
gathers, so that under load a round trip, and one WAIT, serves many callers. A sync
caller does its round trip in its own thread. Nothing here belongs to an event loop.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, Callable, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from contextstore._hop import OwnThread, Ticket, deliver, running_loop
from contextstore.backends.redis.failures import NotConfirmedError
from contextstore.errors import ConfigurationError

Command = Tuple[Any, ...]
Exchange = Callable[[Sequence[Command]], List[Any]]
Host = Tuple[str, int]

# A batch must not hold up its first caller, nor fill the buffers of the server.
_MOST_TOGETHER = 128
_MOST_IDLE = 16
# For how long fewer replicas than wanted are taken to be all that there are.
_TRUSTED_SECONDS = 1.0


class Confirmation(NamedTuple):
    """Say what has to be sure before a write counts as stored.

    Attributes:
        replicas: how many replicas have the write.
        disk: whether it is in the append-only file of the server, on the disk, and in
            those of the replicas.
        seconds: how long to wait for it at most in one attempt.
        accepts_fewer: whether those replicas that are connected will do.
    """

    replicas: int
    disk: bool
    seconds: float
    accepts_fewer: bool = False

    @property
    def is_asked_for(self) -> bool:
        """Tell whether a write has to wait for anything."""
        return self.replicas > 0 or self.disk

    def command(self) -> Command:
        """Return the command that waits, for all that its connection wrote before."""
        milliseconds = max(1, round(self.seconds * 1000))
        if self.disk:
            return ("WAITAOF", 1, self.replicas, milliseconds)
        return ("WAIT", self.replicas, milliseconds)

    def fault(self, reply: Any) -> Optional[BaseException]:
        """Return what is lacking after the wait; None where all is confirmed."""
        if isinstance(reply, BaseException):
            if "appendonly" in str(reply):
                return ConfigurationError(
                    "fsync=True needs a server with appendonly yes"
                )
            return reply
        disks, replicas = reply if self.disk else (1, reply)
        if disks < 1:
            return NotConfirmedError("its disk did not confirm it in time")
        if replicas < self.replicas:
            return NotConfirmedError(
                f"{replicas} of {self.replicas} replicas confirmed it in time"
            )
        return None


class Connected:
    """Know how many replicas a server can be asked to wait for.

    Where fewer are connected than wanted and that is accepted, a write waits for these
    alone; every second it is tried anew with all that are wanted.
    """

    def __init__(self, confirmation: Confirmation) -> None:
        self._confirmation = confirmation
        self._fewer: Optional[int] = None
        self._until = 0.0

    def wanted(self) -> Confirmation:
        """Return what the next write waits for."""
        if self._fewer is None or time.monotonic() > self._until:
            return self._confirmation
        return self._confirmation._replace(replicas=self._fewer)

    def look(self, info: Any) -> None:
        """Note how many replicas a server says it has (``INFO replication``)."""
        online = bytes(info).count(b"state=online")
        fewer = online < self._confirmation.replicas
        self._fewer = online if fewer else None
        self._until = time.monotonic() + _TRUSTED_SECONDS


class Node:
    """Be one server.

    Args:
        connect: makes a connection that is not yet open.
        is_reply: tells an error that is the answer to one command from one that ends
            the connection.
    """

    def __init__(
        self,
        connect: Callable[[], Any],
        is_reply: Callable[[BaseException], bool],
        confirmation: Confirmation,
    ) -> None:
        self._connect = connect
        self._is_reply = is_reply
        self._confirmation = confirmation
        # Re-entrant: the garbage collector may close the node at any point.
        self._lock = threading.RLock()
        self._idle: List[Any] = []
        self._closed = False
        self._connected = Connected(confirmation)
        self.reader = Lane(self.exchange, "contextstore-redis-read")
        self.writer = Lane(self.write, "contextstore-redis-write")

    def exchange(self, commands: Sequence[Command]) -> List[Any]:
        """Send commands in one round trip, and return a reply or error for each.

        Raises:
            Exception: of the driver, where the connection was lost.
        """
        connection = self._take()
        try:
            connection.send_packed_command([encoded(commands)], check_health=False)
            replies = [self._reply(connection) for _ in commands]
        except BaseException:
            connection.disconnect()
            # Those that waited beside it lead to the same server.
            self.drop_idle()
            raise
        self._give_back(connection)
        return replies

    def write(self, commands: Sequence[Command]) -> List[Any]:
        """Send commands that write, and wait for what was asked to confirm them."""
        if not self._confirmation.is_asked_for:
            return self.exchange(commands)
        wanted = self._connected.wanted()
        *replies, confirmed = self.exchange([*commands, wanted.command()])
        fault = wanted.fault(confirmed)
        if fault is None:
            return replies
        if isinstance(fault, NotConfirmedError) and wanted.accepts_fewer:
            # The next attempt waits for those that are there.
            self._connected.look(*self.exchange([("INFO", "replication")]))
        return [
            reply if isinstance(reply, BaseException) else fault for reply in replies
        ]

    def drop_idle(self) -> None:
        """Close the connections that nobody uses now."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.disconnect()

    def close(self) -> None:
        """Close all connections, each that is in use after its use."""
        with self._lock:
            self._closed = True
        self.reader.close()
        self.writer.close()
        self.drop_idle()

    def _reply(self, connection: Any) -> Any:
        try:
            return connection.read_response()
        except Exception as error:
            if self._is_reply(error):
                return error
            raise

    def _take(self) -> Any:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        connection = self._connect()
        connection.connect()
        return connection

    def _give_back(self, connection: Any) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < _MOST_IDLE:
                self._idle.append(connection)
                return
        connection.disconnect()


def encoded(commands: Sequence[Command]) -> bytes:
    """Return commands as the servers read them (RESP, "Sending commands").

    redis-py's own encoding takes three times as long.
    """
    parts: List[bytes] = []
    for command in commands:
        parts.append(b"*%d\r\n" % len(command))
        for argument in command:
            if not isinstance(argument, bytes):
                argument = str(argument).encode("utf-8")
            parts.append(b"$%d\r\n%b\r\n" % (len(argument), argument))
    return b"".join(parts)


class Lane:
    """Carry the requests of many callers to one server, one batch after the other.

    Args:
        exchange: sends commands in one round trip.
        name: that of its thread, which starts with the first async caller.
    """

    def __init__(self, exchange: Exchange, name: str) -> None:
        self._exchange = exchange
        self._name = name
        self._lock = threading.RLock()
        self._queue: Optional[SimpleQueue[Optional[_Request]]] = None
        self._closed = False

    async def ask(self, commands: Sequence[Command], *, settle: bool) -> List[Any]:
        """Return a reply or an error for each command.

        Args:
            settle: let a caller that is cancelled leave only when the server was heard.
        """
        loop = running_loop()
        if loop is None:
            return self._exchange(commands)
        ticket = Ticket(_same, loop)
        self._put(_Request(commands, ticket))
        waiting = ticket.settled_outcome() if settle else ticket.outcome()
        replies: List[Any] = await waiting
        return replies

    def post(self, commands: Sequence[Command]) -> Future[None]:
        """Send commands some time; nobody hears what comes of it, only when."""
        done: Future[None] = Future()
        self._put(_Request(commands, None, done))
        return done

    def close(self) -> None:
        """End the thread when what is queued is done."""
        with self._lock:
            self._closed = True
            if self._queue is not None:
                self._queue.put(None)
            self._queue = None

    def _put(self, request: _Request) -> None:
        with self._lock:
            if self._closed:
                # As if the connection was lost: whoever asks looks for the server anew.
                raise ConnectionAbortedError("the server was left")
            if self._queue is None:
                queue = self._queue = SimpleQueue()
                exchange = self._exchange
                OwnThread(lambda: _serve(queue, exchange), self._name).start()
            self._queue.put(request)


class _Request(NamedTuple):
    commands: Sequence[Command]
    ticket: Optional[Ticket]
    done: Optional[Future[None]] = None


def _same(replies: List[Any]) -> List[Any]:
    return replies


def _serve(queue: SimpleQueue[Optional[_Request]], exchange: Exchange) -> None:
    while True:
        request = queue.get()
        if request is None:
            return
        batch, is_last = _gathered(request, queue)
        _carry(batch, exchange)
        del batch, request
        if is_last:
            return


def _gathered(
    first: _Request, queue: SimpleQueue[Optional[_Request]]
) -> Tuple[List[_Request], bool]:
    """Take what waits, leaving out what was withdrawn; True where the lane closes."""
    batch: List[_Request] = []
    request: Optional[_Request] = first
    count = 0
    while request is not None:
        if request.ticket is None or request.ticket.begin():
            batch.append(request)
            count += len(request.commands)
        if count >= _MOST_TOGETHER:
            return batch, False
        try:
            request = queue.get_nowait()
        except Empty:
            return batch, False
    return batch, True


def _carry(batch: List[_Request], exchange: Exchange) -> None:
    commands = [command for request in batch for command in request.commands]
    replies: Iterable[Any] = ()
    error: Optional[BaseException] = None
    try:
        if commands:
            replies = exchange(commands)
    except BaseException as caught:
        # The thread is ours: whatever ends a batch belongs to those who wait for it.
        error = caught
    following = iter(replies)
    for request in batch:
        if request.done is not None:
            for _ in request.commands:
                next(following, None)
            request.done.set_result(None)
        elif request.ticket is None:
            continue
        elif error is not None:
            request.ticket.error = error
        else:
            request.ticket.run([next(following) for _ in request.commands])
    deliver([request.ticket for request in batch if request.ticket is not None])
