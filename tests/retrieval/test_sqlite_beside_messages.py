"""Check that the vectors of messages follow these, where both are in one file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextstore import (
    ConflictError,
    CorruptDataError,
    SessionNotFoundError,
    SessionStore,
    SessionStoreConfig,
    SQLiteEmbeddingStore,
    SQLiteMemory,
)
from contextstore.embedders import HashingEmbedder
from contextstore.sync import SyncMemory, SyncRetrieval
from tests.retrieval.test_sqlite_store import change_file

MODELS = ("", "other")


class Both:
    """Messages and vectors in one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.memory: SyncMemory = SQLiteMemory(path, durability="relaxed").sync
        self.vectors: SyncRetrieval = SQLiteEmbeddingStore(path).sync

    def close(self) -> None:
        self.memory.close()
        self.vectors.close()

    def save(self, *names: str, session: str = "s", **changed: str) -> None:
        self.memory.save_context(session, [message(one, **changed) for one in names])

    def embed(self, *names: str, session: str = "s") -> None:
        items = [(one, [1.0, float(ord(one[0]))], {"of": one}) for one in names]
        for model in MODELS:
            self.vectors.for_model(model).add_many(session, items)

    def embedded(self, session: str = "s") -> List[str]:
        """Return what has a vector, which is the same for every model, and is found."""
        views = [self.vectors.for_model(model) for model in MODELS]
        first, second = (view.message_ids(session) for view in views)
        assert first == second
        for view in views:
            found = view.search(session, [1.0, 0.0], 99)
            assert sorted(item.message_id for item in found) == sorted(first)
            assert all(item.metadata == {"of": item.message_id} for item in found)
        return first


def message(name: str, **changed: str) -> Dict[str, Any]:
    return {
        "id": name,
        "role": "system" if name.isupper() else "user",
        "content": changed.get(name, f"text of {name}"),
        "timestamp": "2024-01-01T00:00:00Z",
    }


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Both]:
    both = Both(tmp_path / "chat.db")
    both.save("a", "b", "c", "d")
    both.embed("a", "b", "c", "d", "alone")
    yield both
    both.close()


class TestGoing:
    def test_a_rewind_takes_them(self, both: Both) -> None:
        both.memory.delete_interaction("s", "c")
        assert both.embedded() == ["a", "b", "alone"]

    def test_a_deleted_session_takes_them(self, both: Both) -> None:
        both.save("a", session="t")
        both.embed("a", session="t")
        both.memory.delete_session("s")
        # What stands alone is no business of the messages.
        assert both.embedded() == ["alone"]
        assert both.embedded("t") == ["a"]

    def test_an_edit_takes_it(self, both: Both) -> None:
        both.memory.update_interaction("s", "b", message("b"))
        assert both.embedded() == ["a", "b", "c", "d", "alone"]
        both.memory.update_interaction("s", "b", message("b", b="another"))
        assert both.embedded() == ["a", "c", "d", "alone"]

    def test_a_save_takes_those_of_what_changed(self, both: Both) -> None:
        both.save("a", "b", "c", "d", "e")
        assert both.embedded() == ["a", "b", "c", "d", "alone"]
        both.save("a", "c", "d", "e", d="another")
        assert both.embedded() == ["a", "c", "alone"]
        both.save("c", "a")
        assert both.embedded() == ["a", "c", "alone"]
        both.save()
        assert both.embedded() == ["alone"]

    def test_a_save_that_is_refused_takes_none(self, both: Both) -> None:
        with pytest.raises(ConflictError):
            both.memory.save_context("s", [message("d")], expected_version=99)
        assert len(both.embedded()) == 5

    def test_a_prune_leaves_those_of_what_is_pinned(self, both: Both) -> None:
        both.save("A", "b", "C", "d", "e", "F", "g", session="t")
        both.embed("A", "b", "C", "d", "e", "F", "g", session="t")
        result = both.memory.prune("t", keep_last=2)
        assert result.removed == {"t": ("b", "d", "e")}
        loaded = both.memory.load_context("t")
        assert loaded == [message(one) for one in ("A", "C", "F", "g")]
        assert both.embedded("t") == ["A", "C", "F", "g"]
        assert both.memory.verify().ok
        assert both.memory.prune("t", keep_last=0).removed == {"t": ("g",)}
        assert both.embedded("t") == ["A", "C", "F"]
        both.memory.append_context("t", [message("h")])
        assert len(both.memory.load_context("t")) == 4
        assert both.memory.verify().ok

    def test_a_pruned_session_keeps_its_place_in_the_text_index(
        self, both: Both
    ) -> None:
        both.save("A", "b", "C", "d", session="t")
        assert len(both.memory.search_text("text", session_id="t")) == 4
        both.memory.prune("t", keep_last=1)
        matches = both.memory.search_text("text", session_id="t")
        assert sorted(match.message_id for match in matches) == ["A", "C", "d"]
        assert both.memory.verify().ok

    def test_sessions_and_models_may_share_ids(self, both: Both) -> None:
        for session in ("t", "u"):
            both.save("a", "b", session=session)
            both.embed("a", "b", session=session)
        both.memory.delete_interaction("t", "a")
        assert both.embedded("t") == []
        assert both.embedded("u") == ["a", "b"]


