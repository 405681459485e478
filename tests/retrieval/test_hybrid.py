"""Check the rule that ranks messages by words and meaning."""

from __future__ import annotations

import asyncio
import math
import statistics
from dataclasses import fields, replace
from functools import partial
from typing import Any, Dict, List, Optional, Sequence, Tuple

import pytest

from contextstore import ConfigurationError, _hop
from contextstore.retrieval import InMemoryEmbeddingStore, RetrievalBackend
from contextstore.retrieval.base import RetrievedItem, ScanningBackend
from contextstore.retrieval.dense import DenseScan
from contextstore.retrieval.documents import Document, SessionIndex
from contextstore.retrieval.hybrid import HybridQuery, Ranked, scan_backend
from contextstore.retrieval.vector_sums import VectorSum, VectorSums, text_key
from contextstore.retrieval.vectors import floats_of, unit_vectors
from contextstore.retrieval.weights import RetrievalWeights

DEFAULT = RetrievalWeights()
PLAIN = RetrievalWeights(
    neighbour_share=0, long_weight=0, short_weight=0, window_weight=0, phrase_weight=0
)
TEXTS = [
    "we went sailing on the lake in the morning",
    "the boat lost its mast and we rowed home",
    "dinner was fish with lemon and bread",
    "tomorrow there is a concert in the park",
    "the cellist played something by Bach",
]
VECTORS = [
    [1.0, 0.2, 0.0],
    [0.9, 0.1, 0.3],
    [0.1, 1.0, 0.2],
    [0.2, 0.1, 1.0],
    [0.1, 0.3, 0.9],
]


def index_of(texts: Sequence[str] = TEXTS) -> SessionIndex:
    """Index texts as messages m0, m1 and so on."""
    index = SessionIndex()
    index.update([Document(f"m{row}", text) for row, text in enumerate(texts)])
    return index


def store_of(
    vectors: Sequence[List[float]] = VECTORS, ids: Optional[Sequence[str]] = None
) -> InMemoryEmbeddingStore:
    """Keep vectors for messages m0, m1 and so on, or for these ids."""
    store = InMemoryEmbeddingStore()
    names = ids or [f"m{row}" for row in range(len(vectors))]
    items: List[Any] = [(name, vector, None) for name, vector in zip(names, vectors)]
    _hop.drive(store.add_many("s", items))
    return store


def search(
    index: SessionIndex,
    query: str,
    vector: Optional[List[float]] = None,
    store: Optional[RetrievalBackend] = None,
    k: int = 10,
    weights: RetrievalWeights = DEFAULT,
    vector_sum: Optional[VectorSum] = None,
) -> List[Ranked]:
    """Rank as a session store does: words first, then the vectors of any backend."""
    asked = HybridQuery(index, query, weights, pooled=isinstance(store, ForeignBackend))
    scan = None
    if isinstance(store, ScanningBackend):
        pool = weights.pool if asked.pooled else None
        also = asked.best_by_words() if asked.pooled else ()
        scan = _hop.drive(store.scan("s", vector or [], weights.centring, pool, also))
    elif store is not None:
        nearest = partial(_nearest, store)
        asking = scan_backend(nearest, vector or [], weights, index.row_of, vector_sum)
        scan = _hop.drive(asking)
    return asked.rank(k, scan)


async def _nearest(
    store: RetrievalBackend, vector: Sequence[float], k: int
) -> List[RetrievedItem]:
    return await _hop.reach(store, store.search("s", vector, k))


def ids(found: Sequence[Ranked]) -> List[str]:
    """Return the ids in their order."""
    return [item.message_id for item in found]


