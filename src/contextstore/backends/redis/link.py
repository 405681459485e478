"""Carry out commands wherever their key lives, and ride out a failover.

redis-py gives up a fifth of a second after a master died, while a replica takes some
seconds to be promoted. So every request has a deadline of its own, and is sent again
until then. That is safe because every script here is idempotent: what was carried out
without a reply is recognised when it comes again.
"""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import (
    Any,
    Callable,
    Dict,
    List,
    NamedTuple,
    NoReturn,
    Optional,
    Sequence,
)

from contextstore._hop import call, sleep
from contextstore._lifecycle import OfThisProcess
from contextstore.backends.redis.address import Address
from contextstore.backends.redis.failures import Failures
from contextstore.backends.redis.lanes import Command
from contextstore.backends.redis.nodes import Confirmation, Node
from contextstore.backends.redis.scripts import Script
from contextstore.backends.redis.servers import KINDS, Servers
from contextstore.errors import ClosedError

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.5


class Request(NamedTuple):
    """Be something to ask the server of a key.

    Attributes:
        key: decides which server is asked.
        command: what to send.
        otherwise: what to send where the server does not know the script.
        writes: whether it may change anything, and so is waited for when cancelled.
    """

    key: bytes
    command: Command
    otherwise: Command = ()
    writes: bool = False

    @classmethod
    def of_script(
        cls, script: Script, keys: Sequence[bytes], *arguments: Any
    ) -> Request:
        """Return the request to run a script over the keys of one slot."""
        rest = (len(keys), *keys, *arguments)
        return cls(
            keys[0],
            ("EVALSHA", script.sha1, *rest),
            ("EVAL", script.source, *rest),
            script.writes,
        )


class Answer(NamedTuple):
    """Be what a server said.

    Attributes:
        value: the reply.
        doubt: whether an attempt before this one may have been carried out as well.
    """

    value: Any
    doubt: bool