class TestFork:
    def test_it_takes_the_vectors_along(self, both: Both) -> None:
        both.vectors.delete("s", ["b"])
        both.memory.fork_session("s", "t")
        assert both.embedded("t") == ["a", "c", "d"]
        assert both.embedded("s") == ["a", "c", "d", "alone"]
        query = [0.3, 0.7]
        copied = both.vectors.search("t", query, 3)
        original = both.vectors.search("s", query, 4)
        assert copied == [item for item in original if item.message_id != "alone"]
        # From here on they are apart.
        both.memory.delete_interaction("s", "a")
        assert both.embedded("t") == ["a", "c", "d"]
        both.embed("e", session="t")
        assert both.embedded("t") == ["a", "c", "d", "e"]

    def test_only_those_of_the_messages_that_are_copied(self, both: Both) -> None:
        both.memory.fork_session("s", "t", at="b")
        assert both.embedded("t") == ["a", "b"]

    def test_without_vectors_there_is_nothing_to_copy(self, both: Both) -> None:
        both.vectors.delete_session("s")
        both.memory.fork_session("s", "t")
        assert both.embedded("t") == []
        both.vectors.add("t", "a", [1.0, 2.0, 3.0])

    def test_what_stood_alone_there_stays(self, both: Both) -> None:
        both.vectors.add_many("t", [("x", [1.0, 0.0], {"of": "x"})])
        both.vectors.add_many("t", [("b", [-1.0, 0.0], {"of": "old"})])
        both.memory.fork_session("s", "t")
        assert both.vectors.message_ids("t") == ["x", "a", "b", "c", "d"]
        (nearest, *_) = both.vectors.search("t", [-1.0, 0.0], 9)
        assert nearest.message_id != "x"
        assert nearest.metadata == {"of": nearest.message_id}

    def test_damage_is_not_healed_by_a_copy(self, both: Both) -> None:
        both.close()
        change_file(
            both.path,
            "UPDATE context_vectors SET vector = zeroblob(8) WHERE message_id = 'c'",
        )
        both = Both(both.path)
        both.memory.fork_session("s", "t")
        with pytest.raises(CorruptDataError):
            both.vectors.search("t", [1.0, 0.0], 1)
        both.close()


class TestErase:
    def test_it_counts_and_removes_all(self, both: Both) -> None:
        both.save("a", session="t")
        both.embed("a", session="t")
        receipt = both.memory.erase(session_id="s")
        assert receipt.message_count == 4
        assert receipt.vector_count == 10
        assert both.embedded() == []
        assert both.embedded("t") == ["a"]

    def test_nothing_of_them_is_left_in_the_files(self, both: Both) -> None:
        secret = {"of": "secret words of a vector"}
        both.vectors.add("secret session", "secret id", [0.123, 0.456], secret)
        both.vectors.search("secret session", [1.0, 0.0], 1)
        receipt = both.memory.erase(session_id="secret session")
        assert receipt.session_ids == ("secret session",)
        assert (receipt.message_count, receipt.vector_count) == (0, 1)
        assert receipt.purged
        for file in both.path.parent.iterdir():
            assert b"secret" not in file.read_bytes(), file

    def test_what_is_not_there_is_an_error(self, both: Both) -> None:
        with pytest.raises(SessionNotFoundError):
            both.memory.erase(session_id="nobody")

    def test_sessions_are_chosen_by_their_metadata(self, both: Both) -> None:
        for session in ("t", "u"):
            both.save("a", "b", session=session)
            both.embed("a", session=session)
            both.memory.set_metadata(session, {"user": session})
        receipt = both.memory.erase(where={"user": "t"})
        assert (receipt.message_count, receipt.vector_count) == (2, 2)
        assert both.embedded("u") == ["a"]


