"""A SessionStore keeps in step with what others do, and with what was cut short."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import pytest

from contextstore import (
    ConflictError,
    EmbeddingError,
    InMemoryEmbeddingStore,
    InMemoryMemory,
    SessionStore,
    SessionStoreConfig,
    SQLiteEmbeddingStore,
    SQLiteMemory,
    SyncSessionStore,
)
from contextstore.backends.results import SessionInfo
from contextstore.store import indexes
from tests.testing.backends import DictRetrieval

Message = Dict[str, Any]


def said(message_id: str, content: str) -> Message:
    return {"id": message_id, "role": "user", "content": content}


def embed(texts: List[str]) -> List[List[float]]:
    return [[float(len(text)), float(ord(text[-1])), 1.0] for text in texts]


def embedding_store(memory: Any, embed_fn: Any = embed, **options: Any) -> SessionStore:
    config = SessionStoreConfig(auto_embed=True, embed_fn=embed_fn, **options)
    return SessionStore(memory, InMemoryEmbeddingStore(), config)


class TestVersions:
    def test_a_session_made_anew_never_has_a_version_that_the_old_one_had(
        self, tmp_path: Path
    ) -> None:
        for one in (InMemoryMemory(), SQLiteMemory(tmp_path / "chat.db")):
            memory = one.sync
            memory.save_context("s", [said("1", "a"), said("2", "b")])
            for erases in (False, True):
                version = memory.session_info("s").version
                if erases:
                    memory.erase(session_id="s")
                else:
                    memory.delete_session("s")
                result = memory.save_context("s", [])
                assert result is not None
                assert result.version > version
                with pytest.raises(ConflictError):
                    memory.save_context("s", [said("9", "x")], expected_version=version)
            memory.close()

    def test_a_search_sees_that_another_object_made_the_session_anew(
        self, tmp_path: Path
    ) -> None:
        with SQLiteMemory(tmp_path / "chat.db").sync as memory:
            store = SessionStore(memory.backend).sync
            store.save_context("s", [said("1", "apples are red")])
            assert store.retrieve_relevant("s", "apples")
            other = SQLiteMemory(tmp_path / "chat.db").sync
            other.delete_session("s")
            other.save_context("s", [said("2", "pears are green")])
            other.close()
            (found,) = store.retrieve_relevant("s", "apples pears")
            assert found.message_id == "2"


class TestDeletedByOthers:
    @pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
    def test_before_the_first_search(self, tmp_path: Path, mode: str) -> None:
        memory = SQLiteMemory(tmp_path / "chat.db")
        store = embedding_store(memory).sync
        store.save_context("s", [said(str(n), f"apple {n}") for n in range(3)])
        store.append_context("s", [said("3", "apple 3")])
        memory.sync.delete_interaction("s", "2")
        found = store.retrieve_relevant("s", "apple", mode=mode)
        assert sorted(one.message_id for one in found) == ["0", "1"]
        memory.sync.close()

    @pytest.mark.parametrize("catches_up", [False, True])
    @pytest.mark.parametrize("erases", [False, True])
    def test_while_they_are_embedded(
        self, tmp_path: Path, catches_up: bool, erases: bool
    ) -> None:
        path = tmp_path / "chat.db"

        async def main() -> None:
            begun, go_on = asyncio.Event(), asyncio.Event()

            async def slowly(texts: List[str]) -> List[List[float]]:
                begun.set()
                await go_on.wait()
                return embed(texts)

            memory, vectors = SQLiteMemory(path), SQLiteEmbeddingStore(path)
            config = SessionStoreConfig(auto_embed=True, embed_fn=slowly)
            store = SessionStore(memory, vectors, config)
            context = [said("1", "secret"), said("2", "plain")]
            if catches_up:
                await memory.save_context("s", context)
                work = asyncio.ensure_future(store.embed_missing())
            else:
                work = asyncio.ensure_future(store.save_context("s", context))  # type: ignore[arg-type]
            await begun.wait()
            if erases:
                await memory.erase(session_id="s")
            else:
                await memory.delete_interaction("s", "1")
            go_on.set()
            await work
            assert await vectors.message_ids("s") == []
            await vectors.close()
            await memory.close()

        asyncio.run(main())

    def test_while_a_window_is_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        memory = InMemoryMemory()
        memory.sync.save_context("s", [said(str(n), "word " * 20) for n in range(300)])
        read, calls = InMemoryMemory.load_page, []

        async def load_page(self: Any, session_id: str, **options: Any) -> Any:
            calls.append(options["before"])
            if len(calls) == 2:
                await self.delete_interaction("s", "50")
            return await read(self, session_id, **options)

        monkeypatch.setattr(InMemoryMemory, "load_page", load_page)
        window = SessionStore(memory).sync.load_window("s", 100_000)
        assert [message["id"] for message in window] == [str(n) for n in range(50)]


class TestEditedByOthers:
    @pytest.mark.parametrize("beside", ["in memory", "chat.db", "vectors.db"])
    @pytest.mark.parametrize(
        ("before", "after"), [(None, "Ann"), ("Ann", "Bo"), ("Ann", None)]
    )
    def test_a_change_of_the_name_alone_is_embedded(
        self, tmp_path: Path, beside: str, before: Any, after: Any
    ) -> None:
        memory = SQLiteMemory(tmp_path / "chat.db")
        vectors: Any = InMemoryEmbeddingStore()
        if beside != "in memory":
            vectors = SQLiteEmbeddingStore(tmp_path / beside)
        texts: List[str] = []

        def embed_fn(batch: List[str]) -> List[List[float]]:
            texts.extend(batch)
            return embed(batch)

        config = SessionStoreConfig(auto_embed=True, embed_fn=embed_fn)
        store = SessionStore(memory, vectors, config).sync
        first, second = said("1", "red"), said("1", "red")
        for message, name in ((first, before), (second, after)):
            if name is not None:
                message["name"] = name
        store.save_context("s", [first])
        memory.sync.update_interaction("s", "1", second)
        assert store.embedding_status().missing == 1
        (hit,) = store.retrieve_relevant("s", "colour")
        assert hit.metadata["text"] == "red"
        assert hit.metadata.get("said_by") == after
        # What is embedded by hand is the text as it is given.
        store.add_message_embedding("s", "1", "red")
        assert store.embedding_status().missing == 0
        names = [f"{name}: red" if name else "red" for name in (before, after)]
        assert texts == [*names, "colour"]
        vectors.sync.close()
        memory.sync.close()


class TestEmbedding:
    def test_a_text_that_is_refused_keeps_back_itself_alone(self) -> None:
        def refuse(texts: List[str]) -> List[List[float]]:
            if "poison" in texts:
                raise ValueError("refused")
            return embed(texts)

        store = embedding_store(InMemoryMemory(), refuse, embed_batch_size=8).sync
        texts = [f"text {number}" for number in range(40)]
        texts[17] = "poison"
        store.save_context("s", [said(str(n), text) for n, text in enumerate(texts)])
        status = store.embedding_status("s")
        assert (status.total, status.missing) == (40, 8)
        assert set(status.failed) == {("s", str(n)) for n in range(16, 24)}
        report = store.embed_missing(retries=1)
        assert report.embedded == 7
        assert set(report.failed) == {("s", "17")}
        assert set(store.embedding_status().failed) == {("s", "17")}
        with pytest.raises(EmbeddingError):
            store.wait_for_embeddings()

    def test_a_function_that_is_down_is_not_asked_again_and_again(self) -> None:
        calls: List[int] = []

        def down(texts: List[str]) -> List[List[float]]:
            calls.append(len(texts))
            raise OSError("down")

        store = embedding_store(InMemoryMemory(), down, embed_batch_size=4).sync
        messages = [said(str(number), "text") for number in range(100)]
        store.save_context("s", messages)
        assert calls == [4, 4]
        calls.clear()
        report = store.embed_missing(retries=1)
        assert calls == [4, 4, 2, 1, 1]
        assert (report.embedded, len(report.failed)) == (0, 100)

    def test_failures_are_those_of_messages_that_are_there(self) -> None:
        def down(texts: List[str]) -> List[List[float]]:
            raise OSError("down")

        memory = InMemoryMemory()
        store = embedding_store(memory, down).sync
        store.save_context("s", [said("1", "a"), said("2", "b")])
        store.save_context("t", [said("1", "a")])
        memory.sync.delete_interaction("s", "2")
        assert set(store.embedding_status().failed) == {("s", "1"), ("t", "1")}
        store.delete_session("s")
        assert set(store.embedding_status().failed) == {("t", "1")}

    def test_a_search_that_was_cancelled_leaves_nothing_for_done(self) -> None:
        hangs = [True]

        async def slowly(texts: List[str]) -> List[List[float]]:
            if hangs[0]:
                await asyncio.sleep(60)
            return embed(texts)

        async def main() -> None:
            memory = InMemoryMemory()
            await memory.save_context("s", [said("1", "hello there")])
            store = embedding_store(memory, slowly)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(store.retrieve_relevant("s", "hello"), 0.01)
            hangs[0] = False
            await store.retrieve_relevant("s", "hello")
            assert (await store.embedding_status()).missing == 0

        asyncio.run(main())

    def test_callers_that_waited_for_one_call_take_turns(self) -> None:
        running: List[int] = []
        most: List[int] = []

        async def fail(texts: List[str]) -> List[List[float]]:
            running.append(1)
            most.append(len(running))
            await asyncio.sleep(0.005)
            running.pop()
            raise OSError("down")

        async def main() -> None:
            store = embedding_store(InMemoryMemory(), fail)
            calls = [store.add_message_embedding("s", "1", "text") for _ in range(4)]
            for outcome in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(outcome, EmbeddingError)

        asyncio.run(main())
        assert most == [1, 1, 1, 1]

    def test_a_backend_that_makes_ids_and_tells_none(self, tmp_path: Path) -> None:
        class Silent(SQLiteMemory):
            async def save_context(
                self, session_id: str, context: List[Message], **options: Any
            ) -> Any:
                await super().save_context(session_id, context, **options)

            async def append_context(
                self, session_id: str, context: List[Message], **options: Any
            ) -> Any:
                await super().append_context(session_id, context, **options)

        memory = Silent(tmp_path / "chat.db")
        store = embedding_store(memory).sync
        store.save_context("s", [{"role": "user", "content": "one"}])
        store.append_context("s", [{"role": "user", "content": "two"}])
        status = store.embedding_status("s")
        assert (status.total, status.missing) == (2, 0)
        memory.sync.close()


def test_what_is_held_of_sessions_is_bounded_at_the_cost_of_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(indexes, "_MOST_DOCUMENTS", 50)
    memory = InMemoryMemory()
    store = SessionStore(memory).sync
    for number in range(30):
        memory.sync.save_context(f"s{number}", [said("1", "apple"), said("2", "pear")])
        assert len(store.retrieve_relevant(f"s{number}", "apple pear")) == 2
        store.retrieve_relevant(f"nobody{number}", "apple")
    held = store.store._in_step.indexes
    assert sum(one.weight for one in held._sessions.values()) == held._weight
    assert 40 < held._weight <= 50
    store.delete_session("s29")
    assert sum(one.weight for one in held._sessions.values()) == held._weight


class Gates(InMemoryMemory):
    """Be a memory whose next looks wait, before they read or before they return."""

    def __init__(self) -> None:
        super().__init__()
        self.before: List[asyncio.Event] = []
        self.after: List[asyncio.Event] = []
        self.arrived = 0

    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Message]:
        found = await super().load_context(session_id, k)
        await self._pass(self.after)
        return found

    async def session_info(self, session_id: str) -> SessionInfo:
        await self._pass(self.before)
        return await super().session_info(session_id)

    async def _pass(self, gates: List[asyncio.Event]) -> None:
        if gates:
            gate = gates.pop(0)
            self.arrived += 1
            await gate.wait()

    async def reached(self, loads: int) -> None:
        while self.arrived < loads:
            await asyncio.sleep(0)


class Counting(DictRetrieval):
    """Count how often each vector is added."""

    def __init__(self) -> None:
        super().__init__()
        self.added: List[str] = []

    async def add(
        self, session_id: str, message_id: str, vector: Any, metadata: Any
    ) -> None:
        self.added.append(message_id)
        await super().add(session_id, message_id, vector, metadata)


class TestSearchesAmidAppends:
    """What is appended while a search looks is embedded once."""

    def test_a_look_from_before_an_append_that_is_embedded(self) -> None:
        async def main() -> None:
            begun, go_on, loaded = asyncio.Event(), asyncio.Event(), asyncio.Event()
            texts: List[str] = []

            async def slowly(batch: List[str]) -> List[List[float]]:
                texts.extend(batch)
                if "green" in batch:
                    begun.set()
                    await go_on.wait()
                return embed(batch)

            memory, vectors = Gates(), Counting()
            config = SessionStoreConfig(auto_embed=True, embed_fn=slowly)
            store = SessionStore(memory, vectors, config)
            await store.save_context("s", [said("1", "red")])
            memory.after = [loaded]
            search = asyncio.ensure_future(store.retrieve_relevant("s", "query"))
            await memory.reached(1)
            append = asyncio.ensure_future(
                store.append_context("s", [said("2", "green")])
            )
            await begun.wait()
            loaded.set()
            for _ in range(20):
                await asyncio.sleep(0)
            go_on.set()
            await asyncio.gather(search, append)
            hits = await store.retrieve_relevant("s", "query")
            assert sorted(hit.message_id for hit in hits) == ["1", "2"]
            assert vectors.added == ["1", "2"]
            assert texts.count("green") == 1

        asyncio.run(main())

    @pytest.mark.parametrize("deletes", [False, True])
    def test_looks_that_overlap(self, deletes: bool) -> None:
        """The one that began later may show the older state."""

        async def main() -> None:
            memory, vectors = Gates(), Counting()
            config = SessionStoreConfig(auto_embed=True, embed_fn=embed)
            store = SessionStore(memory, vectors, config)
            await store.save_context("s", [said("1", "red")])
            first, second = asyncio.Event(), asyncio.Event()
            memory.before, memory.after = [first], []
            newer = asyncio.ensure_future(store.retrieve_relevant("s", "query"))
            await memory.reached(1)
            memory.after = [second]
            older = asyncio.ensure_future(store.retrieve_relevant("s", "query"))
            await memory.reached(2)
            await store.append_context("s", [said("2", "green")])
            first.set()
            assert len(await newer) == 2
            if deletes:
                await memory.delete_interaction("s", "2")
            second.set()
            expected = ["1"] if deletes else ["1", "2"]
            assert sorted(hit.message_id for hit in await older) == expected
            hits = await store.retrieve_relevant("s", "query", mode="dense")
            assert sorted(hit.message_id for hit in hits) == expected
            assert vectors.added == ["1", "2"]

        asyncio.run(main())


def test_an_edit_waits_for_the_vector_of_the_old_text_that_is_being_written() -> None:
    class Slow(Counting):
        begun: asyncio.Event
        go_on: asyncio.Event

        async def add(
            self, session_id: str, message_id: str, vector: Any, metadata: Any
        ) -> None:
            if metadata["text"] == "red":
                self.begun.set()
                await self.go_on.wait()
            await super().add(session_id, message_id, vector, metadata)

    async def main() -> None:
        memory, vectors = InMemoryMemory(), Slow()
        vectors.begun, vectors.go_on = asyncio.Event(), asyncio.Event()
        config = SessionStoreConfig(auto_embed=True, embed_fn=embed)
        store = SessionStore(memory, vectors, config)
        await memory.save_context("s", [said("1", "red")])
        catch_up = asyncio.ensure_future(store.embed_missing())
        await vectors.begun.wait()
        edit = asyncio.ensure_future(
            store.update_interaction("s", "1", said("1", "blue"))
        )
        for _ in range(20):
            await asyncio.sleep(0)
        vectors.go_on.set()
        await asyncio.gather(catch_up, edit)
        assert (await store.embedding_status()).missing == 0
        (hit,) = await store.retrieve_relevant("s", "query", mode="dense")
        assert hit.metadata == {"text": "blue"}
        assert vectors.added == ["1", "1"]

    asyncio.run(main())


class TestWhatIsLetGoOf:
    """The index of a session makes room for others; what it knew is not forgotten."""

    @pytest.fixture(autouse=True)
    def one_session_fits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(indexes, "_MOST_DOCUMENTS", 4)

    @pytest.fixture(params=[InMemoryEmbeddingStore, DictRetrieval])
    def store(self, request: pytest.FixtureRequest) -> SyncSessionStore:
        config = SessionStoreConfig(auto_embed=True, embed_fn=embed)
        return SessionStore(InMemoryMemory(), request.param(), config).sync

    def let_go(self, store: SyncSessionStore) -> None:
        store.save_context("t", [said(str(n), "other") for n in range(4)])
        store.retrieve_relevant("t", "other")
        held = store.store._in_step.indexes
        assert list(held._sessions) == ["t"]

    @pytest.mark.parametrize("mode", ["hybrid", "dense"])
    @pytest.mark.parametrize("is_searched", [False, True])
    def test_no_search_finds_what_others_delete_then(
        self, store: SyncSessionStore, mode: str, is_searched: bool
    ) -> None:
        store.save_context("s", [said("1", "red"), said("2", "red too")])
        if is_searched:
            store.retrieve_relevant("s", "red")
        self.let_go(store)
        store.store.memory.sync.delete_interaction("s", "2")
        hits = store.retrieve_relevant("s", "red", mode=mode)
        assert [hit.message_id for hit in hits] == ["1"]

    def test_what_is_no_message_is_found(self, store: SyncSessionStore) -> None:
        store.save_context("s", [said("1", "red")])
        store.add_message_embedding("s", "alone", "red too")
        self.let_go(store)
        hits = store.retrieve_relevant("s", "red")
        assert sorted(hit.message_id for hit in hits) == ["1", "alone"]

    def test_a_vector_that_could_not_be_removed_is_removed_later(self) -> None:
        class Failing(InMemoryEmbeddingStore):
            fails = False

            async def delete(self, session_id: str, message_ids: Sequence[str]) -> None:
                if self.fails:
                    raise OSError("no answer")
                await super().delete(session_id, message_ids)

        vectors = Failing()
        config = SessionStoreConfig(auto_embed=True, embed_fn=embed)
        store = SessionStore(InMemoryMemory(), vectors, config).sync
        store.save_context("s", [said("1", "red"), said("2", "red too")])
        store.store.memory.sync.delete_interaction("s", "2")
        vectors.fails = True
        store.retrieve_relevant("s", "red")
        with pytest.raises(EmbeddingError):
            store.wait_for_embeddings()
        vectors.fails = False
        self.let_go(store)
        store.retrieve_relevant("s", "red")
        assert vectors.sync.message_ids("s") == ["1"]

    def test_what_is_remembered_is_bounded(
        self, store: SyncSessionStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(indexes, "_MOST_IDS", 10)
        for number in range(30):
            store.save_context(f"s{number}", [said("1", "red"), said("2", "red")])
            store.retrieve_relevant(f"s{number}", "red")
            store.retrieve_relevant(f"nobody{number}", "red")
        held = store.store._in_step.indexes
        assert len(held._rests) == 5
        assert sum(one.weight for one in held._rests.values()) == held._ids == 10
        store.delete_session("s26")
        assert len(held._rests) == 4
        assert held._ids == 8


def test_an_edit_is_not_taken_for_an_append_that_follows_it() -> None:
    class Busy(InMemoryMemory):
        appends = False

        async def load_page(self, session_id: str, **options: Any) -> List[Message]:
            if self.appends:
                self.appends = False
                await self.append_context(session_id, [said("2", "late")])
            return await super().load_page(session_id, **options)

    async def use() -> None:
        memory = Busy()
        store = SessionStore(memory)
        await store.save_context("s", [said("1", "red")])
        await store.retrieve_relevant("s", "red")
        await memory.update_interaction("s", "1", said("1", "blue"))
        memory.appends = True
        hits = await store.retrieve_relevant("s", "blue")
        assert hits[0].metadata["text"] == "blue"

    asyncio.run(use())


class TestWhatIsNoMessage:
    def test_it_is_found_as_long_as_its_vector_is_there(self, tmp_path: Path) -> None:
        async def use() -> None:
            memory = SQLiteMemory(tmp_path / "chat.db")
            vectors = SQLiteEmbeddingStore(tmp_path / "chat.db")
            config = SessionStoreConfig(auto_embed=True, embed_fn=embed)
            async with memory, vectors, SessionStore(memory, vectors, config) as store:
                await store.save_context("s", [said("1", "red")])
                for name in ("2", "3"):
                    await vectors.add("s", name, [1.0, 2.0, 3.0], {"text": "red"})
                await store.add_message_embedding("s", "4", "red too")
                hits = await store.retrieve_relevant("s", "red")
                assert sorted(hit.message_id for hit in hits) == ["1", "2", "3", "4"]
                await vectors.delete("s", ["2", "4"])
                hits = await store.retrieve_relevant("s", "red")
                assert sorted(hit.message_id for hit in hits) == ["1", "3"]
                await vectors.delete_session("s")
                await store.save_context("s", [])
                assert await store.retrieve_relevant("s", "red") == []

        asyncio.run(use())


class TestBackendsThatFail:
    def test_dead_vectors_take_no_place_of_living_ones(self) -> None:
        async def use() -> None:
            config = SessionStoreConfig(auto_embed=True, embed_fn=embed)
            store = SessionStore(InMemoryMemory(), DictRetrieval(), config)
            lasting = [said("1", "an old and long sentence")]
            dead = [said(f"d{at}", "red") for at in range(150)]
            await store.save_context("s", [*lasting, *dead])
            await store.delete_interaction("s", "d0")
            (hit,) = await store.retrieve_relevant("s", "red")
            assert hit.message_id == "1"
            assert hit.cosine is not None

        asyncio.run(use())

    def test_a_vector_that_could_not_be_replaced_stays_dead(self) -> None:
        class Failing(DictRetrieval):
            fails = False

            async def add(
                self, session_id: str, message_id: str, vector: Any, metadata: Any
            ) -> None:
                if self.fails:
                    raise OSError("no answer")
                await super().add(session_id, message_id, vector, metadata)

        async def use() -> None:
            vectors = Failing()
            config = SessionStoreConfig(auto_embed=True, embed_fn=embed)
            store = SessionStore(InMemoryMemory(), vectors, config)
            await store.save_context("s", [said("1", "red"), said("2", "green")])
            vectors.fails = True
            await store.update_interaction("s", "2", said("2", "blue"))
            with pytest.raises(EmbeddingError):
                await store.wait_for_embeddings()
            hits = await store.retrieve_relevant("s", "green", mode="dense")
            assert [hit.message_id for hit in hits] == ["1"]

        asyncio.run(use())
