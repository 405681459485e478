"""What a write gives back has its type in every face, and lists need no annotation.

Type checkers run over this file as well (scripts/check.py): to them the annotations
here are the test.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest

from contextstore import (
    InMemoryMemory,
    MemoryBackend,
    SessionStore,
    SQLiteMemory,
    SyncMemory,
    SyncSessionStore,
    TieredMemory,
    WriteResult,
    open_memory,
)

HELLO = {"id": "1", "role": "user", "content": "hello"}


def faces_of_sqlite() -> List[SyncMemory[WriteResult]]:
    memory = InMemoryMemory()
    tiered = TieredMemory(memory, InMemoryMemory())
    return [memory.sync, SyncMemory(memory), open_memory("memory:").sync, tiered.sync]


def stores() -> List[SyncSessionStore[WriteResult]]:
    opened = open_memory("memory:")
    return [SyncSessionStore(InMemoryMemory()), SessionStore(opened).sync]


@pytest.mark.parametrize("face", [*faces_of_sqlite(), *stores()])
def test_a_face_of_a_backend_of_ours_tells_what_a_write_did(face: Any) -> None:
    assert face.save_context("s", [HELLO]).version > 0
    assert face.append_context("s", [{"id": "2"}]).ids == ("2",)
    assert face.delete_interaction("s", "2").removed == ("2",)


def test_types_of_what_writes_give_back(tmp_path: Path) -> None:
    versions: List[int] = [
        SQLiteMemory(tmp_path / "a.db").sync.save_context("s", []).version,
        *(face.save_context("t", []).version for face in faces_of_sqlite()),
        *(store.append_context("u", [], create=True).version for store in stores()),
    ]
    assert all(versions)


def test_an_opened_memory_has_the_options_of_a_backend() -> None:
    async def main() -> List[WriteResult]:
        memory = open_memory("memory:")
        return [
            await memory.save_context("s", [HELLO], expected_version=0),
            await memory.append_context("t", [HELLO], create=True),
            await SessionStore(memory).append_context("t", [{"id": "2"}]),
        ]

    assert [written.ids for written in asyncio.run(main())] == [("1",), ("1",), ("2",)]


class Silent(MemoryBackend):
    """Be a backend that tells nothing, with the signatures of the contract."""

    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Dict[str, Any]]:
        return []

    async def save_context(
        self, session_id: str, context: List[Dict[str, Any]]
    ) -> None:
        return None

    async def append_context(
        self, session_id: str, context: List[Dict[str, Any]]
    ) -> None:
        return None

    async def delete_session(self, session_id: str) -> None:
        return None

    async def delete_interaction(self, session_id: str, interaction_id: str) -> None:
        return None


def what_may_be_none(store: SessionStore, face: SyncMemory) -> Optional[WriteResult]:
    """Take any store and any face, as annotations without a parameter say."""
    return face.save_context("s", []) or store.sync.save_context("s", [])


def test_a_face_of_any_backend_may_tell_nothing() -> None:
    silent = Silent()
    assert what_may_be_none(SessionStore(silent), silent.sync) is None
    assert what_may_be_none(SessionStore(InMemoryMemory()), silent.sync) is not None


def test_lists_of_messages_of_several_kinds_can_be_passed() -> None:
    said: List[Dict[str, str]] = [HELLO]
    called: List[Dict[str, Optional[str]]] = [{"id": "2", "content": None}]
    face = InMemoryMemory().sync
    face.save_context("s", [*said, *called])
    mixed = (said[0], called[0])
    SessionStore(open_memory("memory:")).sync.save_context("s", mixed)
    face.append_context("s", mixed)
    assert [message["id"] for message in face.load_context("s")] == ["1", "2"]


def test_what_a_face_tells_can_be_named_where_it_runs() -> None:
    assert SessionStore[WriteResult] is SessionStore