@pytest.mark.usefixtures("arithmetic")
class TestRule:
    def test_the_score_is_the_sum_that_is_documented(self) -> None:
        weights = RetrievalWeights(
            centring=0.0,
            neighbour_share=0.0,
            phrase_weight=0.0,
            long_weight=0.0,
            short_weight=0.0,
            window_weight=0.0,
        )
        query_vector = [1.0, 0.0, 0.1]
        found = search(
            index_of(), "lake boat", query_vector, store_of(), weights=weights
        )
        cosines = [item.cosine or 0.0 for item in sorted(found, key=lambda x: x.row)]
        lexical = [item.lexical for item in sorted(found, key=lambda x: x.row)]
        expected = [
            0.7 * (cosine - statistics.mean(cosines)) / statistics.pstdev(cosines)
            + 0.3 * (word - statistics.mean(lexical)) / statistics.pstdev(lexical)
            for cosine, word in zip(cosines, lexical)
        ]
        scores = {item.row: item.score for item in found}
        assert [scores[row] for row in range(5)] == pytest.approx(expected, abs=1e-5)

    def test_scores_lie_on_their_grid(self) -> None:
        for item in search(index_of(), "lake", VECTORS[0], store_of()):
            assert (item.score * 2**20).is_integer()

    def test_words_alone_are_enough(self) -> None:
        found = search(index_of(), "who played Bach?")
        assert found[0].message_id == "m4"
        assert found[0].lexical > 0
        assert found[0].cosine is None
        assert found[-1].lexical == 0.0

    def test_meaning_alone_is_enough(self) -> None:
        found = search(index_of(), "zzz", [1.0, 0.0, 0.0], store_of(), weights=PLAIN)
        assert ids(found)[:2] == ["m0", "m1"]

    def test_words_break_a_tie_of_meaning(self) -> None:
        store = store_of([[1.0, 0.0]] * 2 + [[0.0, 1.0]] * 3)
        query = [1.0, 0.1]
        assert ids(search(index_of(), "boat", query, store, weights=PLAIN))[0] == "m1"
        assert ids(search(index_of(), "lake", query, store, weights=PLAIN))[0] == "m0"

    def test_equals_come_oldest_first(self) -> None:
        index = index_of(["same words"] * 40)
        found = search(index, "same", [1.0], store_of([[1.0]] * 40), weights=PLAIN)
        assert ids(found) == [f"m{row}" for row in range(10)]

    def test_a_neighbour_of_the_words_is_found(self) -> None:
        texts = ["ok"] * 9 + ["Where is the violin?", "At Bob's."] + ["ok"] * 9
        found = search(index_of(texts), "violin")
        assert ids(found)[:3] == ["m9", "m8", "m10"]
        assert [item.lexical > 0 for item in found[:3]] == [True, False, False]

    def test_k_limits_what_is_given(self) -> None:
        assert search(index_of(), "lake", k=0) == []
        assert len(search(index_of(), "lake", k=2)) == 2
        assert len(search(index_of(), "lake", k=99)) == 5

    def test_an_empty_index_finds_nothing(self) -> None:
        assert search(SessionIndex(), "lake") == []
        assert search(SessionIndex(), "lake", VECTORS[0], store_of()) == []

    def test_one_message_is_found(self) -> None:
        found = search(index_of(TEXTS[:1]), "lake", VECTORS[0], store_of(VECTORS[:1]))
        assert ids(found) == ["m0"]

    @pytest.mark.parametrize("k", [1, 3])
    def test_a_search_changes_nothing(self, k: int) -> None:
        index, store = index_of(), store_of()
        first = search(index, "lake", VECTORS[0], store, k=k)
        assert search(index, "lake", VECTORS[0], store, k=k) == first


