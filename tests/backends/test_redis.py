"""What RedisMemory promises beyond the conformance suite."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import threading
import time
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple, Type

import pytest
import redis

from contextstore import (
    BusyError,
    ClosedError,
    ConflictError,
    CorruptDataError,
    RedisMemory,
    UnavailableError,
    UnsupportedOperationError,
)
from contextstore.backends.redis import index, link, listing, reading, scanning
from contextstore.backends.redis.layout import Keys
from contextstore.backends.redis.link import Answer, Link
from contextstore.backends.redis.scripts import CHANGE, DELETE
from contextstore.backends.redis.servers import Servers
from contextstore.testing.memory_suite import bare, message, numbered
from tests.servers.proxy import Proxy
from tests.servers.shared_valkey import cluster, valkey
from tests.servers.valkey import namespace


@pytest.fixture
def name(tmp_path: Path) -> str:
    return namespace(tmp_path)


@pytest.fixture
def memory(name: str) -> Iterator[RedisMemory]:
    memory = RedisMemory(valkey().url, namespace=name)
    yield memory
    memory.sync.close()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    proxy = Proxy(valkey().port)
    yield proxy
    proxy.close()


def behind(proxy: Proxy, name: str, **options: Any) -> RedisMemory:
    return RedisMemory(f"redis://127.0.0.1:{proxy.port}", namespace=name, **options)


def ask(*command: Any) -> Any:
    return valkey().ask(*command)


@pytest.mark.parametrize("is_async", [False, True])
def test_an_append_and_a_load_are_one_round_trip_each(
    proxy: Proxy, name: str, is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The index hears of changes once a second, whoever writes at the time.
    monkeypatch.setattr(index, "_LONGEST", 3600.0)
    memory = behind(proxy, name)
    memory.sync.save_context("s", numbered(0, 400))
    memory.sync.append_context("s", [bare("warm")])
    memory.sync.load_context("s", 1)
    # It waits for what the index is still being told of the new session.
    memory.sync.list_sessions()
    # One thread a lane has its connection from then on.
    if is_async:
        asyncio.run(_appended_and_loaded(memory))
    before = proxy.round_trips
    if is_async:
        asyncio.run(_appended_and_loaded(memory))
    else:
        memory.sync.append_context("s", [bare("one"), bare("two")])
        memory.sync.load_context("s", 20)
    assert proxy.round_trips - before == 2
    memory.sync.close()


async def _appended_and_loaded(memory: RedisMemory) -> None:
    await memory.append_context("s", [bare("one"), bare("two")])
    assert len(await memory.load_context("s", 20)) == 20


def test_the_first_appends_of_an_object_are_stored_in_the_order_of_the_calls(
    memory: RedisMemory, name: str
) -> None:
    memory.sync.save_context("s", [])
    ask("SCRIPT", "FLUSH")
    fresh = RedisMemory(valkey().url, namespace=name)

    async def work() -> None:
        calls = [fresh.append_context("s", [message(n)]) for n in range(30)]
        await asyncio.gather(*calls)

    asyncio.run(work())
    fresh.sync.close()
    assert memory.sync.load_context("s") == numbered(0, 29)


@pytest.mark.parametrize("k", [1, 20, None])
def test_a_load_that_another_client_comes_between_is_made_again(
    memory: RedisMemory, monkeypatch: pytest.MonkeyPatch, k: Any
) -> None:
    memory.sync.save_context("s", numbered(0, 30))
    glance = Link.glance

    def overtaken_by(change: Callable[[], Any]) -> Any:
        async def overtaken(link: Link, key: bytes, commands: Any) -> Any:
            monkeypatch.setattr(Link, "glance", glance)
            head = await link.glance(key, commands[:1])
            change()
            newest = await link.glance(key, commands[1:])
            assert head is not None
            assert newest is not None
            return [*head, *newest]

        return overtaken

    face = memory.sync
    last = message(31)
    steps: List[Tuple[Callable[[], Any], List[Any]]] = [
        (lambda: face.append_context("s", [last]), numbered(0, 31)),
        (lambda: face.delete_interaction("s", last["id"]), numbered(0, 30)),
        (lambda: face.delete_session("s"), []),
        (lambda: face.save_context("s", numbered(0, 5)), numbered(0, 5)),
    ]
    for change, after in steps:
        monkeypatch.setattr(Link, "glance", overtaken_by(change))
        assert face.load_context("s", k) == (after if k is None else after[-k:])


CHANGES_AND_ROUND_TRIPS: List[Tuple[Callable[[Any], Any], int]] = [
    (lambda face: face.append_context("new", [message(1)], create=True), 3),
    (lambda face: face.save_context("new", numbered(1, 2)), 3),
    (lambda face: face.save_context("s", numbered(1, 4)), 2),
    (lambda face: face.save_context("s", numbered(1, 3)), 1),
    (lambda face: face.update_interaction("s", "m2", {"content": "other"}), 2),
    (lambda face: face.delete_interaction("s", "m3"), 2),
    (lambda face: face.set_metadata("s", {"a": 1}), 3),
    (lambda face: face.prune("s", keep_last=1), 2),
    (lambda face: face.prune("s", older_than=-timedelta(hours=1)), 3),
    (lambda face: face.fork_session("s", "t"), 5),
    (lambda face: face.save_summaries("s", {"a": "b"}), 1),
    (lambda face: face.delete_session("s"), 3),
    (lambda face: face.erase(session_id="s"), 3),
]


@pytest.mark.parametrize(("change", "count"), CHANGES_AND_ROUND_TRIPS)
def test_a_change_takes_as_many_round_trips_as_is_said(
    change: Callable[[Any], Any],
    count: int,
    proxy: Proxy,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Past the proxy, as nobody hears when the last of it is done.
    with RedisMemory(valkey().url, namespace=f"{name}-warm").sync as warm:
        warm.save_context("s", numbered(1, 3))
        change(warm)
    memory = behind(proxy, name)
    memory.sync.save_context("s", numbered(1, 3))
    memory.sync.list_sessions()
    # What the index is told later nobody waits for.
    monkeypatch.setattr(index.Index, "touch", lambda *_, **__: None)
    before = proxy.round_trips
    change(memory.sync)
    assert proxy.round_trips - before == count
    memory.sync.close()


def test_callers_at_once_share_round_trips(proxy: Proxy, name: str) -> None:
    memory = behind(proxy, name)
    memory.sync.save_context("s", [])
    before = proxy.round_trips

    async def run() -> None:
        proxy.delay = 0.02
        writes = (memory.append_context("s", [bare("x")]) for _ in range(64))
        await asyncio.gather(*writes)

    asyncio.run(run())
    assert proxy.round_trips - before < 16
    assert len(memory.sync.load_context("s")) == 64
    memory.sync.close()


CHANGES: List[Callable[[Any], Any]] = [
    lambda memory: memory.append_context("s", [message(7), bare("new")]),
    lambda memory: memory.append_context("t", [message(7)], create=True),
    lambda memory: memory.save_context("s", [message(1), message(8)]),
    lambda memory: memory.save_context("u", [bare("made")]),
    lambda memory: memory.update_interaction("s", "m1", {"content": "other"}),
    lambda memory: memory.delete_interaction("s", "m2"),
    lambda memory: memory.set_metadata("s", {"a": 1}),
    lambda memory: memory.fork_session("s", "f"),
    lambda memory: memory.prune("s", keep_last=1),
    lambda memory: memory.save_summaries("s", {"a": "b"}),
    lambda memory: memory.delete_session("s"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_made_once_whatever_is_cut(
    change: Callable[[Any], Any], name: str, proxy: Proxy
) -> None:
    """The server has done it, and the answer is lost."""
    expected: Any = None
    for is_cut in (False, True):
        memory = behind(proxy, f"{name}-{is_cut}")
        memory.sync.save_context("s", numbered(1, 3))
        # The scripts have to be known: an answer that they are not is no answer.
        warm = behind(proxy, f"{name}-warm-{is_cut}")
        warm.sync.save_context("s", numbered(1, 3))
        change(warm.sync)
        proxy.cut_answer_to(b"EVALSHA" if is_cut else b"nothing")
        result = change(memory.sync)
        listed = sorted(
            (one.session_id, memory.sync.load_context(one.session_id), one.metadata)
            for one in memory.sync.list_sessions().sessions
        )
        assert memory.sync.verify().ok
        seen = (_without_stamps(listed), result is None)
        assert seen == (expected or seen)
        expected = seen
        memory.sync.close()
        warm.sync.close()


def _without_stamps(listed: Any) -> Any:
    return [
        (name, [one.get("content") for one in context], metadata)
        for name, context, metadata in listed
    ]


@pytest.mark.parametrize("damage", ["body", "position", "short", "missing", "head"])
def test_damage_is_never_a_short_list(
    memory: RedisMemory, name: str, damage: str
) -> None:
    memory.sync.save_context("s", numbered(1, 3))
    keys = Keys.of(name, "s")
    element = bytes(ask("LINDEX", keys.messages, 1))
    if damage == "body":
        ask("LSET", keys.messages, 1, element.replace(b"text", b"texT"))
    elif damage == "position":
        ask("LSET", keys.messages, 1, bytes([element[0] ^ 1]) + element[1:])
    elif damage == "short":
        ask("LSET", keys.messages, 1, b"x")
    elif damage == "missing":
        ask("RPOP", keys.messages)
    else:
        ask("DEL", keys.head)
    for attempt in (
        lambda: memory.sync.load_context("s"),
        lambda: memory.sync.load_context("s", 2),
        lambda: memory.sync.save_context("s", [message(9)]),
        lambda: memory.sync.fork_session("s", "t"),
    ):
        with pytest.raises(CorruptDataError) as caught:
            attempt()
        assert caught.value.session_id == "s"
    report = memory.sync.verify(repair=True)
    assert not report.ok
    assert {one.session_id for one in report.problems} == {"s"}
    memory.sync.delete_session("s")
    assert memory.sync.verify().ok


def test_what_is_derived_is_mended(memory: RedisMemory, name: str) -> None:
    system = {**message(0), "role": "system"}
    context = [system, *numbered(1, 4)]
    memory.sync.save_context("s", context)
    keys = Keys.of(name, "s")
    ask("HDEL", keys.ids, *ask("HKEYS", keys.ids)[:2])
    ask("HSET", keys.ids, "stray", 2)
    ask("HSET", keys.head, "p", "")
    assert not memory.sync.verify().ok
    report = memory.sync.verify(repair=True)
    assert report.ok
    assert [one.kind for one in report.problems] == ["session"]
    assert memory.sync.verify().problems == ()
    assert memory.sync.load_context("s") == context
    assert memory.sync.load_pinned("s") == [system]
    memory.sync.append_context("s", numbered(1, 5))
    assert memory.sync.load_context("s") == [*context, message(5)]


def test_the_index_is_repaired_and_not_trusted(memory: RedisMemory, name: str) -> None:
    for number in range(5):
        memory.sync.save_context(f"s{number}", [message(number)])
    memory.sync.list_sessions()
    buckets = ask("KEYS", f"{name}:index:*")
    ask("DEL", *buckets)
    assert memory.sync.list_sessions().sessions == []
    assert memory.sync.prune(keep_last=0, dry_run=True).message_count == 5
    report = memory.sync.verify(repair=True)
    assert [one.kind for one in report.problems] == ["index"] * 5
    assert len(memory.sync.list_sessions().sessions) == 5
    keys = Keys.of(name, "s1")
    ask("DEL", *keys)
    listed = memory.sync.list_sessions()
    assert sorted(one.session_id for one in listed.sessions) == ["s0", "s2", "s3", "s4"]


def test_the_last_change_reaches_the_index_though_none_follows(
    memory: RedisMemory, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_LONGEST", 0.2)
    for one in ("s", "t"):
        memory.sync.save_context(one, [message(1)])
    memory.sync.list_sessions()
    memory.sync.append_context("s", [message(2)])
    with RedisMemory(valkey().url, namespace=name).sync as other:
        until = time.monotonic() + 10.0
        while other.list_sessions(limit=1).sessions[0].session_id != "s":
            assert time.monotonic() < until
            time.sleep(0.02)


def in_one_bucket(name: str, count: int) -> List[str]:
    """Return ids of sessions that one set of the index has."""
    buckets = index.Index(Link.__new__(Link), name)
    ids = (f"s{number}" for number in range(10**6))
    first = buckets.bucket_of("s0")
    return list(islice((one for one in ids if buckets.bucket_of(one) == first), count))


def test_a_list_leaves_out_no_session_where_others_expire(name: str) -> None:
    """Those that are gone are taken out of the index while it is read."""
    ids = in_one_bucket(name, 150)
    memory = RedisMemory(valkey().url, namespace=name).sync
    for one in ids[70:]:
        memory.save_context(one, [message(1)])
    with RedisMemory(
        valkey().url, namespace=name, ttl=timedelta(milliseconds=1)
    ).sync as mortal:
        for one in ids[:70]:
            mortal.save_context(one, [message(1)])
        # The index is told of each without anybody waiting for it.
        (bucket,) = ask("KEYS", f"{name}:index:*")
        while ask("ZCOUNT", bucket, 0, 0):
            time.sleep(0.01)
    listed: List[str] = []
    cursor = None
    while cursor is not None or not listed:
        page = memory.list_sessions(limit=20, prefix="s", cursor=cursor)
        listed += [one.session_id for one in page.sessions]
        cursor = page.cursor
    assert sorted(listed) == sorted(ids[70:])
    memory.close()


def test_a_list_goes_on_amid_sessions_of_one_time(memory: RedisMemory) -> None:
    """An index that was mended has all sessions at one time, the oldest there is."""
    name = memory._room.namespace
    # Neither the order of the alphabet nor that of how they are written down.
    ids = [f"{prefix}{one}" for one in range(150) for prefix in ("Ä", "a", "B", "")]
    for one in ids:
        memory.sync.save_context(one, [message(1)])
    ask("DEL", *ask("KEYS", f"{name}:index:*"))
    memory.sync.verify(repair=True)
    listed: List[str] = []
    cursor = None
    while True:
        page = memory.sync.list_sessions(limit=70, cursor=cursor)
        listed += [one.session_id for one in page.sessions]
        cursor = page.cursor
        if cursor is None:
            break
        # What is gone is no place to lose oneself at.
        memory.sync.delete_session(listed[-1])
    assert sorted(listed) == sorted(ids)


def test_a_session_made_anew_meanwhile_is_listed_once(
    memory: RedisMemory, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = in_one_bucket(name, 150)
    for one in ids:
        memory.sync.save_context(one, [message(1)])
    memory.sync.set_metadata(ids[-1], {"kept": True})
    (bucket,) = ask("KEYS", f"{name}:index:*")
    described = reading.infos

    async def infos(room: Any, session_ids: Any) -> Any:
        # It is in the index at once, and its time told later.
        ask("ZADD", bucket, 0, ids[-1])
        return await described(room, session_ids)

    monkeypatch.setattr(listing, "infos", infos)
    listed = memory.sync.list_sessions(limit=10, metadata={"kept": True}).sessions
    assert [one.session_id for one in listed] == [ids[-1]]


def test_an_expired_session_is_gone(name: str) -> None:
    with RedisMemory(
        valkey().url, namespace=name, ttl=timedelta(milliseconds=400)
    ).sync as memory:
        memory.save_context("s", [message(1)])
        memory.save_context("t", [message(1)])
        time.sleep(0.25)
        memory.append_context("s", [message(2)])
        memory.save_summaries("s", {"a": "b"})
        time.sleep(0.25)
        assert memory.load_context("s") == numbered(1, 2)
        assert memory.load_context("t") == []
        time.sleep(0.4)
        assert memory.load_context("s") == []
        assert memory.list_sessions().sessions == []
        memory.save_context("s", [message(3)])
        assert memory.verify().problems == ()
    assert ask("KEYS", f"{{{name}:t}}*") == []


def test_a_writer_without_ttl_leaves_the_time_as_it_is(
    memory: RedisMemory, name: str
) -> None:
    brief = RedisMemory(valkey().url, namespace=name, ttl=timedelta(seconds=60))
    for session_id in ("appended", "saved", "replaced"):
        brief.sync.save_context(session_id, [])
    brief.sync.append_context("replaced", [message(9)])
    brief.sync.close()
    memory.sync.append_context("appended", [message(1)])
    memory.sync.append_context("appended", [message(2)])
    memory.sync.save_context("saved", [message(1)])
    memory.sync.save_context("replaced", [message(1)])
    memory.sync.save_context("new", [message(1)])
    for session_id in ("appended", "saved", "replaced"):
        times = [ask("PTTL", key) for key in Keys.of(name, session_id)]
        assert min(times) > 50_000
        assert max(times) - min(times) < 1000
    assert [ask("PTTL", key) for key in Keys.of(name, "new")] == [-1] * 3


WRITES_TO_ALL_KEYS: List[Callable[[Any], Any]] = [
    lambda memory: memory.append_context("s", [message(2)]),
    lambda memory: memory.append_context("s", [message(4)], create=True),
    lambda memory: memory.save_context("s", numbered(1, 4)),
    lambda memory: memory.delete_interaction("s", "m3"),
    lambda memory: memory.set_metadata("s", {"a": 1}),
    lambda memory: memory.load_page("s", before="m3"),
]


@pytest.mark.parametrize("lost", ["mi", "hi", "hm", "i", "m"])
def test_a_session_that_lost_keys_takes_no_write(
    memory: RedisMemory, name: str, lost: str
) -> None:
    """A server that evicts may take any of them."""
    memory.sync.save_context("s", numbered(1, 3))
    kept = {key: ask("DUMP", key) for key in Keys.of(name, "s")}
    for key in kept:
        if key.decode()[-1] in lost:
            ask("DEL", key)
    left = {key: ask("DUMP", key) for key in kept}
    for write in WRITES_TO_ALL_KEYS:
        if lost in ("hi", "hm") and write is WRITES_TO_ALL_KEYS[4]:
            continue
        with pytest.raises(CorruptDataError):
            write(memory.sync)
    assert {key: ask("DUMP", key) for key in kept} == left
    assert not memory.sync.verify().ok
    memory.sync.delete_session("s")
    assert memory.sync.verify().ok


def test_lost_ids_are_made_from_the_messages(memory: RedisMemory, name: str) -> None:
    memory.sync.save_context("s", numbered(1, 3))
    ask("DEL", Keys.of(name, "s").ids)
    assert memory.sync.verify(repair=True).ok
    memory.sync.append_context("s", numbered(1, 4))
    assert memory.sync.load_context("s") == numbered(1, 4)


@pytest.mark.parametrize("option", ["decode_responses=true", "protocol=3"])
def test_no_option_of_an_address_changes_what_is_read(name: str, option: str) -> None:
    memory = RedisMemory(f"{valkey().url}?{option}", namespace=name, deadline=2.0)
    memory.sync.append_context("s", [message(1)], create=True)
    assert memory.sync.load_context("s") == [message(1)]
    assert memory.sync.session_info("s").message_count == 1
    assert memory.sync.verify().ok
    memory.sync.close()


@pytest.mark.parametrize(
    ("said", "error"), [(b"missing", BusyError), (b"what", UnavailableError)]
)
def test_an_append_ends_whatever_is_answered(
    name: str, said: bytes, error: Type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(*_: Any) -> Answer:
        return Answer(said, doubt=False)

    monkeypatch.setattr(Link, "ask", answer)
    memory = RedisMemory(valkey().url, namespace=name, deadline=0.1)
    with pytest.raises(error):
        memory.sync.append_context("s", [message(1)], create=True)
    memory.sync.close()


def test_an_object_that_is_dropped_closes_itself(name: str) -> None:
    def clients() -> int:
        return bytes(ask("CLIENT", "LIST")).count(name.encode())

    url = f"{valkey().url}?client_name={name}"
    memory = RedisMemory(url, namespace=name)
    memory.sync.save_context("s", [message(1)])
    asyncio.run(_loaded(memory))
    threads = threading.active_count()
    assert clients() > 0
    del memory
    gc.collect()
    deadline = time.monotonic() + 5
    while clients() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert clients() == 0
    assert threading.active_count() < threads


async def _loaded(memory: RedisMemory) -> List[Dict[str, Any]]:
    return await memory.load_context("s")


def test_a_closed_object_says_so(name: str) -> None:
    memory = RedisMemory(valkey().url, namespace=name)
    memory.sync.save_context("s", [message(1)])
    memory.sync.close()
    for attempt in (
        lambda: memory.sync.load_context("s"),
        lambda: memory.sync.append_context("s", [message(2)]),
        lambda: memory.sync.list_sessions(),
        lambda: memory.sync.verify(),
        lambda: asyncio.run(_loaded(memory)),
    ):
        with pytest.raises(ClosedError) as caught:
            attempt()
        assert caught.value.__cause__ is None
    memory.sync.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_has_connections_of_its_own(memory: RedisMemory) -> None:
    memory.sync.save_context("s", [message(0)])
    asyncio.run(_loaded(memory))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            for number in range(1, 50):
                memory.sync.append_context("s", [message(number)])
            asyncio.run(_loaded(memory))
            status = 0
        finally:
            os._exit(status)
    for number in range(100, 150):
        memory.sync.append_context("s", [message(number)])
    _, status = os.waitpid(child, 0)
    assert status == 0
    assert len(memory.sync.load_context("s")) == 100


def test_a_cancelled_call_leaves_nothing_behind(name: str, proxy: Proxy) -> None:
    memory = behind(proxy, name)
    memory.sync.save_context("s", [])

    async def run() -> None:
        proxy.delay = 0.03
        tasks = [
            asyncio.ensure_future(memory.append_context("s", [message(number)]))
            for number in range(40)
        ]
        await asyncio.sleep(0.01)
        for task in tasks[::2]:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        proxy.delay = 0.0
        stored = {one["id"] for one in await memory.load_context("s")}
        for number, outcome in enumerate(outcomes):
            if not isinstance(outcome, asyncio.CancelledError):
                assert f"m{number}" in stored
        # Who was cancelled learns what came of it by asking once more.
        for number in range(40):
            await memory.append_context("s", [message(number)])
        assert len(await memory.load_context("s")) == 40

    asyncio.run(run())
    memory.sync.close()


def test_no_clock_of_a_client_decides_an_order(name: str) -> None:
    """Positions are given out by the server, one after the other, whatever the time."""
    early = RedisMemory(valkey().url, namespace=name, clock=lambda: "1970-01-01")
    late = RedisMemory(valkey().url, namespace=name, clock=lambda: "2999-01-01")
    late.sync.save_context("s", [bare("0")])
    for number in range(1, 10):
        (early if number % 2 else late).sync.append_context("s", [bare(str(number))])
    loaded = late.sync.load_context("s")
    assert [one["content"] for one in loaded] == [str(n) for n in range(10)]
    early.sync.close()
    late.sync.close()


def test_large_sessions_and_large_messages(memory: RedisMemory) -> None:
    many = [{"id": f"i{n}", "timestamp": "", "n": n} for n in range(20_000)]
    memory.sync.append_context("s", many, create=True)
    memory.sync.append_context("s", many[:3000])
    large = {"id": "large", "timestamp": "", "content": "säge" * 1_000_000}
    memory.sync.append_context("s", [large])
    assert memory.sync.load_context("s", 1) == [large]
    assert memory.sync.load_context("s") == [*many, large]
    other = [{**one, "n": "other"} for one in many[:1000]]
    with pytest.raises(ConflictError):
        memory.sync.append_context("s", [*many[1000:2000], *other])
    reordered = [dict(reversed(list(one.items()))) for one in many[:1000]]
    memory.sync.append_context("s", [*reordered, {"id": "more"}])
    assert memory.sync.session_info("s").message_count == 20_002
    memory.sync.delete_interaction("s", "i10")
    assert memory.sync.load_context("s") == many[:10]
    assert memory.sync.verify().ok


def test_scripts_that_the_server_forgot_are_sent_again(memory: RedisMemory) -> None:
    memory.sync.save_context("s", [message(1)])
    ask("SCRIPT", "FLUSH")
    memory.sync.append_context("s", [message(2)])
    ask("SCRIPT", "FLUSH")
    assert memory.sync.load_context("s") == numbered(1, 2)


def test_a_full_server_is_an_error_and_loses_nothing(memory: RedisMemory) -> None:
    memory.sync.save_context("s", [message(1)])
    ask("CONFIG", "SET", "maxmemory", "1mb")
    try:
        with pytest.raises(UnavailableError) as caught:
            memory.sync.append_context("s", [{**message(2), "content": "secret"}])
        assert "secret" not in str(caught.value)
        assert memory.sync.load_context("s") == [message(1)]
    finally:
        ask("CONFIG", "SET", "maxmemory", "0")
    memory.sync.append_context("s", [message(2)])


def test_a_key_of_another_kind_is_damage(memory: RedisMemory, name: str) -> None:
    ask("SET", Keys.of(name, "s").head, "mine")
    with pytest.raises(CorruptDataError):
        memory.sync.load_context("s")
    memory.sync.delete_session("s")
    assert memory.sync.load_context("s") == []


def test_a_slow_network_only_takes_time(name: str, proxy: Proxy) -> None:
    memory = behind(proxy, name)
    proxy.delay = 0.05
    memory.sync.save_context("s", [message(1)])
    memory.sync.append_context("s", [message(2)])
    assert memory.sync.load_context("s") == numbered(1, 2)
    memory.sync.close()


@pytest.mark.parametrize("hosts", ["a,b", "b,a"])
def test_a_host_that_refuses_does_not_keep_from_waiting_for_another(
    hosts: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = RedisMemory(f"redis+cluster://{hosts}", namespace=name)
    waited: List[float] = []

    def ask_host(_: Any, host: Any, *__: Any) -> Any:
        if host[0] == "a":
            raise redis.AuthenticationError("WRONGPASS")
        if not waited:
            raise redis.ConnectionError
        return [[0, 16383, [b"127.0.0.1", valkey().port]]]

    async def wait(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(Servers, "_ask", ask_host)
    monkeypatch.setattr(link, "sleep", wait)
    assert memory.sync.load_context("s") == []
    memory.sync.close()


def test_a_server_that_was_away_is_waited_for(name: str, proxy: Proxy) -> None:
    memory = behind(proxy, name)
    memory.sync.save_context("s", [message(1)])
    proxy.go_down()
    threading.Timer(0.4, proxy.come_back).start()
    memory.sync.append_context("s", [message(2)])
    assert memory.sync.load_context("s") == numbered(1, 2)
    memory.sync.close()


READS: List[Callable[[Any], Any]] = [
    lambda memory: memory.load_context("s"),
    lambda memory: memory.session_info("s"),
    lambda memory: memory.list_sessions(),
    lambda memory: memory.search_text("text"),
    lambda memory: memory.verify(),
]
WRITES: List[Callable[[Any], Any]] = [
    lambda memory: memory.append_context("s", [message(2)]),
    lambda memory: memory.save_summaries("s", {"a": "b"}),
]


@pytest.mark.parametrize("call", [*READS, *WRITES])
def test_only_a_write_says_that_something_may_have_been_stored(
    call: Callable[[Any], Any], name: str, proxy: Proxy
) -> None:
    memory = behind(proxy, name, deadline=0.2)
    memory.sync.save_context("s", [message(1)])
    proxy.go_down()
    with pytest.raises(UnavailableError, match="could not be reached") as caught:
        call(memory.sync)
    assert ("may have been stored" in str(caught.value)) == (call in WRITES)
    assert ("stored" in str(caught.value)) == (call in WRITES)
    memory.sync.close()


def test_a_full_server_says_what_became_of_a_change(
    name: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = behind(proxy, name)
    memory.sync.save_context("s", [message(1)])
    errors: List[Exception] = [redis.OutOfMemoryError()]

    async def fail(*_: Any) -> None:
        raise errors.pop()

    monkeypatch.setattr(memory._room.link, "_try", fail)
    with pytest.raises(UnavailableError, match="nothing was stored"):
        memory.sync.append_context("s", [message(2)])
    errors += [redis.OutOfMemoryError(), redis.ConnectionError()]
    with pytest.raises(UnavailableError, match=r"full.*may have been stored"):
        memory.sync.append_context("s", [message(2)])


def test_a_deletion_that_leaves_its_id_in_the_index_says_that_it_was_done(
    memory: RedisMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.sync.save_context("s", numbered(1, 3))

    async def fail(*_: Any) -> None:
        raise UnavailableError("away")

    with monkeypatch.context() as patch:
        patch.setattr(memory._room.link, "ask_all", fail)
        with pytest.raises(UnavailableError, match="'s' was deleted") as caught:
            memory.sync.erase(session_id="s")
    assert caught.value.session_id == "s"
    assert memory.sync.load_context("s") == []
    assert memory.sync.list_sessions().sessions == []


def test_a_backup_is_made_by_other_tools(memory: RedisMemory, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedOperationError):
        memory.sync.backup(tmp_path / "copy")


def test_an_erased_session_leaves_no_key(memory: RedisMemory, name: str) -> None:
    memory.sync.save_context("secret", numbered(1, 3))
    memory.sync.list_sessions()
    assert not memory.sync.erase(session_id="secret").purged
    assert [key for key in ask("KEYS", f"*{name}*") if b"secret" in key] == []
    for bucket in ask("KEYS", f"{name}:index:*"):
        assert ask("ZSCORE", bucket, "secret") is None


def test_an_erasure_goes_on_where_another_deletes_the_same(
    memory: RedisMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for session_id in ("a", "b", "c"):
        memory.sync.save_context(session_id, [message(1)])
        memory.sync.set_metadata(session_id, {"user": "x"})
    listed = scanning.session_ids

    async def found_and_deleted(*arguments: Any) -> List[str]:
        ids = await listed(*arguments)
        await memory.delete_session("b")
        return ids

    monkeypatch.setattr(scanning, "session_ids", found_and_deleted)
    receipt = memory.sync.erase(where={"user": "x"})
    assert (receipt.session_ids, receipt.message_count) == (("a", "c"), 2)
    assert memory.sync.load_context("c") == []


def test_a_session_made_anew_between_a_look_and_the_deletion_is_deleted(
    memory: RedisMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if it had been made before the call: no answer was lost."""
    memory.sync.save_context("s", numbered(1, 3))
    look_at = "contextstore.backends.redis.writing.look_at"
    look = reading.look_at

    async def looked_and_made_anew(*arguments: Any) -> Any:
        seen = await look(*arguments)
        monkeypatch.setattr(look_at, look)
        await memory.delete_session("s")
        await memory.append_context("s", [message(1)], create=True)
        return seen

    monkeypatch.setattr(look_at, looked_and_made_anew)
    assert memory.sync.erase(session_id="s").message_count == 1
    assert memory.sync.load_context("s") == []


