"""Where a SQLiteMemory keeps its file, how it opens it, and when it lets go."""

from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
import stat
import threading
from pathlib import Path
from typing import Any, Dict, List

import pytest

from contextstore import ClosedError, InvalidInputError, SQLiteMemory, UnavailableError
from contextstore.backends.sqlite import shared
from contextstore.backends.sqlite.process_lock import ProcessLock, needs_process_lock
from contextstore.errors import BusyError
from tests.backends.children import run

ONE: List[Dict[str, Any]] = [{"id": "1", "role": "user", "content": "hi"}]


def saved(path: Any) -> SQLiteMemory:
    memory = SQLiteMemory(path)
    memory.sync.save_context("s", ONE)
    return memory


def ids(memory: SQLiteMemory, session_id: str = "s") -> List[str]:
    return [message["id"] for message in memory.sync.load_context(session_id)]


class TestPaths:
    def test_only_the_owner_can_read_the_files(self, tmp_path: Path) -> None:
        before = os.umask(0)
        try:
            memory = saved(tmp_path / "chat.db")
        finally:
            os.umask(before)
        files = list(tmp_path.iterdir())
        assert {file.name for file in files} >= {"chat.db", "chat.db-wal"}
        for file in files:
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
        memory.sync.close()

    def test_the_mode_of_a_file_that_is_there_is_kept(self, tmp_path: Path) -> None:
        path = tmp_path / "chat.db"
        path.touch()
        path.chmod(0o640)
        saved(path).sync.close()
        assert stat.S_IMODE(path.stat().st_mode) == 0o640

    def test_nothing_is_made_before_the_first_use(self, tmp_path: Path) -> None:
        SQLiteMemory(tmp_path / "chat.db").sync.close()
        assert list(tmp_path.iterdir()) == []

    def test_a_relative_path_is_fixed_at_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        memory = SQLiteMemory("chat.db")
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        memory.sync.save_context("s", ONE)
        memory.sync.close()
        assert (tmp_path / "chat.db").is_file()
        assert list((tmp_path / "elsewhere").iterdir()) == []

    def test_a_uri_is_a_name_like_any_other(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        for name in ("file:x?mode=ro", "file:y?mode=memory", "%41 ?#&.db"):
            memory = saved(name)
            assert (tmp_path / name).is_file()
            memory.sync.close()
            with SQLiteMemory(name).sync as again:
                assert again.load_context("s")[0]["id"] == "1"

    @pytest.mark.parametrize("path", ["", "nul\0.db", b"bytes.db", None, 7])
    def test_what_names_no_file_is_refused(self, path: Any) -> None:
        with pytest.raises(InvalidInputError) as caught:
            SQLiteMemory(path)
        assert caught.value.path == "path"

    def test_a_path_that_names_bytes_is_refused(self) -> None:
        class Bytes:
            def __fspath__(self) -> bytes:
                return b"x.db"

        path: Any = Bytes()
        with pytest.raises(InvalidInputError):
            SQLiteMemory(path)

    def test_a_place_that_cannot_hold_it_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "a file").touch()
        for path in (
            tmp_path / "missing" / "chat.db",
            tmp_path,
            tmp_path / "a file" / "chat.db",
            tmp_path / ("x" * 300),
        ):
            memory = SQLiteMemory(path)
            for _ in range(2):
                with pytest.raises(UnavailableError) as caught:
                    memory.sync.save_context("s", ONE)
                assert caught.value.location == str(path)
                with pytest.raises(UnavailableError):
                    memory.sync.load_context("s")
            memory.sync.close()

    def test_a_place_that_is_mended_can_be_used(self, tmp_path: Path) -> None:
        memory = SQLiteMemory(tmp_path / "late" / "chat.db")
        with pytest.raises(UnavailableError):
            memory.sync.save_context("s", ONE)
        (tmp_path / "late").mkdir()
        memory.sync.save_context("s", ONE)
        assert ids(memory) == ["1"]
        memory.sync.close()