@pytest.mark.usefixtures("arithmetic")
class TestPoorVectors:
    def test_vectors_that_say_nothing_leave_it_to_the_words(self) -> None:
        words = [(item.message_id, item.score) for item in search(index_of(), "boat")]
        for store, query in (
            (store_of([[0.1, 0.1]] * 5), [0.1, 0.1]),  # the same for every text
            (store_of(), [0.0, 0.0, 0.0]),
            (store_of([[0.0, 0.0]] * 5), [1.0, 0.0]),
            (InMemoryEmbeddingStore(), [1.0, 0.0]),
            (store_of(ids=[f"other{row}" for row in range(5)]), VECTORS[0]),
        ):
            found = search(index_of(), "boat", query, store)
            assert [(item.message_id, item.score) for item in found] == words

    def test_a_message_without_a_vector_counts_as_average(self) -> None:
        store = store_of([VECTORS[0], VECTORS[2], VECTORS[4]], ["m0", "m2", "m4"])
        found = search(index_of(), "zzz", [1.0, 0.0, 0.0], store, weights=PLAIN)
        assert ids(found)[0] == "m0"
        assert {item.message_id: item.cosine is None for item in found} == {
            "m0": False,
            "m1": True,
            "m2": False,
            "m3": True,
            "m4": False,
        }
        assert {item.score for item in found if item.cosine is None} == {0.0}

    def test_vectors_of_unknown_messages_are_passed_over(self) -> None:
        some = search(index_of(), "boat", VECTORS[1], store_of())
        names = ["x", "m0", "y", "m1", "m2", "m3", "m4", "z"]
        far = [0.0, 0.0, 0.0]
        vectors = [far, VECTORS[0], far, *VECTORS[1:], far]
        store = store_of(vectors, names)
        # The mean is that of all vectors, so only what needs no mean is compared.
        found = search(index_of(), "boat", VECTORS[1], store)
        assert {(x.message_id, x.cosine, x.lexical) for x in found} == {
            (x.message_id, x.cosine, x.lexical) for x in some
        }

    def test_a_removed_vector_is_not_scored_again(self) -> None:
        index, store = index_of(), store_of()
        search(index, "boat", VECTORS[1], store)
        _hop.drive(store.delete("s", ["m1"]))
        cosines = {
            x.message_id: x.cosine for x in search(index, "boat", VECTORS[1], store)
        }
        assert cosines["m1"] is None
        assert cosines["m4"] is not None


class ForeignBackend(RetrievalBackend):
    """Return the best by scalar product, and note what was asked."""

    def __init__(self, vectors: Dict[str, List[float]]) -> None:
        self.vectors = vectors
        self.asked: List[Tuple[List[float], int]] = []

    async def add(
        self,
        session_id: str,
        message_id: str,
        vector: Sequence[float],
        metadata: Optional[Dict[str, Any]],
    ) -> None:
        """Keep a vector."""
        self.vectors[message_id] = list(vector)

    async def search(
        self, session_id: str, query_vector: Sequence[float], k: int
    ) -> List[RetrievedItem]:
        """Rank by scalar product."""
        await asyncio.sleep(0)
        self.asked.append((list(query_vector), k))
        scored = [
            RetrievedItem(name, sum(a * b for a, b in zip(vector, query_vector)), {})
            for name, vector in self.vectors.items()
        ]
        return sorted(scored, key=lambda item: -item.score)[:k]

    async def has_embedding(self, session_id: str, message_id: str) -> bool:
        """Tell whether it is kept."""
        return message_id in self.vectors


def foreign() -> ForeignBackend:
    """Keep unit vectors for messages m0, m1 and so on."""
    units = unit_vectors([floats_of(vector) for vector in VECTORS])
    return ForeignBackend(
        {f"m{row}": list(units[3 * row : 3 * row + 3]) for row in range(5)}
    )


def texts(of_messages: Dict[str, str]) -> Dict[str, int]:
    return {one: text_key(text) for one, text in of_messages.items()}


