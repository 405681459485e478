"""Say what a retrieval backend has to do, as tests to subclass."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from contextstore.retrieval.base import RetrievalBackend, RetrievedItem
from contextstore.sync import SyncRetrieval
from contextstore.testing.faces import FACES, RETRIEVAL_FACES, gathered
from contextstore.testing.suite import Capability, ConformanceSuite, written_over

# Their cosines with EAST fall from 1 by steps that no rounding hides.
EAST = [1.0, 0.0, 0.0]
NEAR = [0.8, 0.6, 0.0]
FAR = [0.6, 0.8, 0.0]
NORTH = [0.0, 1.0, 0.0]
WEST = [-1.0, 0.0, 0.0]
FALLING = {"east": EAST, "near": NEAR, "far": FAR, "north": NORTH, "west": WEST}

METADATA: Dict[str, Any] = {"text": "säge \U0001f980", "tags": ["a", {"b": None}]}


_overrides = partial(written_over, RetrievalBackend)


def _can_be_reopened(suite: Any, directory: Path) -> bool:
    return type(suite).reopen is not RetrievalBackendConformance.reopen


ADD_MANY = Capability("add-many", _overrides("add_many"))
DELETE = Capability("delete", _overrides("delete"))
DELETE_SESSION = Capability("delete-session", _overrides("delete_session"))


MODELS = Capability("models", _overrides("for_model"))
DELETE_MODEL = Capability("delete-model", _overrides("delete_model"))
MESSAGE_IDS = Capability("message-ids", _overrides("message_ids"))
DURABLE = Capability("durable", _can_be_reopened)


def found_ids(found: List[RetrievedItem]) -> List[str]:
    """Return the message ids of what was found, in its order."""
    return [item.message_id for item in found]


class RetrievalBackendConformance(ConformanceSuite):
    """Test a retrieval backend: subclass this, and write ``make``.

    Every test runs through the async and through the sync face::

        class TestMine(RetrievalBackendConformance):
            def make(self, tmp_path: Path) -> RetrievalBackend:
                return Mine(tmp_path / "mine")

    A class with just the three methods of the contract passes. Its capabilities are
    ``add-many``, ``delete``, ``delete-session``, ``models`` (``for_model``),
    ``delete-model`` and ``message-ids``, each there when the method is, and
    ``durable`` (``reopen`` is written).
    """

    def make(self, tmp_path: Path) -> RetrievalBackend:
        """Return a new, empty backend.

        It is a plain function, as an object has to work in any event loop, and so has
        nothing to await before one runs.

        Args:
            tmp_path: an empty directory, for files.
        """
        raise NotImplementedError

    def reopen(self, tmp_path: Path) -> RetrievalBackend:
        """Return a backend on what an earlier one from ``make`` has stored.

        Write it for a backend whose data outlives the object.

        Args:
            tmp_path: the directory that ``make`` was given.
        """
        raise NotImplementedError

    @pytest.fixture(params=FACES)
    def vectors(
        self, request: pytest.FixtureRequest, tmp_path: Path
    ) -> Iterator[SyncRetrieval]:
        """Give a new backend behind one of its faces."""
        with RETRIEVAL_FACES[request.param](self.make(tmp_path)) as face:
            yield face

    # The contract.

    def test_the_nearest_comes_first(self, vectors: SyncRetrieval) -> None:
        for name in ("far", "west", "east", "north", "near"):
            vectors.add("s", name, FALLING[name], {})
        found = vectors.search("s", EAST, 5)
        assert found_ids(found) == list(FALLING)
        scores = [item.score for item in found]
        assert scores == sorted(scores, reverse=True)
        assert len(set(scores)) == len(scores)
        assert found_ids(vectors.search("s", WEST, 1)) == ["west"]

    def test_a_result_is_a_retrieved_item(self, vectors: SyncRetrieval) -> None:
        vectors.add("s", "m1", NEAR, METADATA)
        (item,) = vectors.search("s", EAST, 1)
        assert isinstance(item, RetrievedItem)
        assert isinstance(item.score, float)
        assert (item.message_id, item.metadata) == ("m1", METADATA)

    def test_k_limits_what_is_found(self, vectors: SyncRetrieval) -> None:
        for name, vector in FALLING.items():
            vectors.add("s", name, vector, {})
        for k in (0, 1, 3, 5, 50):
            assert found_ids(vectors.search("s", EAST, k)) == list(FALLING)[:k]

    def test_a_session_that_is_not_there_has_nothing(
        self, vectors: SyncRetrieval
    ) -> None:
        assert vectors.search("nobody", EAST, 3) == []
        assert vectors.has_embedding("nobody", "m1") is False

    def test_it_knows_what_it_has(self, vectors: SyncRetrieval) -> None:
        vectors.add("s", "m1", EAST, {})
        assert vectors.has_embedding("s", "m1") is True
        assert vectors.has_embedding("s", "m2") is False
        assert vectors.has_embedding("t", "m1") is False

    def test_sessions_are_apart(self, vectors: SyncRetrieval) -> None:
        vectors.add("s", "m1", EAST, {"of": "s"})
        vectors.add("t", "m1", NORTH, {"of": "t"})
        vectors.add("t", "m2", WEST, {"of": "t"})
        (item,) = vectors.search("s", EAST, 9)
        assert item.metadata == {"of": "s"}
        assert found_ids(vectors.search("t", NORTH, 9)) == ["m1", "m2"]

    def test_the_same_id_replaces(self, vectors: SyncRetrieval) -> None:
        vectors.add("s", "m1", WEST, {"old": True})
        vectors.add("s", "m2", NEAR, {})
        vectors.add("s", "m1", EAST, {"new": True})
        found = vectors.search("s", EAST, 9)
        assert found_ids(found) == ["m1", "m2"]
        assert found[0].metadata == {"new": True}

    def test_what_goes_in_is_copied(self, vectors: SyncRetrieval) -> None:
        vector, metadata = list(EAST), {"tags": ["a"]}
        vectors.add("s", "m1", vector, metadata)
        vectors.add("s", "m2", NEAR, {})
        vector[:] = WEST
        metadata["tags"].append("changed")
        found = vectors.search("s", EAST, 9)
        assert found_ids(found) == ["m1", "m2"]
        assert found[0].metadata == {"tags": ["a"]}

    def test_what_comes_out_is_a_copy(self, vectors: SyncRetrieval) -> None:
        vectors.add("s", "m1", EAST, METADATA)
        found = vectors.search("s", EAST, 1)
        found[0].metadata["tags"].append("changed")
        found[0].metadata["more"] = 1
        found.clear()
        (item,) = vectors.search("s", EAST, 1)
        assert item.metadata == METADATA

    def test_the_query_is_not_changed(self, vectors: SyncRetrieval) -> None:
        vectors.add("s", "m1", EAST, {})
        query = [2.0, 1.0, 0.0]
        vectors.search("s", query, 1)
        assert query == [2.0, 1.0, 0.0]

    def test_one_object_works_in_several_loops(self, vectors: SyncRetrieval) -> None:
        backend = vectors.backend
        for start in (0, 10, 20):
            gathered(
                lambda number=number: backend.add("s", f"m{number}", NEAR, {})
                for number in range(start, start + 10)
            )
        found = found_ids(vectors.search("s", EAST, 99))
        assert sorted(found) == sorted(f"m{number}" for number in range(30))

    def test_several_queries_are_answered_each(self, vectors: SyncRetrieval) -> None:
        for name, vector in FALLING.items():
            vectors.add("s", name, vector, {"of": name})
        answers = vectors.search_many("s", [EAST, WEST, EAST], 2)
        assert [found_ids(found) for found in answers] == [
            ["east", "near"],
            ["west", "north"],
            ["east", "near"],
        ]
        assert answers[0] == vectors.search("s", EAST, 2)
        assert vectors.search_many("s", [], 2) == []
        assert vectors.search_many("nobody", [EAST], 2) == [[]]

    def test_several_sessions_are_searched_as_one(self, vectors: SyncRetrieval) -> None:
        vectors.add("a", "near", NEAR, {})
        vectors.add("a", "north", NORTH, {})
        vectors.add("b", "far", FAR, {})
        vectors.add("b", "north", NORTH, {})
        vectors.add("c", "east", EAST, {})
        found = vectors.search_sessions(["b", "a", "nobody", "b"], EAST, 3)
        assert [(item.session_id, item.message_id) for item in found] == [
            ("a", "near"),
            ("b", "far"),
            ("b", "north"),
        ]
        assert vectors.search_sessions([], EAST, 3) == []
        assert vectors.search_sessions(["a"], EAST, 0) == []

    # Capabilities.

    @ADD_MANY
    def test_many_are_added_at_once(self, vectors: SyncRetrieval) -> None:
        vectors.add("s", "near", WEST, {"old": True})
        vectors.add_many(
            "s", [("near", NEAR, {"new": True}), ("east", EAST, None), ("far", FAR, {})]
        )
        vectors.add_many("s", [])
        found = vectors.search("s", EAST, 9)
        assert found_ids(found) == ["east", "near", "far"]
        assert [item.metadata for item in found] == [{}, {"new": True}, {}]

    @DELETE
    def test_a_deleted_vector_is_not_found(self, vectors: SyncRetrieval) -> None:
        for name, vector in FALLING.items():
            vectors.add("s", name, vector, {})
            vectors.add("t", name, vector, {})
        vectors.delete("s", ["east", "far", "was never there"])
        vectors.delete("nobody", ["east"])
        assert found_ids(vectors.search("s", EAST, 2)) == ["near", "north"]
        assert vectors.has_embedding("s", "east") is False
        assert vectors.has_embedding("t", "east") is True
        assert len(vectors.search("t", EAST, 9)) == len(FALLING)

    @DELETE
    def test_a_deleted_vector_can_be_added_again(self, vectors: SyncRetrieval) -> None:
        vectors.add("s", "m1", EAST, {"old": True})
        vectors.delete("s", ["m1"])
        assert vectors.search("s", EAST, 9) == []
        vectors.add("s", "m1", EAST, {"new": True})
        (item,) = vectors.search("s", EAST, 9)
        assert item.metadata == {"new": True}

    @DELETE_SESSION
    def test_a_deleted_session_has_nothing(self, vectors: SyncRetrieval) -> None:
        for session_id in ("s", "t"):
            vectors.add(session_id, "m1", EAST, {})
            vectors.add(session_id, "m2", NEAR, {})
        vectors.delete_session("s")
        vectors.delete_session("nobody")
        assert vectors.search("s", EAST, 9) == []
        assert vectors.has_embedding("s", "m1") is False
        assert found_ids(vectors.search("t", EAST, 9)) == ["m1", "m2"]
        vectors.add("s", "m3", EAST, {})
        assert found_ids(vectors.search("s", EAST, 9)) == ["m3"]

    @MESSAGE_IDS
    def test_what_has_a_vector_is_named_oldest_first(
        self, vectors: SyncRetrieval
    ) -> None:
        for name in ("m3", "m1", "m2"):
            vectors.add("s", name, NEAR, {})
        vectors.add("s", "m3", FAR, {})
        vectors.add("t", "m9", EAST, {})
        assert vectors.message_ids("s") == ["m3", "m1", "m2"]
        assert vectors.message_ids("nobody") == []

    @MESSAGE_IDS
    @DELETE
    def test_what_was_deleted_is_not_named(self, vectors: SyncRetrieval) -> None:
        for name in ("m1", "m2", "m3"):
            vectors.add("s", name, NEAR, {})
        vectors.delete("s", ["m2"])
        assert vectors.message_ids("s") == ["m1", "m3"]
        vectors.delete("s", ["m1", "m3"])
        assert vectors.message_ids("s") == []

    @MODELS
    def test_models_are_apart(self, vectors: SyncRetrieval) -> None:
        one, other = vectors.for_model("one"), vectors.for_model("other")
        one.add("s", "m1", EAST, {"of": "one"})
        other.add("s", "m1", [0.0, 1.0], {"of": "other"})
        other.add("s", "m2", [1.0, 0.0], {"of": "other"})
        assert [item.metadata for item in one.search("s", EAST, 9)] == [{"of": "one"}]
        assert found_ids(other.search("s", [1.0, 0.0], 9)) == ["m2", "m1"]
        assert one.has_embedding("s", "m2") is False
        again = vectors.for_model("one")
        assert again.has_embedding("s", "m1") is True

    @MODELS
    @DELETE_MODEL
    def test_a_model_is_deleted_alone(self, vectors: SyncRetrieval) -> None:
        one, other = vectors.for_model("one"), vectors.for_model("other")
        for model in (one, other):
            model.add("s", "m1", EAST, {})
            model.add("t", "m1", EAST, {})
        vectors.delete_model("one")
        vectors.delete_model("nobody's")
        for session_id in ("s", "t"):
            assert one.search(session_id, EAST, 9) == []
            assert found_ids(other.search(session_id, EAST, 9)) == ["m1"]

    @DURABLE
    def test_vectors_outlive_the_object(
        self, vectors: SyncRetrieval, tmp_path: Path
    ) -> None:
        for name, vector in FALLING.items():
            vectors.add("s", name, vector, METADATA)
        before = vectors.search("s", EAST, 9)
        vectors.backend.sync.close()
        with self.reopen(tmp_path).sync as again:
            assert again.search("s", EAST, 9) == before
            again.add("s", "new", EAST, {})
            assert found_ids(again.search("s", EAST, 2)) == ["east", "new"]
