"""While another program holds the file, a write waits, and can be withdrawn."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any, Callable, Iterator, List

import pytest

from contextstore import BusyError, SQLiteMemory
from contextstore.backends.sqlite import waiting
from contextstore.backends.sqlite.process_lock import ProcessLock
from tests.backends.children import run

# Less than the 30 seconds that a write waits, and more than a busy machine loses.
SOON = 10.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "chat.db"
    with SQLiteMemory(file).sync as memory:
        memory.save_context("s", [{"id": "0"}])
    return file


class Transaction:
    """Be another program that writes to the file."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(
            str(path), isolation_level=None, check_same_thread=False
        )
        self._connection.execute("BEGIN IMMEDIATE")

    def end(self) -> None:
        self._connection.close()


class Turn:
    """Be a process with an old SQLite whose turn it is."""

    def __init__(self, path: Path) -> None:
        self._lock = ProcessLock(str(path), 1.0, wanted=True)
        self._lock.__enter__()

    def end(self) -> None:
        self._lock.close()


@pytest.fixture(params=[Transaction, Turn])
def holder(
    request: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], Any]]:
    """Give a function that lets another program hold the file."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 2))
    held: List[Any] = []

    def hold() -> Any:
        held.append(request.param(path))
        return held[-1]

    yield hold
    for one in held:
        one.end()


def ids(memory: SQLiteMemory) -> List[str]:
    return [message["id"] for message in memory.sync.load_context("s")]


async def give_up(*calls: Any) -> None:
    """Cancel calls that wait, and see that they leave."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    await asyncio.sleep(0.3)
    for task in tasks:
        task.cancel()
    started = time.monotonic()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in outcomes] == [asyncio.CancelledError] * len(calls)
    assert time.monotonic() - started < SOON


@pytest.mark.parametrize("is_open", [True, False])
def test_a_cancelled_write_leaves_and_the_others_wait_on(
    is_open: bool, path: Path, holder: Callable[[], Any]
) -> None:
    memory = SQLiteMemory(path)
    if is_open:
        ids(memory)
    other = holder()

    async def main() -> None:
        stays = asyncio.ensure_future(memory.append_context("s", [{"id": "stays"}]))
        await give_up(*(memory.append_context("s", [{"id": str(n)}]) for n in "12"))
        assert not stays.done()
        other.end()
        await stays

    asyncio.run(main())
    assert ids(memory) == ["0", "stays"]
    memory.sync.close()


def test_a_write_with_a_time_limit_keeps_to_it(
    path: Path, holder: Callable[[], Any]
) -> None:
    memory = SQLiteMemory(path)
    other = holder()

    async def main() -> None:
        for number in range(3):
            call = memory.append_context("s", [{"id": str(number)}])
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(call, 0.1)

    started = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - started < SOON
    other.end()
    assert ids(memory) == ["0"]
    memory.sync.close()


def test_nobody_waits_for_what_was_withdrawn(
    path: Path, holder: Callable[[], Any]
) -> None:
    memory = SQLiteMemory(path)
    ids(memory)
    other = holder()
    asyncio.run(give_up(memory.append_context("s", [{"id": "1"}])))
    writer = memory._lease.engine.writer
    started = time.monotonic()
    with writer._lock:
        assert time.monotonic() - started < SOON
    other.end()
    memory.sync.append_context("s", [{"id": "2"}])
    assert ids(memory) == ["0", "2"]
    memory.sync.close()


def test_a_file_that_is_held_while_it_is_made_holds_up_nobody_who_left(
    tmp_path: Path,
) -> None:
    other = sqlite3.connect(str(tmp_path / "new.db"), isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    memory = SQLiteMemory(tmp_path / "new.db")
    started = time.monotonic()
    asyncio.run(give_up(memory.save_context("s", [{"id": "1"}])))
    memory.sync.close()
    assert time.monotonic() - started < SOON
    other.close()


def test_who_came_later_waits_as_long(
    path: Path, holder: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "BUSY_SECONDS", 1.0)
    monkeypatch.setattr("contextstore.backends.sqlite.writer.BUSY_SECONDS", 1.0)
    memory = SQLiteMemory(path)
    ids(memory)
    other = holder()

    async def main() -> None:
        first = asyncio.ensure_future(memory.append_context("s", [{"id": "1"}]))
        await asyncio.sleep(0.3)
        later = asyncio.ensure_future(memory.append_context("s", [{"id": "2"}]))
        with pytest.raises(BusyError):
            await first
        other.end()
        await later

    asyncio.run(main())
    assert ids(memory) == ["0", "2"]
    memory.sync.close()


def test_threads_wait_together(path: Path, holder: Callable[[], Any]) -> None:
    memory = SQLiteMemory(path)
    ids(memory)
    other = holder()
    threads = [
        threading.Thread(
            target=memory.sync.append_context, args=("s", [{"id": str(number)}])
        )
        for number in range(1, 5)
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    other.end()
    for thread in threads:
        thread.join(20)
    assert sorted(ids(memory)) == list("01234")
    memory.sync.close()


INTERRUPTED = """
import asyncio, os, signal, sqlite3, sys, threading, time
from contextstore import SQLiteMemory
signal.signal(signal.SIGINT, signal.default_int_handler)
path, kind = sys.argv[1:]
other = sqlite3.connect(path, isolation_level=None)
other.execute("BEGIN IMMEDIATE")
memory = SQLiteMemory(path)
def append(message_id):
    memory.sync.append_context("s", [{"id": message_id}])
thread = threading.Thread(target=append, args=("thread",))
if kind == "queued":
    # It leads, and so waits for the file; the main thread waits for it.
    thread.start()
    while memory._lease.engine.writer._lock.acquire(blocking=False):
        memory._lease.engine.writer._lock.release()
interrupt = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
interrupt.start()
started = time.monotonic()
try:
    if kind == "async":
        asyncio.run(memory.append_context("s", [{"id": "main"}]))
    else:
        append("main")
except KeyboardInterrupt:
    print("interrupted", time.monotonic() - started < 10)
interrupt.join()
other.close()
if kind == "queued":
    thread.join()
print([message["id"] for message in memory.sync.load_context("s")])
memory.sync.close()
"""


@pytest.mark.parametrize(
    ("kind", "kept"), [("leads", ["0"]), ("queued", ["0", "thread"]), ("async", ["0"])]
)
def test_an_interrupt_is_heard_soon_and_withdraws_the_write(
    kind: str, kept: List[str], path: Path
) -> None:
    expected = f"interrupted True\n{kept}\n"
    assert run(INTERRUPTED, path, kind) == (0, expected)