class TestSharing:
    def test_objects_on_one_file_share_an_engine(self, tmp_path: Path) -> None:
        path = tmp_path / "chat.db"
        first, second = saved(path), SQLiteMemory(str(path))
        (tmp_path / "link.db").symlink_to(path)
        third = SQLiteMemory(tmp_path / "link.db")
        assert ids(second) == ids(third) == ["1"]
        engines = {memory._lease.engine for memory in (first, second, third)}
        assert len(engines) == 1
        first.sync.close()
        third.sync.append_context("s", [{"id": "2"}])
        third.sync.close()
        assert ids(second) == ["1", "2"]
        second.sync.close()
        assert str(path) not in shared._engines

    def test_memories_in_memory_are_apart(self) -> None:
        first, second = saved(":memory:"), SQLiteMemory(":memory:")
        assert (ids(first), ids(second)) == (["1"], [])
        first.sync.close()
        second.sync.close()

    def test_full_durability_and_wal_are_on(self, tmp_path: Path) -> None:
        memory = saved(tmp_path / "chat.db")
        connection = memory._lease.engine.writer.connection
        assert connection is not None
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        memory.sync.close()
        raw = sqlite3.connect(str(tmp_path / "chat.db"))
        assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        raw.close()


class TestLife:
    def test_a_closed_object_says_so(self, tmp_path: Path) -> None:
        for memory in (saved(tmp_path / "chat.db"), saved(":memory:")):
            memory.sync.close()
            memory.sync.close()
            asyncio.run(memory.close())
            with pytest.raises(ClosedError):
                memory.sync.load_context("s")
            with pytest.raises(ClosedError):
                memory.sync.save_context("s", ONE)
            with pytest.raises(ClosedError):
                asyncio.run(memory.append_context("s", ONE))

    def test_async_with_closes(self, tmp_path: Path) -> None:
        async def main() -> SQLiteMemory:
            async with SQLiteMemory(tmp_path / "chat.db") as memory:
                await memory.save_context("s", ONE)
            return memory

        memory = asyncio.run(main())
        with pytest.raises(ClosedError):
            memory.sync.load_context("s")
        assert not (tmp_path / "chat.db-wal").exists()

    def test_a_dropped_object_closes_itself(self, tmp_path: Path) -> None:
        memory = saved(tmp_path / "chat.db")
        assert (tmp_path / "chat.db-wal").exists()
        del memory
        gc.collect()
        assert not (tmp_path / "chat.db-wal").exists()
        assert str(tmp_path / "chat.db") not in shared._engines

    def test_a_dropped_object_lets_its_threads_end(self, tmp_path: Path) -> None:
        before = set(threading.enumerate())

        async def main(memory: SQLiteMemory) -> None:
            await memory.save_context("s", ONE)
            await memory.load_context("s")

        asyncio.run(main(SQLiteMemory(tmp_path / "chat.db")))
        gc.collect()
        for thread in set(threading.enumerate()) - before:
            thread.join(timeout=10)
        assert set(threading.enumerate()) - before == set()

    def test_a_process_ends_cleanly_without_close(self, tmp_path: Path) -> None:
        code = """
import asyncio, sys
from contextstore import SQLiteMemory
memory = SQLiteMemory(sys.argv[1])
other = SQLiteMemory(":memory:")
async def main():
    await memory.save_context("s", [{"id": "1"}])
    await memory.load_context("s")
    await other.save_context("s", [{"id": "1"}])
asyncio.run(main())
memory.sync.append_context("s", [{"id": "2"}])
print("done")
"""
        assert run(code, tmp_path / "chat.db") == (0, "done\n")
        assert not (tmp_path / "chat.db-wal").exists()
        with SQLiteMemory(tmp_path / "chat.db").sync as again:
            assert [m["id"] for m in again.load_context("s")] == ["1", "2"]

    def test_a_loop_that_ended_leaves_nothing_behind(self, tmp_path: Path) -> None:
        memory = saved(tmp_path / "chat.db")

        async def leave() -> None:
            task = asyncio.ensure_future(memory.append_context("s", [{"id": "2"}]))
            await asyncio.sleep(0)
            task.cancel()

        asyncio.run(leave())
        memory.sync.append_context("s", [{"id": "3"}])
        assert ids(memory) in (["1", "3"], ["1", "2", "3"])
        memory.sync.close()


