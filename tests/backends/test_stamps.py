"""Ids and timestamps that the store makes, and those that a caller's sources make."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Callable, Iterator, List

import pytest

from contextstore import (
    AsyncContextError,
    ConfigurationError,
    ConflictError,
    InMemoryMemory,
    InvalidInputError,
    MemoryBackend,
    SQLiteMemory,
    UnsupportedOperationError,
)
from contextstore.backends.stamps import Stamps, time_ordered_id, utc_timestamp
from tests.testing.backends import DictBackend

# RFC 9562: version 7, variant 10.
UUID7 = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
)


def counting() -> Callable[[], str]:
    numbers: Iterator[int] = itertools.count(1)
    return lambda: f"id-{next(numbers)}"


def ids(memory: Any) -> List[str]:
    return [message["id"] for message in memory.load_context("s")]


class TestDefaults:
    def test_ids_are_uuids_of_version_7(self) -> None:
        made = [time_ordered_id() for _ in range(200)]
        assert all(UUID7.fullmatch(one) for one in made)
        assert len(set(made)) == 200

    def test_later_ids_sort_after_earlier_ones(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made: List[str] = []
        for nanoseconds in (0, 245, 10**6, 2**60, 1_700_000_000 * 10**9):
            monkeypatch.setattr("time.time_ns", lambda now=nanoseconds: now)
            made.append(time_ordered_id())
        assert [one[:18] for one in made] == sorted(one[:18] for one in made)
        milliseconds = int(made[4][:13].replace("-", ""), 16)
        assert milliseconds == 1_700_000_000_000

    def test_timestamps_are_utc(self) -> None:
        stamp = utc_timestamp()
        assert stamp.endswith("+00:00")
        parsed = datetime.fromisoformat(stamp)
        assert abs(datetime.now(timezone.utc) - parsed) < timedelta(minutes=5)

    def test_what_is_given_is_taken(self) -> None:
        made = Stamps.of(lambda: "i", lambda: "t")
        assert (made.id_factory(), made.clock()) == ("i", "t")
        assert not made.makes_unique_ids
        assert Stamps.of(None, None).makes_unique_ids


class TestSources:
    def test_they_fill_in_what_is_lacking(self) -> None:
        memory = InMemoryMemory(id_factory=counting(), clock=lambda: "now").sync
        memory.save_context("s", [{"n": 1}, {"id": "own", "n": 2}])
        memory.append_context("s", [{"n": 3, "timestamp": None}])
        assert memory.load_context("s") == [
            {"n": 1, "id": "id-1", "timestamp": "now"},
            {"n": 2, "id": "own", "timestamp": "now"},
            {"n": 3, "id": "id-2", "timestamp": None},
        ]

    def test_an_id_that_is_there_already_is_a_conflict(self) -> None:
        memory = InMemoryMemory(id_factory=lambda: "same").sync
        memory.save_context("s", [{"n": 1}])
        with pytest.raises(ConflictError, match="id factory"):
            memory.append_context("s", [{"n": 2}])
        with pytest.raises(InvalidInputError):
            memory.save_context("t", [{"n": 1}, {"n": 2}])
        with pytest.raises(InvalidInputError):
            memory.append_context("t", [{"n": 3}, {"n": 4}], create=True)
        assert ids(memory) == ["same"]
        assert memory.load_context("t") == []

    @pytest.mark.parametrize("made", ["", "x" * 513, "\0", None, 7])
    def test_an_id_that_cannot_be_is_refused(self, made: Any) -> None:
        memory = InMemoryMemory(id_factory=lambda: made).sync
        with pytest.raises(InvalidInputError):
            memory.save_context("s", [{"n": 1}])
        assert memory.load_context("s") == []

    def test_a_source_that_fails_fails_the_write(self) -> None:
        def fails() -> str:
            raise OSError("no clock")

        memory = InMemoryMemory(clock=fails).sync
        with pytest.raises(OSError, match="no clock"):
            memory.save_context("s", [{"n": 1}])
        memory.save_context("s", [{"n": 1, "timestamp": "own"}])
        assert len(memory.load_context("s")) == 1

    @pytest.mark.parametrize("path", [":memory:", "chat.db"])
    def test_a_source_that_calls_its_own_store_is_refused(
        self, tmp_path: Path, path: str
    ) -> None:
        def calls() -> str:
            memory.save_context("other", [])
            return "id"

        where = path if path == ":memory:" else tmp_path / path
        memory = SQLiteMemory(where, id_factory=calls).sync
        with pytest.raises(ConfigurationError, match="from within a write"):
            memory.save_context("s", [{"n": 1}])
        # Without a file, a write runs in the thread of the loop, which says it first.
        with pytest.raises((ConfigurationError, AsyncContextError)):
            asyncio.run(memory.backend.save_context("s", [{"n": 1}]))
        memory.save_context("s", [{"id": "own", "n": 1}])
        assert len(memory.load_context("s")) == 1

    @pytest.mark.parametrize(
        "call",
        [
            lambda memory: asyncio.run(memory.save_context("other", [])),
            lambda memory: memory.sync.erase(session_id="other"),
            lambda memory: memory.sync.close(),
        ],
        ids=["a loop of its own", "exclusive", "close"],
    )
    def test_no_door_lets_a_source_wait_for_itself(
        self, tmp_path: Path, call: Callable[[SQLiteMemory], Any]
    ) -> None:
        def calls() -> str:
            call(memory)
            return "id"

        memory = SQLiteMemory(tmp_path / "chat.db", id_factory=calls)
        with pytest.raises(ConfigurationError, match="from within a write"):
            memory.sync.save_context("s", [{"n": 1}])
        memory.sync.save_context("s", [{"id": "own", "n": 1}])
        assert len(memory.sync.load_context("s")) == 1

    def test_a_source_that_reads_a_store_without_file_is_refused(self) -> None:
        memory = InMemoryMemory(clock=lambda: str(memory.load_context("s"))).sync
        with pytest.raises(ConfigurationError, match="from within a write"):
            memory.save_context("s", [{"n": 1}])

    def test_a_kept_id_that_comes_again_is_refused(self) -> None:
        memory = InMemoryMemory(id_factory=counting()).sync
        memory.save_context("s", [{"n": 1}, {"n": 2}])
        with pytest.raises(InvalidInputError) as caught:
            memory.save_context("s", [{"n": 1}, {"id": "id-1", "n": 2}])
        assert caught.value.path == "context[1].id"
        assert ids(memory) == ["id-1", "id-2"]


@pytest.mark.parametrize("version", [-1, True, 1.0, "1"])
def test_a_version_that_cannot_be_is_refused(version: Any) -> None:
    memory = InMemoryMemory().sync
    memory.save_context("s", [])
    for call in (memory.save_context, memory.append_context):
        with pytest.raises(InvalidInputError) as caught:
            call("s", [], expected_version=version)
        assert caught.value.path == "expected_version"


def further() -> List[str]:
    """Return the methods of MemoryBackend that are not of the contract."""
    members = inspect.getmembers(MemoryBackend, inspect.iscoroutinefunction)
    return [
        name
        for name, _ in members
        if not name.startswith("_")
        and name not in MemoryBackend.__abstractmethods__
        and name != "close"
    ]


@pytest.mark.parametrize("name", further())
def test_what_a_backend_lacks_is_refused_by_name(name: str) -> None:
    method = getattr(DictBackend().sync, name)
    needed = [
        "x"
        for parameter in inspect.signature(method).parameters.values()
        if parameter.default is parameter.empty
    ]
    with pytest.raises(UnsupportedOperationError, match=rf"DictBackend has no {name}"):
        method(*needed)
