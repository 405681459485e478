"""Run the shipped suites on the backends of this library and on plain ones."""

from __future__ import annotations

from pathlib import Path

from hypothesis import settings

from contextstore import (
    InMemoryEmbeddingStore,
    InMemoryMemory,
    MemoryBackend,
    RetrievalBackend,
    SQLiteEmbeddingStore,
    SQLiteMemory,
)
from contextstore.testing import (
    MemoryBackendConformance,
    RetrievalBackendConformance,
    memory_machine,
)
from tests.testing.backends import DeletingDictRetrieval, DictBackend, DictRetrieval

ALL = frozenset(MemoryBackendConformance.known_capabilities())

ALL_OF_RETRIEVAL = frozenset(RetrievalBackendConformance.known_capabilities())


class TestInMemory(MemoryBackendConformance):
    capabilities = ALL - {"durable"}

    def make(self, tmp_path: Path) -> MemoryBackend:
        return InMemoryMemory()


class TestSQLite(MemoryBackendConformance):
    capabilities = ALL

    def make(self, tmp_path: Path) -> MemoryBackend:
        return SQLiteMemory(tmp_path / "chat.db")

    def reopen(self, tmp_path: Path) -> MemoryBackend:
        return self.make(tmp_path)


class TestSQLiteInMemory(MemoryBackendConformance):
    capabilities = ALL - {"durable"}

    def make(self, tmp_path: Path) -> MemoryBackend:
        return SQLiteMemory(":memory:")


class TestDict(MemoryBackendConformance):
    capabilities = frozenset({"concurrency"})

    def make(self, tmp_path: Path) -> MemoryBackend:
        return DictBackend()


class TestInMemoryVectors(RetrievalBackendConformance):
    capabilities = ALL_OF_RETRIEVAL - {"durable"}

    def make(self, tmp_path: Path) -> RetrievalBackend:
        return InMemoryEmbeddingStore()


class TestSQLiteVectors(RetrievalBackendConformance):
    capabilities = ALL_OF_RETRIEVAL

    def make(self, tmp_path: Path) -> RetrievalBackend:
        return SQLiteEmbeddingStore(tmp_path / "vectors.db")

    def reopen(self, tmp_path: Path) -> RetrievalBackend:
        return self.make(tmp_path)


class TestDictVectors(RetrievalBackendConformance):
    capabilities = frozenset()

    def make(self, tmp_path: Path) -> RetrievalBackend:
        return DictRetrieval()


class TestDeletingDictVectors(RetrievalBackendConformance):
    capabilities = frozenset({"add-many", "delete", "delete-session"})

    def make(self, tmp_path: Path) -> RetrievalBackend:
        return DeletingDictRetrieval()


def sqlite(directory: Path) -> MemoryBackend:
    return SQLiteMemory(directory / "chat.db")


TestInMemoryHistories = memory_machine(
    lambda directory: InMemoryMemory(), capabilities=ALL - {"durable"}
).TestCase
TestSQLiteHistories = memory_machine(sqlite, reopen=sqlite, capabilities=ALL).TestCase
TestDictHistories = memory_machine(lambda directory: DictBackend()).TestCase

TestSQLiteHistories.settings = settings(max_examples=25, stateful_step_count=15)
TestInMemoryHistories.settings = settings(max_examples=40, stateful_step_count=20)
TestDictHistories.settings = settings(max_examples=20, stateful_step_count=15)
