"""Run the shipped suites on a real Postgres."""

from __future__ import annotations

from pathlib import Path

from contextstore import MemoryBackend, PostgresMemory
from contextstore.testing import MemoryBackendConformance
from tests.servers.shared import database_of

ALL = frozenset(MemoryBackendConformance.known_capabilities())


class TestPostgres(MemoryBackendConformance):
    capabilities = ALL - {"backup"}

    def make(self, tmp_path: Path) -> MemoryBackend:
        return PostgresMemory(database_of(tmp_path), partitions=4)

    def reopen(self, tmp_path: Path) -> MemoryBackend:
        return self.make(tmp_path)
