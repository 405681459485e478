"""What objects that hold something open say of themselves, and where they may go."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any, List

import pytest

from contextstore import (
    InMemoryEmbeddingStore,
    InMemoryMemory,
    PgVectorStore,
    PostgresMemory,
    RedisMemory,
    SessionStore,
    SQLiteEmbeddingStore,
    SQLiteMemory,
    TieredMemory,
)
from contextstore.backends.base import MemoryBackend


def open_objects(path: Path) -> List[Any]:
    memory = SQLiteMemory(path)
    return [
        memory,
        memory.sync,
        SQLiteEmbeddingStore(path),
        InMemoryMemory(),
        SessionStore(memory),
        TieredMemory(memory, InMemoryMemory()),
    ]


def of_servers() -> List[Any]:
    """Return objects that are not connected yet, and need no server."""
    dsn, url = "postgresql://u:secret@h/db", "redis://:secret@h"
    postgres, redis = PostgresMemory(dsn), RedisMemory(url)
    return [
        postgres,
        redis,
        redis.sync,
        PgVectorStore(dsn),
        PgVectorStore(dsn).for_model("m"),
        SessionStore(postgres),
        TieredMemory(postgres, redis),
        InMemoryEmbeddingStore(),
        InMemoryEmbeddingStore().for_model("m"),
        # What cannot be pickled either, and is not the reason.
        PostgresMemory(dsn, id_factory=lambda: "id"),
        RedisMemory(url, id_factory=lambda: "id"),
        SQLiteMemory("chat.db", id_factory=lambda: "id"),
    ]


def test_what_belongs_to_a_process_says_that_it_cannot_be_pickled(
    tmp_path: Path,
) -> None:
    for one in [*open_objects(tmp_path / "chat.db"), *of_servers()]:
        for carry in (pickle.dumps, copy.deepcopy):
            with pytest.raises(TypeError, match="make a new one") as caught:
                carry(one)
            assert "secret" not in str(caught.value)
    with pytest.raises(TypeError, match="chat\\.db open"):
        pickle.dumps(SQLiteMemory(tmp_path / "chat.db"))


class Kept(MemoryBackend):
    """A backend of a third party, which may be pickled if it can."""

    load_context = save_context = append_context = None  # type: ignore[assignment]
    delete_session = delete_interaction = None  # type: ignore[assignment]

    def __init__(self) -> None:
        self.sessions = {"s": [1]}


def test_a_backend_of_a_third_party_is_its_own_affair() -> None:
    assert pickle.loads(pickle.dumps(Kept())).sessions == {"s": [1]}


def test_a_memory_shows_its_file(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    assert repr(SQLiteMemory(path)) == f"SQLiteMemory({str(path)!r})"
    assert repr(InMemoryMemory()) == "InMemoryMemory()"
