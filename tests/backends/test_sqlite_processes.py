"""One file and many: loops, threads, forks, processes, programs that hold it."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import List

import pytest

from contextstore import BusyError, SQLiteMemory
from contextstore.backends.sqlite import waiting
from tests.backends.children import finish, run, start

MODULE_LEVEL = SQLiteMemory(":memory:")


def ids(memory: SQLiteMemory, session_id: str = "s") -> List[str]:
    return [message["id"] for message in memory.sync.load_context(session_id)]


def test_an_object_made_at_module_level_works_from_anywhere() -> None:
    MODULE_LEVEL.sync.save_context("s", [])

    async def append(worker: int, number: int) -> None:
        await asyncio.gather(
            *(
                MODULE_LEVEL.append_context("s", [{"id": f"{worker}-{number}-{task}"}])
                for task in range(5)
            )
        )

    def work(worker: int) -> None:
        for number in range(4):
            asyncio.run(append(worker, number))
            MODULE_LEVEL.sync.load_context("s", 3)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids(MODULE_LEVEL))) == len(ids(MODULE_LEVEL)) == 80


APPEND = """
import sys
from contextstore import SQLiteMemory
memory = SQLiteMemory(sys.argv[1])
for number in range(50):
    memory.sync.append_context("s", [{"id": f"{sys.argv[2]}-{number}"}], create=True)
print("done")
"""


def test_four_processes_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    children = [start(APPEND, path, name) for name in "abcd"]
    assert finish(children) == [(0, "done\n")] * 4
    with SQLiteMemory(path).sync as memory:
        kept = [message["id"] for message in memory.load_context("s")]
    assert len(kept) == 200
    for name in "abcd":
        own = [one for one in kept if one.startswith(name)]
        assert own == [f"{name}-{number}" for number in range(50)]


FIRST_OPEN = """
import sys, threading
from contextstore import SQLiteMemory
sys.stdin.readline()
memory = SQLiteMemory(sys.argv[1])
memory.sync.append_context(sys.argv[2], [{"id": "1"}], create=True)
print(len(memory.sync.load_context(sys.argv[2])))
"""


def test_many_processes_may_be_the_first(tmp_path: Path) -> None:
    for round_ in range(2):
        path = tmp_path / f"chat{round_}.db"
        children = [
            subprocess.Popen(
                [sys.executable, "-W", "error", "-c", FIRST_OPEN, str(path), str(n)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                universal_newlines=True,
            )
            for n in range(8)
        ]
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        assert finish(children) == [(0, "1\n")] * 8
        with SQLiteMemory(path).sync as memory:
            assert [len(memory.load_context(str(n))) for n in range(8)] == [1] * 8


KILLED = """
import os, signal, sys
from contextstore import SQLiteMemory
memory = SQLiteMemory(sys.argv[1])
memory.sync.save_context("s", [{"id": "1"}])
memory.sync.append_context("s", [{"id": "2"}])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_had_stored_is_there(tmp_path: Path) -> None:
    code, _ = run(KILLED, tmp_path / "chat.db")
    assert code == -signal.SIGKILL
    with SQLiteMemory(tmp_path / "chat.db").sync as memory:
        assert [message["id"] for message in memory.load_context("s")] == ["1", "2"]


OUTLIVED = """
import atexit, sys
def at_the_end():
    # As a daemon thread does that goes on while the program ends.
    try:
        memory.sync.append_context("s", [{"id": "1"}])
    except ClosedError as error:
        print(error)
# What is registered first runs last: after the objects were closed.
atexit.register(at_the_end)
from contextstore import ClosedError, SQLiteMemory
memory = SQLiteMemory(sys.argv[1])
memory.sync.save_context("s", [])
"""


def test_who_outlives_the_program_is_told_that_it_ends(tmp_path: Path) -> None:
    code, printed = run(OUTLIVED, tmp_path / "chat.db")
    assert code == 0
    assert "as the program ends" in printed


FORK = """
import asyncio, os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of forks with threads
from contextstore import SQLiteMemory
memory = SQLiteMemory(sys.argv[1])
own = SQLiteMemory(":memory:")
for one in (memory, own):
    asyncio.run(one.save_context("s", [{"id": "parent"}]))
    asyncio.run(one.load_context("s"))
child = os.fork()
if child == 0:
    try:
        asyncio.run(memory.append_context("s", [{"id": "child-async"}]))
        memory.sync.append_context("s", [{"id": "child-sync"}])
        asyncio.run(own.append_context("s", [{"id": "child"}]))
        assert len(own.sync.load_context("s")) == 2
        assert len(asyncio.run(memory.load_context("s"))) >= 3
        memory.sync.close()
        os._exit(0)
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)
asyncio.run(memory.append_context("s", [{"id": "parent-async"}]))
assert os.waitpid(child, 0)[1] == 0
memory.sync.append_context("s", [{"id": "parent-sync"}])
assert len(own.sync.load_context("s")) == 1
print(sorted(message["id"] for message in memory.sync.load_context("s")))
"""


def test_a_forked_child_has_connections_of_its_own(tmp_path: Path) -> None:
    expected = ["child-async", "child-sync", "parent", "parent-async", "parent-sync"]
    assert run(FORK, tmp_path / "chat.db") == (0, f"{expected}\n")
    raw = sqlite3.connect(str(tmp_path / "chat.db"))
    assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    raw.close()


