"""A write whose outcome is unknown is settled by repeating it, versions or not."""

from __future__ import annotations

from typing import Any, Dict, List

import pytest

from contextstore import ConflictError, InMemoryMemory, SyncMemory

GIVEN: List[Dict[str, Any]] = [
    {"id": "a", "role": "user", "content": "Hello"},
    {"id": "b", "role": "assistant", "content": "Hi"},
]
MORE: List[Dict[str, Any]] = [{"id": "c", "role": "user", "content": "More"}]


@pytest.fixture
def memory() -> SyncMemory:
    return InMemoryMemory().sync


def test_an_append_that_was_stored_is_repeated_without_effect(
    memory: SyncMemory,
) -> None:
    memory.save_context("s", GIVEN)
    version = memory.session_info("s").version
    first = memory.append_context("s", MORE, expected_version=version)
    again = memory.append_context("s", MORE, expected_version=version)
    assert first is not None
    assert again == first._replace(before=first.version)
    assert len(memory.load_context("s")) == 3


def test_a_session_that_was_made_is_made_once(memory: SyncMemory) -> None:
    first = memory.append_context("s", GIVEN, create=True, expected_version=0)
    again = memory.append_context("s", GIVEN, create=True, expected_version=0)
    assert first is not None
    assert again == first._replace(before=first.version)
    assert len(memory.load_context("s")) == 2


def test_a_save_that_was_stored_is_repeated_without_effect(memory: SyncMemory) -> None:
    memory.save_context("s", GIVEN)
    version = memory.session_info("s").version
    first = memory.save_context("s", [*GIVEN, *MORE], expected_version=version)
    again = memory.save_context("s", [*GIVEN, *MORE], expected_version=version)
    assert first is not None
    assert again is not None
    assert first.version == again.version == memory.session_info("s").version


def test_what_is_not_stored_still_conflicts(memory: SyncMemory) -> None:
    memory.save_context("s", GIVEN)
    version = memory.session_info("s").version
    memory.append_context("s", MORE)
    with pytest.raises(ConflictError):
        memory.append_context(
            "s", [*MORE, {"id": "d", "content": "new"}], expected_version=version
        )
    with pytest.raises(ConflictError):
        memory.save_context("s", GIVEN, expected_version=version)
    with pytest.raises(ConflictError):
        memory.append_context("s", [], expected_version=version)
    with pytest.raises(ConflictError):
        memory.save_context("t", [], expected_version=1)
    assert [message["id"] for message in memory.load_context("s")] == ["a", "b", "c"]
