"""SessionStore: messages first, vectors in step with them, and no failure lost."""

from __future__ import annotations

import asyncio
import logging
import threading
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import pytest

from contextstore import (
    ConfigurationError,
    EmbeddingError,
    InMemoryEmbeddingStore,
    InMemoryMemory,
    InvalidInputError,
    MemoryBackend,
    RetrievalBackend,
    SessionStore,
    SessionStoreConfig,
    SQLiteMemory,
    SyncSessionStore,
    UnsupportedOperationError,
    _hop,
)
from tests.testing.backends import DeletingDictRetrieval, DictBackend, DictRetrieval

Message = Dict[str, Any]

TEXTS = ["red", "green", "blue", "red and green"]


def said(*texts: str) -> List[Message]:
    """Return messages whose ids are numbered from 1."""
    return [
        {"id": str(number), "role": "user", "content": text}
        for number, text in enumerate(texts, start=1)
    ]


class Embedder:
    """Count colours, and remember what it was asked."""

    def __init__(self) -> None:
        self.batches: List[List[str]] = []
        self.failing: Optional[Exception] = None
        self.before: Callable[[], None] = lambda: None

    def __call__(self, texts: List[str]) -> List[List[float]]:
        self.batches.append(list(texts))
        self.before()
        if self.failing is not None:
            raise self.failing
        return [
            [1.0 + text.count("red"), 1.0 + text.count("green"), 1.0 + text.count("b")]
            for text in texts
        ]

    @property
    def texts(self) -> List[str]:
        return [text for batch in self.batches for text in batch]


def store_of(
    embedder: Any,
    memory: Optional[MemoryBackend] = None,
    retrieval: Optional[RetrievalBackend] = None,
    **options: Any,
) -> SyncSessionStore:
    given: Dict[str, Any] = {"auto_embed": True, "embed_fn": embedder}
    config = SessionStoreConfig(**{**given, **options})
    return SyncSessionStore(
        memory or InMemoryMemory(), retrieval or InMemoryEmbeddingStore(), config
    )


def found(store: SyncSessionStore, query: str = "red", k: int = 9) -> List[str]:
    return sorted(item.message_id for item in store.retrieve_relevant("s", query, k))


MEMORIES = [InMemoryMemory, lambda: SQLiteMemory(":memory:"), DictBackend]
RETRIEVALS = [InMemoryEmbeddingStore, DeletingDictRetrieval, DictRetrieval]


@pytest.fixture(params=MEMORIES, ids=["ours", "sqlite", "foreign"])
def memory(request: pytest.FixtureRequest) -> MemoryBackend:
    backend: MemoryBackend = request.param()
    return backend


@pytest.fixture(params=RETRIEVALS, ids=["ours", "deleting", "three-methods"])
def retrieval(request: pytest.FixtureRequest) -> RetrievalBackend:
    backend: RetrievalBackend = request.param()
    return backend


