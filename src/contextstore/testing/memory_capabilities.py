"""Test what a memory backend may add to the five methods of the contract."""

from __future__ import annotations

import inspect
import threading
from pathlib import Path
from typing import Any, Callable, List

import pytest

from contextstore import messages
from contextstore.backends.base import MemoryBackend
from contextstore.errors import ConflictError
from contextstore.sync import SyncMemory
from contextstore.testing.faces import gathered
from contextstore.testing.memory_suite import (
    RICH,
    MemorySuite,
    Message,
    bare,
    message,
    numbered,
)
from contextstore.testing.suite import Capability


def _prepares(suite: Any, directory: Path) -> bool:
    return bool(_closed(suite.make(directory)).prepares_messages)


def _has_option(method: str, option: str) -> Callable[[Any, Path], bool]:
    def detect(suite: Any, directory: Path) -> bool:
        backend = _closed(suite.make(directory))
        return option in inspect.signature(getattr(backend, method)).parameters

    return detect


def _closed(backend: MemoryBackend) -> MemoryBackend:
    """Return a backend that is only looked at, with what it holds let go."""
    backend.sync.close()
    return backend


def _repeats_safely(suite: Any, directory: Path) -> bool:
    memory = suite.make(directory).sync
    with memory:
        memory.save_context("s", [message(1)])
        try:
            memory.append_context("s", [message(1)])
        except ValueError:
            return False
        return len(memory.load_context("s")) == 1


def _saves_the_difference(suite: Any, directory: Path) -> bool:
    memory = suite.make(directory).sync
    with memory:
        memory.save_context("s", [bare("one")])
        before = memory.load_context("s")
        memory.save_context("s", [bare("one")])
        return "id" in before[0] and memory.load_context("s") == before


def _can_be_reopened(suite: Any, directory: Path) -> bool:
    return type(suite).reopen is not MemorySuite.reopen


def _unless_left_out(suite: Any, directory: Path) -> bool:
    return True


STAMPING = Capability("stamping", _prepares)
VALIDATION = Capability("validation", _prepares)
IDEMPOTENT_APPEND = Capability("idempotent-append", _repeats_safely)
DIFFERENTIAL_SAVE = Capability("differential-save", _saves_the_difference)
VERSIONS = Capability("versions", _has_option("save_context", "expected_version"))
CREATE = Capability("create", _has_option("append_context", "create"))
DURABLE = Capability("durable", _can_be_reopened)
# No look at a backend shows this one: it is taken to be there, and tested, unless
# ``capabilities`` leaves it out.
CONCURRENCY = Capability("concurrency", _unless_left_out)