def test_a_deletion_that_spares_a_session_writes_what_can_be_waited_for(
    memory: RedisMemory, name: str
) -> None:
    memory.sync.save_context("s", numbered(1, 3))
    keys = Keys.of(name, "s")
    kept = [ask("DUMP", key) for key in keys]
    for is_confirmed in (False, True):
        before = changes_counted()
        flag = "1" if is_confirmed else ""
        said = ask("EVAL", DELETE.source, len(keys), *keys, flag, "another")
        assert said == b"other"
        assert changes_counted() == before + is_confirmed
    assert [ask("DUMP", key) for key in keys] == kept


def changes_counted() -> int:
    found = re.search(r"changes_since_last_save:(\d+)", valkey().info("persistence"))
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize(("server", "count"), [(valkey, 1), (cluster, 3)])
def test_each_server_is_asked_for_its_time_once_a_call(
    server: Callable[[], Any], count: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = RedisMemory(server().url, namespace=name)
    for number in range(20):
        memory.sync.save_context(f"s{number}", numbered(1, 3))
    asked: List[Any] = []
    ask_of = Link.ask

    async def noted(link: Link, request: Any, until: Any = None) -> Answer:
        if request.command == ("TIME",):
            asked.append(request)
        return await ask_of(link, request, until)

    monkeypatch.setattr(Link, "ask", noted)
    assert memory.sync.prune(older_than=timedelta(hours=1)).removed == {}
    assert len(asked) == count
    assert len(memory.sync.prune(older_than=-timedelta(hours=1)).removed) == 20
    assert len(asked) == 2 * count
    memory.sync.prune("s1", older_than=timedelta(hours=1))
    assert len(asked) == 2 * count + 1
    memory.sync.prune(keep_last=1)
    assert len(asked) == 2 * count + 1
    memory.sync.close()


def test_searches_ignore_accents_and_capitals(memory: RedisMemory) -> None:
    memory.sync.save_context("s", [{"id": "a", "content": "Café ÉTUDE"}])
    assert len(memory.sync.search_text("cafe étude")) == 1


def test_a_change_whose_answer_was_lost_undoes_none_that_came_since(
    memory: RedisMemory, proxy: Proxy, name: str
) -> None:
    cut_off = behind(proxy, name)
    cut_off.sync.save_context("s", numbered(1, 3))
    cut_off.sync.set_metadata("s", {"warm": True})
    send = cut_off._room.link._try

    async def overtaken(request: Any, attempt: Any) -> Any:
        try:
            return await send(request, attempt)
        except Exception:
            # The first attempt was carried out; another client sees it, and goes on.
            assert memory.sync.session_info("s").metadata == {"mine": 1}
            memory.sync.set_metadata("s", {"theirs": 2})
            raise

    cut_off._room.link._try = overtaken  # type: ignore[method-assign]
    proxy.cut_answer_to(CHANGE.sha1.encode())
    with pytest.raises(UnavailableError, match="an answer was lost"):
        cut_off.sync.set_metadata("s", {"mine": 1})
    assert memory.sync.session_info("s").metadata == {"theirs": 2}
    cut_off.sync.close()


def test_what_goes_over_all_keys_is_asked_again_where_a_connection_broke(
    proxy: Proxy, name: str
) -> None:
    memory = behind(proxy, name)
    memory.sync.save_context("s", numbered(1, 3))
    for call in (
        lambda: memory.sync.search_text("message"),
        lambda: memory.sync.prune(keep_last=50),
        memory.sync.verify,
    ):
        memory.sync.load_context("s")
        proxy.go_down()
        proxy.come_back()
        call()
    memory.sync.close()