class TestAnyBackends:
    """What holds for every pair of backends, ours and not."""

    def test_what_is_saved_is_found(
        self, memory: MemoryBackend, retrieval: RetrievalBackend
    ) -> None:
        embedder = Embedder()
        store = store_of(embedder, memory, retrieval)
        store.save_context("s", said(*TEXTS[:3]))
        store.append_context("s", [{"id": "4", "content": TEXTS[3]}])
        best = store.retrieve_relevant("s", "red", 2)
        assert [item.message_id for item in best] == ["1", "4"]
        assert best[0].metadata == {"text": "red"}
        assert [m["content"] for m in store.load_context("s")] == TEXTS
        assert store.load_context("s", 1)[0]["id"] == "4"
        memory.sync.close()

    def test_messages_without_an_id_are_found_too(
        self, memory: MemoryBackend, retrieval: RetrievalBackend
    ) -> None:
        store = store_of(Embedder(), memory, retrieval)
        store.save_context("s", [{"role": "user", "content": "red"}])
        store.append_context("s", [{"role": "user", "content": "green"}])
        ids = [message["id"] for message in store.load_context("s")]
        assert found(store) == sorted(ids)
        memory.sync.close()

    def test_vectors_go_with_their_messages(
        self, memory: MemoryBackend, retrieval: RetrievalBackend
    ) -> None:
        store = store_of(Embedder(), memory, retrieval)
        store.save_context("s", said(*TEXTS))
        store.save_context("t", said("red"))
        store.delete_interaction("s", "3")
        assert found(store) == ["1", "2"]
        store.save_context("s", said("red"))
        assert found(store) == ["1"]
        store.delete_session("s")
        assert found(store) == []
        assert len(store.retrieve_relevant("t", "red")) == 1
        memory.sync.close()

    def test_what_went_can_come_back(
        self, memory: MemoryBackend, retrieval: RetrievalBackend
    ) -> None:
        store = store_of(Embedder(), memory, retrieval)
        store.save_context("s", said("red", "green"))
        store.delete_interaction("s", "2")
        store.append_context("s", [{"id": "2", "content": "blue"}])
        assert found(store) == ["1", "2"]
        store.delete_session("s")
        store.save_context("s", said("blue"))
        (item,) = store.retrieve_relevant("s", "blue")
        assert item.metadata == {"text": "blue"}
        memory.sync.close()

    def test_a_changed_text_is_embedded_anew(
        self, memory: MemoryBackend, retrieval: RetrievalBackend
    ) -> None:
        store = store_of(Embedder(), memory, retrieval)
        store.save_context("s", said("red", "green"))
        store.save_context("s", said("red", "blue"))
        texts = {
            item.message_id: item.metadata["text"]
            for item in store.retrieve_relevant("s", "blue")
        }
        assert texts == {"1": "red", "2": "blue"}
        memory.sync.close()

    def test_dead_hits_do_not_crowd_out_the_living(
        self, memory: MemoryBackend, retrieval: RetrievalBackend
    ) -> None:
        store = store_of(Embedder(), memory, retrieval)
        store.save_context("s", said("blue", *["red"] * 20))
        store.delete_interaction("s", "2")
        assert found(store, "red", 1) == ["1"]
        memory.sync.close()

    def test_what_is_refused_is_not_stored(
        self, memory: MemoryBackend, retrieval: RetrievalBackend
    ) -> None:
        embedder = Embedder()
        store = store_of(embedder, memory, retrieval)
        bad: List[Any] = [[{"content": float("nan")}], [{"id": "1"}] * 2, "text"]
        for context in bad:
            with pytest.raises(InvalidInputError):
                store.save_context("s", context)
        with pytest.raises(ValueError):
            store.append_context("s", said("red"))
        for call in (
            lambda: store.load_context("s", -1),
            lambda: store.load_context(""),
            lambda: store.delete_session(""),
            lambda: store.delete_interaction("s", ""),
            lambda: store.delete_interaction("s", "1"),
            lambda: store.delete_session("s"),
        ):
            with pytest.raises(ValueError):
                call()
        assert store.load_context("s") == []
        assert embedder.batches == []
        memory.sync.close()


class TestEmbedding:
    def test_it_is_done_in_batches(self) -> None:
        embedder = Embedder()
        store = store_of(embedder, embed_batch_size=3)
        store.save_context("s", said(*"abcdefgh"))
        assert [len(batch) for batch in embedder.batches] == [3, 3, 2]
        assert embedder.texts == list("abcdefgh")

    def test_only_what_is_new_is_embedded(self) -> None:
        embedder = Embedder()
        store = store_of(embedder)
        store.save_context("s", said("a", "b"))
        store.save_context("s", said("a", "b", "c"))
        store.save_context("s", said("a", "b", "c"))
        store.append_context("s", said("a"))
        assert embedder.texts == ["a", "b", "c"]

    def test_a_message_without_text_has_no_vector(self) -> None:
        embedder = Embedder()
        store = store_of(embedder)
        store.save_context("s", [{"id": "1", "content": None}, *said("x", "y")[1:]])
        assert embedder.texts == ["y"]
        assert found(store) == ["2"]

    def test_parts_of_text_are_embedded_as_one(self) -> None:
        embedder = Embedder()
        parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
        store_of(embedder).save_context("s", [{"id": "1", "content": parts}])
        assert embedder.texts == ["a\nb"]

    def test_nothing_is_embedded_unasked(self) -> None:
        embedder = Embedder()
        store = store_of(embedder, auto_embed=False)
        store.save_context("s", said("a"))
        assert embedder.batches == []
        store.add_message_embedding("s", "1", "red", {"own": [1]})
        (item,) = store.retrieve_relevant("s", "red")
        assert item.metadata == {"text": "red", "own": [1]}
        store.add_message_embedding("s", "1", "red")
        assert embedder.texts == ["red", "red"]

    @pytest.mark.parametrize("kind", ["async", "awaitable", "object"])
    def test_an_embed_fn_may_be_of_any_kind(self, kind: str) -> None:
        plain = Embedder()

        async def coroutine(texts: List[str]) -> List[List[float]]:
            await asyncio.sleep(0)
            return plain(texts)

        class Object:
            async def __call__(self, texts: List[str]) -> List[List[float]]:
                return await coroutine(texts)

        kinds: Dict[str, Any] = {
            "async": coroutine,
            "awaitable": lambda texts: coroutine(texts),
            "object": Object(),
        }
        store = store_of(kinds[kind])
        store.save_context("s", said("red"))
        assert found(store) == ["1"]

        async def main() -> List[Any]:
            await store.store.append_context("s", said("red", "green")[1:])
            return await store.store.retrieve_relevant("s", "green", 1)

        assert asyncio.run(main())[0].message_id == "2"

    def test_a_sync_embed_fn_does_not_stall_the_loop(self) -> None:
        embedder = Embedder()
        gate = threading.Event()

        def wait() -> None:
            assert gate.wait(10)

        embedder.before = wait
        store = store_of(embedder).store

        async def main() -> None:
            save = asyncio.ensure_future(store.save_context("s", said("red")))
            while not embedder.batches:
                await asyncio.sleep(0.001)
            assert len(await store.load_context("s")) == 1
            gate.set()
            await save

        asyncio.run(main())


