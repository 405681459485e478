"""Search and embedding of what is stored: modes, catching up, other models."""

from __future__ import annotations

import asyncio
import os
import threading
import warnings
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import pytest

from contextstore import (
    ConfigurationError,
    EmbeddingError,
    InMemoryEmbeddingStore,
    InMemoryMemory,
    InvalidInputError,
    MemoryBackend,
    RetrievalBackend,
    RetrievedItem,
    SessionStore,
    SessionStoreConfig,
    SQLiteEmbeddingStore,
    SQLiteMemory,
    SyncSessionStore,
    UnsupportedOperationError,
)
from contextstore.embedders import HashingEmbedder
from contextstore.retrieval import arithmetic
from contextstore.retrieval.documents import Document, SessionIndex
from contextstore.retrieval.hybrid import HybridQuery
from tests.testing.backends import DeletingDictRetrieval, DictBackend, DictRetrieval

Message = Dict[str, Any]

SAID = {
    "a": "The harbour is closed in winter.",
    "b": "My sister plays the cello.",
    "c": "We moved to Lisbon last spring.",
    "d": "The car needs new brakes.",
}


class Named(HashingEmbedder):
    """Be a model of a name and dimension, which can be made to fail."""

    def __init__(self, name: str, dimension: int = 256) -> None:
        super().__init__(dimension)
        self.name = name
        self.texts: List[str] = []
        self.refused: Tuple[str, ...] = ()

    def __call__(self, texts: List[str]) -> List[List[float]]:
        self.texts += texts
        if any(refused in text for text in texts for refused in self.refused):
            raise RuntimeError("refused")
        return super().__call__(texts)


def messages(said: Optional[Dict[str, str]] = None) -> List[Message]:
    return [
        {"id": one, "role": "user", "content": text}
        for one, text in (SAID if said is None else said).items()
    ]


def store_of(
    embed_fn: Any = None,
    memory: Optional[MemoryBackend] = None,
    retrieval: Optional[RetrievalBackend] = None,
    **options: Any,
) -> SyncSessionStore:
    options.setdefault("auto_embed", embed_fn is not None)
    if retrieval is None and embed_fn is not None:
        retrieval = InMemoryEmbeddingStore()
    config = SessionStoreConfig(embed_fn=embed_fn, **options)
    return SyncSessionStore(memory or InMemoryMemory(), retrieval, config)


def best(store: SyncSessionStore, query: str, **options: Any) -> str:
    return store.retrieve_relevant("s", query, 1, **options)[0].message_id


