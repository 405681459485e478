"""Run the shipped suite on a real Valkey or Redis, and on a cluster of six."""

from __future__ import annotations

from pathlib import Path

from contextstore import MemoryBackend, RedisMemory
from contextstore.testing import MemoryBackendConformance
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