class TestFailures:
    def test_a_failing_embed_fn_loses_and_repeats_nothing(
        self, memory: MemoryBackend, caplog: pytest.LogCaptureFixture
    ) -> None:
        embedder = Embedder()
        embedder.failing = RuntimeError("secret")
        store = store_of(embedder, memory)
        store.save_context("s", said("red text", "green text"))
        store.append_context("s", [{"id": "3", "content": "blue text"}])
        assert [m["id"] for m in store.load_context("s")] == ["1", "2", "3"]
        with pytest.raises(EmbeddingError) as caught:
            store.wait_for_embeddings()
        assert caught.value.session_id == "s"
        assert caught.value.message_ids == ("1", "2", "3")
        assert isinstance(caught.value.__cause__, EmbeddingError)
        store.wait_for_embeddings()
        assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
        for text in ("red text", "secret"):
            assert text not in caplog.text
            assert text not in str(caught.value)
        memory.sync.close()

    def test_a_later_write_embeds_what_it_writes(self) -> None:
        embedder = Embedder()
        store = store_of(embedder)
        embedder.failing = RuntimeError()
        store.save_context("s", said("red"))
        embedder.failing = None
        store.save_context("s", said("red"))
        assert found(store) == ["1"]
        with pytest.raises(EmbeddingError):
            store.wait_for_embeddings()

    def test_batches_before_the_failure_are_kept(self) -> None:
        embedder = Embedder()

        def fail_third() -> None:
            if len(embedder.batches) == 3:
                embedder.failing = RuntimeError()

        embedder.before = fail_third
        store = store_of(embedder, embed_batch_size=2)
        store.save_context("s", said(*"abcdef"))
        with pytest.raises(EmbeddingError) as caught:
            store.wait_for_embeddings()
        assert caught.value.message_ids == ("5", "6")
        assert store.embedding_status("s").missing == 2
        embedder.failing, embedder.before = None, lambda: None
        # What was left behind is embedded when the session is next searched.
        assert found(store) == ["1", "2", "3", "4", "5", "6"]
        assert store.embedding_status("s").missing == 0

    @pytest.mark.parametrize(
        "answer",
        [None, [], [[1.0]], [[1.0], [float("nan")]], [[1.0], [1.0, 2.0]], "ab", [1, 2]],
    )
    def test_what_is_no_vector_is_a_failure(self, answer: Any) -> None:
        store = store_of(lambda texts: answer)
        store.save_context("s", said("a", "b"))
        assert len(store.load_context("s")) == 2
        with pytest.raises(EmbeddingError) as caught:
            store.wait_for_embeddings()
        assert caught.value.message_ids == ("1", "2")
        for number in ("1", "2"):
            assert store.store.retrieval is not None
            assert not store.store.retrieval.sync.has_embedding("s", number)

    def test_a_retrieval_backend_that_fails_does_not_fail_the_save(self) -> None:
        class Fails(DictRetrieval):
            async def add(
                self, session_id: str, message_id: str, vector: Any, metadata: Any
            ) -> None:
                raise OSError("disk")

        store = store_of(Embedder(), retrieval=Fails())
        store.save_context("s", said("red"))
        with pytest.raises(EmbeddingError) as caught:
            store.wait_for_embeddings()
        assert caught.value.message_ids == ("1",)

    def test_an_asked_for_embedding_that_fails_is_raised(self) -> None:
        embedder = Embedder()
        embedder.failing = RuntimeError()
        store = store_of(embedder)
        with pytest.raises(EmbeddingError) as caught:
            store.add_message_embedding("s", "1", "red")
        assert caught.value.message_ids == ("1",)
        with pytest.raises(EmbeddingError):
            store.retrieve_relevant("s", "red", mode="dense")
        store.wait_for_embeddings()

    def test_closing_waits_and_tells(self, tmp_path: Path) -> None:
        embedder = Embedder()
        embedder.failing = RuntimeError()
        memory = SQLiteMemory(tmp_path / "chat.db")
        with pytest.raises(EmbeddingError), store_of(embedder, memory) as store:
            store.save_context("s", said("red"))
        # What it was given stays open.
        assert len(memory.sync.load_context("s")) == 1
        memory.sync.close()

        async def main() -> None:
            async with SessionStore(InMemoryMemory()) as plain:
                await plain.save_context("s", said("red"))

        asyncio.run(main())


