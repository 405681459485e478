"""What PgVectorStore promises beyond the conformance suite."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any, List

import pytest

from contextstore import (
    InMemoryEmbeddingStore,
    InMemoryMemory,
    PgVectorStore,
    PostgresMemory,
    SessionStore,
    SessionStoreConfig,
)
from contextstore.backends.postgres.vector_rows import VectorPlace
from contextstore.embedders import HashingEmbedder
from contextstore.errors import CorruptDataError, EmbeddingError, InvalidInputError
from tests.servers.shared import database_of, need_pgvector, postgres_server

EAST, NORTH = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]


def said(*names: str) -> List[dict[str, str]]:
    return [{"id": name, "content": name, "timestamp": "2024"} for name in names]


@pytest.fixture
def dsn(tmp_path: Path) -> str:
    return database_of(tmp_path)


@pytest.fixture
def memory(dsn: str) -> PostgresMemory:
    return PostgresMemory(dsn, partitions=4)


@pytest.fixture
def vectors(dsn: str) -> PgVectorStore:
    return PgVectorStore(dsn, partitions=4)


def points(count: int, dimension: int, seed: int) -> List[List[float]]:
    chance = random.Random(seed)
    return [[chance.gauss(0, 1) for _ in range(dimension)] for _ in range(count)]


def test_it_gives_what_a_store_in_memory_gives_to_the_bit(
    vectors: PgVectorStore,
) -> None:
    plain = InMemoryEmbeddingStore().sync
    stored = vectors.sync
    items = [(f"m{n}", one, {"n": n}) for n, one in enumerate(points(300, 24, 1))]
    for face in (plain, stored):
        face.add_many("s", items)
        face.delete("s", ["m7", "m8"])
        face.add("s", "m9", points(1, 24, 2)[0], None)
    for query in points(5, 24, 3):
        assert stored.search("s", query, 50) == plain.search("s", query, 50)
    stored.close()


def test_another_object_sees_what_is_added_replaced_and_removed(
    vectors: PgVectorStore, dsn: str
) -> None:
    one, other = vectors.sync, PgVectorStore(dsn).sync
    one.add("s", "a", EAST, None)
    assert [item.message_id for item in other.search("s", EAST, 9)] == ["a"]
    one.add("s", "b", NORTH, None)
    one.add("s", "a", NORTH, {"new": 1})
    found = other.search("s", NORTH, 9)
    assert [(item.message_id, item.score) for item in found] == [("a", 1.0), ("b", 1.0)]
    one.delete("s", ["a"])
    assert [item.message_id for item in other.search("s", NORTH, 9)] == ["b"]
    one.close()
    other.close()


def test_vectors_go_with_their_messages(
    memory: PostgresMemory, vectors: PgVectorStore
) -> None:
    chat, store = memory.sync, vectors.sync
    chat.save_context("s", said("a", "b", "c", "d"))
    for name in ("a", "b", "c", "d", "alone"):
        store.add("s", name, EAST, None)
    chat.delete_interaction("s", "d")
    chat.update_interaction("s", "b", {"role": "user", "content": "other"})
    assert store.message_ids("s") == ["a", "c", "alone"]
    chat.save_context("s", said("x", "c"))
    assert store.message_ids("s") == ["c", "alone"]
    chat.delete_session("s")
    assert store.message_ids("s") == ["alone"]
    chat.save_context("s", said("a"))
    receipt = chat.erase(session_id="s")
    assert receipt.vector_count == 1
    assert store.search("s", EAST, 9) == []
    chat.close()
    store.close()


def test_a_fork_takes_the_vectors_along(
    memory: PostgresMemory, vectors: PgVectorStore
) -> None:
    chat, store = memory.sync, vectors.sync
    chat.save_context("s", said("a", "b", "c"))
    for name in ("a", "b", "c"):
        store.add("s", name, EAST, {"of": name})
    chat.fork_session("s", "t", at="b")
    assert [item.metadata for item in store.search("t", EAST, 9)] == [
        {"of": "a"},
        {"of": "b"},
    ]
    chat.close()
    store.close()


def test_no_vector_is_kept_of_a_message_that_is_gone(
    memory: PostgresMemory, vectors: PgVectorStore
) -> None:
    async def crossing() -> List[str]:
        await memory.save_context("s", said("a"))
        kept = vectors.for_messages_of(memory)
        for number in range(30):
            await memory.append_context("s", said(f"m{number}"))
            await asyncio.gather(
                kept.add("s", f"m{number}", EAST, None),
                memory.delete_interaction("s", f"m{number}"),
            )
        await kept.add("s", "never", EAST, None)
        await kept.add("nobody", "a", EAST, None)
        return await vectors.message_ids("s") + await vectors.message_ids("nobody")

    assert asyncio.run(crossing()) == []


def test_a_store_that_is_led_to_other_tables_than_the_messages_says_so(
    dsn: str,
) -> None:
    server = postgres_server()
    server.ask("CREATE SCHEMA IF NOT EXISTS chat", "contextstore")
    elsewhere = f"{dsn}?options=-csearch_path%3Dchat"
    for memory, beside in ((elsewhere, False), (elsewhere, True), (dsn, True)):
        chat = PostgresMemory(memory, partitions=1)
        vectors = PgVectorStore(memory if beside else dsn, partitions=1)
        config = SessionStoreConfig(embed_fn=HashingEmbedder(16), auto_embed=True)
        store = SessionStore(chat, vectors, config).sync
        store.save_context("s", said("a"))
        if beside:
            store.wait_for_embeddings()
            assert [item.message_id for item in store.retrieve_relevant("s", "a")]
            assert vectors.for_model(HashingEmbedder(16).name).sync.message_ids("s")
        else:
            with pytest.raises(EmbeddingError, match="search_path") as caught:
                store.wait_for_embeddings()
            assert isinstance(caught.value.__cause__, EmbeddingError)
        chat.sync.delete_session("s")
        assert vectors.sync.message_ids("s") == []
        for part in (chat, vectors):
            part.sync.close()
    server.ask("DROP SCHEMA chat CASCADE", "contextstore")


def test_a_change_of_the_name_alone_is_embedded(
    vectors: PgVectorStore,
) -> None:
    """The messages are elsewhere, so that no vector goes with the edit."""
    memory = InMemoryMemory()
    config = SessionStoreConfig(embed_fn=HashingEmbedder(16), auto_embed=True)
    store = SessionStore(memory, vectors, config).sync
    for name in ("Ann", "Bo"):
        message = {**said("a")[0], "name": name}
        if name == "Ann":
            store.save_context("s", [message])
        else:
            memory.sync.update_interaction("s", "a", message)
        assert store.embedding_status().missing == int(name == "Bo")
    store.embed_missing()
    (hit,) = store.retrieve_relevant("s", "a")
    assert hit.metadata == {"text": "a", "said_by": "Bo"}
    vectors.sync.close()


def test_one_model_has_one_dimension(vectors: PgVectorStore) -> None:
    store = vectors.sync
    store.add("s", "a", EAST, None)
    with pytest.raises(InvalidInputError):
        store.add("t", "a", [1.0, 0.0], None)
    with pytest.raises(InvalidInputError):
        store.search("s", [1.0, 0.0], 1)
    with pytest.raises(InvalidInputError):
        store.search("t", [1.0, 0.0], 1)
    store.delete("s", ["a"])
    store.add("t", "a", [1.0, 0.0], None)
    assert asyncio.run(vectors.session_ids()) == ["t"]
    store.close()


def test_a_damaged_vector_is_an_error(vectors: PgVectorStore, dsn: str) -> None:
    store = vectors.sync
    store.add("s", "a", EAST, None)
    server = postgres_server()
    server.ask(
        "UPDATE context_vectors SET vector = set_byte(vector, 1, 9)", "contextstore"
    )
    with pytest.raises(CorruptDataError):
        store.search("s", EAST, 1)
    store.close()


def test_a_database_put_back_to_a_backup_is_read_anew(vectors: PgVectorStore) -> None:
    store = vectors.sync
    store.add("s", "a", EAST, None)
    store.add("s", "b", NORTH, None)
    assert [item.message_id for item in store.search("s", EAST, 9)] == ["a", "b"]
    postgres_server().ask(
        "DELETE FROM context_vectors"
        " WHERE revision = (SELECT max(revision) FROM context_vectors);"
        "UPDATE context_vector_sessions SET revision = revision - 1",
        "contextstore",
    )
    assert [item.message_id for item in store.search("s", EAST, 9)] == ["a"]
    store.close()


PUT_ASIDE = """
CREATE TABLE vectors_aside AS SELECT * FROM context_vectors;
CREATE TABLE heads_aside AS SELECT * FROM context_vector_sessions"""
PUT_BACK = """
DELETE FROM context_vectors; DELETE FROM context_vector_sessions;
INSERT INTO context_vectors SELECT * FROM vectors_aside;
INSERT INTO context_vector_sessions SELECT * FROM heads_aside;
DROP TABLE vectors_aside; DROP TABLE heads_aside"""


@pytest.mark.parametrize("lost", ["+c", "-a", "-a +a", "+c -c"])
@pytest.mark.parametrize("instead", ["+d", "-b", "+d +c", "-b +d", "+d -d"])
def test_a_backup_that_was_written_on_is_read_anew(
    vectors: PgVectorStore, dsn: str, lost: str, instead: str
) -> None:
    one, other = vectors.sync, PgVectorStore(dsn).sync

    def write(changes: str) -> None:
        for change in changes.split():
            if change[0] == "+":
                other.add("s", change[1:], EAST, None)
            else:
                other.delete("s", [change[1:]])

    write("+a +b")
    postgres_server().ask(PUT_ASIDE, "contextstore")
    write(lost)
    one.search("s", EAST, 9)
    postgres_server().ask(PUT_BACK, "contextstore")
    write(instead)
    found = [item.message_id for item in one.search("s", EAST, 9)]
    assert found == other.message_ids("s")
    one.close()
    other.close()


def test_what_is_added_alone_is_read_however_a_session_changed(
    vectors: PgVectorStore, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A removal of the newest vector leaves one to go on from."""
    one, other = vectors.sync, PgVectorStore(dsn).sync
    other.add_many("s", [(name, EAST, None) for name in "abc"])
    other.delete("s", ["c"])
    one.search("s", EAST, 9)
    read: List[str] = []
    opened = VectorPlace.opened

    def spying(*row: Any) -> Any:
        read.append(row[3] or row[2])
        return opened(*row)

    monkeypatch.setattr(VectorPlace, "opened", spying)
    one.search("s", EAST, 9)
    other.add("s", "d", EAST, None)
    assert [item.message_id for item in one.search("s", EAST, 9)] == ["a", "b", "d"]
    assert read == ["d"]
    one.close()
    other.close()


def test_all_sessions_are_searched_by_an_index(vectors: PgVectorStore) -> None:
    need_pgvector()
    store = vectors
    everything = points(2000, 32, 5)

    async def run() -> float:
        for start in range(0, 2000, 100):
            await store.add_many(
                f"s{start // 100}",
                [(f"m{n}", everything[n], {}) for n in range(start, start + 100)],
            )
        await store.build_index()
        hits = 0
        for query in points(20, 32, 6):
            found = await store.search_all(query, 10)
            exact = await store.search_sessions([f"s{n}" for n in range(20)], query, 10)
            assert [item.score for item in found] == sorted(
                (item.score for item in found), reverse=True
            )
            hits += len(
                {(item.session_id, item.message_id) for item in found}
                & {(item.session_id, item.message_id) for item in exact}
            )
        one = await store.search_all(everything[5], 1, prefix="s0")
        assert [item.message_id for item in one] == ["m5"]
        await store.add("new", "later", everything[7], None)
        await store.delete("s0", ["m7"])
        assert [
            item.message_id for item in await store.search_all(everything[7], 1)
        ] == ["later"]
        await store.close()
        return hits / 200

    assert asyncio.run(run()) >= 0.95