class CapabilityTests(MemorySuite):
    """Test the capabilities of the five methods, each where the backend has it."""

    @STAMPING
    def test_ids_and_timestamps_are_filled_in(self, memory: SyncMemory) -> None:
        memory.save_context("s", [bare("one"), message(2)])
        memory.append_context("s", [bare("one")])
        first, second, third = memory.load_context("s")
        assert second == message(2)
        for stamped in (first, third):
            assert stamped == {**stamped, **bare("one")}
            assert stamped.keys() == {"role", "content", "id", "timestamp"}
            assert messages.validate_message_id(stamped["id"])
            assert isinstance(stamped["timestamp"], str)
        assert first["id"] != third["id"]
        memory.delete_interaction("s", third["id"])
        assert memory.load_context("s") == [first, second]

    @STAMPING
    def test_a_write_tells_the_ids(self, memory: SyncMemory) -> None:
        saved = memory.save_context("s", [bare("one"), message(2)])
        appended = memory.append_context("s", [bare("three")])
        if saved is None or appended is None:
            return
        ids = [one["id"] for one in memory.load_context("s")]
        assert [*saved.ids, *appended.ids] == ids

    @VALIDATION
    def test_nothing_of_a_refused_write_is_stored(self, memory: SyncMemory) -> None:
        memory.save_context("s", [message(1)])
        batches: List[Any] = [[message(2), *tail] for tail in _REFUSED]
        refused: List[Any] = [*batches, message(2), "text", None, 7]
        for context in refused:
            with pytest.raises(ValueError):
                memory.append_context("s", context)
            with pytest.raises(ValueError):
                memory.save_context("s", context)
            with pytest.raises(ValueError):
                memory.save_context("new", context)
        assert memory.load_context("s") == [message(1)]
        with pytest.raises(ValueError):
            memory.append_context("new", [])

    @VALIDATION
    def test_ids_that_cannot_be_are_refused(self, memory: SyncMemory) -> None:
        refused: List[Any] = ["", "x" * 513, "\0", "\ud800", None, 1, b"s"]
        for name in refused:
            for attempt in (
                lambda name=name: memory.load_context(name),
                lambda name=name: memory.save_context(name, []),
                lambda name=name: memory.append_context(name, []),
                lambda name=name: memory.delete_session(name),
                lambda name=name: memory.delete_interaction(name, "m1"),
                lambda name=name: memory.delete_interaction("s", name),
            ):
                with pytest.raises(ValueError):
                    attempt()

    @VALIDATION
    def test_k_that_counts_nothing_is_refused(self, memory: SyncMemory) -> None:
        memory.save_context("s", numbered(1, 2))
        refused: List[Any] = [-1, True, False, 1.0, "1"]
        for k in refused:
            with pytest.raises(ValueError):
                memory.load_context("s", k)
        assert memory.load_context("s", 10**30) == numbered(1, 2)

    @IDEMPOTENT_APPEND
    def test_repeating_an_append_adds_nothing(self, memory: SyncMemory) -> None:
        memory.save_context("s", [message(1)])
        for _ in range(2):
            memory.append_context("s", numbered(2, 3))
        memory.append_context("s", numbered(2, 4))
        assert memory.load_context("s") == numbered(1, 4)

    @IDEMPOTENT_APPEND
    def test_an_id_with_other_content_is_a_conflict(self, memory: SyncMemory) -> None:
        memory.save_context("s", numbered(1, 2))
        for other in ({"content": "other"}, {"flag": True}, {"metadata": None}):
            with pytest.raises(ConflictError):
                memory.append_context("s", [message(3), {**message(2), **other}])
        assert memory.load_context("s") == numbered(1, 2)

    @IDEMPOTENT_APPEND
    def test_equality_is_strict_about_type(self, memory: SyncMemory) -> None:
        memory.save_context("s", [{**message(1), "n": 1}])
        for other in (True, 1.0):
            with pytest.raises(ConflictError):
                memory.append_context("s", [{**message(1), "n": other}])

    @DIFFERENTIAL_SAVE
    def test_a_save_keeps_ids_and_timestamps(self, memory: SyncMemory) -> None:
        memory.save_context("s", [bare("one"), bare("two")])
        before = memory.load_context("s")
        memory.save_context("s", [bare("one"), bare("two"), bare("three")])
        after = memory.load_context("s")
        assert after[:2] == before
        memory.save_context("s", [bare("one"), bare("other"), bare("three")])
        changed = memory.load_context("s")
        assert changed[0] == before[0]
        assert [one["content"] for one in changed] == ["one", "other", "three"]
        assert len({one["id"] for one in changed}) == 3

    @DIFFERENTIAL_SAVE
    def test_an_id_given_later_is_another_message(self, memory: SyncMemory) -> None:
        memory.save_context("s", [bare("one")])
        memory.save_context("s", [{**bare("one"), "id": "mine"}])
        (loaded,) = memory.load_context("s")
        assert loaded["id"] == "mine"

    @VERSIONS
    def test_every_change_raises_the_version(self, memory: SyncMemory) -> None:
        writes = [
            memory.save_context("s", numbered(1, 2)),
            memory.append_context("s", [message(3)]),
            memory.delete_interaction("s", "m2"),
            memory.save_context("s", [message(5)]),
            memory.save_context("s", []),
        ]
        versions = [write.version for write in writes if write is not None]
        assert len(versions) == len(writes)
        assert versions == sorted(set(versions))
        assert versions[0] > 0

    @VERSIONS
    def test_a_write_that_changes_nothing_raises_none(self, memory: SyncMemory) -> None:
        first = memory.save_context("s", numbered(1, 2))
        again = memory.save_context("s", numbered(1, 2))
        assert first is not None
        assert again is not None
        assert again.version == first.version
        assert again.removed == ()

    @VERSIONS
    def test_a_stale_version_is_a_conflict(self, memory: SyncMemory) -> None:
        first = memory.save_context("s", [message(1)], expected_version=0)
        assert first is not None
        second = memory.append_context(
            "s", [message(2)], expected_version=first.version
        )
        assert second is not None
        for stale in (0, first.version, second.version + 1):
            with pytest.raises(ConflictError) as caught:
                memory.save_context("s", [], expected_version=stale)
            assert caught.value.current_version == second.version
            with pytest.raises(ConflictError):
                memory.append_context("s", [message(3)], expected_version=stale)
        assert memory.load_context("s") == numbered(1, 2)

    @VERSIONS
    def test_a_write_tells_what_it_removed(self, memory: SyncMemory) -> None:
        memory.save_context("s", numbered(1, 4))
        deleted = memory.delete_interaction("s", "m4")
        changed = memory.save_context("s", [{**message(1), "role": "x"}, message(2)])
        assert deleted is not None
        assert changed is not None
        assert deleted.removed == ("m4",)
        assert sorted(changed.removed) == ["m1", "m3"]

    @CREATE
    def test_append_can_make_the_session(self, memory: SyncMemory) -> None:
        memory.append_context("s", [message(1)], create=True)
        memory.append_context("s", [message(2)], create=True)
        memory.append_context("empty", [], create=True)
        memory.append_context("empty", [])
        assert memory.load_context("s") == numbered(1, 2)

    @DURABLE
    def test_what_is_stored_outlives_the_object(
        self, memory: SyncMemory, tmp_path: Path
    ) -> None:
        memory.save_context("s", RICH)
        memory.append_context("s", numbered(1, 2))
        memory.save_context("empty", [])
        memory.backend.sync.close()
        with self.reopen(tmp_path).sync as again:
            assert again.load_context("s") == [*RICH, *numbered(1, 2)]
            assert again.load_context("s", 1) == [message(2)]
            again.append_context("empty", [message(1)])
            again.delete_interaction("s", "m2")
        with self.reopen(tmp_path).sync as again:
            assert again.load_context("s") == [*RICH, message(1)]
            assert again.load_context("empty") == [message(1)]

    @DURABLE
    def test_another_object_sees_a_write_at_once(
        self, memory: SyncMemory, tmp_path: Path
    ) -> None:
        with self.reopen(tmp_path).sync as other:
            memory.save_context("s", [message(1)])
            assert other.load_context("s") == [message(1)]
            other.append_context("s", [message(2)])
            assert memory.load_context("s") == numbered(1, 2)
            other.delete_session("s")
            assert memory.load_context("s") == []

    @CONCURRENCY
    def test_tasks_of_several_loops_lose_nothing(self, memory: SyncMemory) -> None:
        memory.save_context("s", [])
        backend = memory.backend
        for start in range(0, 100, 20):
            gathered(
                lambda number=number: backend.append_context("s", [message(number)])
                for number in range(start, start + 20)
            )
        kept = [one["id"] for one in memory.load_context("s")]
        assert sorted(kept) == sorted(f"m{number}" for number in range(100))

    @CONCURRENCY
    def test_threads_lose_nothing(self, memory: SyncMemory) -> None:
        memory.save_context("s", [])
        face = memory.backend.sync
        failures: List[BaseException] = []

        def work(first: int) -> None:
            try:
                for number in range(first, first + 5):
                    face.append_context("s", [message(number)])
                    face.load_context("s", 2)
            except BaseException as error:
                failures.append(error)

        threads = [
            threading.Thread(target=work, args=(first,)) for first in range(0, 40, 5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        kept = [one["id"] for one in memory.load_context("s")]
        assert sorted(kept) == sorted(f"m{number}" for number in range(40))
        for first in range(0, 40, 5):
            own = [f"m{number}" for number in range(first, first + 5)]
            assert [one for one in kept if one in own] == own

    @CONCURRENCY
    def test_a_batch_is_seen_whole_or_not_at_all(self, memory: SyncMemory) -> None:
        memory.save_context("s", [])
        face = memory.backend.sync
        done = threading.Event()
        seen: List[int] = []

        def look() -> None:
            while not done.is_set():
                seen.append(len(face.load_context("s")))

        reader = threading.Thread(target=look)
        reader.start()
        try:
            for first in range(0, 60, 3):
                face.append_context("s", numbered(first, first + 2))
        finally:
            done.set()
            reader.join()
        assert [count for count in seen if count % 3] == []


def _nested(depth: int) -> Message:
    nested: Any = "deep"
    for _ in range(depth):
        nested = [nested]
    return {"id": "x", "content": nested}


_REFUSED: List[List[Any]] = [
    [None],
    ["text"],
    [[]],
    [{"id": ""}],
    [{"id": 7}],
    [{"id": "x" * 513}],
    [{"id": "nul\0"}],
    [{"id": "x", "content": float("nan")}],
    [{"id": "x", "content": float("inf")}],
    [{"id": "x", "content": {1: "number as key"}}],
    [{"id": "x", "content": b"bytes"}],
    [{"id": "x", "content": {"a set"}}],
    [{"id": "x", "content": ("a", "tuple")}],
    [{"id": "x", "content": "lone \ud800"}],
    [{"id": "x", "lone \udfff": 1}],
    [{"id": "x", "content": 10**5000}],
    [{"id": "twice"}, {"id": "twice"}],
    [_nested(messages.MAX_DEPTH)],
    [_nested(100_000)],
]