class TestBackground:
    def test_it_is_waited_for(self) -> None:
        store = store_of(Embedder())
        store.spawn_background_embedding("s", "alone", "red", {"own": 1})
        store.wait_for_embeddings()
        (item,) = store.retrieve_relevant("s", "red")
        assert (item.message_id, item.metadata) == ("alone", {"text": "red", "own": 1})

        async def main() -> List[str]:
            handle = store.store.spawn_background_embedding("s", "second", "green")
            assert isinstance(handle, asyncio.Task)
            await store.store.wait_for_embeddings()
            return [i.message_id for i in await store.store.retrieve_relevant("s", "x")]

        assert sorted(asyncio.run(main())) == ["alone", "second"]

    def test_its_failure_is_raised_by_the_next_wait(self) -> None:
        embedder = Embedder()
        embedder.failing = RuntimeError()
        store = store_of(embedder)

        async def main() -> None:
            for number in range(2):
                store.store.spawn_background_embedding("s", str(number), "red")
            with pytest.raises(EmbeddingError) as caught:
                await store.store.wait_for_embeddings()
            assert sorted(caught.value.message_ids) == ["0", "1"]
            await store.store.wait_for_embeddings()

        asyncio.run(main())

    def test_what_a_stopped_loop_left_is_missing_and_made_later(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_hop, "_GLANCE", 0.01)
        loop, at_work = asyncio.new_event_loop(), threading.Event()

        async def embed(texts: List[str]) -> List[List[float]]:
            if not at_work.is_set():
                at_work.set()
                await asyncio.sleep(3600.0)
            return [[1.0, 2.0] for _ in texts]

        store = store_of(embed, auto_embed=False)
        store.save_context("s", said("red"))

        async def main() -> None:
            store.store.spawn_background_embedding("s", "1", "red")
            await asyncio.sleep(3600.0)

        def run() -> None:
            with pytest.raises(RuntimeError, match="stopped before"):
                loop.run_until_complete(main())

        thread = threading.Thread(target=run)
        thread.start()
        assert at_work.wait(10.0)
        threading.Timer(0.05, lambda: loop.call_soon_threadsafe(loop.stop)).start()
        with pytest.raises(EmbeddingError, match="loop ended"):
            asyncio.run(asyncio.wait_for(store.store.wait_for_embeddings(), 10.0))
        thread.join()
        assert store.embedding_status().missing == 1
        assert store.embed_missing().embedded == 1
        assert store.embedding_status().missing == 0
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()

    def test_what_cannot_be_embedded_is_refused_at_once(self) -> None:
        store = store_of(Embedder())
        refused: List[Tuple[Any, ...]] = [
            ("", "1", "red"),
            ("s", "", "red"),
            ("s", "1", None),
            ("s", "1", "red", {"a": {1}}),
        ]
        for arguments in refused:
            with pytest.raises(InvalidInputError):
                store.spawn_background_embedding(*arguments)
            with pytest.raises(InvalidInputError):
                store.add_message_embedding(*arguments)