@pytest.mark.usefixtures("arithmetic")
class TestPools:
    def test_a_backend_that_returns_its_best_is_enough(self) -> None:
        store = foreign()
        found = search(index_of(), "zzz", [1.0, 0.0, 0.0], store, weights=PLAIN)
        assert ids(found)[:2] == ["m0", "m1"]
        # One more than the pool tells whether its last has an equal.
        assert store.asked == [([1.0, 0.0, 0.0], 101)]
        assert found[0].cosine == pytest.approx(0.98, abs=0.01)

    def test_the_pool_is_the_best_of_both(self) -> None:
        weights = RetrievalWeights(pool=1, window_weight=0.0)
        found = search(index_of(), "Bach", [1.0, 0.0, 0.0], foreign(), weights=weights)
        assert sorted(ids(found)) == ["m0", "m4"]
        assert {item.message_id: item.cosine is None for item in found} == {
            "m0": False,
            "m4": True,
        }

    def test_a_known_sum_shifts_the_query(self) -> None:
        store, sums = foreign(), VectorSums()
        for place, vector in enumerate(VECTORS):
            sums.add("s", f"m{place}", TEXTS[place], vector)
        known = sums.of("s", texts({f"m{at}": TEXTS[at] for at in range(5)}))
        query = [1.0, 0.0, 0.0]
        found = search(index_of(), "zzz", query, store, vector_sum=known)
        (plain, _), (shifted, _) = store.asked
        assert plain == query
        assert shifted[0] < 1.0
        assert shifted[2] < 0.0
        assert all(item.cosine is not None for item in found)

    def test_a_sum_starts_anew_with_another_dimension(self) -> None:
        sums = VectorSums()
        assert VectorSum(0, ()).shifted([1.0], 0.5) is None
        sums.add("s", "a", "red", [1.0, 0.0])
        sums.add("s", "b", "blue", [1.0])
        total = sums.of("s", texts({"b": "blue"}))
        assert total is not None
        assert total.shifted([1.0, 0.0], 0.5) is None
        assert total.shifted([1.0], 0.5) == [0.5]
        assert total.shifted([0.0], 0.5) is None

    def test_a_sum_is_of_the_very_messages_of_a_session(self) -> None:
        sums = VectorSums()
        sums.add("s", "a", "red", [1.0, 0.0])
        sums.add("s", "b", "blue", [0.0, 1.0])
        both = {"b": "blue", "a": "red"}
        assert sums.of("s", texts(both)) is not None
        assert sums.of("s", texts({"a": "red"})) is None
        assert sums.of("s", texts({**both, "older": "green"})) is None
        assert sums.of("t", {}) is None
        sums.add("s", "a", "red", [0.0, 1.0])
        assert sums.of("s", texts(both)) is None
        sums.drop("s", ["b"])
        assert sums.of("s", texts({"a": "red"})) is not None
        sums.drop("s", ["a"])
        assert sums.of("s", texts({"a": "red"})) is None

    def test_a_sum_is_of_the_very_texts_of_a_session(self) -> None:
        sums = VectorSums()
        sums.add("s", "a", "red", [1.0, 0.0])
        assert sums.of("s", texts({"a": "blue"})) is None
        assert sums.of("s", texts({"a": "red"})) is not None

    def test_a_sum_that_was_given_out_stays_as_it_was(self) -> None:
        sums = VectorSums()
        sums.add("s", "a", "red", [1.0, 0.0])
        known = sums.of("s", texts({"a": "red"}))
        sums.add("s", "b", "blue", [0.0, 1.0])
        assert known == VectorSum(1, [1.0, 0.0])

    def test_sums_are_bounded(self) -> None:
        sums = VectorSums()
        for number in range(1_001):
            sums.add(str(number), "a", "red", [1.0])
        assert sums.of("0", texts({"a": "red"})) is None
        assert sums.of("1000", texts({"a": "red"})) is not None

    def test_a_backend_without_vectors_leaves_it_to_the_words(self) -> None:
        found = search(index_of(), "Bach", [1.0], ForeignBackend({}))
        assert found[0].message_id == "m4"
        assert search(index_of(), "", [1.0], ForeignBackend({}), k=0) == []

    def test_a_long_session_is_pooled_with_exact_cosines(self) -> None:
        weights = RetrievalWeights(full_scan=3, pool=2, window_weight=0.0)
        store = store_of()
        found = search(index_of(), "Bach", [1.0, 0.0, 0.0], store, weights=weights)
        assert {"m0", "m1", "m4"} <= set(ids(found))
        whole = search(index_of(), "Bach", [1.0, 0.0, 0.0], store)
        cosines = {item.message_id: item.cosine for item in whole}
        assert all(item.cosine == cosines[item.message_id] for item in found)

    def test_a_pool_of_everything_gives_the_rank_of_a_full_scan(self) -> None:
        whole = RetrievalWeights(window_weight=0.0)
        pooled = RetrievalWeights(window_weight=0.0, full_scan=0)
        for query, vector in (("boat", VECTORS[1]), ("Bach", VECTORS[0])):
            assert search(
                index_of(), query, vector, store_of(), weights=whole
            ) == search(index_of(), query, vector, store_of(), weights=pooled)


