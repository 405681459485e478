"""Carry the requests of async callers, many in one round trip.

Threads of this library wait for each server, one that reads and one that writes. While
a batch is on its way the next one gathers, so that under load a round trip, and one
WAIT, serves many callers. Nothing here belongs to an event loop.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Deque,
    List,
    NamedTuple,
    Optional,
    Protocol,
    Sequence,
    Tuple,
)

from contextstore._hop import OwnThread, Ticket, deliver, running_loop

if TYPE_CHECKING:
    Queue = SimpleQueue[Optional["_Request"]]

__all__ = ["Carrier", "Command", "Exchange", "Lane", "Single"]

Command = Tuple[Any, ...]
Exchange = Callable[[Sequence[Command]], List[Any]]

# A batch must not hold up its first caller, nor fill the buffers of the server.
_MOST_TOGETHER = 128


class Carrier(Protocol):
    """Send batches of commands to a server, and receive their replies in this order.

    Attributes:
        depth: how many batches may be sent before the first is received. An error
            ends all that are on their way.
    """

    depth: int

    def send(self, commands: Sequence[Command]) -> None:
        """Send a batch."""

    def receive(self) -> List[Any]:
        """Return a reply or error for each command of the oldest batch."""
        ...


class Single:
    """Carry one batch at once, by a function that does all of it."""

    depth = 1

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._commands: Sequence[Command] = ()

    def send(self, commands: Sequence[Command]) -> None:
        """Note a batch."""
        self._commands = commands

    def receive(self) -> List[Any]:
        """Send what was noted, and return the replies."""
        commands, self._commands = self._commands, ()
        return self._exchange(commands)


class Lane:
    """Carry the requests of many callers to one server, in their order.

    Args:
        exchange: sends commands in one round trip, for a sync caller.
        carrier: sends batches for the thread.
        name: that of its thread, which starts with the first async caller.
    """

    def __init__(self, exchange: Exchange, carrier: Carrier, name: str) -> None:
        self._exchange = exchange
        self._carrier = carrier
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
                carrier = self._carrier
                OwnThread(lambda: _serve(queue, carrier), self._name).start()
            self._queue.put(request)


class _Request(NamedTuple):
    commands: Sequence[Command]
    ticket: Optional[Ticket]
    done: Optional[Future[None]] = None


def _same(replies: List[Any]) -> List[Any]:
    return replies


def _serve(queue: Queue, carrier: Carrier) -> None:
    flight: Deque[List[_Request]] = deque()
    is_open, delivered = True, 0
    while is_open or flight:
        if is_open and len(flight) < carrier.depth:
            around = delivered + sum(map(len, flight))
            batch, is_open = _gathered(queue, carrier.depth, around, wait=not flight)
            if batch:
                _sent(batch, flight, carrier)
                continue
        if flight:
            batch = flight.popleft()
            delivered = len(batch)
            _received(batch, flight, carrier)
        # Nothing is held on to while the thread waits.
        batch = []


def _gathered(
    queue: Queue, depth: int, around: int, *, wait: bool
) -> Tuple[List[_Request], bool]:
    """Take a fair share of what waits, leaving out what was withdrawn.

    Args:
        depth: how many batches are on their way at once.
        around: how many requests are on their way, or were until now: who was answered
            is likely to come again.
        wait: wait for the first one.

    Returns:
        What was taken, and False where the lane closes.
    """
    batch: List[_Request] = []
    count = 0
    share = -(-(around + max(queue.qsize(), 1)) // depth)
    try:
        request = queue.get() if wait else queue.get_nowait()
        while request is not None:
            if request.ticket is None or request.ticket.begin():
                batch.append(request)
                count += len(request.commands)
            if count >= _MOST_TOGETHER or len(batch) >= share:
                return batch, True
            request = queue.get_nowait()
    except Empty:
        return batch, True
    return batch, False


def _sent(
    batch: List[_Request], flight: Deque[List[_Request]], carrier: Carrier
) -> None:
    """Send a batch; where that fails, what was sent before it is lost, too."""
    flight.append(batch)
    try:
        carrier.send([command for request in batch for command in request.commands])
    except BaseException as error:
        _fail(flight, error)


def _received(
    batch: List[_Request], flight: Deque[List[_Request]], carrier: Carrier
) -> None:
    """Hand out the replies to a batch; without any, what follows it is lost, too."""
    try:
        replies = carrier.receive()
    except BaseException as error:
        flight.appendleft(batch)
        _fail(flight, error)
        return
    following = iter(replies)
    for request in batch:
        own = [next(following) for _ in request.commands]
        if request.done is not None:
            request.done.set_result(None)
        elif request.ticket is not None:
            request.ticket.run(own)
    _deliver(batch)


def _fail(flight: Deque[List[_Request]], error: BaseException) -> None:
    # The thread is ours: whatever ends a batch belongs to those who wait for it.
    while flight:
        batch = flight.popleft()
        for request in batch:
            if request.done is not None:
                request.done.set_result(None)
            elif request.ticket is not None:
                request.ticket.error = error
        _deliver(batch)


def _deliver(batch: List[_Request]) -> None:
    deliver([request.ticket for request in batch if request.ticket is not None])
