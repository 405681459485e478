"""A network that is slow, or cuts connections, only takes time."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, Callable, Iterator, NamedTuple, Tuple

import pytest

from contextstore import MemoryBackend, PostgresMemory, RedisMemory, TieredMemory
from contextstore.testing.memory_suite import message, numbered
from tests.servers.failover import judged
from tests.servers.proxy import Proxy
from tests.servers.shared import database_of, postgres_server
from tests.servers.shared_valkey import valkey
from tests.servers.valkey import namespace

_CUTS = 25


class Behind(NamedTuple):
    """Be a memory and what stands between it and its servers."""

    memory: MemoryBackend
    proxies: Tuple[Proxy, ...]

    def cut_again_and_again(self) -> None:
        for number in range(_CUTS):
            proxy = self.proxies[number % len(self.proxies)]
            proxy.go_down()
            proxy.come_back()
            time.sleep(0.02)

    def be_slow(self, seconds: float) -> None:
        for proxy in self.proxies:
            proxy.delay = seconds


def postgres(directory: Path) -> Behind:
    database_of(directory)
    proxy = Proxy(postgres_server().port)
    dsn = postgres_server().dsn("contextstore", port=proxy.port)
    return Behind(PostgresMemory(dsn, partitions=4, timeout=20.0), (proxy,))


def redis(directory: Path, **options: Any) -> Behind:
    proxy = Proxy(valkey().port)
    url = f"redis://127.0.0.1:{proxy.port}"
    memory = RedisMemory(url, namespace=namespace(directory), **options)
    return Behind(memory, (proxy,))


def tiered(directory: Path) -> Behind:
    record, cache = postgres(directory), redis(directory, deadline=1.0)
    memory = TieredMemory(record.memory, cache.memory, retry_after=0.1)
    return Behind(memory, (*record.proxies, *cache.proxies))


@pytest.fixture(params=[postgres, redis, tiered])
def behind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Behind]:
    make: Callable[[Path], Behind] = request.param
    made = make(tmp_path)
    yield made
    for proxy in made.proxies:
        proxy.close()


def test_writers_whose_connections_are_cut_lose_and_double_nothing(
    behind: Behind,
) -> None:
    outcome = asyncio.run(judged(behind.memory, behind.cut_again_and_again, 16))
    assert (outcome.lost, outcome.doubled, outcome.errors) == (0, 0, [])
    assert outcome.before > 0
    assert outcome.after > 0


def test_a_slow_network_is_waited_for_once_by_all(behind: Behind) -> None:
    """64 callers on a network with 100 ms a round trip are not 64 times as slow."""
    memory: Any = behind.memory
    for number in range(64):
        memory.sync.save_context(f"s{number}", [message(1)])
    memory.sync.load_context("s0", 5)

    async def work(name: str) -> None:
        await memory.append_context(name, [message(2)])
        assert await memory.load_context(name, 5) == numbered(1, 2)

    async def run() -> float:
        await memory.load_context("s0", 5)
        behind.be_slow(0.05)
        begun = time.monotonic()
        await asyncio.gather(*(work(f"s{number}") for number in range(64)))
        return time.monotonic() - begun

    assert asyncio.run(run()) < 0.1 * 64
    behind.be_slow(0.0)
    assert memory.sync.verify().ok