def test_numpy_and_plain_python_rank_alike(without_numpy: None) -> None:
    pytest.importorskip("numpy")
    del without_numpy
    plain = search(index_of(), "the boat on the lake", VECTORS[1], store_of())
    with pytest.MonkeyPatch.context() as patch:
        import importlib

        patch.setattr("contextstore._optional.find", importlib.import_module)
        on_numpy = search(index_of(), "the boat on the lake", VECTORS[1], store_of())
    assert plain == on_numpy


def test_a_session_that_nobody_embedded_gives_no_scan() -> None:
    store = InMemoryEmbeddingStore()
    assert _hop.drive(store.scan("s", [1.0], 0.85)) is None
    assert _hop.drive(store.metadata_of("s", ["a"])) == {}


def test_metadata_of_messages_are_copies() -> None:
    store = InMemoryEmbeddingStore()
    _hop.drive(store.add("s", "a", [1.0], {"deep": [1]}))
    found = _hop.drive(store.metadata_of("s", ["a", "b"]))
    assert found == {"a": {"deep": [1]}}
    found["a"]["deep"].append(2)
    assert _hop.drive(store.metadata_of("s", ["a"])) == {"a": {"deep": [1]}}


def test_a_scan_is_ranked_without_a_store() -> None:
    scan = DenseScan(("m4", "m1"), [0.9, None], [0.9, 0.1], elsewhere=0.0)
    query = HybridQuery(index_of(), "zzz", PLAIN, pooled=True)
    found = query.rank(2, scan)
    assert [(item.message_id, item.cosine) for item in found] == [
        ("m4", 0.9),
        ("m1", None),
    ]


def test_weights_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        RetrievalWeights().centring = 0.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("user_weight", "1"),
        ("user_weight", float("nan")),
        ("user_weight", True),
        ("centring", 1.5),
        ("length_normalisation", -0.1),
        ("pool", 0),
        ("pool", 1.5),
        ("pool", 10**400),
        ("short_until", 0),
        ("window_best", 0),
        ("window_reach", -1),
        ("window_best", 101),
        ("dense_weight", 1e308),
        ("user_weight", -1e308),
        ("term_bonus", 1e7),
    ],
)
def test_weights_that_cannot_be_computed_with_are_refused(
    name: str, value: Any
) -> None:
    with pytest.raises(ConfigurationError, match=name):
        RetrievalWeights(**{name: value})


@pytest.mark.usefixtures("arithmetic")
def test_the_largest_weights_give_finite_scores() -> None:
    largest: Dict[str, Any] = {
        field.name: 1e6
        for field in fields(RetrievalWeights)
        if field.name not in ("centring", "length_normalisation")
        and isinstance(field.default, float)
    }
    weights = RetrievalWeights(**largest, window_reach=10**10, window_best=100)
    for sign in (1, -1):
        signed = replace(weights, dense_weight=sign * 1e6, window_weight=sign * 1e6)
        found = search(index_of(), "boat", VECTORS[1], store_of(), weights=signed)
        assert len(found) == len(TEXTS)
        assert all(math.isfinite(item.score) for item in found)
