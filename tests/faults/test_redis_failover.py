"""Servers of Valkey die, freeze and come back under load."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Callable, Iterator, List, NamedTuple

import pytest

from contextstore import RedisMemory, UnavailableError
from contextstore.backends.redis.layout import Keys
from contextstore.errors import ConfigurationError
from contextstore.testing.memory_suite import message, numbered
from tests.servers.failover import Outcome, judged
from tests.servers.shared_valkey import cluster, started, with_sentinel
from tests.servers.valkey import Cluster, Valkey, is_synced, namespace, until


@pytest.fixture
def nodes() -> Iterator[Cluster]:
    yield cluster()
    cluster().repair()


def is_unharmed(outcome: Outcome) -> None:
    assert (outcome.lost, outcome.doubled, outcome.errors) == (0, 0, [])
    assert outcome.pause < 10.0
    assert outcome.before > 0
    assert outcome.after > 0


def test_a_master_of_a_cluster_is_killed_under_32_writers(
    nodes: Cluster, tmp_path: Path
) -> None:
    name = namespace(tmp_path)
    memory = RedisMemory(nodes.url, namespace=name, replicas=1, if_fewer="accept")
    victim = nodes.master_of(Keys.of(name, "w0").head)
    is_unharmed(asyncio.run(judged(memory, victim.kill, 32)))


def test_who_insists_on_a_replica_goes_on_when_there_is_one(
    nodes: Cluster, tmp_path: Path
) -> None:
    name = namespace(tmp_path)
    memory = RedisMemory(nodes.url, namespace=name, replicas=1)
    victim = nodes.master_of(Keys.of(name, "w0").head)

    def replaced() -> None:
        victim.kill()
        # No sooner: a master that came back empty would be copied by its replica.
        until(lambda: victim not in nodes.masters(), "another took its place")
        victim.start()

    is_unharmed(asyncio.run(judged(memory, replaced, 8)))


def test_a_master_that_freezes_is_left(nodes: Cluster, tmp_path: Path) -> None:
    name = namespace(tmp_path)
    memory = RedisMemory(
        nodes.url, namespace=name, replicas=1, if_fewer="accept", timeout=1.5
    )
    victim = nodes.master_of(Keys.of(name, "w0").head)
    try:
        is_unharmed(asyncio.run(judged(memory, victim.freeze, 8)))
    finally:
        victim.thaw()


def test_sentinels_name_another_master(tmp_path: Path) -> None:
    url, master, replica = with_sentinel()
    try:
        memory = RedisMemory(url, replicas=0)
        memory.sync.save_context("kept", numbered(1, 3))
        until(lambda: replica.ask("DBSIZE") == master.ask("DBSIZE"), "it is replicated")
        outcome = asyncio.run(judged(memory, master.kill, 8))
        # Without WAIT the last few may be lost; that they go on is what is shown here.
        assert (outcome.doubled, outcome.errors) == (0, [])
        assert outcome.pause < 10.0
        again = RedisMemory(url)
        assert again.sync.load_context("kept") == numbered(1, 3)
        again.sync.close()
    finally:
        replica.kill()


class Pair(NamedTuple):
    master: Valkey
    replica: Valkey


@pytest.fixture
def pair() -> Iterator[Pair]:
    master = started()
    replica = started("--replicaof", "127.0.0.1", str(master.port))
    until(lambda: is_synced(replica), "the replica is synced")
    yield Pair(master, replica)
    replica.thaw()
    replica.kill()
    master.kill()


def test_what_no_replica_has_is_never_acknowledged(pair: Pair) -> None:
    """Not even when it is repeated, and the script has nothing left to write."""
    memory = RedisMemory(
        pair.master.url, replicas=1, confirm_within=0.1, deadline=0.5
    ).sync
    memory.save_context("s", [message(1)])
    pair.replica.freeze()
    for _ in range(2):
        with pytest.raises(UnavailableError):
            memory.append_context("s", [message(2)])
    attempts: List[Callable[[], object]] = [
        lambda: memory.save_context("s", [message(1), message(3)]),
        lambda: memory.delete_interaction("s", "m3"),
        lambda: memory.set_metadata("s", {"a": 1}),
        lambda: memory.delete_session("s"),
    ]
    for attempt in attempts:
        with pytest.raises(UnavailableError):
            attempt()
    with pytest.raises(UnavailableError):
        memory.append_context("t", [message(1)], create=True)
    pair.replica.thaw()
    memory.append_context("t", numbered(1, 2), create=True)
    assert memory.load_context("t") == numbered(1, 2)
    assert memory.load_context("s") == []
    memory.close()


def test_what_is_synced_to_the_disk_outlives_a_kill() -> None:
    server = started("--appendonly", "yes", "--appendfsync", "everysec")
    memory = RedisMemory(server.url, fsync=True, confirm_within=3.0).sync
    memory.append_context("s", numbered(1, 3), create=True)
    server.kill()
    server.start()
    assert memory.load_context("s") == numbered(1, 3)
    assert memory.verify().ok
    memory.close()
    server.kill()


def test_a_server_without_a_file_cannot_promise_the_disk() -> None:
    server = started()
    memory = RedisMemory(server.url, fsync=True).sync
    with pytest.raises(ConfigurationError):
        memory.save_context("s", [message(1)])
    memory.close()
    server.kill()


def test_a_server_that_stays_away_is_an_error_in_time() -> None:
    server = started()
    memory = RedisMemory(server.url, deadline=0.6, timeout=0.4, confirm_within=0.1)
    memory.sync.save_context("s", [message(1)])

    async def stall() -> float:
        """Return the longest time for which the loop stood still."""
        longest, last = 0.0, time.monotonic()
        asked = asyncio.ensure_future(memory.load_context("s"))
        while not asked.done():
            await asyncio.sleep(0.01)
            now = time.monotonic()
            longest, last = max(longest, now - last), now
        with pytest.raises(UnavailableError):
            asked.result()
        return longest

    for fault in (server.freeze, server.kill):
        fault()
        begun = time.monotonic()
        with pytest.raises(UnavailableError):
            memory.sync.append_context("s", [message(2)])
        assert asyncio.run(stall()) < 0.3
        assert time.monotonic() - begun < 5.0
    server.start()
    assert memory.sync.load_context("s") == []
    memory.sync.close()
    server.kill()


def test_a_slot_that_moves_is_followed(nodes: Cluster, tmp_path: Path) -> None:
    """A session is read and written before, while and after its slot moves."""
    name = namespace(tmp_path)
    memory = RedisMemory(nodes.url, namespace=name)
    memory.sync.save_context("s", numbered(1, 3))
    key = Keys.of(name, "s").head
    source = nodes.master_of(key)
    target = next(one for one in nodes.masters() if one is not source)
    slot = source.ask("CLUSTER", "KEYSLOT", key)
    ids = [bytes(one.ask("CLUSTER", "MYID")) for one in (source, target)]
    target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
    source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
    memory.sync.append_context("s", [message(4)])
    keys = source.ask("CLUSTER", "GETKEYSINSLOT", slot, 100)
    move = ("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS")
    source.ask(*move, *keys)
    memory.sync.append_context("s", [message(5)])
    assert memory.sync.load_context("s", 2) == numbered(4, 5)
    for one in (target, source):
        one.ask("CLUSTER", "SETSLOT", slot, "NODE", ids[1])
    memory.sync.append_context("s", [message(6)])
    assert memory.sync.load_context("s") == numbered(1, 6)
    assert memory.sync.verify().ok
    memory.sync.close()
