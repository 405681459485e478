"""Talk to one server: its connections, and what confirms a write.

The sockets block. A sync caller waits at one in its own thread, and async callers let
the threads of ``lanes`` do it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any, Callable, Deque, List, NamedTuple, Optional, Sequence, Tuple

from contextstore.backends.redis.failures import NotConfirmedError
from contextstore.backends.redis.lanes import Command, Lane, Single
from contextstore.errors import ConfigurationError

Host = Tuple[str, int]

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
        self.reader = Lane(self.exchange, Pipeline(self), "contextstore-redis-read")
        # WAIT holds up what follows it on a connection: there, one batch at once.
        writes = Single(self.write) if confirmation.is_asked_for else Pipeline(self)
        self.writer = Lane(self.write, writes, "contextstore-redis-write")

    def exchange(self, commands: Sequence[Command]) -> List[Any]:
        """Send commands in one round trip, and return a reply or error for each.

        Raises:
            Exception: of the driver, where the connection was lost.
        """
        pipeline = Pipeline(self)
        pipeline.send(commands)
        return pipeline.receive()

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

    def reply(self, connection: Any) -> Any:
        """Read the answer to one command, which may be an error."""
        try:
            return connection.read_response()
        except Exception as error:
            if self._is_reply(error):
                return error
            raise

    def take(self) -> Any:
        """Return a connection that nobody else has; ``give_back`` it afterwards."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
        connection = self._connect()
        connection.connect()
        return connection

    def give_back(self, connection: Any) -> None:
        """Keep a connection on which nothing is on its way for the next caller."""
        with self._lock:
            if not self._closed and len(self._idle) < _MOST_IDLE:
                self._idle.append(connection)
                return
        connection.disconnect()


class Pipeline:
    """Send batches on one connection, up to two before the first is answered.

    So the server works on one while this side works on the other.
    """

    depth = 2

    def __init__(self, node: Node) -> None:
        self._node = node
        self._connection: Any = None
        self._due: Deque[int] = deque()

    def send(self, commands: Sequence[Command]) -> None:
        """Send a batch.

        Raises:
            Exception: of the driver; what was sent before is lost, too.
        """
        try:
            if self._connection is None:
                self._connection = self._node.take()
            packed = [encoded(commands)]
            self._connection.send_packed_command(packed, check_health=False)
        except BaseException:
            self._lose()
            raise
        self._due.append(len(commands))

    def receive(self) -> List[Any]:
        """Return a reply or error for each command of the oldest batch.

        Raises:
            Exception: of the driver; what was sent after it is lost, too.
        """
        connection = self._connection
        try:
            replies = [self._node.reply(connection) for _ in range(self._due[0])]
        except BaseException:
            self._lose()
            raise
        self._due.popleft()
        if not self._due:
            self._connection = None
            self._node.give_back(connection)
        return replies

    def _lose(self) -> None:
        connection, self._connection = self._connection, None
        self._due.clear()
        if connection is not None:
            connection.disconnect()
            # Those that waited beside it lead to the same server.
            self._node.drop_idle()


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
