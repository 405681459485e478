"""Objects share an engine, and leave it whenever and wherever they are collected."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any, List

from contextstore import SQLiteMemory
from contextstore.backends.sqlite import backup, checkup, rows
from contextstore.backends.sqlite.group_commit import SyncTicket
from contextstore.backends.sqlite.shared import Lease


def test_collected_by_the_thread_that_writes_for_it_it_waits_not_for_itself(
    tmp_path: Path,
) -> None:
    path = tmp_path / "chat.db"
    held = [SQLiteMemory(path)]
    held[0].sync.save_context("s", [])
    place = held[0]._place("s")
    writer = held[0]._lease.engine.writer

    def write(connection: sqlite3.Connection) -> str:
        # Its caller left, and the garbage collector happens to run here.
        held.clear()
        assert len(rows.load(connection, place, None)) == 0
        return "written"

    ticket = SyncTicket(write)
    writer._enqueue(ticket)
    assert ticket._done.acquire(timeout=20)
    assert ticket.outcome() == "written"
    assert writer._thread is not None
    writer._thread.join(20)
    assert not writer._thread.is_alive()
    assert writer.connection is None


def test_joining_an_engine_does_not_wait_for_a_running_commit(tmp_path: Path) -> None:
    # It would wait while it holds the registry, which a collected object has to enter.
    relaxed = SQLiteMemory(tmp_path / "chat.db", durability="relaxed")
    relaxed.sync.save_context("s", [])
    writer = relaxed._lease.engine.writer
    full = Lease(relaxed._lease.location, "full")
    with writer._lock:
        joined: List[Any] = []
        thread = threading.Thread(target=lambda: joined.append(full.engine))
        thread.start()
        thread.join(20)
        assert joined == [relaxed._lease.engine]
    relaxed.sync.append_context("s", [{"id": "1"}])
    assert writer.connection is not None
    assert writer.connection.execute("PRAGMA synchronous").fetchone() == (2,)
    full.release()
    relaxed.sync.close()


def test_reads_do_not_wait_for_a_check_of_the_file(
    tmp_path: Path, monkeypatch: Any
) -> None:
    memory = SQLiteMemory(tmp_path / "chat.db")
    begun, release = threading.Event(), threading.Event()
    verify, copy = checkup.verify, backup.backup

    def slowly(work: Any) -> Any:
        def run(*arguments: Any, **options: Any) -> Any:
            begun.set()
            assert release.wait(20)
            return work(*arguments, **options)

        return run

    monkeypatch.setattr(checkup, "verify", slowly(verify))
    monkeypatch.setattr(backup, "backup", slowly(copy))

    async def main() -> None:
        await memory.save_context("s", [{"id": "1"}])
        for work in (memory.verify, lambda: memory.backup(tmp_path / "copy.db")):
            begun.clear()
            release.clear()
            long = asyncio.ensure_future(work())
            while not begun.is_set():
                await asyncio.sleep(0.001)
            assert await asyncio.wait_for(memory.load_context("s"), 20)
            assert not long.done()
            release.set()
            await long

    asyncio.run(main())
    memory.sync.close()