class TestCancelling:
    def test_a_cancelled_write_is_all_or_nothing(self, tmp_path: Path) -> None:
        memory = saved(tmp_path / "chat.db")

        async def main() -> int:
            stored = 0
            for number in range(60):
                batch = [{"id": f"{number}-{part}"} for part in range(3)]
                task = asyncio.ensure_future(memory.append_context("s", batch))
                for _ in range(number % 4):
                    await asyncio.sleep(0)
                if number % 5 == 0:
                    await asyncio.sleep(0.002)
                task.cancel()
                try:
                    await task
                    done = True
                except asyncio.CancelledError:
                    done = False
                now = [m["id"] for m in await memory.load_context("s")]
                parts = [one for one in now if one.startswith(f"{number}-")]
                assert len(parts) in ((3,) if done else (0, 3))
                # A repeat of the call settles it.
                await memory.append_context("s", batch)
                stored += len(parts) == 3
            return stored

        asyncio.run(main())
        kept = ids(memory)
        assert len(kept) == len(set(kept)) == 181
        memory.sync.close()

    def test_a_withdrawn_write_is_never_stored(self, tmp_path: Path) -> None:
        memory = saved(tmp_path / "chat.db")
        writer = memory._lease.engine.writer

        async def main() -> None:
            with writer.exclusively():
                task = asyncio.ensure_future(memory.append_context("s", [{"id": "2"}]))
                later = asyncio.ensure_future(memory.append_context("s", [{"id": "3"}]))
                await asyncio.sleep(0.01)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            await later

        asyncio.run(main())
        # The thread may have taken both before the lock was free; then both are kept.
        assert ids(memory) in (["1", "3"], ["1", "2", "3"])
        memory.sync.close()

    def test_an_interrupted_write_is_not_stored(self, tmp_path: Path) -> None:
        memory = saved(tmp_path / "chat.db")
        writer = memory._lease.engine.writer

        def interrupted(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM context_messages")
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            writer.write(interrupted)
        assert ids(memory) == ["1"]
        memory.sync.append_context("s", [{"id": "2"}])
        assert ids(memory) == ["1", "2"]
        memory.sync.close()


class TestProcessLock:
    def test_it_is_for_versions_with_the_race(self) -> None:
        assert needs_process_lock((3, 51, 2))
        assert needs_process_lock((3, 40, 1))
        assert not needs_process_lock((3, 51, 3))
        assert not needs_process_lock((4, 0, 0))

    def test_it_makes_no_file_where_it_is_not_wanted(self, tmp_path: Path) -> None:
        with ProcessLock(str(tmp_path / "x"), 1.0, wanted=False):
            assert list(tmp_path.iterdir()) == []

    def test_it_keeps_others_out(self, tmp_path: Path) -> None:
        location = str(tmp_path / "x")
        first = ProcessLock(location, 0.01, wanted=True)
        second = ProcessLock(location, 0.01, wanted=True)
        with first:
            with pytest.raises(BusyError) as caught, second:
                pass
            assert caught.value.location == location
        with second:
            pass
        first.close()
        second.close()
        second.close()

    def test_the_version_decides(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for version, made in (((3, 51, 3), False), ((3, 51, 2), True)):
            monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
            lock = ProcessLock.beside(str(tmp_path / "x"), 1.0)
            with lock:
                assert (tmp_path / "x-lock").exists() is made
            lock.close()


OTHER_CONNECTION = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("INSERT INTO mine VALUES (1)")
connection.commit()
connection.close()
"""


def test_opening_takes_no_lock_from_another_connection(tmp_path: Path) -> None:
    # POSIX: closing any handle on a file drops all locks of the process on it.
    path = tmp_path / "chat.db"
    saved(path).sync.close()
    mine = sqlite3.connect(str(path), isolation_level=None)
    mine.execute("CREATE TABLE mine (x)")
    assert mine.execute("SELECT * FROM mine").fetchall() == []
    memory = SQLiteMemory(path)
    assert ids(memory) == ["1"]
    memory.sync.close()
    # Were the locks gone, the last to close would now delete the log under `mine`.
    assert run(OTHER_CONNECTION, path) == (0, "")
    mine.execute("INSERT INTO mine VALUES (2)")
    mine.close()
    after = sqlite3.connect(str(path))
    assert after.execute("SELECT x FROM mine").fetchall() == [(1,), (2,)]
    after.close()