FORK_UNDER_LOCK = """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from contextstore import SQLiteMemory
memory = SQLiteMemory(sys.argv[1])
memory.sync.save_context("s", [])
with memory._lease.engine.writer.exclusively():
    child = os.fork()
    if child == 0:
        # Lives on when its parent is gone, and holds on to nothing of it.
        os.read(int(sys.argv[2]), 1)
        os._exit(0)
    os.kill(os.getpid(), 9)
"""


def test_the_lock_of_a_killed_parent_does_not_live_on_in_its_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "chat.db"
    reading, writing = os.pipe()
    try:
        parent = subprocess.Popen(
            [sys.executable, "-c", FORK_UNDER_LOCK, str(path), str(reading)],
            pass_fds=[reading],
        )
        assert parent.wait() == -signal.SIGKILL
        monkeypatch.setattr("contextstore.backends.sqlite.writer.BUSY_SECONDS", 0.5)
        with SQLiteMemory(path).sync as memory:
            memory.append_context("s", [{"id": "1"}])
            assert len(memory.load_context("s")) == 1
    finally:
        os.write(writing, b"x")
        os.close(writing)
        os.close(reading)


class TestOtherPrograms:
    def test_one_that_writes_makes_us_wait_and_then_say_so(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(waiting, "BUSY_SECONDS", 0.05)
        memory = SQLiteMemory(tmp_path / "chat.db")
        memory.sync.save_context("s", [{"id": "1"}])
        other = sqlite3.connect(str(tmp_path / "chat.db"), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BusyError) as caught:
            memory.sync.append_context("s", [{"id": "2"}])
        assert caught.value.location == str(tmp_path / "chat.db")
        assert ids(memory) == ["1"]
        other.execute("ROLLBACK")
        other.close()
        memory.sync.append_context("s", [{"id": "2"}])
        assert ids(memory) == ["1", "2"]
        memory.sync.close()

    def test_one_that_reads_does_not(self, tmp_path: Path) -> None:
        memory = SQLiteMemory(tmp_path / "chat.db")
        memory.sync.save_context("s", [{"id": "1"}])
        other = sqlite3.connect(str(tmp_path / "chat.db"), isolation_level=None)
        other.execute("BEGIN")
        count = "SELECT count(*) FROM context_messages"
        assert other.execute(count).fetchone() == (1,)
        memory.sync.append_context("s", [{"id": "2"}])
        assert other.execute(count).fetchone() == (1,)
        other.close()
        memory.sync.close()

    def test_a_lock_while_it_is_made_is_waited_for(self, tmp_path: Path) -> None:
        path = tmp_path / "chat.db"
        other = sqlite3.connect(
            str(path), isolation_level=None, check_same_thread=False
        )
        other.execute("BEGIN EXCLUSIVE")
        release = threading.Timer(0.2, lambda: other.execute("ROLLBACK"))
        release.start()
        memory = SQLiteMemory(path)
        memory.sync.save_context("s", [{"id": "1"}])
        release.join()
        other.close()
        assert ids(memory) == ["1"]
        memory.sync.close()

    def test_a_lock_that_stays_while_it_is_made_is_an_error(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(waiting, "BUSY_SECONDS", 0.05)
        path = tmp_path / "chat.db"
        other = sqlite3.connect(str(path), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        memory = SQLiteMemory(path)
        with pytest.raises(BusyError):
            memory.sync.save_context("s", [{"id": "1"}])
        other.close()
        memory.sync.save_context("s", [{"id": "1"}])
        memory.sync.close()


LIMITED = """
import resource, signal, sys
from contextstore import SQLiteMemory, UnavailableError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = sys.argv[1]
memory = SQLiteMemory(path)
memory.sync.save_context("s", [{"id": "0", "content": "x" * 1000}])
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
stored, failed = 1, 0
for number in range(1, 200):
    batch = [{"id": f"{number}-{part}", "content": "x" * 3000} for part in range(3)]
    try:
        memory.sync.append_context("s", batch)
        stored += 3
    except UnavailableError:
        failed += 1
        assert len(memory.sync.load_context("s")) == stored
        if failed == 3:
            break
assert failed == 3 and stored > 3, (failed, stored)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
memory.sync.append_context("s", [{"id": "last"}])
loaded = memory.sync.load_context("s")
assert len(loaded) == stored + 1, (len(loaded), stored)
memory.sync.close()
again = SQLiteMemory(path)
assert again.sync.load_context("s") == loaded
print("done")
"""


def test_a_full_disk_is_an_error_and_stores_nothing(tmp_path: Path) -> None:
    assert run(LIMITED, tmp_path / "chat.db") == (0, "done\n")


LIMITED_TOGETHER = """
import asyncio, resource, signal, sys
from contextstore import SQLiteMemory, UnavailableError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
memory = SQLiteMemory(sys.argv[1])
memory.sync.save_context("s", [])
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
async def main():
    calls = [
        memory.append_context(
            "s", [{"id": str(n), "content": "x" * (20_000 if n % 3 else 10)}]
        )
        for n in range(60)
    ]
    return await asyncio.gather(*calls, return_exceptions=True)
outcomes = asyncio.run(main())
kept = {message["id"] for message in memory.sync.load_context("s")}
for n, outcome in enumerate(outcomes):
    if isinstance(outcome, BaseException):
        assert isinstance(outcome, UnavailableError), repr(outcome)
        assert str(n) not in kept, n
    else:
        assert str(n) in kept, n
assert 0 < len(kept) < 60, len(kept)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
print("done")
"""


def test_on_a_full_disk_each_write_of_a_batch_hears_its_own_outcome(
    tmp_path: Path,
) -> None:
    assert run(LIMITED_TOGETHER, tmp_path / "chat.db") == (0, "done\n")
