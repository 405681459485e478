"""Start Valkey or Redis for tests: a single server, one with replicas, a cluster."""

from __future__ import annotations

import hashlib
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Set

import server_binaries

_READY_SECONDS = 30.0
_SLOTS = 16384
# How long the masters of a cluster may be silent before they count as dead.
NODE_TIMEOUT = 2000
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_given: Set[int] = set()


def program() -> Optional[Path]:
    """Return the server's program; None where there is none.

    The environment comes first, then the system's, then what was fetched.
    """
    given = os.environ.get("CONTEXTSTORE_TEST_VALKEY_BIN")
    if given:
        return Path(given)
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found is not None:
            return Path(found)
    fetched = server_binaries.provided(server_binaries.VALKEY)
    return None if fetched is None else fetched / "valkey-server"


def quiet_port() -> int:
    """Return a port that no server has, and that no client is given by chance."""
    with _EPHEMERAL.open() as limits:
        end = int(limits.read().split()[0])
    while True:
        port = random.randrange(max(1025, end - 20_000), end)
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _given:
            _given.add(port)
            return port


class Valkey:
    """Be one server on loopback.

    Args:
        folder: an empty directory for its files.
        binary: its program.
        options: what it is started with beyond the usual, such as ``--appendonly yes``.

    Attributes:
        environment: what it is started with beyond that of this process.
    """

    def __init__(self, folder: Path, binary: Path, *options: str) -> None:
        self.folder = folder
        self.port = quiet_port()
        self._binary = binary
        self._options = options
        self.environment: Dict[str, str] = {}
        self.process: Optional[subprocess.Popen[bytes]] = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> Valkey:
        """Start it, and wait until it answers."""
        command = [str(self._binary), *self._mode(), "--port", str(self.port)]
        command += ["--bind", "127.0.0.1", "--dir", str(self.folder)]
        command += self._options
        # A limit of the size of files is then an error like that of a full disk.
        patient = ["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*patient, *command],
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
            )
        until(lambda: self.ask("PING") == b"PONG", "the server answers")
        return self

    def _mode(self) -> Sequence[str]:
        return ["--save", "", "--repl-diskless-sync-delay", "0"]

    def ask(self, *command: Any) -> Any:
        """Send one command over a connection of its own."""
        import redis

        try:
            with redis.Redis(port=self.port, protocol=2, socket_timeout=10) as client:
                # Without the library's own reading of replies.
                client.response_callbacks.clear()
                return client.execute_command(*command)
        except redis.ConnectionError:
            ended = self.process is None or self.process.poll() is not None
            if ended:
                raise RuntimeError((self.folder / "log").read_text()) from None
            raise

    def info(self, section: str) -> str:
        return bytes(self.ask("INFO", section)).decode()

    def limit_files(self, size: Optional[int]) -> None:
        """Let no file become larger, as if the disk was full; None lifts that."""
        assert self.process is not None
        unlimited = resource.RLIM_INFINITY
        limits = (unlimited if size is None else size, unlimited)
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, limits)

    def freeze(self) -> None:
        """Stop it in its tracks, connections left open."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        self._send(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it, as a machine that fails does."""
        if self.process is not None:
            self._send(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def _send(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(number)


class Sentinel(Valkey):
    """Be a Sentinel that watches one master."""

    def __init__(self, folder: Path, binary: Path, master: Valkey) -> None:
        super().__init__(folder, binary)
        self._settings = folder / "sentinel.conf"
        self._settings.write_text(
            f"sentinel monitor chats 127.0.0.1 {master.port} 1\n"
            f"sentinel down-after-milliseconds chats 1000\n"
            f"sentinel failover-timeout chats 3000\n"
        )

    def _mode(self) -> Sequence[str]:
        return [str(self._settings), "--sentinel"]


class Cluster:
    """Be six servers: three masters, and a replica of each.

    Args:
        folder: an empty directory for their files.
        binary: the program of the servers.
    """

    def __init__(self, folder: Path, binary: Path) -> None:
        options = ["--cluster-enabled", "yes"]
        options += ["--cluster-node-timeout", str(NODE_TIMEOUT)]
        self._busses = [quiet_port() for _ in range(6)]
        self.servers = [
            Valkey(folder / str(number), binary, *options, "--cluster-port", str(bus))
            for number, bus in enumerate(self._busses)
        ]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(one.host for one in self.servers)

    def start(self) -> Cluster:
        """Start the servers and join them, as ``valkey-cli --cluster create`` does."""
        for server in self.servers:
            server.start()
        masters, replicas = self.servers[:3], self.servers[3:]
        for number, server in enumerate(self.servers, start=1):
            server.ask("CLUSTER", "SET-CONFIG-EPOCH", number)
        for number, master in enumerate(masters):
            slots = range(number * _SLOTS // 3, (number + 1) * _SLOTS // 3)
            master.ask("CLUSTER", "ADDSLOTSRANGE", slots[0], slots[-1])
        for server, bus in zip(self.servers[1:], self._busses[1:]):
            masters[0].ask("CLUSTER", "MEET", "127.0.0.1", server.port, bus)
        until(lambda: all(map(self._knows_all, self.servers)), "all know each other")
        for master, replica in zip(masters, replicas):
            replica.ask("CLUSTER", "REPLICATE", bytes(master.ask("CLUSTER", "MYID")))
        # One that has not synced yet would never be promoted.
        until(lambda: all(map(is_synced, replicas)), "all replicas are synced")
        until(lambda: all(map(self._is_whole, self.servers)), "the cluster is whole")
        return self

    def master_of(self, key: bytes) -> Valkey:
        """Return the server that serves a key now."""
        slot = self._any().ask("CLUSTER", "KEYSLOT", key)
        for first, last, master, *_ in self._any().ask("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(one for one in self.servers if one.port == master[1])
        raise AssertionError(f"nobody serves slot {slot}")

    def masters(self) -> List[Valkey]:
        """Return the servers that serve slots now."""
        ports = {one[2][1] for one in self._any().ask("CLUSTER", "SLOTS")}
        return [one for one in self.servers if one.port in ports]

    def repair(self) -> None:
        """Start again what was killed, and wait until everyone is in place."""
        for server in self.servers:
            if server.process is None:
                server.start()
        until(lambda: all(map(self._is_whole, self.servers)), "the cluster is whole")
        until(lambda: sum(map(is_synced, self.servers)) == 3, "three are replicas")

    def kill(self) -> None:
        for server in self.servers:
            server.kill()

    def _any(self) -> Valkey:
        return next(one for one in self.servers if one.process is not None)

    def _knows_all(self, server: Valkey) -> bool:
        return bytes(server.ask("CLUSTER", "NODES")).count(b" connected") == 6

    def _is_whole(self, server: Valkey) -> bool:
        return b"cluster_state:ok" in bytes(server.ask("CLUSTER", "INFO"))


def is_synced(server: Valkey) -> bool:
    return "master_link_status:up" in server.info("replication")


def until(condition: Callable[[], bool], what: str, seconds: float = 0.0) -> None:
    """Wait for a condition; a server that does not answer yet does not hold it."""
    import redis

    deadline = time.monotonic() + (seconds or _READY_SECONDS)
    while True:
        try:
            if condition():
                return
        except redis.RedisError:
            pass
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain: {what}")
        time.sleep(0.02)


def namespace(directory: Path) -> str:
    """Return a namespace of its own for each directory of a test."""
    return hashlib.sha256(str(directory).encode()).hexdigest()[:12]
