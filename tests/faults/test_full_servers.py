"""A server whose disk is full says so, stores nothing by halves, and goes on later."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Generator, List, NamedTuple

import pytest

from contextstore import MemoryBackend, PostgresMemory, RedisMemory, UnavailableError
from contextstore.testing.memory_suite import message
from tests.servers.failover import needed
from tests.servers.postgres import Postgres, hand_over, place, reachable
from tests.servers.shared_valkey import started
from tests.servers.valkey import Valkey

_SESSIONS = 8
# Acknowledged has to be on the disk, as a full one may end the server.
_SETTINGS = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "on"}


class Full(NamedTuple):
    """Be a server without room, and what makes room again."""

    memory: MemoryBackend
    make_room: Callable[[], None]


def may_mount() -> bool:
    """Tell whether a real disk can be made small; the other way always can."""
    if os.geteuid() != 0:
        return False
    with place() as folder:
        mounted = _mount(folder, "size=1m")
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)
        return mounted


def _mount(folder: Path, options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    return subprocess.run(command, check=False, stderr=subprocess.PIPE).returncode == 0


@contextmanager
def full_files() -> Generator[Full, None, None]:
    """Give a Postgres whose files may not grow beyond 17 MiB; those of its log can."""
    binaries = needed()
    with place() as folder:
        server = Postgres(folder, reachable(binaries, folder), _SETTINGS)
        server.create()
        server.start()
        try:
            memory = PostgresMemory(server.dsn(), partitions=1, timeout=3.0)
            memory.sync.load_context("s0")
            server.limit_files(17 << 20)
            yield Full(memory, lambda: server.limit_files(None))
            memory.sync.close()
        finally:
            server.stop()


@contextmanager
def full_disk() -> Generator[Full, None, None]:
    """Give a Postgres on a disk of 64 MiB, which has its log on it as well."""
    binaries = needed()
    with place() as folder:
        disk = folder / "disk"
        disk.mkdir()
        _mount(disk, "size=64m")
        hand_over(disk)
        server = Postgres(disk, reachable(binaries, folder), _SETTINGS)
        try:
            server.create()
            server.start()
            memory = PostgresMemory(server.dsn(), partitions=1, timeout=8.0)
            yield Full(memory, lambda: _enlarge(disk, server))
            memory.sync.close()
        finally:
            server.stop()
            subprocess.run(["umount", "--lazy", str(disk)], check=True)


def _enlarge(disk: Path, server: Postgres) -> None:
    subprocess.run(["mount", "-o", "remount,size=256m", str(disk)], check=True)
    # Where its log did not fit either, not even its recovery may have had room.
    server.start_if_ended()


@contextmanager
def full_log() -> Generator[Full, None, None]:
    """Give a Valkey whose append-only file may not grow beyond 2 MiB."""
    server = started("--appendonly", "yes", "--auto-aof-rewrite-percentage", "0")
    server.limit_files(2 << 20)
    yield from _served(server, lambda: server.limit_files(None))


@contextmanager
def full_room() -> Generator[Full, None, None]:
    """Give a Valkey that may use 4 MiB more than it does."""
    server = started()
    used = next(
        int(line.partition(":")[2])
        for line in server.info("memory").splitlines()
        if line.startswith("used_memory:")
    )
    server.ask("CONFIG", "SET", "maxmemory", used + (4 << 20))
    yield from _served(server, lambda: server.ask("CONFIG", "SET", "maxmemory", 0))


def _served(
    server: Valkey, make_room: Callable[[], None]
) -> Generator[Full, None, None]:
    memory = RedisMemory(server.url, deadline=3.0)
    try:
        yield Full(memory, make_room)
        memory.sync.close()
    finally:
        server.kill()


PLACES = [full_files, full_log, full_room, *([full_disk] if may_mount() else [])]


class Writers:
    """Append turns to sessions, each up to its first error."""

    def __init__(self, memory: MemoryBackend) -> None:
        self._memory = memory
        self.acknowledged: Dict[str, List[str]] = {}
        self.failed: Dict[str, List[Dict[str, Any]]] = {}
        self.errors: List[UnavailableError] = []

    async def fill(self) -> None:
        """Write until nobody can."""
        await asyncio.gather(*(self._write(f"s{n}") for n in range(_SESSIONS)))

    async def _write(self, name: str) -> None:
        own = self.acknowledged.setdefault(name, [])
        await self._memory.save_context(name, [])
        while True:
            turn = [_large(f"{name}-{len(own) + n}") for n in range(3)]
            try:
                await self._memory.append_context(name, turn)
            except UnavailableError as error:
                self.errors.append(error)
                self.failed[name] = turn
                return
            own += [one["id"] for one in turn]


def _large(message_id: str) -> Dict[str, Any]:
    return {"id": message_id, "timestamp": "2024", "content": os.urandom(15_000).hex()}


@pytest.mark.parametrize("full", PLACES)
def test_a_full_server_keeps_what_it_acknowledged_and_goes_on(
    full: Callable[[], Any],
) -> None:
    if full in (full_files, full_disk) and shutil.which("prlimit") is None:
        pytest.skip("no prlimit: install util-linux")
    with full() as (memory, make_room):
        writers = Writers(memory)
        asyncio.run(writers.fill())
        assert len(writers.errors) == _SESSIONS
        make_room()
        face = memory.sync
        for name, kept in writers.acknowledged.items():
            assert [one["id"] for one in face.load_context(name)] == kept
        assert face.verify().ok
        for name, turn in writers.failed.items():
            for _ in range(2):
                face.append_context(name, turn)
            kept = [*writers.acknowledged[name], *(one["id"] for one in turn)]
            assert [one["id"] for one in face.load_context(name)] == kept
        assert face.verify().ok


@pytest.mark.parametrize("full", [full_files, full_log, full_room])
def test_a_full_server_is_read_on_and_says_what_is_wrong(
    full: Callable[[], Any],
) -> None:
    with full() as (memory, _):
        memory.sync.save_context("read", [message(1)])
        writers = Writers(memory)
        asyncio.run(writers.fill())
        assert memory.sync.load_context("read") == [message(1)]
        for name, kept in writers.acknowledged.items():
            assert [one["id"] for one in memory.sync.load_context(name)] == kept
        for error in writers.errors:
            assert "full" in str(error)
            assert "nothing" in str(error)