class Link(OfThisProcess):
    """Talk to the servers of one address, from any thread and any loop.

    Args:
        address: where they are.
        confirmation: what a write waits for.
        timeout: seconds that one attempt may take.
        deadline: seconds after which a call gives up.
    """

    def __init__(
        self,
        address: Address,
        confirmation: Confirmation,
        *,
        timeout: float,
        deadline: float,
    ) -> None:
        self.location = address.shown
        self.confirmation = confirmation
        self._address = address
        self._timeout = timeout
        self._deadline = deadline
        self._failures = Failures(address.shown)
        self._closed = False
        self._servers = self._new_servers()

    def _new_servers(self) -> Servers:
        make: Callable[..., Servers] = KINDS[self._address.kind]
        return make(self._address, self._failures, self.confirmation, self._timeout)

    def renew(self) -> None:
        """Begin anew in a forked child: the connections are those of the parent.

        They are dropped and not closed here: a thread of the parent may hold a lock.
        """
        self._servers = self._new_servers()

    def give_up_at(self) -> float:
        """Return the time, as time.monotonic has it, when a call begun now gives up."""
        return time.monotonic() + self._deadline

    async def ask(self, request: Request, until: Optional[float] = None) -> Answer:
        """Carry out a request.

        Args:
            until: when it gives up, where the call began before this.

        Raises:
            UnavailableError: no server could be reached before the deadline.
        """
        until = self.give_up_at() if until is None else until
        attempt = _Attempt(request.command, until)
        while True:
            try:
                reply = await self._try(request, attempt)
            except Exception as error:
                await self._prepare_next(request, attempt, error)
            else:
                return Answer(reply, attempt.doubt)

    async def glance(
        self, key: bytes, commands: Sequence[Command]
    ) -> Optional[List[Any]]:
        """Ask the server of a key once, for what a script would tell in any case.

        Returns:
            The reply to each; None where anything stood in the way.
        """
        self._check_open()
        if not self._servers.is_known:
            return None
        lane = self._servers.node_of(key).reader
        try:
            replies = await lane.ask(commands, settle=False)
        except Exception:
            # Whoever asks anew hears what it is.
            return None
        faults = any(isinstance(reply, BaseException) for reply in replies)
        return None if faults else replies

    async def ask_all(self, requests: Sequence[Request]) -> List[Any]:
        """Carry out requests, those of one server in one round trip.

        Returns:
            The reply to each, in their order.
        """
        replies: List[Any] = [None] * len(requests)
        for node, places in (await self._by_node(requests)).items():
            settle = any(requests[place].writes for place in places)
            lane = node.writer if settle else node.reader
            commands = [requests[place].command for place in places]
            try:
                found = await lane.ask(commands, settle=settle)
            except Exception as error:
                found = [error] * len(places)
            for place, reply in zip(places, found):
                replies[place] = reply
        for place, reply in enumerate(replies):
            if isinstance(reply, Exception):
                replies[place] = (await self.ask(requests[place])).value
        return replies

    async def ask_servers(self, keys: Sequence[bytes], command: Command) -> List[Any]:
        """Ask the server of each key something about itself, and each server once.

        Returns:
            What the server of each key replied, in their order.
        """
        requests = [Request(key, command) for key in keys]
        replies: List[Any] = [None] * len(keys)
        for places in (await self._by_node(requests)).values():
            reply = (await self.ask(requests[places[0]])).value
            for place in places:
                replies[place] = reply
        return replies

    async def ask_node(self, node: Node, command: Command) -> Any:
        """Ask one server something that is about itself, and changes nothing.

        Raises:
            UnavailableError: it could not be reached before the deadline.
        """
        until, pause = self.give_up_at(), _FIRST_PAUSE
        while True:
            try:
                (reply,) = await node.reader.ask([command], settle=False)
                if not isinstance(reply, BaseException):
                    return reply
                raise reply
            except Exception as error:
                left = until - time.monotonic()
                if self._closed or left <= 0 or not self._failures.may_pass(error):
                    self._raise(error)
            await sleep(min(pause, left))
            pause = min(pause * 2, _LONGEST_PAUSE)

    def post(self, requests: Sequence[Request]) -> List[Future[None]]:
        """Send what may be lost, without waiting; nothing comes of an error.

        Returns:
            What is done when each was carried out, or lost.
        """
        sent: List[Future[None]] = []
        if self._closed or not self._servers.is_known:
            return sent
        for request in requests:
            lane = self._servers.node_of(request.key).reader
            try:
                sent.append(lane.post([request.command]))
            except OSError:
                continue
        return sent

    async def primaries(self) -> List[Node]:
        """Return every server that holds keys, found out anew."""
        try:
            await call(self._servers.refresh, self._servers.generation)
        except Exception as error:
            self._raise(error)
        return self._servers.primaries()

    def close(self) -> None:
        """Close every connection; a call after this raises ClosedError."""
        self._closed = True
        self._servers.close()

    async def _try(self, request: Request, attempt: _Attempt) -> Any:
        self._check_open()
        servers = self._servers
        if not servers.is_known:
            await call(servers.refresh, servers.generation)
        attempt.generation = servers.generation
        if attempt.asking is not None:
            node = servers.node_at(attempt.asking)
            commands: List[Command] = [("ASKING",), attempt.command]
        else:
            node, commands = servers.node_of(request.key), [attempt.command]
        attempt.asking = None
        lane = node.writer if request.writes else node.reader
        *_, reply = await lane.ask(commands, settle=request.writes)
        if isinstance(reply, BaseException):
            raise reply
        return reply

    async def _prepare_next(
        self, request: Request, attempt: _Attempt, error: Exception
    ) -> None:
        """Make ready to try again, or raise the error.

        Raises:
            StorageError: it will not pass, or the deadline is over.
        """
        failures = self._failures
        attempt.doubt = attempt.doubt or (request.writes and failures.is_lost(error))
        if failures.is_unknown_script(error) and attempt.command is request.command:
            attempt.command = request.otherwise
            return
        left = attempt.until - time.monotonic()
        if left <= 0 or not failures.may_pass(error):
            self._raise(error, writes=request.writes, doubt=attempt.doubt)
        attempt.asking = failures.asked_for(error)
        if attempt.asking is not None:
            return
        # What has moved is asked for anew at once, and once in vain before it waits.
        if not isinstance(error, failures.driver.MovedError) or attempt.pause:
            attempt.pause = min(attempt.pause * 2 or _FIRST_PAUSE, _LONGEST_PAUSE)
            await sleep(min(attempt.pause, left))
        else:
            attempt.pause = _FIRST_PAUSE / 2
        await self._look_again(attempt)

    def _raise(
        self, error: Exception, *, writes: bool = False, doubt: bool = False
    ) -> NoReturn:
        """Raise the library's error for one of redis-py, and any other as it is."""
        translated = self._failures.translated(error, writes=writes, doubt=doubt)
        if translated is error:
            raise error
        raise translated from error

    async def _look_again(self, attempt: _Attempt) -> None:
        """Find out anew who holds what; where nobody tells, the old must do."""
        try:
            await call(self._servers.refresh, attempt.generation)
        except (self._failures.driver.RedisError, OSError):
            return

    async def _by_node(self, requests: Sequence[Request]) -> Dict[Node, List[int]]:
        self._check_open()
        if requests and not self._servers.is_known:
            # By the way of one request, which rides out what may pass.
            await self.ask(Request(requests[0].key, ("EXISTS", requests[0].key)))
        groups: Dict[Node, List[int]] = {}
        for place, request in enumerate(requests):
            groups.setdefault(self._servers.node_of(request.key), []).append(place)
        return groups

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError(f"{self.location} was closed", location=self.location)


class _Attempt:
    """Hold what changes from one attempt at a request to the next."""

    __slots__ = ("asking", "command", "doubt", "generation", "pause", "until")

    def __init__(self, command: Command, until: float) -> None:
        self.command = command
        self.until = until
        self.asking: Any = None
        self.doubt = False
        self.generation = 0
        self.pause = 0.0
