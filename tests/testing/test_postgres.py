"""Run the shipped suites on a real Postgres."""

from __future__ import annotations

from pathlib import Path

from hypothesis import settings

from contextstore import (
    MemoryBackend,
    PgVectorStore,
    PostgresMemory,
    RetrievalBackend,
)
from contextstore.testing import (
    MemoryBackendConformance,
    RetrievalBackendConformance,
    memory_machine,
)
from tests.servers.shared import database_of

ALL = frozenset(MemoryBackendConformance.known_capabilities())


class TestPostgres(MemoryBackendConformance):
    capabilities = ALL - {"backup"}

    def make(self, tmp_path: Path) -> MemoryBackend:
        return PostgresMemory(database_of(tmp_path), partitions=4)

    def reopen(self, tmp_path: Path) -> MemoryBackend:
        return self.make(tmp_path)


class TestPostgresVectors(RetrievalBackendConformance):
    capabilities = frozenset(RetrievalBackendConformance.known_capabilities())

    def make(self, tmp_path: Path) -> RetrievalBackend:
        return PgVectorStore(database_of(tmp_path), partitions=4)

    def reopen(self, tmp_path: Path) -> RetrievalBackend:
        return self.make(tmp_path)


def postgres(directory: Path) -> MemoryBackend:
    return PostgresMemory(database_of(directory), partitions=4)


TestHistories = memory_machine(
    postgres, reopen=postgres, capabilities=ALL - {"backup"}
).TestCase

TestHistories.settings = settings(max_examples=15, stateful_step_count=20)
