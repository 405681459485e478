"""Check the store of vectors in memory."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from typing import Any, Dict, List, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextstore import _hop
from contextstore.errors import InvalidInputError
from contextstore.retrieval import InMemoryEmbeddingStore, vector_store

drive = _hop.drive


def filled(*vectors: List[float], session: str = "s") -> InMemoryEmbeddingStore:
    """Make a store whose messages are m0, m1 and so on."""
    store = InMemoryEmbeddingStore()
    items = [(f"m{index}", vector, None) for index, vector in enumerate(vectors)]
    drive(store.add_many(session, items))
    return store


def found(
    store: InMemoryEmbeddingStore, query: List[float], k: int = 10, session: str = "s"
) -> List[str]:
    """Return the ids that a search gives."""
    return [item.message_id for item in drive(store.search(session, query, k))]


@pytest.mark.usefixtures("arithmetic")
class TestSearch:
    def test_the_most_similar_comes_first(self) -> None:
        store = filled([0.0, 1.0], [1.0, 0.0], [1.0, 1.0])
        items = drive(store.search("s", [2.0, 0.0], 2))
        assert [item.message_id for item in items] == ["m1", "m2"]
        assert items[0].score == 1.0
        assert items[1].score == pytest.approx(0.5**0.5, abs=1e-7)
        assert [item.cosine for item in items] == [item.score for item in items]
        assert items[0].lexical is None

    def test_equals_come_oldest_first(self) -> None:
        store = filled([1.0, 0.0], [0.0, 1.0], [2.0, 0.0], [4.0, 0.0])
        assert found(store, [1.0, 0.0], 2) == ["m0", "m2"]
        assert found(store, [1.0, 0.0]) == ["m0", "m2", "m3", "m1"]

    def test_an_age_outlives_removals_and_replacements(self) -> None:
        store = filled(*[[1.0, 0.0]] * 6)
        drive(store.delete("s", ["m1"]))
        drive(store.add("s", "m1", [1.0, 0.0]))
        drive(store.add("s", "m0", [3.0, 0.0]))
        assert found(store, [1.0, 0.0]) == ["m0", "m2", "m3", "m4", "m5", "m1"]

    def test_sessions_are_apart(self) -> None:
        store = filled([1.0, 0.0])
        drive(store.add("t", "other", [1.0, 0.0]))
        assert found(store, [1.0, 0.0]) == ["m0"]
        assert found(store, [1.0, 0.0], session="t") == ["other"]
        assert found(store, [1.0, 0.0], session="nobody") == []

    def test_a_score_stays_within_bounds(self) -> None:
        # On the grid this vector is longer than 1.
        vector = [0.3, 0.1, 0.7, 0.2, 0.9]
        store = InMemoryEmbeddingStore()
        for dimension in range(2, 6):
            drive(store.delete_session("s"))
            drive(store.add("s", "up", vector[:dimension]))
            drive(store.add("s", "down", [-x for x in vector[:dimension]]))
            up, down = drive(store.search("s", vector[:dimension], 2))
            assert 1 - 1e-6 < up.score <= 1.0
            assert -1.0 <= down.score < -1 + 1e-6

    def test_the_zero_vector_scores_nothing(self) -> None:
        store = filled([0.0, 0.0], [-1.0, 0.0], [1.0, 0.0])
        assert found(store, [1.0, 0.0]) == ["m2", "m0", "m1"]
        items = drive(store.search("s", [0.0, 0.0], 3))
        assert [(item.message_id, item.score) for item in items] == [
            ("m0", 0.0),
            ("m1", 0.0),
            ("m2", 0.0),
        ]

    def test_huge_and_tiny_vectors_have_a_direction(self) -> None:
        store = filled([1e308, 1e308], [1e-320, -1e-320])
        items = drive(store.search("s", [1.0, 1.0], 2))
        assert [round(item.score, 6) for item in items] == [1.0, 0.0]

    def test_k_limits_what_is_given(self) -> None:
        store = filled([1.0], [1.0], [1.0])
        assert found(store, [1.0], 0) == []
        assert found(store, [1.0], 1) == ["m0"]
        assert found(store, [1.0], 100) == ["m0", "m1", "m2"]

    def test_a_matrix_that_grew_and_shrank_is_searched_right(self) -> None:
        store = filled(*[[float(index), 1.0] for index in range(100)])
        gone = [f"m{index}" for index in range(99) if index % 10]
        drive(store.delete("s", gone))
        tens = [f"m{index}" for index in range(90, -1, -10)]
        assert found(store, [1.0, 0.0], 20) == ["m99", *tens]
        assert drive(store.has_embedding("s", "m90"))
        assert not drive(store.has_embedding("s", "m91"))

    def test_a_long_scan_goes_to_a_thread(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = filled([0.0, 1.0], [1.0, 0.0])
        monkeypatch.setattr(vector_store, "_INLINE_NUMBERS", 1)
        threads: List[int] = []
        search = InMemoryEmbeddingStore._search

        def noting(*arguments: Any, inline: bool = False) -> Any:
            found = search(*arguments, inline=inline)
            threads.append(threading.get_ident())
            return found

        monkeypatch.setattr(InMemoryEmbeddingStore, "_search", noting)
        items = asyncio.run(store.search("s", [1.0, 0.0], 1))
        assert items[0].message_id == "m1"
        assert len(threads) == 1
        assert threads != [threading.get_ident()]
        scanned = asyncio.run(store.scan("s", [1.0, 0.0], 0.0))
        assert scanned is not None
        assert list(scanned.cosines) == [0.0, 1.0]


@pytest.mark.usefixtures("arithmetic")
class TestKeeping:
    def test_the_same_id_again_replaces_vector_and_metadata(self) -> None:
        store = filled([1.0, 0.0])
        drive(store.add("s", "m0", [0.0, 1.0], {"new": True}))
        (item,) = drive(store.search("s", [0.0, 1.0], 5))
        assert (item.score, item.metadata) == (1.0, {"new": True})
        drive(store.add("s", "m0", [0.0, 1.0]))
        (item,) = drive(store.search("s", [0.0, 1.0], 5))
        assert item.metadata == {}

    def test_an_id_twice_in_one_call_is_kept_once(self) -> None:
        store = InMemoryEmbeddingStore()
        drive(store.add_many("s", [("a", [1.0], {"n": 1}), ("a", [-1.0], {"n": 2})]))
        (item,) = drive(store.search("s", [1.0], 5))
        assert (item.score, item.metadata) == (-1.0, {"n": 2})

    def test_values_in_and_out_are_copies(self) -> None:
        store = InMemoryEmbeddingStore()
        vector = [1.0, 0.0]
        metadata: Dict[str, Any] = {"deep": [1]}
        drive(store.add("s", "a", vector, metadata))
        vector[0] = -1.0
        metadata["deep"].append(2)
        (item,) = drive(store.search("s", [1.0, 0.0], 1))
        assert (item.score, item.metadata) == (1.0, {"deep": [1]})
        item.metadata["deep"].append(3)
        (again,) = drive(store.search("s", [1.0, 0.0], 1))
        assert again.metadata == {"deep": [1]}

    def test_a_removed_vector_is_not_found(self) -> None:
        store = filled([1.0], [1.0], [1.0])
        drive(store.delete("s", ["m1", "unknown", "m1"]))
        assert found(store, [1.0]) == ["m0", "m2"]
        drive(store.delete("nobody", ["m0"]))
        drive(store.delete_session("s"))
        drive(store.delete_session("s"))
        assert found(store, [1.0]) == []
        assert not drive(store.has_embedding("s", "m0"))

    def test_the_first_vector_fixes_the_dimension(self) -> None:
        store = filled([1.0, 0.0])
        with pytest.raises(InvalidInputError, match="has 1 components"):
            drive(store.add("t", "a", [1.0]))
        with pytest.raises(InvalidInputError) as caught:
            drive(store.search("nobody", [1.0], 5))
        assert caught.value.path == "query_vector"
        assert not drive(store.has_embedding("t", "a"))

    def test_an_empty_store_takes_any_dimension(self) -> None:
        store = filled([1.0, 0.0])
        drive(store.add("t", "a", [1.0, 0.0]))
        drive(store.delete("s", ["m0"]))
        with pytest.raises(InvalidInputError):
            drive(store.add("s", "m0", [1.0]))
        drive(store.delete_session("t"))
        drive(store.add("s", "m0", [1.0]))
        assert found(store, [1.0]) == ["m0"]
        assert found(InMemoryEmbeddingStore(), [1.0, 2.0]) == []

    @pytest.mark.parametrize(
        "bad",
        [
            ("b", [float("nan"), 1.0], None),
            ("b", [1.0], None),
            ("", [1.0, 0.0], None),
            ("b", [1.0, 0.0], {"x": object()}),
            ("b", [1.0, 0.0], [1]),
        ],
    )
    def test_many_are_kept_whole_or_not_at_all(self, bad: Tuple[Any, ...]) -> None:
        store = InMemoryEmbeddingStore()
        with pytest.raises(InvalidInputError):
            drive(store.add_many("s", [("a", [1.0, 0.0], None), bad]))
        assert not drive(store.has_embedding("s", "a"))
        drive(store.add("s", "a", [1.0, 2.0, 3.0]))

    def test_nothing_to_add_makes_no_session(self) -> None:
        store = InMemoryEmbeddingStore()
        drive(store.add_many("s", []))
        drive(store.add("t", "a", [1.0]))
        drive(store.delete_session("t"))
        drive(store.add("t", "a", [1.0, 2.0]))


@pytest.mark.parametrize("k", [-1, 1.0, True, "3", None])
def test_k_is_a_non_negative_int(k: Any) -> None:
    with pytest.raises(InvalidInputError) as caught:
        drive(filled([1.0]).search("s", [1.0], k))
    assert caught.value.path == "k"


@pytest.mark.parametrize("bad", ["", 3, None, "a\0b"])
def test_ids_are_validated(bad: Any) -> None:
    store = filled([1.0])
    for call in (
        lambda: store.add(bad, "a", [1.0]),
        lambda: store.add("s", bad, [1.0]),
        lambda: store.search(bad, [1.0], 1),
        lambda: store.has_embedding(bad, "a"),
        lambda: store.has_embedding("s", bad),
        lambda: store.delete(bad, ["a"]),
        lambda: store.delete("s", [bad]),
        lambda: store.delete_session(bad),
    ):
        with pytest.raises(InvalidInputError):
            drive(call())


Call = Tuple[str, str, List[float]]
ids = st.sampled_from([f"m{index}" for index in range(6)])
components = st.integers(-2, 2).map(float)
calls = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "delete"]),
        ids,
        st.lists(components, min_size=3, max_size=3),
    ),
    max_size=30,
)


@settings(max_examples=100)
@given(calls, st.lists(components, min_size=3, max_size=3), st.integers(1, 7))
def test_it_does_what_a_dict_would(
    history: List[Call], query: List[float], k: int
) -> None:
    store = InMemoryEmbeddingStore()
    model: Dict[str, List[float]] = {}
    for name, message_id, vector in history:
        if name == "add":
            drive(store.add("s", message_id, vector))
            model[message_id] = vector
        else:
            drive(store.delete("s", [message_id]))
            model.pop(message_id, None)
    # Each alone in a store of its own gives its score; a dict keeps the order of age.
    scores = {
        message_id: drive(filled(vector).search("s", query, 1))[0].score
        for message_id, vector in model.items()
    }
    expected = sorted(scores, key=lambda message_id: -scores[message_id])[:k]
    assert found(store, query, k) == expected


def test_threads_may_share_a_store() -> None:
    store = InMemoryEmbeddingStore()
    errors: List[BaseException] = []

    def work(name: str) -> None:
        try:
            for index in range(50):
                drive(store.add("s", f"{name}-{index}", [1.0, float(index)]))
                drive(store.search("s", [1.0, 1.0], 3))
                if index % 2:
                    drive(store.delete("s", [f"{name}-{index}"]))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(str(n),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(found(store, [1.0, 0.0], 1_000)) == 100


def test_one_object_serves_several_loops() -> None:
    store = InMemoryEmbeddingStore()

    async def use(index: int) -> None:
        async with store:
            await store.add("s", f"m{index}", [1.0])

    for index in range(3):
        asyncio.run(use(index))
    assert found(store, [1.0]) == ["m0", "m1", "m2"]


@pytest.mark.usefixtures("arithmetic")
class TestFilters:
    def store(self) -> InMemoryEmbeddingStore:
        store = InMemoryEmbeddingStore()
        kept: List[Dict[str, Any]] = [
            {"by": "Ann", "n": 1},
            {"by": "Bob", "n": True},
            {"n": None},
            {},
        ]
        for index, metadata in enumerate(kept):
            drive(store.add("s", f"m{index}", [1.0, float(index)], metadata))
        return store

    @pytest.mark.parametrize(
        ("where", "expected"),
        [
            ({}, ["m0", "m1", "m2", "m3"]),
            ({"by": "Ann"}, ["m0"]),
            ({"n": 1}, ["m0"]),
            ({"n": True}, ["m1"]),
            ({"n": 1.0}, []),
            ({"n": None}, ["m2"]),
            ({"by": "Bob", "n": True}, ["m1"]),
            ({"by": "Bob", "n": 1}, []),
            ({"other": None}, []),
        ],
    )
    def test_metadata_must_be_equal(
        self, where: Dict[str, Any], expected: List[str]
    ) -> None:
        items = drive(self.store().search("s", [1.0, 0.0], 10, where=where))
        assert [item.message_id for item in items] == expected

    def test_the_filter_comes_before_the_limit(self) -> None:
        items = drive(self.store().search("s", [1.0, 0.0], 1, where={"by": "Bob"}))
        assert [item.message_id for item in items] == ["m1"]

    @pytest.mark.parametrize("where", [3, ["by"], {"by": object()}])
    def test_a_filter_is_a_json_object(self, where: Any) -> None:
        with pytest.raises(InvalidInputError):
            drive(self.store().search("s", [1.0, 0.0], 1, where=where))


@pytest.mark.usefixtures("arithmetic")
class TestManyAtOnce:
    def test_many_queries_give_what_each_gives(self) -> None:
        store = filled([1.0, 0.0], [0.0, 1.0], [1.0, 1.0])
        queries = [[1.0, 0.1], [0.1, 1.0]]
        together = drive(store.search_many("s", queries, 2))
        assert together == [drive(store.search("s", query, 2)) for query in queries]
        assert drive(store.search_many("s", [], 2)) == []
        assert drive(store.search_many("nobody", queries, 2)) == [[], []]

    def test_only_the_sessions_named_are_searched(self) -> None:
        store = filled([1.0, 0.0], [0.0, 1.0])
        drive(store.add("t", "other", [1.0, 0.0], {"x": 1}))
        drive(store.add("secret", "hidden", [1.0, 0.0]))

        def found(*sessions: str, **options: Any) -> List[Tuple[Any, str]]:
            items = drive(
                store.search_sessions(list(sessions), [1.0, 0.0], 2, **options)
            )
            return [(item.session_id, item.message_id) for item in items]

        assert found("s", "t") == [("s", "m0"), ("t", "other")]
        assert found("t", "s", "t") == [("t", "other"), ("s", "m0")]
        assert found("t", "nobody") == [("t", "other")]
        assert found("s", "t", where={"x": 1}) == [("t", "other")]
        assert found() == []
        assert found("s%", "*", "secre", "secret ") == []
        with pytest.raises(InvalidInputError):
            found("t", "")


def test_a_forked_child_has_a_lock_of_its_own() -> None:
    store = filled([1.0, 0.0], [0.0, 1.0])
    view = store.for_model("other")
    with store._kept.lock:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                view.sync.add("s", "m", [1.0, 2.0, 3.0])
                code = 0 if len(store.sync.search("s", [1.0, 0.5], 5)) == 2 else 2
            finally:
                os._exit(code)
        deadline = threading.Timer(20.0, os.kill, (child, signal.SIGKILL))
        deadline.start()
        status = os.waitpid(child, 0)[1]
        deadline.cancel()
    assert status == 0
    assert view.sync.message_ids("s") == []
