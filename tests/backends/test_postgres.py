"""What PostgresMemory promises beyond the conformance suite."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import os
import re
import threading
import time
import uuid
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import (
    Any,
    AsyncGenerator,
    Callable,
    Dict,
    Generator,
    Iterator,
    List,
    NamedTuple,
    Tuple,
)

import psycopg
import pytest

from contextstore import (
    BusyError,
    ClosedError,
    ConfigurationError,
    ConflictError,
    CorruptDataError,
    InteractionNotFoundError,
    PgVectorStore,
    PostgresMemory,
    SchemaVersionError,
    SessionNotFoundError,
    StorageError,
    UnavailableError,
    UnsupportedOperationError,
    open_memory,
)
from contextstore.backends.filters import Filter
from contextstore.backends.postgres import (
    appending,
    appending_together,
    connections,
    failures,
    listing,
    loading,
    rows,
    vector_rows,
)
from contextstore.backends.postgres import memory as memory_module
from contextstore.backends.postgres.keys import message_key, session_key
from tests.backends.carried import carried_by
from tests.servers.proxy import Proxy
from tests.servers.refusing import Refusing
from tests.servers.shared import database_of, postgres_server

TOMORROW = datetime.now(timezone.utc) + timedelta(days=1)


def said(*names: str) -> List[Dict[str, str]]:
    return [{"id": one, "content": one, "timestamp": "2024"} for one in names]


def ids(context: List[Dict[str, Any]]) -> List[str]:
    return [one["id"] for one in context]


@pytest.fixture
def dsn(tmp_path: Path) -> str:
    return database_of(tmp_path)


@pytest.fixture
def memory(dsn: str) -> Iterator[PostgresMemory]:
    memory = PostgresMemory(dsn, partitions=4)
    yield memory
    memory.sync.close()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    proxy = Proxy(postgres_server().port)
    yield proxy
    proxy.close()


def behind(proxy: Proxy, **options: Any) -> PostgresMemory:
    dsn = postgres_server().dsn("contextstore", port=proxy.port)
    all_options: Dict[str, Any] = {"timeout": 10.0, "partitions": 4, **options}
    return PostgresMemory(dsn, **all_options)


def ask(statement: str) -> List[Any]:
    return postgres_server().ask(statement, "contextstore")


# Cost.


@pytest.mark.usefixtures("dsn")
def test_an_append_and_a_load_are_one_round_trip_each(proxy: Proxy) -> None:
    face = behind(proxy, pool_size=1).sync
    face.save_context("s", said("first"))
    for number in range(3):
        batch = said(*(f"{number}-{place}" for place in range(40)))
        before = proxy.round_trips
        face.append_context("s", batch)
        assert proxy.round_trips == before + 1
        face.load_context("s", 20)
        assert proxy.round_trips == before + 2
    before = proxy.round_trips
    face.append_context("new", said("a", "b"), create=True)
    assert proxy.round_trips == before + 1
    face.close()


CHANGES_AND_ROUND_TRIPS: List[Tuple[Callable[[Any], Any], int]] = [
    (lambda face: face.save_context("new", said("a", "b")), 2),
    (lambda face: face.save_context("s", said("a", "b", "c", "d")), 2),
    (lambda face: face.save_context("s", said("a", "b", "c")), 1),
    (lambda face: face.update_interaction("s", "b", {"content": "other"}), 2),
    (lambda face: face.delete_interaction("s", "c"), 2),
    (lambda face: face.set_metadata("s", {"a": 1}), 2),
    (lambda face: face.prune("s", keep_last=1), 2),
    (lambda face: face.prune("s", older_than=TOMORROW), 2),
    (lambda face: face.prune("s", older_than=-timedelta(hours=1)), 3),
    (lambda face: face.fork_session("s", "t"), 4),
    (lambda face: face.save_summaries("s", {"a": "b"}), 1),
    (lambda face: face.delete_session("s"), 2),
    (lambda face: face.erase(session_id="s"), 2),
]


@pytest.mark.usefixtures("dsn")
@pytest.mark.parametrize(("change", "count"), CHANGES_AND_ROUND_TRIPS)
def test_a_change_takes_as_many_round_trips_as_is_said(
    proxy: Proxy, change: Callable[[Any], Any], count: int
) -> None:
    face = behind(proxy, pool_size=1, prepare_threshold=None).sync
    face.save_context("s", said("a", "b", "c"))
    before = proxy.round_trips
    change(face)
    assert proxy.round_trips == before + count
    face.close()


def plan_of(statement: str, types: str, arguments: str) -> str:
    ask("ANALYZE context_messages, context_sessions")
    setting = "SET plan_cache_mode = force_generic_plan"
    prepared = f"PREPARE load ({types}) AS {statement}"
    dsn = postgres_server().dsn("contextstore")
    with psycopg.connect(dsn, autocommit=True) as connection:
        for command in (setting, prepared):
            connection.execute(command.encode())
        explain = f"EXPLAIN (ANALYZE, COSTS OFF) EXECUTE load ({arguments})"
        found = connection.execute(explain.encode()).fetchall()
    return "\n".join(row[0] for row in found)


def test_the_newest_are_read_backwards_from_one_partition(
    memory: PostgresMemory,
) -> None:
    for number in range(12):
        batch = said(*(str(place) for place in range(200)))
        memory.sync.save_context(f"s{number}", batch)
    statement = loading.LOAD.replace("%(session)s", "$1").replace("%(limit)s", "$2")
    plan = plan_of(statement, "text, bigint", f"'{session_key('s5')}', 20")
    read = [
        line
        for line in plan.splitlines()
        if " on context_messages" in line and "never executed" not in line
    ]
    assert len(read) == 1, plan
    assert "Index Scan Backward using context_messages_" in read[0], plan
    assert re.search(r"rows=20(\.00)? loops=1", read[0]), plan
    assert "->  Sort" not in plan, plan


# What is stored.


def test_bodies_are_bytes_and_come_back_as_they_were(memory: PostgresMemory) -> None:
    message = {"z": 1, "a": "\0 \u2028", "n": 2**70, "f": 1e-7, "id": "x", "b": []}
    memory.sync.save_context("s", [{**message, "timestamp": "t"}])
    (loaded,) = memory.sync.load_context("s")
    assert list(loaded) == [*message, "timestamp"]
    assert loaded == {**message, "timestamp": "t"}
    kinds = ask("SELECT pg_typeof(body)::text FROM context_messages")
    assert kinds == [("bytea",)]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE context_messages SET body = set_byte(body, 3, 0) WHERE position = 2",
        "DELETE FROM context_messages WHERE position = 2",
        "DELETE FROM context_messages WHERE position = 3",
        "DELETE FROM context_messages WHERE position = 1",
        "UPDATE context_messages SET position = 9 WHERE position = 3",
        "UPDATE context_sessions SET last = 2",
    ],
)
def test_damage_is_never_a_short_list(memory: PostgresMemory, damage: str) -> None:
    memory.sync.save_context("s", said("a", "b", "c"))
    ask(damage)
    with pytest.raises(CorruptDataError) as caught:
        memory.sync.load_context("s")
    assert caught.value.session_id == "s"
    with pytest.raises(CorruptDataError):
        memory.sync.save_context("s", said("z"))
    report = memory.sync.verify()
    assert not report.ok
    assert {problem.session_id for problem in report.problems} == {"s"}


def test_verify_finds_and_mends_what_belongs_to_no_session(
    memory: PostgresMemory,
) -> None:
    memory.sync.save_context("s", said("a", "b"))
    memory.sync.save_context("t", said("c"))
    memory.sync.search_text("c")
    ask("DELETE FROM context_sessions WHERE session_id = 's'")
    ask("INSERT INTO context_texts SELECT session, 0, '' FROM context_sessions")
    report = memory.sync.verify()
    assert sorted(one.kind for one in report.problems) == ["index", "orphan"]
    assert memory.sync.verify(repair=True).ok
    assert memory.sync.verify().problems == ()
    assert [one.message_id for one in memory.sync.search_text("c")] == ["c"]


def test_a_hostile_key_of_a_filter_is_only_a_value(memory: PostgresMemory) -> None:
    key = "x') OR true; DROP TABLE context_sessions; --%(a)s"
    for name in ("a", "b"):
        memory.sync.save_context(name, said("m"))
    memory.sync.set_metadata("a", {key: {"'": None}})
    found = memory.sync.list_sessions(metadata={key: {"'": None}})
    assert [one.session_id for one in found.sessions] == ["a"]


def derived_from(message_id: str) -> str:
    """Return the id that is, as a UUID, the digest of another id."""
    digest = hashlib.sha256(message_id.encode()).hexdigest()
    return str(uuid.UUID(digest[:32]))


def other_id_of(key: str) -> str:
    """Return the id whose text is a key as Postgres gives it."""
    return str(uuid.UUID(key))


@pytest.mark.parametrize(
    "name_of", [derived_from, lambda m: other_id_of(message_key(m))]
)
def test_no_id_can_be_chosen_to_have_the_key_of_another(
    memory: PostgresMemory, name_of: Callable[[str], str]
) -> None:
    face, other = memory.sync, name_of("hello")
    face.save_context("s", said("hello"))
    with pytest.raises(InteractionNotFoundError):
        face.delete_interaction("s", other)
    with pytest.raises(InteractionNotFoundError):
        face.load_page("s", before=other)
    face.append_context("s", said(other))
    assert ids(face.load_context("s")) == ["hello", other]
    assert message_key(other) != message_key("hello")


def test_two_ids_of_one_key_are_told_apart(
    memory: PostgresMemory, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if somebody had found two texts with one digest.
    for module in (rows, vector_rows, appending, memory_module):
        monkeypatch.setattr(module, "message_key", lambda _: "f" * 32)
    face, vectors = memory.sync, PgVectorStore(dsn, partitions=4)
    face.save_context("s", said("hello"))
    vectors.sync.add("s", "hello", [1.0, 0.0])
    for call in (
        lambda: face.delete_interaction("s", "forged"),
        lambda: face.update_interaction("s", "forged", {"content": "x"}),
        lambda: face.load_page("s", after="forged"),
    ):
        with pytest.raises(InteractionNotFoundError):
            call()
    assert vectors.sync.has_embedding("s", "hello")
    assert not vectors.sync.has_embedding("s", "forged")
    assert ids(face.load_context("s")) == ["hello"]
    vectors.sync.close()


def test_many_sessions_are_listed_page_by_page(memory: PostgresMemory) -> None:
    async def fill() -> None:
        await asyncio.gather(
            *(
                memory.append_context(f"s{n:04}", said("a"), create=True)
                for n in range(250)
            )
        )
        await memory.append_context("s0100", said("b"))

    asyncio.run(fill())
    page = memory.sync.list_sessions(limit=60)
    assert page.sessions[0].session_id == "s0100"
    names = [one.session_id for one in page.sessions]
    while page.cursor:
        page = memory.sync.list_sessions(limit=60, cursor=page.cursor)
        names += [one.session_id for one in page.sessions]
    assert sorted(names) == [f"s{n:04}" for n in range(250)]


def test_texts_of_any_length_are_indexed(memory: PostgresMemory) -> None:
    long = " ".join(f"word{n}" for n in range(400_000))
    context = [{"id": "long", "content": f"first {long}"}, *said("needle")]
    memory.sync.save_context("s", [*context, {"id": "one", "content": "y" * 10**6}])
    assert [one.message_id for one in memory.sync.search_text("needle")] == ["needle"]
    assert [one.message_id for one in memory.sync.search_text("first")] == ["long"]


# Expiry.


def age(session_id: str, by: timedelta) -> None:
    """Have a session written to earlier; nobody has to wait for the clock."""
    ask(
        f"UPDATE context_sessions SET updated = updated - {by // MILLISECOND}"
        f" WHERE session_id = '{session_id}'"
    )


MILLISECOND = timedelta(milliseconds=1)
HOUR = timedelta(hours=1)


def test_an_expired_session_is_gone(memory: PostgresMemory, dsn: str) -> None:
    mortal = PostgresMemory(dsn, expire_after=HOUR).sync
    mortal.save_context("s", said("a"))
    mortal.append_context("t", said("a"), create=True)
    memory.sync.save_context("stays", said("a"))
    age("t", HOUR * 0.9)
    memory.sync.append_context("t", said("b"))
    for name in ("s", "stays"):
        age(name, HOUR)
    age("t", HOUR * 0.9)
    assert mortal.load_context("s") == mortal.load_pinned("s") == []
    assert ids(memory.sync.load_context("t")) == ["a", "b"]
    with pytest.raises(SessionNotFoundError):
        mortal.append_context("s", said("c"))
    with pytest.raises(SessionNotFoundError):
        mortal.session_info("s")
    listed = [one.session_id for one in mortal.list_sessions().sessions]
    assert sorted(listed) == ["stays", "t"]
    mortal.append_context("s", said("again"), create=True)
    assert ids(mortal.load_context("s")) == ["again"]
    mortal.close()


def test_a_sweep_removes_what_expired(memory: PostgresMemory, dsn: str) -> None:
    mortal = PostgresMemory(dsn, expire_after=HOUR)
    for number in range(5):
        mortal.sync.save_context(f"s{number}", said("a", "b"))
        age(f"s{number}", HOUR)
    memory.sync.save_context("stays", said("a"))
    assert asyncio.run(mortal.sweep()) == 5
    assert asyncio.run(mortal.sweep()) == 0
    assert ask("SELECT count(*) FROM context_messages") == [(1,)]
    assert memory.sync.verify().ok
    mortal.sync.close()


# The life of an object.


def test_one_object_serves_threads_loops_and_sync_callers(
    memory: PostgresMemory,
) -> None:
    memory.sync.save_context("s", [])

    async def append(name: str) -> None:
        await memory.append_context("s", said(name))

    for number in range(3):
        asyncio.run(append(f"loop{number}"))
    thread = threading.Thread(target=lambda: asyncio.run(append("thread")))
    thread.start()
    thread.join()
    memory.sync.append_context("s", said("sync"))
    assert ids(memory.sync.load_context("s"))[3:] == ["thread", "sync"]


class Connected(NamedTuple):
    """Be an object whose connections can be told from those of other tests."""

    dsn: str
    name: str

    @classmethod
    def to(cls, dsn: str) -> Connected:
        name = f"test-{uuid.uuid4().hex}"
        return cls(f"{dsn}?application_name={name}", name)

    def connections(self) -> int:
        ((count,),) = ask(
            "SELECT count(*) FROM pg_stat_activity"
            f" WHERE application_name = '{self.name}'"
        )
        return int(count)

    def settles_at(self, count: int) -> bool:
        deadline = time.monotonic() + 5
        while self.connections() != count and time.monotonic() < deadline:
            time.sleep(0.02)
        return self.connections() == count


@pytest.fixture
def own(dsn: str) -> Connected:
    return Connected.to(dsn)


def test_a_loop_that_ends_leaves_no_connection(own: Connected) -> None:
    memory = PostgresMemory(own.dsn)

    async def work() -> None:
        await memory.save_context("s", said("a"))
        await asyncio.gather(*(memory.load_context("s") for _ in range(5)))
        assert own.connections() > 1

    asyncio.run(work())
    assert own.settles_at(0)
    memory.sync.close()


def test_an_object_that_is_dropped_closes_itself(own: Connected) -> None:
    memory = PostgresMemory(own.dsn)
    memory.sync.save_context("s", said("a"))
    assert own.connections() > 0
    del memory
    gc.collect()
    assert own.settles_at(0)


def test_a_closed_object_says_so(own: Connected) -> None:
    memory = PostgresMemory(own.dsn)
    memory.sync.save_context("s", said("a"))
    memory.sync.close()
    memory.sync.close()
    with pytest.raises(ClosedError):
        memory.sync.load_context("s")
    assert own.settles_at(0)


def test_no_more_connections_than_allowed(own: Connected) -> None:
    memory = PostgresMemory(own.dsn, pool_size=3)

    async def work() -> int:
        await memory.save_context("s", said("a"))
        await asyncio.gather(*(memory.load_context("s") for _ in range(60)))
        return own.connections()

    assert asyncio.run(work()) == 3
    memory.sync.close()


def test_a_forked_child_has_connections_of_its_own(memory: PostgresMemory) -> None:
    memory.sync.save_context("s", said("a"))
    child = os.fork()
    if child == 0:
        try:
            memory.sync.append_context("s", said("child"))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    memory.sync.append_context("s", said("parent"))
    assert ids(memory.sync.load_context("s")) == ["a", "child", "parent"]


def test_a_cancelled_call_leaves_nothing_behind(memory: PostgresMemory) -> None:
    async def work() -> None:
        await memory.save_context("s", [])
        for number in range(60):
            call = asyncio.ensure_future(
                memory.append_context("s", said(f"a{number}", f"b{number}"))
            )
            await asyncio.sleep(0.0001 * number)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            await memory.append_context("s", said(f"a{number}", f"b{number}"))
        await asyncio.gather(
            *(memory.append_context("s", said(f"c{n}")) for n in range(20))
        )

    asyncio.run(work())
    kept = ids(memory.sync.load_context("s"))
    assert len(kept) == len(set(kept)) == 140
    assert memory.sync.verify().ok


# Trouble.


def test_a_connection_cut_in_mid_commit_loses_and_doubles_nothing(
    proxy: Proxy, memory: PostgresMemory
) -> None:
    memory.sync.save_context("s", said("first"))
    face = behind(proxy).sync
    face.load_context("s")
    proxy.cut_answer_to(b"INSERT INTO context_messages")
    written = face.append_context("s", [{"content": "bare"}, *said("second")])
    loaded = face.load_context("s")
    assert written is not None
    assert ids(loaded) == ["first", *written.ids]
    assert written.version == face.session_info("s").version
    face.close()


def cut_amid(proxy: Proxy, call: Any) -> Any:
    """Make a call whose statement is done while its answer is lost."""
    proxy.cut_answer_to(b"WITH held AS")
    return call()


def test_every_change_is_made_once_whatever_is_cut(
    proxy: Proxy, memory: PostgresMemory
) -> None:
    face = behind(proxy, prepare_threshold=None).sync
    made = cut_amid(proxy, lambda: face.save_context("s", said("a", "b", "c", "d")))
    assert made.version == face.session_info("s").version
    version = face.session_info("s").version
    cut_amid(proxy, lambda: face.set_metadata("s", {"n": 1}, expected_version=version))
    rewound = cut_amid(proxy, lambda: face.delete_interaction("s", "d"))
    assert rewound.removed == ("d",)
    assert rewound.version == version + 2
    cut_amid(proxy, lambda: face.update_interaction("s", "c", {"content": "new"}))
    forked = cut_amid(proxy, lambda: face.fork_session("s", "t"))
    assert forked.ids == ("a", "b", "c")
    pruned = cut_amid(proxy, lambda: face.prune("s", keep_last=1))
    assert pruned.removed == {"s": ("a", "b")}
    saved = cut_amid(proxy, lambda: face.save_context("s", said("x")))
    assert saved.version == face.session_info("s").version
    cut_amid(proxy, lambda: face.append_context("new", said("y"), create=True))
    assert ids(face.load_context("new")) == ["y"]
    cut_amid(proxy, lambda: face.delete_session("s"))
    assert face.load_context("s") == []
    with pytest.raises(SessionNotFoundError):
        face.delete_session("s")
    assert ids(face.load_context("t")) == ["a", "b", "c"]
    assert face.verify().ok
    face.close()


def test_what_nobody_can_tell_is_said(proxy: Proxy, memory: PostgresMemory) -> None:
    memory.sync.save_context("s", said("a", "b", "c"))
    slow = behind(proxy, prepare_threshold=None)

    async def work() -> None:
        await slow.load_context("s")
        proxy.cut_answer_to(b"WITH held AS")
        rewind = asyncio.ensure_future(slow.delete_interaction("s", "c"))
        while ids(await memory.load_context("s"))[-1] == "c":
            await asyncio.sleep(0)
        # Before the one that was cut off looks again, another changes the session.
        await memory.set_metadata("s", {"other": 1})
        await rewind

    with contextlib.suppress(UnavailableError):
        asyncio.run(work())
    assert ids(memory.sync.load_context("s")) == ["a", "b"]
    slow.sync.close()


def test_calls_wait_for_a_server_that_is_away(
    proxy: Proxy, memory: PostgresMemory
) -> None:
    memory.sync.save_context("s", [])
    face = behind(proxy)

    async def work() -> None:
        await face.append_context("s", said("before"))
        proxy.go_down()
        waiting = [
            asyncio.ensure_future(face.append_context("s", said(f"w{n}")))
            for n in range(5)
        ]
        await asyncio.sleep(0.4)
        assert not any(call.done() for call in waiting)
        proxy.come_back()
        await asyncio.gather(*waiting)

    asyncio.run(work())
    assert len(memory.sync.load_context("s")) == 6
    face.sync.close()


def test_a_server_that_stays_away_is_an_error_in_time(proxy: Proxy) -> None:
    face = behind(proxy, timeout=0.6).sync
    proxy.go_down()
    start = time.monotonic()
    with pytest.raises(UnavailableError) as caught:
        face.load_context("s")
    assert 0.5 < time.monotonic() - start < 5
    assert caught.value.__cause__ is not None
    assert "postgres@" not in str(caught.value)


@pytest.fixture
def refusing() -> Iterator[Refusing]:
    refusing = Refusing()
    yield refusing
    refusing.close()


def on_ports(*ports: int, **options: Any) -> PostgresMemory:
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    return PostgresMemory(f"postgresql://postgres@{hosts}/contextstore", **options)


@pytest.mark.parametrize("is_first", [True, False])
def test_a_host_that_refuses_does_not_keep_from_waiting_for_another(
    proxy: Proxy, refusing: Refusing, memory: PostgresMemory, is_first: bool
) -> None:
    memory.sync.save_context("s", said("a"))
    ports = [refusing.port, proxy.port] if is_first else [proxy.port, refusing.port]
    face = on_ports(*ports, timeout=10.0).sync
    proxy.go_down()
    threading.Timer(0.4, proxy.come_back).start()
    assert ids(face.load_context("s")) == ["a"]
    face.close()


def test_where_every_host_refuses_nobody_waits(refusing: Refusing) -> None:
    other = Refusing()
    for ports in ([refusing.port], [refusing.port] * 2, [refusing.port, other.port]):
        start = time.monotonic()
        with pytest.raises(ConfigurationError) as caught:
            on_ports(*ports).sync.load_context("s")
        assert time.monotonic() - start < 5
        assert "authentication failed" in str(caught.value.__cause__)
    other.close()


REFUSED = 'connection failed: FATAL:  password authentication failed for user "a"'
AWAY = "connection failed: Connection refused\n\tIs the server running on that host?"


def tried(*heard: Tuple[str, str, str, str]) -> str:
    """Return what psycopg says where it tried several addresses."""
    lines = [
        f"- host: {host}, port: '{port}', hostaddr: '{address}': {text}"
        for host, port, address, text in heard
    ]
    header = "Multiple connection attempts failed. All failures were:"
    return "\n".join([heard[-1][-1], header, *lines])


@pytest.mark.parametrize(
    ("text", "hosts", "is_refused"),
    [
        (REFUSED, 1, True),
        (AWAY, 1, False),
        # One of two names led to no address, and was not even tried.
        (REFUSED, 2, False),
        # A name with two addresses is one host, which may listen at one of them.
        (tried(("'h'", "1", "::1", AWAY), ("'h'", "1", "127.0.0.1", REFUSED)), 1, True),
        (tried(("'h'", "1", "::1", REFUSED), ("'i'", "1", "::2", REFUSED)), 2, True),
        (tried(("'h'", "1", "::1", REFUSED), ("'h'", "2", "::1", AWAY)), 2, False),
        (tried(("None", "1", "::1", AWAY), ("None", "1", "::2", REFUSED)), 1, False),
    ],
)
def test_a_connection_is_refused_where_all_hosts_refuse_it(
    text: str, hosts: int, is_refused: bool
) -> None:
    error = psycopg.OperationalError(text)
    assert (failures.refusal(error, "here", hosts) is not None) == is_refused


def test_a_server_that_says_nothing_is_an_error_in_time(
    proxy: Proxy, memory: PostgresMemory
) -> None:
    memory.sync.save_context("s", said("a"))
    face = behind(proxy, timeout=1.0)
    face.sync.load_context("s")
    proxy.delay = 60.0
    start = time.monotonic()
    with pytest.raises(UnavailableError):
        face.sync.load_context("s")
    assert time.monotonic() - start < 8


def test_a_slow_network_only_takes_time(proxy: Proxy, memory: PostgresMemory) -> None:
    memory.sync.save_context("s", [])
    face = behind(proxy)
    proxy.delay = 0.02

    async def work() -> None:
        await asyncio.gather(
            *(face.append_context("s", said(f"m{n}")) for n in range(20))
        )

    asyncio.run(work())
    assert len(memory.sync.load_context("s")) == 20
    face.sync.close()


def test_who_waits_for_a_connection_too_long_hears_so(
    proxy: Proxy, memory: PostgresMemory
) -> None:
    memory.sync.save_context("s", said("a"))
    face = behind(proxy, pool_size=1, timeout=1.5)

    async def work() -> List[Any]:
        await face.load_context("s")
        proxy.delay = 60.0
        calls = [face.load_context("s") for _ in range(3)]
        return [*await asyncio.gather(*calls, return_exceptions=True)]

    start = time.monotonic()
    kinds = {type(outcome) for outcome in asyncio.run(work())}
    assert kinds <= {BusyError, UnavailableError}
    # Waiting for others counts: it is not the time-out of each, one after the other.
    assert time.monotonic() - start < 3
    proxy.delay = 0.0
    face.sync.close()


def test_sessions_that_were_terminated_are_replaced(memory: PostgresMemory) -> None:
    memory.sync.save_context("s", said("a"))
    postgres_server().ask(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = 'contextstore'"
    )
    memory.sync.append_context("s", said("b"))
    assert ids(memory.sync.load_context("s")) == ["a", "b"]


# Appends that share a statement.


@contextlib.contextmanager
def locked(session_id: str) -> Generator[None, None, None]:
    with psycopg.connect(postgres_server().dsn("contextstore")) as connection:
        connection.execute(
            "SELECT FROM context_sessions WHERE session_id = %s FOR UPDATE",
            [session_id],
        )
        yield


def test_a_locked_session_holds_up_no_other(memory: PostgresMemory) -> None:
    for session_id in "abcd":
        memory.sync.save_context(session_id, [])

    async def work() -> None:
        with locked("a"):
            stuck = [asyncio.create_task(memory.append_context("a", said("1")))]
            await asyncio.sleep(0.1)
            stuck.append(asyncio.create_task(memory.append_context("a", said("2"))))
            free = [memory.append_context(one, said("1")) for one in "bcd"]
            await asyncio.wait_for(asyncio.gather(*free), 5)
            assert not any(task.done() for task in stuck)
        await asyncio.gather(*stuck)

    asyncio.run(work())
    assert ids(memory.sync.load_context("a")) == ["1", "2"]


def test_who_was_queued_before_a_session_was_found_locked_goes_soon(
    memory: PostgresMemory,
) -> None:
    for session_id in "ab":
        memory.sync.save_context(session_id, [])

    async def work() -> None:
        with locked("a"):
            stuck = asyncio.create_task(memory.append_context("a", said("1")))
            await asyncio.sleep(0)
            await asyncio.wait_for(memory.append_context("b", said("1")), 5)
            assert not stuck.done()
        await stuck

    asyncio.run(work())


def test_locked_sessions_leave_connections_to_loads(dsn: str) -> None:
    memory = PostgresMemory(dsn, partitions=4, pool_size=3)
    names = [f"s{number}" for number in range(6)]
    for session_id in names:
        memory.sync.save_context(session_id, [])

    async def work() -> None:
        with contextlib.ExitStack() as stack:
            for session_id in names:
                stack.enter_context(locked(session_id))
            stuck: List[Any] = []
            for session_id in names:
                one = memory.append_context(session_id, said("1"))
                stuck.append(asyncio.create_task(one))
                await asyncio.sleep(0.1)
            await asyncio.wait_for(memory.load_context("s1"), 5)
        await asyncio.gather(*stuck)

    asyncio.run(work())
    assert [len(memory.sync.load_context(one)) for one in names] == [1] * 6
    memory.sync.close()


def test_a_batch_is_bounded_by_its_bytes(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: List[int] = []
    run = appending_together.AppendTogether.__call__

    async def noted(shared: Any, session: Any) -> Any:
        sizes.append(len(shared._appends))
        return await run(shared, session)

    monkeypatch.setattr(appending_together.AppendTogether, "__call__", noted)
    monkeypatch.setattr(appending_together, "_MOST_BYTES", 2500)
    memory = PostgresMemory(dsn, partitions=4)

    async def work() -> None:
        long = [{"id": "1", "content": "x" * 1000}]
        calls = [memory.append_context(f"s{n}", long, create=True) for n in range(8)]
        await asyncio.gather(*calls)

    memory.sync.load_context("s")
    asyncio.run(work())
    memory.sync.close()
    # The first two go alone.
    assert sum(sizes) == 6
    assert max(sizes) == 2


def test_an_error_of_a_batch_reaches_all_of_it(
    memory: PostgresMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(appending_together.AppendTogether, "_values", fail)

    async def work() -> List[Any]:
        calls = [
            memory.append_context(f"s{n}", said("1"), create=True) for n in range(5)
        ]
        return await asyncio.gather(*calls, return_exceptions=True)

    first, second, *others = asyncio.run(work())
    assert first.ids == second.ids == ("1",)
    assert [type(one) for one in others] == [MemoryError] * 3


@contextlib.asynccontextmanager
async def going_on(*calls: Callable[[], Any]) -> AsyncGenerator[None, None]:
    """Repeat calls one after the other, each in a task of its own, all the time."""

    goes_on = True

    async def repeat(call: Callable[[], Any]) -> None:
        while goes_on:
            await call()

    tasks = [asyncio.create_task(repeat(call)) for call in calls]
    await asyncio.sleep(0.1)
    try:
        yield
    finally:
        # Not cancelled: asyncio.wait_for of Python 3.8, as psycopg has it, may be deaf.
        goes_on = False
        await asyncio.wait(tasks)


def test_calls_that_share_nothing_hold_up_none_that_do(memory: PostgresMemory) -> None:
    for number in range(20):
        memory.sync.save_context(f"s{number}", said("a"))

    async def append_to(session_id: str) -> None:
        version = (await memory.session_info(session_id)).version
        bare = [{"content": "b"}]
        await memory.append_context(session_id, bare, expected_version=version)

    async def work() -> None:
        loads = [partial(memory.load_context, f"s{n}") for n in range(20)]
        async with going_on(*loads):
            await asyncio.wait_for(memory.load_context("s1", 1), 5)
        writes = [partial(append_to, f"s{n}") for n in range(1, 20)]
        async with going_on(*writes):
            await asyncio.wait_for(memory.append_context("s0", said("c")), 5)

    asyncio.run(work())
    assert ids(memory.sync.load_context("s0")) == ["a", "c"]


def test_appends_to_one_session_are_stored_in_the_order_of_the_calls(
    memory: PostgresMemory,
) -> None:
    version = memory.sync.save_context("s", []).version
    for number in range(9):
        memory.sync.save_context(f"s{number}", [])

    async def work() -> None:
        calls = []
        for number in range(30):
            expected = version + number if number % 3 == 0 else None
            calls += [
                memory.append_context(f"s{number % 9}", said(f"{number}")),
                memory.append_context(
                    "s", said(f"{number}"), expected_version=expected
                ),
            ]
        await asyncio.gather(*calls)

    asyncio.run(work())
    assert ids(memory.sync.load_context("s")) == [str(number) for number in range(30)]


def test_a_batch_that_is_cancelled_before_it_begins_leaves_nobody_waiting(
    memory: PostgresMemory,
) -> None:
    names = [f"s{number}" for number in range(20)]
    for session_id in names:
        memory.sync.save_context(session_id, [])

    async def work() -> None:
        calls = [
            asyncio.create_task(memory.append_context(one, said("a"))) for one in names
        ]
        batches = memory._appends.here()._tasks
        while not batches:
            await asyncio.sleep(0)
        # As a program does that shuts down, and then says a last word.
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.wait(calls, timeout=5)
        assert all(call.done() for call in calls)
        last = [memory.append_context(one, said("b")) for one in names]
        await asyncio.wait_for(asyncio.gather(*last), 5)

    asyncio.run(work())
    assert {ids(memory.sync.load_context(one))[-1] for one in names} == {"b"}


def test_who_is_queued_waits_no_longer_than_a_call_may_take(dsn: str) -> None:
    memory = PostgresMemory(dsn, partitions=4, timeout=1.0)
    for session_id in "abcdefg":
        memory.sync.save_context(session_id, [])

    async def stuck(name: str) -> float:
        start = time.monotonic()
        with pytest.raises((BusyError, UnavailableError)):
            await memory.append_context("a", said(name))
        return time.monotonic() - start

    async def work() -> List[float]:
        bare = [{"content": "b"}]
        later = [partial(memory.append_context, one, bare) for one in "bcdefg"]
        with locked("a"):
            calls = [asyncio.create_task(stuck(name)) for name in "1234"]
            # What comes later shares a statement with them, and may take longer.
            await asyncio.sleep(0.5)
            async with going_on(*later):
                return list(await asyncio.gather(*calls))

    assert max(asyncio.run(work())) < 1.4
    memory.sync.close()


def test_a_lock_that_lasts_too_long_for_the_server_fails_one_of_a_batch(
    dsn: str,
) -> None:
    names = [f"s{number}" for number in range(12)]
    separator = "&" if "?" in dsn else "?"
    memory = PostgresMemory(
        f"{dsn}{separator}options=-c%20lock_timeout%3D200ms", partitions=4
    )
    for session_id in names:
        memory.sync.save_context(session_id, [])

    async def work() -> List[Any]:
        calls = [memory.append_context(one, said("1")) for one in names]
        return list(await asyncio.gather(*calls, return_exceptions=True))

    with locked("s5"):
        found = asyncio.run(work())
    assert isinstance(found.pop(5), BusyError)
    assert {one.ids for one in found} == {("1",)}
    memory.sync.close()


# Loads that share a statement.


def test_loads_at_once_share_statements_and_each_gets_its_own(
    memory: PostgresMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        batch = said(*(f"{number}-{place}" for place in range(number)))
        memory.sync.save_context(f"s{number}", batch)
    shared: List[int] = []
    read = loading.LoadTogether.__call__

    async def noted(loads: Any, session: Any) -> Any:
        shared.append(len(loads.loads))
        return await read(loads, session)

    monkeypatch.setattr(loading.LoadTogether, "__call__", noted)

    async def work() -> List[Any]:
        few = [memory.load_context(f"s{number}", 10) for number in range(32)]
        whole = [memory.load_context(f"s{number}") for number in range(32)]
        again = [memory.load_context("s29", number) for number in range(32)]
        return list(await asyncio.gather(*few, *whole, *again))

    found = [ids(one) for one in asyncio.run(work())]
    # 61 share three statements at a time, and no load of a whole session does.
    assert 1 < max(shared) <= 25
    assert sum(shared) <= 63
    for number in range(30):
        every = [f"{number}-{place}" for place in range(number)]
        assert found[number] == every[-10:]
        assert found[32 + number] == every
    # Who is not there has no messages, alone or with others.
    assert found[30:32] == found[62:64] == [[], []]
    assert [len(one) for one in found[64:]] == [*range(30), 29, 29]


def test_where_there_is_one_connection_a_statement_carries_all(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared: List[int] = []
    read = loading.LoadTogether.__call__

    async def noted(loads: Any, session: Any) -> Any:
        shared.append(len(loads.loads))
        return await read(loads, session)

    monkeypatch.setattr(loading.LoadTogether, "__call__", noted)
    memory = PostgresMemory(dsn, partitions=4, pool_size=1)

    async def work() -> None:
        await asyncio.gather(*(memory.load_context(f"s{n}", 1) for n in range(33)))

    asyncio.run(work())
    memory.sync.close()
    assert shared == [32]


def test_loads_at_once_read_each_one_partition_backwards(
    memory: PostgresMemory,
) -> None:
    for number in range(12):
        batch = said(*(str(place) for place in range(200)))
        memory.sync.save_context(f"s{number}", batch)
    keys = ",".join(session_key(f"s{number}") for number in (3, 7))
    plan = plan_of(
        loading.LOAD_MANY.replace("%(sessions)s", "$1").replace("%(limits)s", "$2"),
        "text[], bigint[]",
        f"'{{{keys}}}', '{{20,20}}'",
    )
    read = [
        line
        for line in plan.splitlines()
        if " on context_messages" in line and "never executed" not in line
    ]
    assert 1 <= len(read) <= 2, plan
    assert all("Index Scan Backward using" in line for line in read), plan
    counts = [
        int(float(rows)) * int(loops)
        for rows, loops in re.findall(r"rows=([\d.]+) loops=(\d+)", "\n".join(read))
    ]
    assert sum(counts) == 40, plan
    assert "->  Sort" not in plan, plan


def test_a_damaged_session_fails_only_who_loads_it(memory: PostgresMemory) -> None:
    for number in range(16):
        memory.sync.save_context(f"s{number}", said("a", "b"))
    postgres_server().ask(
        "UPDATE context_messages SET body = '{}' WHERE position = 2 AND session ="
        f" '{session_key('s7')}'",
        "contextstore",
    )

    async def work() -> List[Any]:
        calls = [memory.load_context(f"s{number}", 2) for number in range(16)]
        return list(await asyncio.gather(*calls, return_exceptions=True))

    found = asyncio.run(work())
    damaged = found.pop(7)
    assert isinstance(damaged, CorruptDataError)
    assert damaged.session_id == "s7"
    assert [ids(one) for one in found] == [["a", "b"]] * 15


def test_a_load_that_is_cancelled_in_the_queue_ends_at_once(
    proxy: Proxy, memory: PostgresMemory
) -> None:
    memory.sync.save_context("s", said("a"))
    face = behind(proxy)

    async def work() -> None:
        await face.load_context("s", 1)
        proxy.delay = 0.5
        calls = [asyncio.create_task(face.load_context("s", 1)) for _ in range(32)]
        await asyncio.sleep(0.1)
        start = time.monotonic()
        for call in calls[20:]:
            call.cancel()
        outcomes = await asyncio.gather(*calls[20:], return_exceptions=True)
        assert time.monotonic() - start < 0.3
        assert {type(one) for one in outcomes} == {asyncio.CancelledError}
        assert [ids(one) for one in await asyncio.gather(*calls[:20])] == [["a"]] * 20

    asyncio.run(work())
    face.sync.close()


# What others do meanwhile, and values that no column takes.


def test_a_session_that_goes_meanwhile_ends_no_erase_and_no_prune(
    memory: PostgresMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        memory.sync.save_context(f"s{number}", said("a", "b"))
        memory.sync.set_metadata(f"s{number}", {"user": "ann"})
    found = listing.ids

    async def and_deleted(*arguments: Any) -> List[str]:
        names = await found(*arguments)
        await memory.delete_session(names[1])
        return names

    monkeypatch.setattr(listing, "ids", and_deleted)
    assert list(memory.sync.prune(keep_last=1).removed) == ["s0", "s2", "s3"]
    receipt = memory.sync.erase(where={"user": "ann"})
    assert receipt.session_ids == ("s0", "s3")
    for call in (
        lambda: memory.sync.erase(session_id="s1"),
        lambda: memory.sync.prune("s1", keep_last=1),
    ):
        with pytest.raises(SessionNotFoundError):
            call()


@pytest.mark.parametrize("version", [2**63 - 1, 2**63, 10**30])
def test_a_version_beyond_all_numbers_is_only_another(
    memory: PostgresMemory, version: int
) -> None:
    memory.sync.save_context("s", said("a"))
    with pytest.raises(ConflictError):
        memory.sync.append_context("s", said("b"), expected_version=version)
    with pytest.raises(ConflictError):
        memory.sync.append_context(
            "new", said("b"), create=True, expected_version=version
        )


def test_nothing_begins_with_a_prefix_that_no_id_can_have(
    memory: PostgresMemory,
) -> None:
    memory.sync.save_context("a", said("hello"))
    assert memory.sync.list_sessions(prefix="a\0").sessions == []
    assert memory.sync.search_text("hello", prefix="a\0") == []
    assert memory.sync.search_text("hello\0")[0].message_id == "hello"
    assert [one.session_id for one in memory.sync.search_text("hello")] == ["a"]
    first, end = listing.range_of(Filter("a\0"))
    assert first >= end


def test_a_value_that_the_driver_refuses_is_no_sign_of_a_server_that_is_away(
    memory: PostgresMemory,
) -> None:
    with pytest.raises(StorageError) as caught:
        asyncio.run(memory._engine.fetch("SELECT %(text)s::text", {"text": "a\0"}))
    assert not isinstance(caught.value, UnavailableError)


# Setting up.


def test_a_database_that_is_not_in_utf_8_is_refused(tmp_path: Path) -> None:
    for encoding in ("SQL_ASCII", "LATIN1"):
        name = f"other_{encoding.lower()}"
        postgres_server().ask(
            f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C'"
            " TEMPLATE template0"
        )
        memory = PostgresMemory(postgres_server().dsn(name))
        try:
            with pytest.raises(ConfigurationError, match=encoding):
                memory.sync.load_context("s")
        finally:
            memory.sync.close()
            postgres_server().ask(f"DROP DATABASE {name} WITH (FORCE)")


def test_an_address_opens_it(dsn: str) -> None:
    memory = open_memory(dsn, pool_size=2)
    assert isinstance(memory, PostgresMemory)
    memory.sync.save_context("s", said("a"))
    assert ids(memory.sync.load_context("s")) == ["a"]
    memory.sync.close()


def test_what_cannot_be_set_up_is_refused(dsn: str) -> None:
    for options in (
        {"timeout": 0},
        {"pool_size": 0},
        {"partitions": 0},
        {"partitions": True},
        {"expire_after": timedelta(0)},
    ):
        bad: Any = options
        with pytest.raises(ConfigurationError):
            PostgresMemory(dsn, **bad)
    with pytest.raises(ConfigurationError):
        PostgresMemory("no connection string")


def test_errors_name_the_database_and_no_password() -> None:
    memory = PostgresMemory("postgresql://me:secret@127.0.0.1:1/chat", timeout=0.2)
    with pytest.raises(UnavailableError) as caught:
        memory.sync.load_context("s")
    assert "127.0.0.1:1/chat" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert memory.location == "postgresql://127.0.0.1:1/chat"


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://u:sec/cret@h/db",
        "postgresql://u:1/secret@h/db",
        "postgresql://u:1@cret@h/db",
        "postgresql://u:secret@h/db?nonsense=1",
        "host=db password=sec ret",
    ],
)
def test_what_libpq_cannot_read_is_shown_to_nobody(dsn: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        PostgresMemory(dsn)
    shown = carried_by(caught.value)
    assert "cret" not in shown
    assert "nonsense" not in shown


def test_no_error_is_its_own_cause(memory: PostgresMemory) -> None:
    with pytest.raises(SessionNotFoundError) as caught:
        memory.sync.delete_session("nobody")
    assert caught.value.__cause__ is None


def test_a_location_names_every_host() -> None:
    memory = PostgresMemory("postgresql://me:secret@[::1]:5432,h2:1,/tmp:2/chat")
    assert memory.location == "postgresql://[::1]:5432,h2:1,/tmp:2/chat"


def test_tables_of_a_newer_version_are_refused(
    memory: PostgresMemory, dsn: str
) -> None:
    memory.sync.save_context("s", said("a"))
    ask("UPDATE context_schema SET version = version + 1")
    try:
        with pytest.raises(SchemaVersionError):
            PostgresMemory(dsn).sync.load_context("s")
    finally:
        ask("UPDATE context_schema SET version = version - 1")


def test_a_backup_is_made_by_other_tools(memory: PostgresMemory) -> None:
    with pytest.raises(UnsupportedOperationError, match="pg_dump"):
        memory.sync.backup("anywhere")


def test_an_id_factory_that_repeats_itself_is_refused(dsn: str) -> None:
    memory = PostgresMemory(dsn, id_factory=lambda: "same", clock=lambda: "now").sync
    memory.save_context("s", [{"content": "a"}])
    with pytest.raises(ConflictError):
        memory.append_context("s", [{"content": "a"}])
    memory.close()


@pytest.mark.filterwarnings("error")
def test_an_object_that_is_dropped_before_its_loop_is_closed_leaves_nothing(
    dsn: str,
) -> None:
    for _ in range(3):
        loop = asyncio.new_event_loop()
        memory = PostgresMemory(dsn, partitions=4)
        loop.run_until_complete(memory.append_context("s", said("a"), create=True))
        del memory
        gc.collect()
        # Nothing runs in it between the drop and this, as at the end of asyncio.run.
        loop.close()
    gc.collect()
    assert len([one for one in connections._guards if one.is_closed()]) <= 1