class TestLateResults:
    """A vector that arrives for a message that went meanwhile is dropped."""

    @pytest.mark.parametrize("retrieval", RETRIEVALS)
    @pytest.mark.parametrize("batch_size", [1, 64])
    def test_deleted_while_it_was_embedded(
        self, retrieval: Callable[[], RetrievalBackend], batch_size: int
    ) -> None:
        embedder = Embedder()
        store = store_of(embedder, None, retrieval(), embed_batch_size=batch_size)

        def delete() -> None:
            embedder.before = lambda: None
            store.delete_interaction("s", "2")

        embedder.before = delete
        store.save_context("s", said("red", "green", "blue"))
        assert found(store) == ["1"]

    @pytest.mark.parametrize("retrieval", RETRIEVALS)
    @pytest.mark.parametrize("batch_size", [1, 64])
    def test_its_session_deleted_while_it_was_embedded(
        self, retrieval: Callable[[], RetrievalBackend], batch_size: int
    ) -> None:
        embedder = Embedder()
        store = store_of(embedder, None, retrieval(), embed_batch_size=batch_size)

        def delete() -> None:
            embedder.before = lambda: None
            store.delete_session("s")

        embedder.before = delete
        store.save_context("s", said("red", "green"))
        assert found(store) == []

    @pytest.mark.parametrize("retrieval", RETRIEVALS)
    def test_changed_while_it_was_embedded(
        self, retrieval: Callable[[], RetrievalBackend]
    ) -> None:
        embedder = Embedder()
        store = store_of(embedder, None, retrieval())

        def change() -> None:
            embedder.before = lambda: None
            store.save_context("s", said("blue"))

        embedder.before = change
        store.save_context("s", said("red"))
        (item,) = store.retrieve_relevant("s", "blue")
        assert item.metadata == {"text": "blue"}

    def test_deleted_while_its_vector_was_written(self) -> None:
        class Slow(DeletingDictRetrieval):
            async def add(
                self, session_id: str, message_id: str, vector: Any, metadata: Any
            ) -> None:
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(None, store.delete_session, "s")
                await super().add(session_id, message_id, vector, metadata)

        store = store_of(Embedder(), None, Slow())
        store.save_context("s", said("red"))
        assert found(store) == []


class TestConfiguration:
    def test_what_contradicts_itself_is_refused(self) -> None:
        memory: Any = InMemoryMemory()
        config = SessionStoreConfig(auto_embed=True)
        with pytest.raises(ConfigurationError, match="retrieval"):
            SessionStore(memory, None, config)
        with pytest.raises(ConfigurationError, match="embed_fn"):
            SessionStore(memory, InMemoryEmbeddingStore(), config)
        not_one: Any = {"role": "user"}
        with pytest.raises(ConfigurationError, match="dict"):
            SessionStore(not_one)

    def test_without_retrieval_only_messages_are_kept(self) -> None:
        store = SyncSessionStore(InMemoryMemory())
        store.save_context("s", said("red", "green"))
        store.delete_interaction("s", "2")
        store.delete_session("s")
        for call in (
            lambda: store.retrieve_relevant("s", "red", mode="dense"),
            lambda: store.add_message_embedding("s", "1", "red"),
            lambda: store.spawn_background_embedding("s", "1", "red"),
        ):
            with pytest.raises(ConfigurationError, match="embed_fn"):
                call()
        store.wait_for_embeddings()

    def test_vectors_made_elsewhere_go_too(self) -> None:
        retrieval = InMemoryEmbeddingStore()
        store = SyncSessionStore(InMemoryMemory(), retrieval)
        store.save_context("s", said("red", "green"))
        retrieval.sync.add("s", "2", [1.0, 0.0])
        store.delete_interaction("s", "2")
        assert not retrieval.sync.has_embedding("s", "2")

    def test_k_and_query(self) -> None:
        embedder = Embedder()
        store = store_of(embedder)
        store.save_context("s", said("red", "green"))
        asked = len(embedder.batches)
        assert store.retrieve_relevant("s", "red", 0) == []
        assert len(embedder.batches) == asked
        assert len(store.retrieve_relevant("s", "red", k=1)) == 1
        assert store.retrieve_relevant("nobody", "red") == []
        bad: Any
        for bad in (-1, True, None, 1.0):
            with pytest.raises(InvalidInputError):
                store.retrieve_relevant("s", "red", bad)
        for bad in (None, 7, b"red"):
            with pytest.raises(InvalidInputError):
                store.retrieve_relevant("s", bad)

    def test_options_that_a_backend_lacks_are_refused(self) -> None:
        store = store_of(Embedder(), DictBackend())
        with pytest.raises(UnsupportedOperationError, match="expected_version"):
            store.save_context("s", said("red"), expected_version=0)
        with pytest.raises(UnsupportedOperationError, match="create"):
            store.append_context("s", said("red"), create=True)
        assert store.load_context("s") == []

    def test_options_that_it_has_are_passed_on(self) -> None:
        store = store_of(Embedder())
        written = store.append_context("s", said("red"), create=True)
        assert written is not None
        assert written.ids == ("1",)
        with pytest.raises(ValueError, match="version"):
            store.save_context("s", [], expected_version=0)
        store.save_context("s", [], expected_version=written.version)
        assert found(store) == []
