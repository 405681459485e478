"""Many writes in one commit: each with its own outcome, all of them certain."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any, Callable, Iterator, List, Optional

import pytest

from contextstore import (
    ClosedError,
    InMemoryMemory,
    SessionNotFoundError,
    SQLiteMemory,
    StorageError,
    UnavailableError,
)
from contextstore._hop import Ticket
from contextstore.backends.sqlite import group_commit, writer
from contextstore.backends.sqlite.group_commit import SyncTicket, commit
from contextstore.backends.sqlite.writer import Writer

Work = Callable[[sqlite3.Connection], Any]


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    opened = sqlite3.connect(":memory:", isolation_level=None)
    opened.execute("CREATE TABLE t (x UNIQUE)")
    yield opened
    opened.close()


def adds(value: Any) -> Work:
    def add(connection: sqlite3.Connection) -> Any:
        connection.execute("INSERT INTO t VALUES (?)", (value,))
        return value

    return add


def values(connection: sqlite3.Connection) -> List[Any]:
    return [x for (x,) in connection.execute("SELECT x FROM t ORDER BY x")]


def committed(connection: sqlite3.Connection, *works: Work) -> List[SyncTicket]:
    tickets = [SyncTicket(work) for work in works]
    connection.execute("BEGIN IMMEDIATE")
    commit(connection, tickets)
    assert not connection.in_transaction
    return tickets


class TestCommit:
    def test_each_has_its_result(self, connection: sqlite3.Connection) -> None:
        tickets = committed(connection, adds(1), adds(2), adds(3))
        assert [ticket.outcome() for ticket in tickets] == [1, 2, 3]
        assert values(connection) == [1, 2, 3]

    def test_one_that_fails_hurts_no_other(
        self, connection: sqlite3.Connection
    ) -> None:
        def half(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT INTO t VALUES (50)")
            raise KeyError("own")

        tickets = committed(connection, adds(1), half, adds(1), adds(2))
        assert tickets[0].outcome() == 1
        with pytest.raises(KeyError, match="own"):
            tickets[1].outcome()
        with pytest.raises(sqlite3.IntegrityError):
            tickets[2].outcome()
        assert tickets[3].outcome() == 2
        assert values(connection) == [1, 2]

    def test_one_alone_that_fails_is_undone(
        self, connection: sqlite3.Connection
    ) -> None:
        def half(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT INTO t VALUES (50)")
            raise KeyError("own")

        (ticket,) = committed(connection, half)
        with pytest.raises(KeyError):
            ticket.outcome()
        assert values(connection) == []

    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_an_error_that_ends_the_transaction_undoes_all_and_each_is_tried_alone(
        self, connection: sqlite3.Connection, place: int
    ) -> None:
        tries: List[int] = []

        def ends(connection: sqlite3.Connection) -> None:
            tries.append(1)
            connection.execute("INSERT INTO t VALUES (50)")
            connection.execute("ROLLBACK")  # as SQLite does when the disk is full
            raise sqlite3.OperationalError("database or disk is full")

        works = [adds(1), adds(2)]
        works.insert(place, ends)
        tickets = committed(connection, *works)
        assert len(tries) == 2
        for index, ticket in enumerate(tickets):
            if index == place:
                with pytest.raises(sqlite3.OperationalError):
                    ticket.outcome()
            else:
                assert ticket.outcome() in (1, 2)
        assert values(connection) == [1, 2]

    def test_a_commit_that_fails_is_no_success(
        self, connection: sqlite3.Connection
    ) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
        connection.execute(
            "CREATE TABLE child (id REFERENCES parent DEFERRABLE INITIALLY DEFERRED)"
        )

        def orphan(connection: sqlite3.Connection) -> str:
            connection.execute("INSERT INTO child VALUES (7)")
            return "never"

        first, bad, last = committed(connection, adds(1), orphan, adds(2))
        assert (first.outcome(), last.outcome()) == (1, 2)
        with pytest.raises(sqlite3.IntegrityError):
            bad.outcome()
        assert values(connection) == [1, 2]
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.IntegrityError):
            commit(connection, [SyncTicket(orphan)])
        assert connection.execute("SELECT count(*) FROM child").fetchone() == (0,)

    def test_an_interrupt_undoes_the_write_that_it_meets(
        self, connection: sqlite3.Connection
    ) -> None:
        def interrupted(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT INTO t VALUES (50)")
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            committed(connection, interrupted)[0].outcome()
        assert values(connection) == []
        first, met, last = committed(connection, adds(1), interrupted, adds(2))
        with pytest.raises(KeyboardInterrupt):
            met.outcome()
        assert (first.outcome(), last.outcome()) == (1, 2)
        assert values(connection) == [1, 2]

    def test_each_gets_an_error_of_its_own(self) -> None:
        tickets = [SyncTicket(adds(1)), SyncTicket(adds(2))]
        error = ClosedError("closed", location="/x")
        error.__cause__ = KeyError("cause")
        group_commit.fail(tickets, error)
        assert tickets[0].error is not tickets[1].error
        for ticket in tickets:
            with pytest.raises(ClosedError) as caught:
                ticket.outcome()
            assert caught.value.location == "/x"
            assert isinstance(caught.value.__cause__, KeyError)


class Paused:
    """Let a write hold up the writer, as a slow disk does."""

    def __init__(self) -> None:
        self.begun, self.release = threading.Event(), threading.Event()

    def __call__(self, connection: sqlite3.Connection) -> str:
        self.begun.set()
        assert self.release.wait(20)
        return "paused"


def in_thread(work: Callable[..., Any], *arguments: Any) -> threading.Thread:
    thread = threading.Thread(target=work, args=arguments)
    thread.start()
    return thread


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[SQLiteMemory]:
    opened = SQLiteMemory(tmp_path / "chat.db")
    opened.sync.save_context("s", [])
    yield opened
    opened.sync.close()


def writer_of(memory: SQLiteMemory) -> Writer:
    return memory._lease.engine.writer


def ids(memory: SQLiteMemory) -> List[str]:
    return [message["id"] for message in memory.sync.load_context("s")]


def commits_of(connection: Optional[sqlite3.Connection]) -> List[str]:
    """Return a list that fills with the commits of a connection."""
    found: List[str] = []
    assert connection is not None
    connection.set_trace_callback(
        lambda statement: found.append(statement) if statement == "COMMIT" else None
    )
    return found


class Stuck:
    """Be a connection whose transaction cannot be undone."""

    def __init__(self, real: sqlite3.Connection) -> None:
        self.real = real
        self.is_closed = False
        self.in_transaction = True

    def execute(self, statement: str) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    def close(self) -> None:
        self.is_closed = True
        self.real.close()


class TestWriter:
    def test_what_waits_is_committed_together(self, memory: SQLiteMemory) -> None:
        commits = commits_of(writer_of(memory).connection)

        async def main() -> None:
            await asyncio.gather(
                *(memory.append_context("s", [{"id": str(n)}]) for n in range(100))
            )

        asyncio.run(main())
        assert sorted(map(int, ids(memory))) == list(range(100))
        assert len(commits) < 30

    def test_one_that_fails_among_many_fails_alone(self, memory: SQLiteMemory) -> None:
        async def main() -> List[Any]:
            calls = [
                memory.append_context("s" if n % 3 else "nobody", [{"id": str(n)}])
                for n in range(30)
            ]
            return await asyncio.gather(*calls, return_exceptions=True)

        outcomes = asyncio.run(main())
        for number, outcome in enumerate(outcomes):
            if number % 3:
                assert outcome.ids == (str(number),)
            else:
                assert isinstance(outcome, SessionNotFoundError)
        assert sorted(ids(memory)) == sorted(str(n) for n in range(30) if n % 3)

    def test_a_leader_takes_along_what_waits(self, memory: SQLiteMemory) -> None:
        pause = Paused()
        leader = in_thread(lambda: writer_of(memory).write(pause))
        assert pause.begun.wait(20)
        followers = [
            in_thread(memory.sync.append_context, "s", [{"id": str(n)}])
            for n in range(6)
        ]
        while len(writer_of(memory)._queue) < 6:
            pass
        commits = commits_of(writer_of(memory).connection)
        pause.release.set()
        for thread in (leader, *followers):
            thread.join()
        assert sorted(ids(memory)) == list("012345")
        assert len(commits) <= 2

    def test_an_interrupted_write_leaves_the_others_theirs(
        self, memory: SQLiteMemory
    ) -> None:
        one = writer_of(memory)

        def interrupted(connection: sqlite3.Connection) -> None:
            raise KeyboardInterrupt

        # Held, and the thread not called, so that the others are there to be led.
        with one._lock:
            one._called = True
            others = [
                in_thread(memory.sync.append_context, "s", [{"id": str(n)}])
                for n in range(3)
            ]
            while len(one._queue) < 3:
                pass
            one._called = False
        with pytest.raises(KeyboardInterrupt):
            one.write(interrupted)
        for thread in others:
            thread.join()
        assert sorted(ids(memory)) == ["0", "1", "2"]

    def test_the_main_thread_takes_nobody_along(
        self, memory: SQLiteMemory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # An interrupt that comes while a commit is synced is raised right after it.
        one = writer_of(memory)
        met: List[int] = []

        def commit_and_interrupt(
            connection: sqlite3.Connection, writes: List[Any]
        ) -> None:
            group_commit.commit(connection, writes)
            if threading.current_thread() is threading.main_thread():
                met.append(len(writes))
                raise KeyboardInterrupt

        monkeypatch.setattr(writer, "commit", commit_and_interrupt)
        others: List[threading.Thread] = []

        def append_other() -> str:
            # From within the write of the main thread: it waits in the queue.
            if not others:
                others.append(
                    in_thread(memory.sync.append_context, "s", [{"role": "user"}])
                )
                while not one._queue:
                    pass
            return "mine"

        stamped = SQLiteMemory(memory._lease.location, id_factory=append_other)
        with pytest.raises(KeyboardInterrupt):
            stamped.sync.append_context("s", [{"role": "user"}])
        others[0].join()
        stamped.sync.close()
        assert met == [1]
        assert len(ids(memory)) == 2

    def test_a_main_thread_does_not_overtake_what_waits(
        self, memory: SQLiteMemory
    ) -> None:
        one = writer_of(memory)
        with one._lock:
            one._called = True
            other = in_thread(memory.sync.append_context, "s", [{"id": "first"}])
            while not one._queue:
                pass
            one._called = False
        memory.sync.append_context("s", [{"id": "second"}])
        other.join()
        assert ids(memory) == ["first", "second"]

    def test_who_waits_for_room_hears_of_the_close(
        self, memory: SQLiteMemory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(writer, "MOST_QUEUED", 1)
        one = writer_of(memory)
        monkeypatch.setattr(one, "_call_thread", lambda: None)

        async def main() -> List[Any]:
            tasks = [
                asyncio.ensure_future(memory.append_context("s", [{"id": str(n)}]))
                for n in range(3)
            ]
            await asyncio.sleep(0.01)
            assert (len(one._queue), len(one._waiting_for_room)) == (1, 2)
            one.close()
            return await asyncio.wait_for(
                asyncio.gather(*tasks, return_exceptions=True), 30
            )

        assert [type(outcome) for outcome in asyncio.run(main())] == [ClosedError] * 3

    def test_withdrawn_writes_are_left_out(self, memory: SQLiteMemory) -> None:
        pause = Paused()
        leader = in_thread(lambda: writer_of(memory).write(pause))
        assert pause.begun.wait(20)

        async def main() -> None:
            tasks = [
                asyncio.ensure_future(memory.append_context("s", [{"id": str(n)}]))
                for n in range(10)
            ]
            await asyncio.sleep(0.01)
            for task in tasks[::2]:
                task.cancel()
            for task in tasks[::2]:
                with pytest.raises(asyncio.CancelledError):
                    await task
            pause.release.set()
            for task in tasks[1::2]:
                await task

        asyncio.run(main())
        leader.join()
        assert sorted(ids(memory)) == ["1", "3", "5", "7", "9"]

    def test_too_many_have_to_wait_for_room(
        self, memory: SQLiteMemory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(writer, "MOST_QUEUED", 4)
        monkeypatch.setattr(writer, "MOST_TOGETHER", 3)
        pause = Paused()
        leader = in_thread(lambda: writer_of(memory).write(pause))
        assert pause.begun.wait(20)

        async def main() -> None:
            tasks = [
                asyncio.ensure_future(memory.append_context("s", [{"id": str(n)}]))
                for n in range(20)
            ]
            await asyncio.sleep(0.02)
            assert len(writer_of(memory)._queue) == 4
            tasks[19].cancel()
            pause.release.set()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert isinstance(outcomes[19], asyncio.CancelledError)

        asyncio.run(main())
        leader.join()
        assert sorted(map(int, ids(memory))) == list(range(19))

    def test_what_is_queued_at_the_close_hears_of_it(
        self, memory: SQLiteMemory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(writer, "MOST_QUEUED", 4)
        pause = Paused()
        one = writer_of(memory)
        leader = in_thread(lambda: one.write(pause))
        assert pause.begun.wait(20)
        closing: List[threading.Thread] = []

        async def main() -> List[Any]:
            tasks = [
                asyncio.ensure_future(memory.append_context("s", [{"id": str(n)}]))
                for n in range(12)
            ]
            await asyncio.sleep(0.01)
            closing.append(in_thread(memory.sync.close))
            pause.release.set()
            return await asyncio.wait_for(
                asyncio.gather(*tasks, return_exceptions=True), 30
            )

        outcomes = asyncio.run(main())
        leader.join()
        closing[0].join()
        kept = [o.ids[0] for o in outcomes if not isinstance(o, BaseException)]
        refused = [o for o in outcomes if isinstance(o, BaseException)]
        assert all(isinstance(one, ClosedError) for one in refused)
        assert len(kept) + len(refused) == 12
        again = SQLiteMemory(memory._lease.location)
        assert sorted(ids(again)) == sorted(kept)
        again.sync.close()

    def test_a_loop_that_closed_is_passed_over(self, memory: SQLiteMemory) -> None:
        pause = Paused()
        leader = in_thread(lambda: writer_of(memory).write(pause))
        assert pause.begun.wait(20)
        gone = asyncio.new_event_loop()
        ticket = Ticket(lambda connection: None, gone)
        writer_of(memory)._enqueue(ticket)
        gone.close()
        follower = in_thread(lambda: memory.sync.append_context("s", [{"id": "1"}]))
        pause.release.set()
        leader.join()
        follower.join()
        assert ids(memory) == ["1"]

    def test_a_transaction_that_an_interrupt_left_open_is_undone(
        self, memory: SQLiteMemory
    ) -> None:
        for one in (memory, InMemoryMemory()):
            one.sync.save_context("s", [{"id": "0"}])
            connection = writer_of(one).connection
            assert connection is not None
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("DELETE FROM context_messages")
            one.sync.append_context("s", [{"id": "1"}])
            assert ids(one) == ["0", "1"]

    def test_a_transaction_that_cannot_be_undone_closes_the_connection(
        self, memory: SQLiteMemory
    ) -> None:
        one = writer_of(memory)
        real = one.connection
        assert real is not None
        real.execute("BEGIN IMMEDIATE")
        one.connection = stuck = Stuck(real)  # type: ignore[assignment]
        memory.sync.append_context("s", [{"id": "1"}])
        assert stuck.is_closed
        assert ids(memory) == ["1"]

    def test_without_a_file_what_cannot_be_undone_is_an_error(self) -> None:
        memory = InMemoryMemory()
        memory.sync.save_context("s", [{"id": "0"}])
        one = writer_of(memory)
        real = one.connection
        assert real is not None
        real.execute("BEGIN IMMEDIATE")
        one.connection = stuck = Stuck(real)  # type: ignore[assignment]
        with pytest.raises(UnavailableError):
            memory.sync.append_context("s", [{"id": "1"}])
        assert not stuck.is_closed
        one.connection = real
        assert ids(memory) == ["0"]

    def test_a_reader_that_an_interrupt_left_in_a_snapshot_is_not_used_again(
        self, memory: SQLiteMemory
    ) -> None:
        def interrupted(connection: sqlite3.Connection) -> None:
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM context_messages").fetchall()
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            memory._lease.engine.readers.read(interrupted)
        memory.sync.append_context("s", [{"id": "1"}])
        assert ids(memory) == ["1"]
        assert len(memory.sync.load_page("s")) == 1

    def test_an_error_of_the_driver_is_named(self, memory: SQLiteMemory) -> None:
        def fails(connection: sqlite3.Connection) -> None:
            raise sqlite3.OperationalError("disk I/O error")

        with pytest.raises(UnavailableError) as caught:
            writer_of(memory).write(fails)
        assert isinstance(caught.value.__cause__, sqlite3.OperationalError)

    def test_an_exit_inside_a_write_reaches_its_caller(
        self, memory: SQLiteMemory
    ) -> None:
        def leaves(connection: sqlite3.Connection) -> None:
            raise SystemExit(3)

        async def main() -> None:
            with pytest.raises(SystemExit):
                await writer_of(memory).submit(leaves)

        try:
            asyncio.run(main())
        except SystemExit:
            pass
        memory.sync.append_context("s", [{"id": "1"}])
        assert ids(memory) == ["1"]

    def test_threads_and_loops_at_once(self, memory: SQLiteMemory) -> None:
        failures: List[BaseException] = []

        def by_loop(worker: int) -> None:
            async def main() -> None:
                for number in range(5):
                    await asyncio.gather(
                        *(
                            memory.append_context(
                                "s", [{"id": f"{worker}-{number}-{task}"}]
                            )
                            for task in range(4)
                        )
                    )
                    assert len(await memory.load_context("s", 2)) == 2

            run(main)

        def by_face(worker: int) -> None:
            for number in range(20):
                memory.sync.append_context("s", [{"id": f"{worker}-{number}"}])

        def run(main: Callable[[], Any]) -> None:
            try:
                asyncio.run(main())
            except BaseException as error:
                failures.append(error)

        threads = [in_thread(by_loop if n % 2 else by_face, n) for n in range(8)]
        for thread in threads:
            thread.join()
        assert failures == []
        kept = ids(memory)
        assert len(kept) == len(set(kept)) == 160
        for worker in (0, 2, 4, 6):
            own = [one for one in kept if one.startswith(f"{worker}-")]
            assert own == [f"{worker}-{number}" for number in range(20)]

    def test_relaxed_asks_for_less_and_full_wins(self, tmp_path: Path) -> None:
        path = tmp_path / "relaxed.db"
        relaxed = SQLiteMemory(path, durability="relaxed")
        relaxed.sync.save_context("s", [])
        one = writer_of(relaxed)
        assert one.connection is not None
        level = "PRAGMA synchronous"
        assert one.connection.execute(level).fetchone() == (1,)
        full = SQLiteMemory(path)
        full.sync.append_context("s", [{"id": "1"}])
        assert one.connection.execute(level).fetchone() == (2,)
        relaxed.sync.append_context("s", [{"id": "2"}])
        assert one.connection.execute(level).fetchone() == (2,)
        relaxed.sync.close()
        full.sync.close()

    def test_a_durability_that_is_none_is_refused(self) -> None:
        with pytest.raises(ValueError, match="durability"):
            SQLiteMemory(":memory:", durability="none")


def test_a_caller_of_a_closed_writer_hears_of_it(tmp_path: Path) -> None:
    one = Writer(str(tmp_path / "x.db"))
    one.write(lambda connection: None)
    one.close()
    with pytest.raises(ClosedError):
        one.write(lambda connection: None)

    async def main() -> None:
        with pytest.raises(StorageError):
            await one.submit(lambda connection: None)

    asyncio.run(main())
