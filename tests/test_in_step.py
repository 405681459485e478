"""A SessionStore keeps in step with what others do, and with what was cut short."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List

import pytest

from contextstore import (
    ConflictError,
    InMemoryEmbeddingStore,
    InMemoryMemory,
    SessionStore,
    SessionStoreConfig,
    SQLiteMemory,
)

Message = Dict[str, Any]


def said(message_id: str, content: str) -> Message:
    return {"id": message_id, "role": "user", "content": content}


def embed(texts: List[str]) -> List[List[float]]:
    return [[float(len(text)), float(ord(text[-1])), 1.0] for text in texts]


def embedding_store(memory: Any, embed_fn: Any = embed, **options: Any) -> SessionStore:
    config = SessionStoreConfig(auto_embed=True, embed_fn=embed_fn, **options)
    return SessionStore(memory, InMemoryEmbeddingStore(), config)


class TestVersions:
    def test_a_session_made_anew_never_has_a_version_that_the_old_one_had(
        self, tmp_path: Path
    ) -> None:
        for one in (InMemoryMemory(), SQLiteMemory(tmp_path / "chat.db")):
            memory = one.sync
            memory.save_context("s", [said("1", "a"), said("2", "b")])
            for erases in (False, True):
                version = memory.session_info("s").version
                if erases:
                    memory.erase(session_id="s")
                else:
                    memory.delete_session("s")
                result = memory.save_context("s", [])
                assert result is not None
                assert result.version > version
                with pytest.raises(ConflictError):
                    memory.save_context("s", [said("9", "x")], expected_version=version)
            memory.close()

    def test_a_search_sees_that_another_object_made_the_session_anew(
        self, tmp_path: Path
    ) -> None:
        with SQLiteMemory(tmp_path / "chat.db").sync as memory:
            store = SessionStore(memory.backend).sync
            store.save_context("s", [said("1", "apples are red")])
            assert store.retrieve_relevant("s", "apples")
            other = SQLiteMemory(tmp_path / "chat.db").sync
            other.delete_session("s")
            other.save_context("s", [said("2", "pears are green")])
            other.close()
            (found,) = store.retrieve_relevant("s", "apples pears")
            assert found.message_id == "2"
