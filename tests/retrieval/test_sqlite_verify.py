"""``verify`` finds damaged vectors, and a repair lets them be made anew."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from contextstore import (
    CorruptDataError,
    SessionStoreConfig,
    SQLiteEmbeddingStore,
    SQLiteMemory,
    SyncSessionStore,
)
from contextstore.embedders import HashingEmbedder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chat.db"


def opened(path: Path) -> SyncSessionStore:
    config = SessionStoreConfig(auto_embed=True, embed_fn=HashingEmbedder())
    return SyncSessionStore(SQLiteMemory(path), SQLiteEmbeddingStore(path), config)


def close(store: SyncSessionStore) -> None:
    store.store.memory.sync.close()
    assert store.store.retrieval is not None
    store.store.retrieval.sync.close()


def test_a_damaged_vector_is_found_and_made_anew(path: Path) -> None:
    store = opened(path)
    store.save_context("s", [{"id": i, "content": f"word {i}"} for i in "abc"])
    close(store)
    connection = sqlite3.connect(str(path))
    connection.execute(
        "UPDATE context_vectors SET vector = zeroblob(length(vector))"
        " WHERE message_id = 'b'"
    )
    connection.commit()
    connection.close()

    store = opened(path)
    memory = store.store.memory.sync
    with pytest.raises(CorruptDataError):
        store.retrieve_relevant("s", "word b", mode="dense")
    (problem,) = memory.verify().problems
    assert (problem.kind, problem.session_id, problem.repaired) == (
        "vector",
        "s",
        False,
    )
    (problem,) = memory.verify(repair=True).problems
    assert problem.repaired
    assert memory.verify().problems == ()
    store.embed_missing()
    (found,) = store.retrieve_relevant("s", "word b", 1, mode="dense")
    assert found.message_id == "b"
    close(store)
