"""Run the shipped suite on a real Valkey or Redis, and on a cluster of six."""

from __future__ import annotations

from pathlib import Path

from hypothesis import settings

from contextstore import (
    MemoryBackend,
    PostgresMemory,
    RedisMemory,
    SQLiteMemory,
    TieredMemory,
)
from contextstore.testing import MemoryBackendConformance, memory_machine
from tests.servers.shared import database_of
from tests.servers.shared_valkey import cluster, valkey
from tests.servers.valkey import namespace

ALL = frozenset(MemoryBackendConformance.known_capabilities())


class TestValkey(MemoryBackendConformance):
    capabilities = ALL - {"backup"}

    def make(self, tmp_path: Path) -> MemoryBackend:
        return RedisMemory(valkey().url, namespace=namespace(tmp_path))

    def reopen(self, tmp_path: Path) -> MemoryBackend:
        return self.make(tmp_path)


class TestValkeyCluster(MemoryBackendConformance):
    capabilities = ALL - {"backup"}

    def make(self, tmp_path: Path) -> MemoryBackend:
        return RedisMemory(cluster().url, namespace=namespace(tmp_path))

    def reopen(self, tmp_path: Path) -> MemoryBackend:
        return self.make(tmp_path)


class TestTiered(MemoryBackendConformance):
    """A record in a file, and a cache that all objects share."""

    capabilities = ALL

    def make(self, tmp_path: Path) -> MemoryBackend:
        cache = RedisMemory(valkey().url, namespace=namespace(tmp_path))
        return TieredMemory(SQLiteMemory(tmp_path / "chat.db"), cache, window=5)

    def reopen(self, tmp_path: Path) -> MemoryBackend:
        return self.make(tmp_path)


class TestTieredOnPostgres(MemoryBackendConformance):
    capabilities = ALL - {"backup"}

    def make(self, tmp_path: Path) -> MemoryBackend:
        record = PostgresMemory(database_of(tmp_path), partitions=4)
        cache = RedisMemory(cluster().url, namespace=namespace(tmp_path))
        return TieredMemory(record, cache, window=5)

    def reopen(self, tmp_path: Path) -> MemoryBackend:
        return self.make(tmp_path)


def valkey_memory(directory: Path) -> MemoryBackend:
    return RedisMemory(valkey().url, namespace=namespace(directory))


def tiered(directory: Path) -> MemoryBackend:
    record = PostgresMemory(database_of(directory), partitions=4)
    cache = RedisMemory(valkey().url, namespace=namespace(directory))
    return TieredMemory(record, cache, window=5)


TestValkeyHistories = memory_machine(
    valkey_memory, reopen=valkey_memory, capabilities=ALL - {"backup"}
).TestCase
TestTieredHistories = memory_machine(
    tiered, reopen=tiered, capabilities=ALL - {"backup"}
).TestCase

TestValkeyHistories.settings = settings(max_examples=15, stateful_step_count=20)
TestTieredHistories.settings = settings(max_examples=15, stateful_step_count=20)