names = st.sampled_from(["a", "b", "c", "D", "e", "F"])
steps = st.one_of(
    st.tuples(st.just("save"), st.lists(names, unique=True), st.booleans()),
    st.tuples(st.just("embed"), st.lists(names, unique=True, min_size=1)),
    st.tuples(st.just("rewind"), names),
    st.tuples(st.just("edit"), names),
    st.tuples(st.just("prune"), st.integers(0, 3)),
    st.tuples(st.just("fork"), names),
    st.tuples(st.just("erase")),
)


@settings(max_examples=40)
@given(history=st.lists(steps, min_size=1, max_size=15))
def test_no_vector_outlives_its_message(
    tmp_path_factory: pytest.TempPathFactory, history: List[Tuple[Any, ...]]
) -> None:
    both = Both(tmp_path_factory.mktemp("history") / "chat.db")
    # The text that each message had when its vector was made.
    right: Dict[str, str] = {}
    for number, (name, *arguments) in enumerate(history):
        stored = {one["id"]: one for one in both.memory.load_context("s")}
        if name == "save":
            changed = {one: f"text {number}" for one in arguments[0] if arguments[1]}
            both.save(*arguments[0], **changed)
        elif name == "embed":
            of_stored = [one for one in arguments[0] if one in stored]
            both.embed(*of_stored)
            right.update((one, stored[one]["content"]) for one in of_stored)
        elif name == "rewind" and arguments[0] in stored:
            both.memory.delete_interaction("s", arguments[0])
        elif name == "edit" and arguments[0] in stored:
            changed = {arguments[0]: f"text {number}"}
            both.memory.update_interaction(
                "s", arguments[0], message(arguments[0], **changed)
            )
        elif name == "prune" and both.memory.list_sessions().sessions:
            both.memory.prune("s", keep_last=arguments[0])
        elif name == "fork" and arguments[0] in stored:
            # To and fro, so that what is copied is looked at like all else.
            both.memory.fork_session("s", "copy", at=arguments[0])
            both.memory.erase(session_id="s")
            both.memory.fork_session("copy", "s")
            both.memory.erase(session_id="copy")
        elif name == "erase" and stored:
            both.memory.erase(session_id="s")
        now = {one["id"]: one["content"] for one in both.memory.load_context("s")}
        right = {one: text for one, text in right.items() if now.get(one) == text}
        assert sorted(both.embedded()) == sorted(right)
        assert both.memory.verify().ok
    both.close()


def test_a_store_of_sessions_embeds_what_lacks_a_vector(tmp_path: Path) -> None:
    async def use() -> None:
        memory = SQLiteMemory(tmp_path / "chat.db")
        vectors = SQLiteEmbeddingStore(tmp_path / "chat.db")
        config = SessionStoreConfig(auto_embed=True, embed_fn=HashingEmbedder())
        async with memory, vectors, SessionStore(memory, vectors, config) as store:
            await store.save_context("s", [message("a"), message("b")])
            await store.wait_for_embeddings()
            await store.save_context("s", [message("a"), message("b", b="dogs bark")])
            await store.wait_for_embeddings()
            (best, *_) = await store.retrieve_relevant("s", "dogs", k=2)
            assert best.message_id == "b"
            await store.delete_interaction("s", "b")
            found = await store.retrieve_relevant("s", "dogs", k=2)
            assert [item.message_id for item in found] == ["a"]

    asyncio.run(use())


def test_no_vector_is_kept_of_a_message_that_is_gone(tmp_path: Path) -> None:
    async def use() -> None:
        memory = SQLiteMemory(tmp_path / "chat.db")
        vectors = SQLiteEmbeddingStore(tmp_path / "chat.db")
        elsewhere = SQLiteEmbeddingStore(tmp_path / "vectors.db")
        beside = vectors.for_model("m").for_messages_of(memory)
        async with memory, vectors, elsewhere:
            assert beside is not vectors
            for apart in (elsewhere, SQLiteEmbeddingStore(":memory:")):
                assert apart.for_messages_of(memory) is apart
            assert vectors.for_messages_of(object()) is vectors
            await memory.save_context("s", [message("a"), message("b")])
            await memory.delete_interaction("s", "b")
            for name in ("a", "b"):
                await beside.add("s", name, [1.0, 0.0])
            assert await vectors.for_model("m").message_ids("s") == ["a"]
            assert await vectors.message_ids("s") == []

    asyncio.run(use())
