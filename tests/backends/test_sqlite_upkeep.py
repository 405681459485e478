"""Pruning, backing up and opening by address."""

from __future__ import annotations

import asyncio
import stat
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any, Dict, List

import pytest

from contextstore import (
    ConfigurationError,
    InMemoryMemory,
    InvalidInputError,
    SessionNotFoundError,
    SQLiteMemory,
    UnavailableError,
)
from contextstore.backends.sqlite import erasing, rows
from contextstore.backends.url import open_memory
from contextstore.sync import SyncMemory

A_DAY = timedelta(days=1)


def numbered(first: int, last: int) -> List[Dict[str, Any]]:
    return [{"id": f"m{number}", "content": "x"} for number in range(first, last + 1)]


def ids(memory: SyncMemory, session_id: str = "s") -> List[str]:
    return [message["id"] for message in memory.load_context(session_id)]


class Days:
    """A clock of the store that stands still until it is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.real = rows.now()
        self.ago = 0.0
        monkeypatch.setattr(rows, "now", self)

    def __call__(self) -> int:
        return int(self.real - self.ago * 86_400_000)


class TestPruneByAge:
    @pytest.fixture
    def days(self, monkeypatch: pytest.MonkeyPatch) -> Days:
        return Days(monkeypatch)

    def test_what_was_written_before_goes(self, days: Days) -> None:
        memory = InMemoryMemory().sync
        days.ago = 10
        memory.save_context("s", numbered(1, 2))
        days.ago = 5
        memory.append_context("s", numbered(3, 4))
        days.ago = 0
        memory.append_context("s", numbered(5, 6))
        assert memory.prune("s", older_than=20 * A_DAY).removed == {}
        assert memory.prune("s", older_than=7 * A_DAY).removed == {"s": ("m1", "m2")}
        assert memory.prune(older_than=A_DAY).removed == {"s": ("m3", "m4")}
        assert ids(memory) == ["m5", "m6"]

    def test_a_pinned_message_does_not_shield_what_follows(self, days: Days) -> None:
        memory = InMemoryMemory().sync
        days.ago = 10
        memory.save_context("s", [{"id": "m0", "role": "system"}, *numbered(1, 2)])
        days.ago = 5
        memory.append_context("s", numbered(3, 4))
        days.ago = 0
        memory.append_context("s", numbered(5, 6))
        memory.prune(older_than=7 * A_DAY)
        assert ids(memory) == ["m0", "m3", "m4", "m5", "m6"]
        memory.prune(older_than=A_DAY)
        assert ids(memory) == ["m0", "m5", "m6"]

    def test_both_conditions_have_to_hold(self, days: Days) -> None:
        memory = InMemoryMemory().sync
        days.ago = 10
        memory.save_context("s", numbered(1, 4))
        days.ago = 0
        memory.append_context("s", numbered(5, 6))
        done = memory.prune("s", older_than=A_DAY, keep_last=3)
        assert done.removed == {"s": ("m1", "m2", "m3")}

    def test_a_dry_run_changes_nothing(self, days: Days) -> None:
        memory = InMemoryMemory().sync
        days.ago = 10
        memory.save_context("s", numbered(1, 4))
        version = memory.session_info("s").version
        days.ago = 0
        assert memory.prune(older_than=A_DAY, dry_run=True).message_count == 4
        assert memory.session_info("s").version == version
        assert len(ids(memory)) == 4

    def test_groups_of_several_providers_stay_whole(self) -> None:
        memory = InMemoryMemory().sync
        blocks: List[Dict[str, Any]] = [
            {"id": "m1", "role": "user", "content": "go"},
            {
                "id": "m2",
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}],
            },
            {
                "id": "m3",
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "t1"}],
            },
            {"id": "m4", "role": "assistant", "content": "done"},
        ]
        memory.save_context("s", blocks)
        assert memory.prune("s", keep_last=2).removed == {"s": ("m1",)}
        assert memory.prune("s", keep_last=1).removed == {"s": ("m2", "m3")}


class TestBackup:
    def test_it_is_a_store_like_the_first(self, tmp_path: Path) -> None:
        with SQLiteMemory(tmp_path / "chat.db").sync as memory:
            memory.save_context("s", numbered(1, 3))
            memory.set_metadata("s", {"title": "t"})
            memory.backup(tmp_path / "copy.db")
        assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
        with SQLiteMemory(tmp_path / "copy.db").sync as copy:
            assert ids(copy) == ["m1", "m2", "m3"]
            assert copy.session_info("s").metadata == {"title": "t"}
            assert copy.verify().problems == ()
            copy.append_context("s", numbered(4, 4))

    def test_one_in_memory_becomes_a_file(self, tmp_path: Path) -> None:
        memory = InMemoryMemory().sync
        memory.save_context("s", numbered(1, 3))
        memory.backup(str(tmp_path / "copy.db"))
        with SQLiteMemory(tmp_path / "copy.db").sync as copy:
            assert ids(copy) == ["m1", "m2", "m3"]

    def test_it_is_whole_while_others_write(self, tmp_path: Path) -> None:
        memory = SQLiteMemory(tmp_path / "chat.db").sync
        memory.save_context("s", [])
        done = threading.Event()

        def write() -> None:
            number = 0
            while not done.is_set():
                number += 3
                memory.append_context("s", numbered(number, number + 2))

        thread = threading.Thread(target=write)
        thread.start()
        try:
            for number in range(5):
                target = tmp_path / f"copy{number}.db"
                memory.backup(target)
                with SQLiteMemory(target).sync as copy:
                    assert len(ids(copy)) % 3 == 0
                    assert copy.verify().problems == ()
        finally:
            done.set()
            thread.join()
        memory.close()

    def test_a_file_that_is_there_stays(self, tmp_path: Path) -> None:
        memory = SQLiteMemory(tmp_path / "chat.db").sync
        memory.save_context("s", numbered(1, 3))
        (tmp_path / "mine.txt").write_text("mine")
        for target in (tmp_path / "mine.txt", tmp_path / "chat.db"):
            with pytest.raises(InvalidInputError) as caught:
                memory.backup(target)
            assert caught.value.path == "path"
        assert (tmp_path / "mine.txt").read_text() == "mine"
        assert len(ids(memory)) == 3
        memory.close()

    def test_a_place_that_cannot_hold_it_is_an_error(self, tmp_path: Path) -> None:
        memory = SQLiteMemory(tmp_path / "chat.db").sync
        memory.save_context("s", [])
        with pytest.raises(UnavailableError):
            memory.backup(tmp_path / "missing" / "copy.db")
        target: Any
        for target in ("", 7, "nul\0"):
            with pytest.raises(InvalidInputError):
                memory.backup(target)
        memory.close()

    def test_memory_is_no_place_for_a_backup(self, tmp_path: Path) -> None:
        memory = InMemoryMemory().sync
        memory.save_context("s", [])
        with pytest.raises(InvalidInputError):
            memory.backup(":memory:")

    def test_a_copy_that_fails_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        memory = SQLiteMemory(tmp_path / "chat.db").sync
        memory.save_context("s", [])

        def full(path: str) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("contextstore.backends.sqlite.backup._sync", full)
        with pytest.raises(UnavailableError):
            memory.backup(tmp_path / "copy.db")
        assert not (tmp_path / "copy.db").exists()
        memory.close()


class TestOpening:
    def test_addresses(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        for url, file in (
            ("sqlite:///chat.db", "chat.db"),
            (f"sqlite:///{tmp_path}/absolute.db", "absolute.db"),
            ("sqlite:///a%20b%25.db", "a b%.db"),
        ):
            memory = open_memory(url, durability="relaxed")
            assert isinstance(memory, SQLiteMemory)
            with memory.sync as face:
                face.save_context("s", [])
            assert (tmp_path / file).is_file()
        assert isinstance(open_memory("memory:"), InMemoryMemory)
        assert isinstance(open_memory("memory://"), InMemoryMemory)

    @pytest.mark.parametrize(
        "url",
        [
            "chat.db",
            "sqlite:",
            "sqlite://",
            "sqlite:///",
            "sqlite://chat.db",
            "sqlite:///chat.db?mode=ro",
            "sqlite:///chat.db#x",
            "sqlite://[",
            "memory:x",
            "mysql://user:secret@host/db",
            "sqlite://user:secret@/chat.db",
            "",
            None,
            7,
        ],
    )
    def test_what_is_no_address(self, url: Any) -> None:
        with pytest.raises(ConfigurationError) as caught:
            open_memory(url)
        assert "secret" not in str(caught.value)


def test_no_session_id_is_beyond_those_that_are_listed() -> None:
    highest = "\U0010ffff"
    memory = InMemoryMemory().sync
    names = [highest * 512, highest * 3, "a" + highest * 3, "a"]
    for name in names:
        memory.save_context(name, numbered(1, 2))
    listed = [info.session_id for info in memory.list_sessions().sessions]
    assert sorted(listed) == sorted(names)
    assert len(memory.list_sessions(prefix="a").sessions) == 2
    assert set(memory.prune(keep_last=1).removed) == set(names)


def test_an_erase_that_was_cut_short_is_ended_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, secret = tmp_path / "chat.db", b"xyzzysecret"
    memory = SQLiteMemory(path)
    begun = threading.Event()
    delete = erasing.erase

    def begin(*arguments: Any, **options: Any) -> Any:
        begun.set()
        return delete(*arguments, **options)

    monkeypatch.setattr(erasing, "erase", begin)

    async def main() -> None:
        await memory.save_context("s", [{"content": secret.decode()}])
        erase = asyncio.ensure_future(memory.erase(session_id="s"))
        # Cancelled while the deletion is under way, which then still commits.
        while not begun.is_set():
            await asyncio.sleep(0)
        erase.cancel()
        with pytest.raises(asyncio.CancelledError):
            await erase
        with pytest.raises(SessionNotFoundError):
            await memory.erase(session_id="s")

    asyncio.run(main())
    left = [file for file in tmp_path.iterdir() if secret in file.read_bytes()]
    assert left == []
    memory.sync.close()