class TestModes:
    @pytest.mark.parametrize("memory", [InMemoryMemory, DictBackend])
    @pytest.mark.parametrize("retrieval", [InMemoryEmbeddingStore, DictRetrieval, None])
    @pytest.mark.parametrize("mode", ["hybrid", "lexical"])
    def test_words_are_found_with_and_without_vectors(
        self, memory: Any, retrieval: Any, mode: str
    ) -> None:
        store = store_of(
            HashingEmbedder() if retrieval else None,
            memory(),
            retrieval() if retrieval else None,
        )
        store.save_context("s", messages())
        assert best(store, "who plays the cello?", mode=mode) == "b"
        assert best(store, "brakes of the car", mode=mode) == "d"

    def test_dense_scores_by_the_cosine(self) -> None:
        store = store_of(HashingEmbedder())
        store.save_context("s", messages())
        for item in store.retrieve_relevant("s", "the cello", mode="dense"):
            assert item.score == item.cosine
            assert item.lexical is not None
            assert -1 <= item.score <= 1

    def test_every_result_says_what_it_is(self) -> None:
        store = store_of(HashingEmbedder())
        store.save_context("s", messages())
        (item,) = store.retrieve_relevant("s", "cello", 1)
        assert item.metadata == {"text": SAID["b"]}
        assert item.cosine is not None
        assert item.lexical is not None
        assert item.lexical > 0

    def test_a_name_is_searched_too(self) -> None:
        store = store_of()
        named = [
            {**m, "name": n} for m, n in zip(messages(), ("Ann", "Bo", "Cy", "Di"))
        ]
        store.save_context("s", named)
        assert best(store, "what did Cy say?") == "c"

    def test_a_query_that_cannot_be_embedded_is_ranked_by_its_words(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        model = Named("m")
        store = store_of(model)
        store.save_context("s", messages())
        model.embed_queries = model.__call__  # type: ignore[method-assign]
        model.refused = ("cello",)
        assert best(store, "cello") == "b"
        assert "by its words alone" in caplog.text
        assert "cello" not in caplog.text

    @pytest.mark.parametrize("mode", ["", "semantic", None, 1])
    def test_other_modes_are_refused(self, mode: Any) -> None:
        with pytest.raises(InvalidInputError) as caught:
            store_of().retrieve_relevant("s", "a", mode=mode)
        assert caught.value.path == "mode"

    def test_a_session_that_is_not_there_has_nothing(self) -> None:
        assert store_of().retrieve_relevant("s", "cello") == []
        assert store_of(HashingEmbedder()).retrieve_relevant("s", "cello") == []


class TestIndexInStep:
    """The index of a session follows every change, whoever makes it."""

    @pytest.fixture
    def memory(self, tmp_path: Path) -> MemoryBackend:
        return SQLiteMemory(tmp_path / "chat.db")

    def test_changes_by_another_object(self, memory: SQLiteMemory) -> None:
        store, other = store_of(None, memory), memory.sync
        other.save_context("s", messages())
        assert best(store, "cello") == "b"
        other.append_context("s", messages({"e": "The cello was sold."}))
        assert best(store, "cello sold") == "e"
        other.update_interaction("s", "a", {"role": "user", "content": "A red kite."})
        assert best(store, "kite") == "a"
        other.delete_interaction("s", "e")
        assert best(store, "cello sold") == "b"
        other.save_context("s", messages({"f": "A cello!", "g": "A kite!"}))
        assert best(store, "kite") == "g"
        other.set_metadata("s", {"user": "u"})
        assert best(store, "kite") == "g"
        other.prune("s", keep_last=1)
        found = store.retrieve_relevant("s", "cello kite")
        assert [item.message_id for item in found] == ["g"]
        other.delete_session("s")
        assert store.retrieve_relevant("s", "kite") == []
        other.save_context("s", messages({"h": "A kite again."}))
        assert best(store, "kite") == "h"

    def test_an_edit_and_an_append_are_no_append(self, memory: SQLiteMemory) -> None:
        store = store_of(None, memory)
        history = messages()
        store.save_context("s", history)
        assert best(store, "cello") == "b"
        history[1]["content"] = "My sister plays the oboe."
        memory.sync.save_context("s", [*history, *messages({"e": "And the horn."})])
        assert best(store, "oboe") == "b"
        assert best(store, "horn") == "e"

    def test_searches_and_writes_side_by_side(self, memory: SQLiteMemory) -> None:
        store = SessionStore(memory)

        async def write(number: int) -> None:
            said = {f"{number}-{place}": f"word{number}" for place in range(5)}
            await store.append_context("s", messages(said))

        async def main() -> None:
            await store.save_context("s", [])
            await asyncio.gather(
                *(write(number) for number in range(20)),
                *(store.retrieve_relevant("s", "word7") for _ in range(20)),
            )
            found = await store.retrieve_relevant("s", "word7", 5)
            assert {item.message_id[:2] for item in found} == {"7-"}

        asyncio.run(main())


class TestAcrossSessions:
    def store(self, embed_fn: Any = None) -> SyncSessionStore:
        memory = InMemoryMemory()
        store = store_of(embed_fn, memory)
        for user, said in (("u1", "the red bicycle"), ("u2", "the red bicycle bell")):
            for number in range(3):
                session = f"{user}/{number}"
                store.save_context(
                    session, messages({"m": f"{said} {number}", "n": "a green door"})
                )
                memory.sync.set_metadata(session, {"user": user})
        return store

    @pytest.mark.parametrize("embed_fn", [None, HashingEmbedder()])
    def test_only_what_is_allowed_is_found(self, embed_fn: Any) -> None:
        store = self.store(embed_fn)
        found = store.search("red bicycle", where={"user": "u1"}, k=10)
        assert {item.session_id for item in found} == {"u1/0", "u1/1", "u1/2"}
        assert {item.message_id for item in found[:3]} == {"m"}
        assert store.search("red bicycle", where={"user": "nobody"}) == []
        assert store.search("red bicycle", where={"user": {"$ne": ""}}) == []

    def test_a_prefix_narrows(self) -> None:
        found = self.store().search("red bicycle", prefix="u2/1")
        assert {item.session_id for item in found} == {"u2/1"}

    def test_k_counts_over_all(self) -> None:
        assert len(self.store().search("red", k=2)) == 2
        assert self.store().search("red", k=0) == []

    def test_it_needs_a_list_of_sessions(self) -> None:
        with pytest.raises(UnsupportedOperationError):
            store_of(None, DictBackend()).search("red")


@pytest.mark.parametrize("size", [0, -1, True, 1.5, None])
def test_a_batch_has_a_size(size: Any) -> None:
    with pytest.raises(ConfigurationError, match="embed_batch_size"):
        store_of(embed_batch_size=size)


@pytest.mark.parametrize(
    "arguments",
    [
        ("not a memory",),
        (InMemoryMemory(), "chat.db"),
        (InMemoryMemory(), None, {"auto_embed": True}),
        (InMemoryMemory(), None, SessionStoreConfig(builder="gpt-4o")),  # type: ignore[arg-type]
        (InMemoryMemory(), None, SessionStoreConfig(weights=1)),  # type: ignore[arg-type]
        (InMemoryMemory(), None, SessionStoreConfig(embed_fn="model")),  # type: ignore[arg-type]
    ],
)
def test_each_part_has_its_kind(arguments: Any) -> None:
    with pytest.raises(ConfigurationError):
        SessionStore(*arguments)


class TestCatchingUp:
    def test_a_rate_is_kept_within_a_session(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pauses: List[float] = []

        async def sleep(seconds: float) -> None:
            pauses.append(round(seconds))

        monkeypatch.setattr("contextstore.retrieval.upkeep.sleep", sleep)
        monkeypatch.setattr("time.monotonic", lambda: 0.0)
        memory = InMemoryMemory()
        memory.sync.save_context("s", messages())
        store = store_of(Named("m"), memory, auto_embed=False)
        assert store.embed_missing(per_minute=2).embedded == 4
        assert pauses == [0, 60]

    def test_what_was_stored_before_is_embedded_on_use(self) -> None:
        memory = InMemoryMemory()
        memory.sync.save_context("s", messages())
        store = store_of(HashingEmbedder(), memory)
        assert store.embedding_status("s").missing == 4
        assert best(store, "cello", mode="dense") == "b"
        status = store.embedding_status("s")
        assert (status.total, status.missing, status.failed) == (4, 0, {})

    def test_embed_missing_over_all_sessions(self) -> None:
        memory, seen = InMemoryMemory(), []
        for session in ("s", "t", "u"):
            memory.sync.save_context(session, messages())
        store = store_of(HashingEmbedder(), memory, auto_embed=False)
        report = store.embed_missing(
            progress=lambda done, missing: seen.append((done, missing))
        )
        assert (report.embedded, report.failed) == (12, {})
        assert seen == [(4, 4)] * 3
        assert store.embed_missing().embedded == 0
        assert store.embedding_status().missing == 0

    def test_what_keeps_failing_can_be_read(self) -> None:
        model = Named("m")
        model.refused = ("brakes",)
        store = store_of(model, embed_batch_size=1)
        store.save_context("s", messages())
        report = store.embed_missing(retries=0)
        assert list(report.failed) == [("s", "d")]
        assert store.embedding_status("s").missing == 1
        with pytest.raises(EmbeddingError):
            store.wait_for_embeddings()
        model.refused = ()
        assert store.embed_missing().embedded == 1
        assert store.embedding_status("s").failed == {}

    def test_it_needs_something_to_embed_with(self) -> None:
        for call in (
            lambda: store_of().embed_missing(),
            lambda: store_of().embedding_status(),
        ):
            with pytest.raises(ConfigurationError):
                call()

    def test_one_call_a_message(self) -> None:
        model = Named("m")
        store = SessionStore(
            InMemoryMemory(),
            InMemoryEmbeddingStore(),
            SessionStoreConfig(embed_fn=model),
        )

        async def main() -> None:
            await asyncio.gather(
                *(store.add_message_embedding("s", "a", "once") for _ in range(8))
            )

        asyncio.run(main())
        assert model.texts == ["once"]

    def test_a_restart_finds_what_is_missing(self, tmp_path: Path) -> None:
        path, model = tmp_path / "chat.db", Named("m")
        model.refused = ("cello",)
        with SQLiteMemory(path).sync as memory:
            store = store_of(model, memory.backend, SQLiteEmbeddingStore(path))
            store.save_context("s", messages())
            with pytest.raises(EmbeddingError):
                store.wait_for_embeddings()
        model.refused = ()
        store = store_of(model, SQLiteMemory(path), SQLiteEmbeddingStore(path))
        assert best(store, "cello", mode="dense") == "b"
        assert store.embedding_status().missing == 0


class TestOtherModels:
    @pytest.fixture(params=["memory", "sqlite"])
    def parts(
        self, request: Any, tmp_path: Path
    ) -> Tuple[MemoryBackend, RetrievalBackend]:
        if request.param == "memory":
            return InMemoryMemory(), InMemoryEmbeddingStore()
        path = tmp_path / "chat.db"
        return SQLiteMemory(path), SQLiteEmbeddingStore(path)

    def test_a_store_moves_to_another_model(
        self, parts: Tuple[MemoryBackend, RetrievalBackend]
    ) -> None:
        old, new = Named("old"), Named("new", 320)
        store = store_of(old, *parts)
        store.save_context("s", messages())
        report = store.reembed(new)
        assert (report.embedded, report.failed) == (4, {})
        assert best(store, "cello", mode="dense") == "b"
        asked = len(old.texts)
        store.append_context("s", messages({"e": "A tuba, too."}))
        assert best(store, "tuba", mode="dense") == "e"
        assert len(old.texts) == asked
        _, retrieval = parts
        assert retrieval.for_model("old").sync.message_ids("s") == []

    def test_what_is_no_message_moves_too(
        self, parts: Tuple[MemoryBackend, RetrievalBackend]
    ) -> None:
        store = store_of(Named("old"), *parts)
        store.save_context("s", messages())
        store.add_message_embedding("s", "note", "The zebra note.", {"own": 1})
        store.add_message_embedding("elsewhere", "alone", "A lonely zebra.")
        assert store.reembed(Named("new", 320)).embedded == 6
        (found,) = store.retrieve_relevant("s", "zebra note", 1, mode="dense")
        assert (found.message_id, found.metadata["own"]) == ("note", 1)
        (found,) = store.retrieve_relevant("elsewhere", "zebra", 1, mode="dense")
        assert found.message_id == "alone"

    def test_a_failing_model_does_not_take_over(
        self, parts: Tuple[MemoryBackend, RetrievalBackend]
    ) -> None:
        old, new = Named("old"), Named("new", 320)
        new.refused = ("brakes",)
        store = store_of(old, *parts, embed_batch_size=1)
        store.save_context("s", messages())
        assert list(store.reembed(new, retries=0).failed) == [("s", "d")]
        assert best(store, "brakes", mode="dense") == "d"
        new.refused, done = (), len(new.texts)
        # What was done is not done again.
        assert store.reembed(new).embedded == 1
        assert new.texts[done:] == [SAID["d"]]
        assert best(store, "brakes", mode="dense") == "d"

    def test_two_models_never_answer_one_query(
        self, parts: Tuple[MemoryBackend, RetrievalBackend]
    ) -> None:
        first = store_of(Named("one"), *parts)
        first.save_context("s", messages())
        second = store_of(Named("two", 320), *parts)
        assert second.embedding_status("s").missing == 4
        assert best(second, "cello", mode="dense") == "b"
        assert best(first, "cello", mode="dense") == "b"

    def test_it_needs_names_and_a_store_that_tells_models_apart(self) -> None:
        unnamed = lambda texts: [[1.0] for _ in texts]  # noqa: E731
        for store, embed_fn in (
            (store_of(), Named("new")),
            (store_of(Named("old")), unnamed),
            (store_of(Named("old")), Named("old")),
            (store_of(Named("old"), None, DictRetrieval()), Named("new")),
        ):
            with pytest.raises(ConfigurationError):
                store.reembed(embed_fn)


class Stuck(DeletingDictRetrieval):
    """Be a backend that cannot be reached when something is to be removed."""

    async def delete(self, session_id: str, message_ids: Any) -> None:
        raise OSError("no route")

    async def delete_session(self, session_id: str) -> None:
        raise OSError("no route")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")
def test_a_forked_child_does_not_wait_for_the_parents_work() -> None:
    started, go_on = threading.Event(), threading.Event()

    def embed_fn(texts: List[str]) -> List[List[float]]:
        started.set()
        go_on.wait(30)
        return [[1.0, 0.0] for _ in texts]

    store = store_of(embed_fn, auto_embed=False)
    store.spawn_background_embedding("s", "a", "word")
    assert started.wait(30)
    with warnings.catch_warnings():
        # Python 3.12 warns of forks of processes with threads, which is the point here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        store.wait_for_embeddings()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    go_on.set()
    store.wait_for_embeddings()
    assert status == 0


class TestCarriedAlong:
    """Vectors follow what is done to their messages through the store."""

    def test_what_cannot_be_removed_fails_nothing_and_is_not_found(self) -> None:
        store = store_of(HashingEmbedder(), None, Stuck())
        store.save_context("s", messages())
        store.delete_interaction("s", "c")
        found = store.retrieve_relevant("s", "Lisbon", mode="dense")
        assert sorted(item.message_id for item in found) == ["a", "b"]
        with pytest.raises(EmbeddingError) as caught:
            store.wait_for_embeddings()
        assert caught.value.message_ids == ("c", "d")
        store.delete_session("s")
        assert store.load_context("s") == []
        assert store.retrieve_relevant("s", "cello", mode="dense") == []
        with pytest.raises(EmbeddingError):
            store.wait_for_embeddings()
        store.save_context("s", messages({"b": "The cello again."}))
        assert best(store, "cello", mode="dense") == "b"

    def test_update(self) -> None:
        store = store_of(HashingEmbedder())
        store.save_context("s", messages())
        store.update_interaction("s", "a", {"role": "user", "content": "A cello shop."})
        found = store.retrieve_relevant("s", "a cello shop", 1, mode="dense")
        assert found[0].message_id == "a"
        assert found[0].metadata["text"] == "A cello shop."

    def test_prune_and_erase(self) -> None:
        retrieval = InMemoryEmbeddingStore()
        store = store_of(HashingEmbedder(), None, retrieval)
        store.save_context("s", messages())
        assert store.prune("s", keep_last=2, dry_run=True).message_count == 2
        vectors = retrieval.for_model(HashingEmbedder().name).sync
        assert vectors.has_embedding("s", "a")
        store.prune("s", keep_last=2)
        assert not vectors.has_embedding("s", "a")
        assert vectors.has_embedding("s", "d")
        store.erase(session_id="s")
        assert not vectors.has_embedding("s", "d")
        assert store.retrieve_relevant("s", "brakes") == []

    def test_fork(self) -> None:
        store = store_of(HashingEmbedder())
        store.save_context("s", messages())
        store.fork_session("s", "t", at="b")
        found = store.retrieve_relevant("t", "cello", mode="dense")
        assert {item.message_id for item in found} == {"a", "b"}


class Asked(DeletingDictRetrieval):
    """Write down with what it was searched."""

    def __init__(self) -> None:
        super().__init__()
        self.queries: List[List[float]] = []

    async def search(
        self, session_id: str, query_vector: Any, k: int
    ) -> List[RetrievedItem]:
        self.queries.append(list(query_vector))
        return await super().search(session_id, query_vector, k)


def test_a_backend_that_gives_its_best_is_asked_without_the_mean() -> None:
    retrieval, memory = Asked(), InMemoryMemory()
    store = store_of(HashingEmbedder(32), memory, retrieval)
    store.save_context("s", messages())
    assert best(store, "Who plays the cello?") == "b"
    plain, shifted = retrieval.queries
    assert sum(part * part for part in shifted) < sum(part * part for part in plain)

    # What was there before, or is left after a deletion, has no known mean.
    for other in (store_of(HashingEmbedder(32), memory, retrieval), store):
        store.delete_interaction("s", "d")
        store.append_context("s", messages()[3:])
        retrieval.queries.clear()
        assert best(other, "Who plays the cello?") == "b"
        assert retrieval.queries == [plain]


def test_a_mean_is_not_taken_of_texts_that_another_object_changed() -> None:
    retrieval, memory = Asked(), InMemoryMemory()
    store, other = (store_of(HashingEmbedder(32), memory, retrieval) for _ in "ab")
    store.save_context("s", messages())
    assert best(store, "Who plays the cello?") == "b"
    edited = {"role": "user", "content": "My brother plays the harp."}
    other.update_interaction("s", "b", edited)
    retrieval.queries.clear()
    assert best(store, "Who plays the harp?") == "b"
    assert len(retrieval.queries) == 1


def test_messages_without_text_take_no_vector_and_no_mean_away() -> None:
    deleted: List[str] = []

    class Counting(Asked):
        async def delete(self, session_id: str, message_ids: Any) -> None:
            deleted.extend(message_ids)
            await super().delete(session_id, message_ids)

    retrieval = Counting()
    store = store_of(HashingEmbedder(32), None, retrieval)
    call = {"id": "call", "type": "function", "function": {"name": "f"}}
    silent: List[Message] = [
        {"id": "e", "role": "assistant", "content": "", "tool_calls": [call]},
        {"id": "f", "role": "tool", "content": "", "tool_call_id": "call"},
    ]
    store.save_context("s", [*messages(), *silent])
    assert best(store, "Who plays the cello?") == "b"
    store.delete_interaction("s", "f")
    retrieval.queries.clear()
    assert best(store, "Who plays the cello?") == "b"
    plain, shifted = retrieval.queries
    assert sum(part * part for part in shifted) < sum(part * part for part in plain)
    assert deleted == ["f"]


@pytest.mark.parametrize("face", ["async", "sync"])
def test_progress_may_be_asynchronous(face: str) -> None:
    seen: List[Tuple[int, int]] = []

    async def progress(done: int, missing: int) -> None:
        await asyncio.sleep(0)
        seen.append((done, missing))

    store = store_of(HashingEmbedder(), auto_embed=False)
    store.save_context("s", messages())
    if face == "sync":
        store.embed_missing(progress=progress)
        store.reembed(Named("new"), progress=progress)
    else:
        asyncio.run(store.store.embed_missing(progress=progress))
        asyncio.run(store.store.reembed(Named("new"), progress=progress))
    assert seen == [(4, 4), (4, 4)]


@pytest.mark.parametrize(
    "arguments",
    [{"retries": -1}, {"retries": True}, {"retries": "2"}, {"progress": 5}],
)
def test_catching_up_refuses_what_it_cannot_take(arguments: Dict[str, Any]) -> None:
    store = store_of(Named("a"))
    store.save_context("s", messages())
    with pytest.raises(InvalidInputError, match=next(iter(arguments))):
        store.embed_missing(**arguments)


def test_a_message_that_failed_twice_is_named_once() -> None:
    embed_fn = Named("a")
    embed_fn.refused = ("cello",)
    store = store_of(embed_fn)
    store.save_context("s", messages({"b": SAID["b"]}))
    store.retrieve_relevant("s", "brakes")
    with pytest.raises(EmbeddingError, match=r"^1 messages") as caught:
        store.wait_for_embeddings()
    assert caught.value.message_ids == ("b",)


@pytest.mark.parametrize(("count", "is_aside"), [(5, False), (400, True)])
def test_many_messages_are_indexed_away_from_the_loop(
    count: int, is_aside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: List[int] = []
    append = SessionIndex.append

    def noted(index: SessionIndex, document: Document) -> None:
        threads.append(threading.get_ident())
        append(index, document)

    monkeypatch.setattr(SessionIndex, "append", noted)

    async def search() -> None:
        store = SessionStore(InMemoryMemory())
        said = [{"role": "user", "content": f"number {n}"} for n in range(count)]
        await store.save_context("s", said)
        assert len(await store.retrieve_relevant("s", "number 3", k=3)) == 3
        # What is appended meanwhile is taken in the same way.
        await store.append_context("s", said)
        assert len(await store.retrieve_relevant("s", "number 3", k=3)) == 3

    asyncio.run(search())
    assert len(threads) == 2 * count
    assert (threading.get_ident() not in threads) == is_aside


def test_numpy_is_imported_away_from_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: List[int] = []
    monkeypatch.setattr(arithmetic, "_prepared", [])
    monkeypatch.setattr(
        arithmetic, "make_columns", lambda: threads.append(threading.get_ident())
    )

    async def search() -> None:
        store = SessionStore(InMemoryMemory())
        await store.save_context("s", messages())
        await store.retrieve_relevant("s", "harbour", mode="lexical")
        await arithmetic.prepare()

    monkeypatch.setattr(HybridQuery, "__init__", lambda *_, **__: None)
    monkeypatch.setattr(HybridQuery, "rank", lambda *_: [])
    asyncio.run(search())
    assert len(threads) == 1
    assert threading.get_ident() not in threads


ZEBRA = "the secret zebra"


def user(message_id: str, content: str) -> Message:
    return {"id": message_id, "role": "user", "content": content}


class Held(HashingEmbedder):
    """Embed what holds a word only when the gate is open."""

    def __init__(self, name: str = "held") -> None:
        super().__init__()
        self.name = name
        self.gate = asyncio.Event()
        self.begun = asyncio.Event()

    async def __call__(self, texts: List[str]) -> List[List[float]]:  # type: ignore[override]
        if any(ZEBRA in text for text in texts):
            self.begun.set()
            await self.gate.wait()
        return super().__call__(texts)


async def hits(store: SessionStore[Any]) -> Dict[str, List[str]]:
    """Return what each mode finds for the secret."""
    return {
        mode: [
            item.message_id
            for item in await store.retrieve_relevant("s", "secret", mode=mode)
        ]
        for mode in ("hybrid", "dense", "lexical")
    }


def store_with(function: Any, memory: Optional[MemoryBackend] = None) -> Any:
    config = SessionStoreConfig(embed_fn=function, auto_embed=True)
    return SessionStore(memory or InMemoryMemory(), InMemoryEmbeddingStore(), config)


async def pause() -> None:
    for _ in range(20):
        await asyncio.sleep(0.002)


def test_what_is_deleted_while_two_wait_to_embed_it_gets_no_vector() -> None:
    async def run() -> Dict[str, List[str]]:
        held = Held()
        store = store_with(held)
        said = [user("a", "hello"), user("z", ZEBRA)]
        saving = asyncio.ensure_future(store.save_context("s", said))
        await held.begun.wait()
        waiting = asyncio.ensure_future(store.retrieve_relevant("s", "hello"))
        await pause()
        await store.delete_interaction("s", "z")
        other = asyncio.ensure_future(store.retrieve_relevant("s", "hello"))
        await pause()
        held.gate.set()
        await asyncio.gather(saving, waiting, other)
        return await hits(store)

    assert all(ids == ["a"] for ids in asyncio.run(run()).values())


def test_a_search_that_is_cancelled_leaves_no_vector_of_what_went() -> None:
    async def run() -> None:
        memory = InMemoryMemory()
        store = store_with(HashingEmbedder(), memory)
        said = [user(f"m{n}", f"talk number {n}") for n in range(300)]
        await store.save_context("s", [*said, user("z", ZEBRA)])
        await store.retrieve_relevant("s", "talk")
        await SessionStore(memory).save_context("s", said[::-1])
        session = store._in_step.indexes.known("s")
        for turns in range(60):
            search = asyncio.ensure_future(store.retrieve_relevant("s", "secret"))
            for _ in range(turns):
                await asyncio.sleep(0)
            search.cancel()
            await asyncio.gather(search, return_exceptions=True)
        await pause()
        assert all("z" not in ids for ids in (await hits(store)).values())
        assert not await store.retrieval.has_embedding("s", "z")
        assert not session.gone

    asyncio.run(run())


def test_what_is_deleted_while_all_is_embedded_anew_gets_no_vector() -> None:
    async def run() -> Dict[str, List[str]]:
        new = Held("new")
        store = store_with(Named("old"))
        await store.save_context("s", [user("a", "hello"), user("z", ZEBRA)])
        anew = asyncio.ensure_future(store.reembed(new))
        await new.begun.wait()
        await store.delete_interaction("s", "z")
        await store.retrieve_relevant("s", "hello")
        new.gate.set()
        await anew
        return await hits(store)

    assert all(ids == ["a"] for ids in asyncio.run(run()).values())


@pytest.mark.parametrize("how", ["delete_interaction", "delete_session", "erase"])
def test_a_text_that_is_erased_while_it_is_embedded_is_not_searched(how: str) -> None:
    async def run() -> List[RetrievedItem]:
        held = Held()
        config = SessionStoreConfig(embed_fn=held)
        store = SessionStore(InMemoryMemory(), InMemoryEmbeddingStore(), config)
        await store.save_context("s", [user("z", ZEBRA)])
        task = store.spawn_background_embedding("s", "z", ZEBRA)
        await held.begun.wait()
        if how == "delete_interaction":
            await store.delete_interaction("s", "z")
        elif how == "delete_session":
            await store.delete_session("s")
        else:
            await store.erase(session_id="s")
        held.gate.set()
        await store.wait_for_embeddings()
        assert task is not None
        return await store.retrieve_relevant("s", "secret", mode="lexical")

    assert asyncio.run(run()) == []


def test_a_result_has_the_text_of_now() -> None:
    function = Named("one")
    memory = InMemoryMemory()
    config = SessionStoreConfig(embed_fn=function, auto_embed=True)
    store = SyncSessionStore(memory, InMemoryEmbeddingStore(), config)
    store.save_context("s", [user("m", "my password is hunter2"), user("n", "fine")])
    function.refused = ("redacted",)
    SyncSessionStore(memory).update_interaction(
        "s", "m", user("m", "password redacted")
    )
    for mode in ("hybrid", "lexical", "dense"):
        (item,) = store.retrieve_relevant("s", "password", k=1, mode=mode)
        assert item.metadata["text"] == "password redacted"


class SlowMemory(InMemoryMemory):
    """Give what was loaded later than it was read."""

    gate: Optional[asyncio.Event] = None

    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Message]:
        loaded = await super().load_context(session_id, k)
        if self.gate is not None:
            gate, self.gate = self.gate, None
            await gate.wait()
        return loaded


def test_an_earlier_look_replaces_no_later_one() -> None:
    async def run() -> None:
        memory = SlowMemory()
        store = store_with(HashingEmbedder(), memory)
        await SessionStore(memory).save_context("s", [user("a", "hello")])
        gate = memory.gate = asyncio.Event()
        early = asyncio.ensure_future(store.retrieve_relevant("s", "hello"))
        await pause()
        await store.append_context("s", [user("z", ZEBRA)])
        await store.retrieve_relevant("s", "secret")
        gate.set()
        await early
        (item,) = await store.retrieve_relevant("s", ZEBRA, k=1)
        assert item.message_id == "z"
        assert item.cosine == pytest.approx(1.0)

    asyncio.run(run())


def test_a_function_of_another_dimension_leaves_the_words() -> None:
    dimension = 4
    config = SessionStoreConfig(
        embed_fn=lambda texts: [[1.0] * dimension for _ in texts], auto_embed=True
    )
    store = SyncSessionStore(InMemoryMemory(), InMemoryEmbeddingStore(), config)
    store.save_context("s", [user("a", "the boat"), user("b", "the car")])
    dimension = 5
    assert store.retrieve_relevant("s", "boat")[0].message_id == "a"
    assert store.build_context("s", 100, query="boat").messages
    with pytest.raises(EmbeddingError, match="does not fit"):
        store.retrieve_relevant("s", "boat", mode="dense")


@pytest.mark.parametrize("memory", [InMemoryMemory, DictBackend])
def test_a_summary_does_not_outlive_its_session(memory: Any) -> None:
    async def run() -> None:
        store = SessionStore(memory())
        gate = asyncio.Event()
        begun = asyncio.Event()

        async def summarize(dropped: List[Message]) -> str:
            begun.set()
            await gate.wait()
            return "SECRET"

        async def build() -> Any:
            options = {"summarizer": summarize}
            return await store.build_context(
                "s", 300, strategy="summarize_oldest", strategy_opts=options
            )

        said = [user(f"m{n}", "a secret of zebras " * 40) for n in range(20)]
        await store.save_context("s", said)
        building = asyncio.ensure_future(build())
        await begun.wait()
        await store.delete_session("s")
        await store.save_context("s", [user("n", "hi")])
        gate.set()
        assert (await building).metadata["summarized_ids"]
        assert await store._summaries._load("s") == {}
        # What is made of a session that stays is kept until that is deleted, too.
        await store.save_context("s", said)
        await build()
        assert await store._summaries._load("s")
        await store.delete_session("s")
        assert not store._summaries._here
        assert not store._summaries._open

    asyncio.run(run())
