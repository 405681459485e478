"""A deletion whose answer was lost ends the session it saw, and none made since."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Awaitable, Callable, Dict, Iterator, List, NamedTuple

import psycopg
import pytest
import redis

from contextstore import (
    InMemoryMemory,
    MemoryBackend,
    PostgresMemory,
    RedisMemory,
    SessionNotFoundError,
    TieredMemory,
)
from contextstore.backends.postgres import listing
from contextstore.backends.postgres.engine import Session
from contextstore.backends.redis import scanning
from contextstore.backends.redis.scripts import DELETE
from contextstore.testing.memory_suite import message, numbered
from tests.servers.proxy import Proxy
from tests.servers.shared import database_of, postgres_server
from tests.servers.shared_valkey import valkey
from tests.servers.valkey import namespace

Happen = Callable[[], Awaitable[None]]


class Server(NamedTuple):
    """Be a server that two clients use, one of them by a connection that breaks.

    Attributes:
        mine: the client whose deletion is cut off.
        theirs: another client.
        once_carried_out: have something happen when the answer to the next deletion
            was lost, and before it is repeated.
        once_not_sent: the same, where the server never heard of the deletion.
    """

    mine: MemoryBackend
    theirs: MemoryBackend
    once_carried_out: Callable[[Happen], None]
    once_not_sent: Callable[[Happen], None]


def postgres(proxy: Proxy, directory: Path, patch: pytest.MonkeyPatch) -> Server:
    theirs = PostgresMemory(database_of(directory), partitions=4)
    dsn = postgres_server().dsn("contextstore", port=proxy.port)
    mine = PostgresMemory(dsn, partitions=4, prepare_threshold=None)
    begin: Any = mine._engine._try
    fetch = Session.fetch
    waiting: List[Happen] = []

    async def tried(*arguments: Any) -> Any:
        try:
            return await begin(*arguments)
        except psycopg.OperationalError:
            await waiting.pop()()
            raise

    async def not_sent(session: Session, statement: str, values: Any) -> Any:
        if "DELETE FROM context_sessions" in statement:
            patch.setattr(Session, "fetch", fetch)
            raise psycopg.OperationalError
        return await fetch(session, statement, values)

    patch.setattr(mine._engine, "_try", tried)

    def carried_out(happen: Happen) -> None:
        waiting.append(happen)
        proxy.cut_answer_to(b"DELETE FROM context_sessions")

    def never_sent(happen: Happen) -> None:
        waiting.append(happen)
        patch.setattr(Session, "fetch", not_sent)

    return Server(mine, theirs, carried_out, never_sent)


def valkey_server(proxy: Proxy, directory: Path, patch: pytest.MonkeyPatch) -> Server:
    names: Dict[str, Any] = {"namespace": namespace(directory)}
    theirs = RedisMemory(valkey().url, **names)
    mine = RedisMemory(f"redis://127.0.0.1:{proxy.port}", **names)
    begin: Any = mine._room.link._try
    waiting: List[Happen] = []
    lost: List[Exception] = []

    async def tried(request: Any, attempt: Any) -> Any:
        is_deletion = DELETE.sha1 in request.command
        try:
            if is_deletion and lost:
                raise lost.pop()
            return await begin(request, attempt)
        except redis.ConnectionError:
            if is_deletion:
                await waiting.pop()()
            raise

    patch.setattr(mine._room.link, "_try", tried)

    def carried_out(happen: Happen) -> None:
        # The script has to be known: an answer that it is not is no answer.
        theirs.sync.save_context("warm", [])
        theirs.sync.delete_session("warm")
        waiting.append(happen)
        proxy.cut_answer_to(DELETE.sha1.encode())

    def never_sent(happen: Happen) -> None:
        waiting.append(happen)
        lost.append(redis.ConnectionError())

    return Server(mine, theirs, carried_out, never_sent)


@pytest.fixture(params=["postgres", "redis"])
def server(
    request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    is_postgres = request.param == "postgres"
    proxy = Proxy(postgres_server().port if is_postgres else valkey().port)
    make = postgres if is_postgres else valkey_server
    server = make(proxy, tmp_path, monkeypatch)
    yield server
    server.mine.sync.close()
    server.theirs.sync.close()
    proxy.close()


MINE = {"user": "x"}
DELETIONS: List[Callable[[Any], Any]] = [
    lambda face: face.delete_session("s"),
    lambda face: face.erase(session_id="s"),
    lambda face: face.erase(where=MINE),
]


def make(memory: MemoryBackend) -> None:
    memory.sync.save_context("s", numbered(1, 3))
    memory.sync.set_metadata("s", MINE)


async def make_anew(memory: MemoryBackend) -> None:
    assert await memory.load_context("s") == []
    await memory.save_context("s", numbered(1, 2))
    await memory.set_metadata("s", MINE)


@pytest.mark.parametrize("is_tiered", [False, True])
@pytest.mark.parametrize("delete", DELETIONS)
def test_a_session_made_anew_outlives_a_deletion_that_is_repeated(
    server: Server, delete: Callable[[Any], Any], is_tiered: bool
) -> None:
    memory: Any = server.mine
    if is_tiered:
        memory = TieredMemory(memory, InMemoryMemory())
    make(server.theirs)
    memory.sync.load_context("s", 2)
    server.once_carried_out(lambda: make_anew(server.theirs))
    receipt = delete(memory.sync)
    if receipt is not None:
        assert (receipt.session_ids, receipt.message_count) == (("s",), 3)
    assert server.theirs.sync.load_context("s") == numbered(1, 2)
    assert memory.sync.load_context("s", 2) == numbered(1, 2)
    listed = server.theirs.sync.list_sessions().sessions
    assert [one.session_id for one in listed] == ["s"]
    delete(memory.sync)
    assert server.theirs.sync.load_context("s") == []


async def change_further(memory: MemoryBackend) -> None:
    await memory.append_context("s", [message(4)])
    await memory.set_metadata("s", {**MINE, "n": 1})
    await memory.delete_interaction("s", "m4")


@pytest.mark.parametrize("delete", DELETIONS)
def test_a_session_that_others_only_changed_is_deleted_all_the_same(
    server: Server, delete: Callable[[Any], Any]
) -> None:
    make(server.theirs)
    server.once_not_sent(lambda: change_further(server.theirs))
    delete(server.mine.sync)
    assert server.theirs.sync.load_context("s") == []
    with pytest.raises(SessionNotFoundError):
        server.theirs.sync.session_info("s")


def test_an_erasure_spares_what_is_no_longer_as_it_was_asked_for(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session was found, and then changed or made anew by others."""
    for name in ("a", "b", "c", "d"):
        server.theirs.sync.save_context(name, numbered(1, 3))
        server.theirs.sync.set_metadata(name, MINE)

    async def found(*_: Any) -> List[str]:
        await server.theirs.set_metadata("b", {"user": "y"})
        await server.theirs.delete_session("c")
        await server.theirs.save_context("c", numbered(1, 2))
        return ["a", "b", "c", "d"]

    monkeypatch.setattr(listing, "ids", found)
    monkeypatch.setattr(scanning, "session_ids", found)
    receipt = server.mine.sync.erase(where=MINE)
    assert (receipt.session_ids, receipt.message_count) == (("a", "d"), 6)
    assert server.theirs.sync.load_context("b") == numbered(1, 3)
    assert server.theirs.sync.load_context("c") == numbered(1, 2)


def test_a_session_that_another_deleted_meanwhile_is_gone_as_it_was_to_be(
    server: Server,
) -> None:
    make(server.theirs)
    server.once_not_sent(lambda: server.theirs.delete_session("s"))
    server.mine.sync.delete_session("s")
    with pytest.raises(SessionNotFoundError):
        server.mine.sync.delete_session("s")
