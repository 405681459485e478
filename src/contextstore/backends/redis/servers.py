"""Know which server holds what: a single one, one behind Sentinels, or a cluster."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from bisect import bisect_right
from typing import Any, Callable, Dict, List, NamedTuple, Sequence, Type

from contextstore._optional import require
from contextstore.backends.redis.address import Address
from contextstore.backends.redis.failures import Failures
from contextstore.backends.redis.nodes import Confirmation, Host, Node


class Range(NamedTuple):
    """Say who holds the slots from one number on, up to the next range."""

    first: int
    host: Host


class Servers(ABC):
    """Find the server of a key.

    Args:
        address: where to begin.
        failures: judges errors of the driver.
        confirmation: what a write waits for.
        timeout: seconds that connecting, or waiting for a reply, may take.
    """

    def __init__(
        self,
        address: Address,
        failures: Failures,
        confirmation: Confirmation,
        timeout: float,
    ) -> None:
        self._address = address
        self._failures = failures
        self._confirmation = confirmation
        self._timeout = timeout
        self._key_slot: Callable[[bytes], int] = require("redis.crc", "redis").key_slot
        # Held while servers are asked, which may take seconds; the other never is.
        self._discovering = threading.Lock()
        # Re-entrant: the garbage collector may close the servers at any point.
        self._lock = threading.RLock()
        self._nodes: Dict[Host, Node] = {}
        self._ranges: List[Range] = []
        self._firsts: List[int] = []
        self.generation = 0

    @property
    def is_known(self) -> bool:
        """Tell whether it was found out already who holds what."""
        return bool(self._ranges)

    def node_of(self, key: bytes) -> Node:
        """Return the server that holds a key, as far as is known."""
        with self._lock:
            ranges, firsts = self._ranges, self._firsts
        if len(ranges) == 1:
            return self.node_at(ranges[0].host)
        place = bisect_right(firsts, self._key_slot(key)) - 1
        return self.node_at(ranges[max(place, 0)].host)

    def primaries(self) -> List[Node]:
        """Return every server that holds keys, each once."""
        hosts = dict.fromkeys(one.host for one in self._ranges)
        return [self.node_at(host) for host in hosts]

    def node_at(self, host: Host) -> Node:
        """Return the server with a host and port."""
        with self._lock:
            node = self._nodes.get(host)
            if node is None:
                node = self._nodes[host] = Node(
                    lambda: self._address.connection(host, self._timeout),
                    self._is_reply,
                    self._confirmation,
                )
            return node

    def refresh(self, generation: int) -> None:
        """Find out who holds what, unless somebody did since the generation given.

        Raises:
            Exception: of the driver, where no server could be asked.
        """
        with self._discovering:
            if self.generation != generation:
                return
            ranges = sorted(self._discover())
            with self._lock:
                self._ranges = ranges
                self._firsts = [one.first for one in ranges]
                self.generation += 1
                gone = self._nodes.keys() - {one.host for one in ranges}
                closed = [self._nodes.pop(host) for host in gone]
        for node in closed:
            node.close()

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            nodes, self._nodes = list(self._nodes.values()), {}
        for node in nodes:
            node.close()

    @abstractmethod
    def _discover(self) -> List[Range]:
        """Ask who holds what."""

    def _ask(self, host: Host, *command: Any, **options: Any) -> Any:
        """Ask one server something over a connection of its own."""
        connection = self._address.connection(host, self._timeout, **options)
        try:
            connection.connect()
            connection.send_command(*command)
            return connection.read_response()
        finally:
            connection.disconnect()

    def _ask_any(self, hosts: Sequence[Host], *command: Any, **options: Any) -> Any:
        """Ask the first of some servers that has an answer."""
        driver = self._failures.driver
        errors: List[Exception] = []
        for host in dict.fromkeys(hosts):
            try:
                reply = self._ask(host, *command, **options)
            except (driver.RedisError, OSError) as error:
                errors.append(error)
                continue
            if reply is not None:
                return reply
            errors.append(driver.ConnectionError("no server is known"))
        # Whatever another refuses, one that is away may come.
        raise next(filter(self._failures.may_pass, errors), errors[-1])

    def _is_reply(self, error: BaseException) -> bool:
        return isinstance(error, self._failures.driver.ResponseError)


class SingleServer(Servers):
    """Be one server that has everything."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        # Nobody is asked, and so the first call is not overtaken while others are.
        self.refresh(self.generation)

    def _discover(self) -> List[Range]:
        return [Range(0, self._address.hosts[0])]


class SentinelServers(Servers):
    """Be the server that the Sentinels call the master of a service."""

    def _discover(self) -> List[Range]:
        name, port = self._ask_any(
            self._address.hosts,
            "SENTINEL",
            "GET-MASTER-ADDR-BY-NAME",
            self._address.service,
            sentinel=True,
        )
        return [Range(0, (_text(name), int(port)))]


class ClusterServers(Servers):
    """Be the masters of a cluster, each with its slots."""

    def _discover(self) -> List[Range]:
        known = [one.host for one in self._ranges]
        found: List[Range] = []
        for first, _, master, *_ in self._ask_any(
            [*known, *self._address.hosts], "CLUSTER", "SLOTS"
        ):
            found.append(Range(int(first), (_text(master[0]), int(master[1]))))
        if not found:
            raise self._failures.driver.ClusterDownError("no slot is served")
        return found


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


KINDS: Dict[str, Type[Servers]] = {
    "single": SingleServer,
    "sentinel": SentinelServers,
    "cluster": ClusterServers,
}
