"""Test the five methods of the contract, which every memory backend has."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from contextstore import messages
from contextstore.sync import SyncMemory
from contextstore.testing.memory_suite import (
    RICH,
    MemorySuite,
    bare,
    message,
    numbered,
)


class ContractTests(MemorySuite):
    """Test what the README says of the five methods."""

    # The contract: what goes in comes out.

    def test_what_is_saved_is_loaded(self, memory: SyncMemory) -> None:
        memory.save_context("s", numbered(1, 5))
        assert memory.load_context("s") == numbered(1, 5)

    def test_any_json_object_comes_back_as_it_was(self, memory: SyncMemory) -> None:
        memory.save_context("s", RICH[:2])
        memory.append_context("s", RICH[2:])
        loaded = memory.load_context("s")
        assert loaded == RICH
        assert messages.canonical(loaded) == messages.canonical(RICH)

    def test_role_and_content_stay_where_they_were(self, memory: SyncMemory) -> None:
        memory.save_context("s", [{"id": "1", "role": "user", "content": "hi"}])
        (loaded,) = memory.load_context("s")
        assert (loaded["role"], loaded["content"]) == ("user", "hi")

    def test_what_goes_in_is_copied(self, memory: SyncMemory) -> None:
        given = numbered(1, 2)
        memory.save_context("s", given[:1])
        memory.append_context("s", given[1:])
        for one in given:
            one["metadata"]["tags"][1]["b"] = "changed"
            one["role"] = "changed"
        given.clear()
        assert memory.load_context("s") == numbered(1, 2)

    def test_what_is_given_is_not_changed(self, memory: SyncMemory) -> None:
        given = [bare("one"), message(2)]
        given[0]["id"] = "a"
        before = messages.canonical(given)
        memory.save_context("s", given)
        memory.append_context("s", [])
        assert messages.canonical(given) == before

    def test_what_comes_out_is_a_copy(self, memory: SyncMemory) -> None:
        memory.save_context("s", numbered(1, 3))
        for loaded in (memory.load_context("s"), memory.load_context("s", 2)):
            loaded[0]["metadata"]["tags"][1]["b"] = "changed"
            loaded[1]["role"] = "changed"
            loaded.clear()
        assert memory.load_context("s") == numbered(1, 3)

    # The contract: load_context.

    def test_a_session_that_is_not_there_is_empty(self, memory: SyncMemory) -> None:
        assert memory.load_context("nobody") == []
        assert memory.load_context("nobody", 3) == []

    def test_loading_makes_no_session(self, memory: SyncMemory) -> None:
        memory.load_context("s")
        with pytest.raises(ValueError):
            memory.append_context("s", [message(1)])

    def test_k_gives_the_newest_oldest_first(self, memory: SyncMemory) -> None:
        memory.save_context("s", numbered(1, 4))
        assert memory.load_context("s", 1) == [message(4)]
        assert memory.load_context("s", 3) == numbered(2, 4)
        assert memory.load_context("s", k=4) == numbered(1, 4)
        assert memory.load_context("s", 99) == numbered(1, 4)
        assert memory.load_context("s", None) == numbered(1, 4)

    def test_k_of_zero_gives_nothing(self, memory: SyncMemory) -> None:
        memory.save_context("s", numbered(1, 2))
        assert memory.load_context("s", 0) == []

    # The contract: save_context and append_context.

    def test_save_replaces(self, memory: SyncMemory) -> None:
        memory.save_context("s", numbered(1, 4))
        memory.save_context("s", [message(1), message(7)])
        assert memory.load_context("s") == [message(1), message(7)]
        memory.save_context("s", numbered(1, 2))
        assert memory.load_context("s") == numbered(1, 2)

    def test_save_keeps_a_changed_message(self, memory: SyncMemory) -> None:
        memory.save_context("s", numbered(1, 3))
        changed = numbered(1, 3)
        changed[1]["content"] = "other"
        memory.save_context("s", changed)
        assert memory.load_context("s") == changed

    def test_saving_nothing_leaves_an_empty_session(self, memory: SyncMemory) -> None:
        memory.save_context("s", [])
        assert memory.load_context("s") == []
        memory.append_context("s", [message(1)])
        memory.save_context("s", [])
        assert memory.load_context("s") == []
        memory.append_context("s", [message(2)])
        assert memory.load_context("s") == [message(2)]

    def test_append_adds_at_the_end(self, memory: SyncMemory) -> None:
        memory.save_context("s", [message(1)])
        memory.append_context("s", numbered(2, 3))
        memory.append_context("s", [])
        memory.append_context("s", [message(4)])
        assert memory.load_context("s") == numbered(1, 4)

    def test_append_needs_a_session(self, memory: SyncMemory) -> None:
        for context in ([message(1)], []):
            with pytest.raises(ValueError):
                memory.append_context("nobody", context)
        assert memory.load_context("nobody") == []
        with pytest.raises(ValueError):
            memory.delete_session("nobody")

    # The contract: the deletes.

    def test_a_deleted_session_is_gone(self, memory: SyncMemory) -> None:
        memory.save_context("s", numbered(1, 2))
        memory.delete_session("s")
        assert memory.load_context("s") == []
        with pytest.raises(ValueError):
            memory.append_context("s", [message(3)])
        with pytest.raises(ValueError):
            memory.delete_session("s")

    def test_a_deleted_session_can_be_made_again(self, memory: SyncMemory) -> None:
        memory.save_context("s", numbered(1, 3))
        memory.delete_session("s")
        memory.save_context("s", [message(2)])
        assert memory.load_context("s") == [message(2)]

    def test_an_empty_session_can_be_deleted(self, memory: SyncMemory) -> None:
        memory.save_context("s", [])
        memory.delete_session("s")
        with pytest.raises(ValueError):
            memory.delete_session("s")

    def test_deleting_a_message_takes_all_after_it(self, memory: SyncMemory) -> None:
        memory.save_context("s", numbered(1, 5))
        memory.delete_interaction("s", "m5")
        assert memory.load_context("s") == numbered(1, 4)
        memory.delete_interaction("s", "m2")
        assert memory.load_context("s") == [message(1)]

    def test_deleting_the_first_leaves_a_session(self, memory: SyncMemory) -> None:
        memory.save_context("s", numbered(1, 3))
        memory.delete_interaction("s", "m1")
        assert memory.load_context("s") == []
        memory.append_context("s", [message(2)])
        assert memory.load_context("s") == [message(2)]

    def test_deleting_what_is_not_there_is_an_error(self, memory: SyncMemory) -> None:
        memory.save_context("s", numbered(1, 2))
        for session_id, message_id in (("s", "m9"), ("nobody", "m1")):
            with pytest.raises(ValueError):
                memory.delete_interaction(session_id, message_id)
        with pytest.raises(ValueError):
            memory.delete_session("nobody")
        assert memory.load_context("s") == numbered(1, 2)

    # The contract: sessions are apart, and so are loops.

    def test_sessions_are_apart(self, memory: SyncMemory) -> None:
        memory.save_context("s", numbered(1, 3))
        memory.save_context("S", numbered(2, 4))
        memory.save_context("s ", numbered(3, 5))
        memory.delete_interaction("S", "m3")
        memory.append_context("s", [message(9)])
        memory.delete_session("s ")
        assert memory.load_context("s") == [*numbered(1, 3), message(9)]
        assert memory.load_context("S") == [message(2)]
        assert memory.load_context("s ") == []

    def test_any_text_names_a_session(self, memory: SyncMemory) -> None:
        names = ["ü 木", "a/b", "../up", "%s:{}*", "x" * 512, "'; DROP TABLE s; --"]
        for number, name in enumerate(names):
            memory.save_context(name, [message(number)])
        loaded = [memory.load_context(name) for name in names]
        assert loaded == [[message(number)] for number in range(len(names))]

    def test_one_object_works_in_several_loops(self, memory: SyncMemory) -> None:
        backend = memory.backend
        asyncio.run(_completed(backend.save_context("s", [message(1)])))
        asyncio.run(_completed(backend.append_context("s", [message(2)])))
        memory.append_context("s", [message(3)])
        assert asyncio.run(_completed(backend.load_context("s"))) == numbered(1, 3)


async def _completed(awaitable: Any) -> Any:
    return await awaitable
