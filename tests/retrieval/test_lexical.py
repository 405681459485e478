"""Check the index of words: its scores, and that it forgets what it is told to."""

from __future__ import annotations

import math
from typing import List

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextstore.retrieval.arithmetic import make_columns
from contextstore.retrieval.lexical import LexicalIndex
from contextstore.retrieval.terms import terms_of
from contextstore.retrieval.weights import RetrievalWeights

WEIGHTS = RetrievalWeights()


def index_of(texts: List[str]) -> LexicalIndex:
    """Index some texts."""
    index = LexicalIndex()
    for text in texts:
        index.append(text)
    return index


def words(index: LexicalIndex, query: str) -> List[float]:
    """Return the scores of the words."""
    here = make_columns()
    return here.list_of(index.scores(query, here, WEIGHTS).words)


def phrases(index: LexicalIndex, query: str) -> List[float]:
    """Return the scores of the phrases."""
    here = make_columns()
    return here.list_of(index.scores(query, here, WEIGHTS).phrases)


def idf(count: int, found: int) -> float:
    """Return the weight of a term by its formula."""
    return math.log(1 + (count - found + 0.5) / (found + 0.5))


def words_by_formula(texts: List[str], query: str) -> List[float]:
    """Score text by text, as the formula is written."""
    documents = [terms_of(text) for text in texts]
    mean = sum(map(len, documents)) / len(documents)
    asked = sorted(set(terms_of(query)))
    weight = {
        term: idf(len(texts), sum(term in document for document in documents))
        for term in asked
        if any(term in document for document in documents)
    }
    scores: List[float] = []
    for document in documents:
        shared = [term for term in weight if term in document]
        score = sum(
            weight[term]
            * (
                document.count(term)
                * 2.2
                / (document.count(term) + 1.2 * (0.25 + 0.75 * len(document) / mean))
                + 1
            )
            for term in shared
        )
        total = sum(weight.values())
        coverage = sum(weight[term] for term in shared) / total if total else 0.0
        scores.append(score * math.sqrt(coverage))
    return scores


TEXTS = [
    "The red cat sat on the mat",
    "A red red house by the sea",
    "Cats and dogs",
    "",
    "Nothing of the kind was ever painted here",
]


@pytest.mark.usefixtures("arithmetic")
class TestScores:
    @pytest.mark.parametrize(
        "query",
        ["red", "red cats", "the painted sea, red as a cat", "zebra", "the", ""],
    )
    def test_words_follow_the_formula(self, query: str) -> None:
        expected = words_by_formula(TEXTS, query)
        assert words(index_of(TEXTS), query) == pytest.approx(expected)

    def test_a_word_that_is_shared_counts_and_no_other(self) -> None:
        scores = words(index_of(TEXTS), "cat")
        assert [score > 0 for score in scores] == [True, False, True, False, False]

    def test_phrases_are_pairs_in_their_order(self) -> None:
        texts = ["red cat", "cat red", "red and a cat", "red house cat"]
        scores = phrases(index_of(texts), "a red cat?")
        # A stop word between does not part a pair.
        assert scores == [idf(4, 2), 0.0, idf(4, 2), 0.0]

    def test_a_pair_counts_once(self) -> None:
        index = index_of(["red cat", "dog"])
        assert phrases(index, "red cat red cat")[0] == idf(2, 1)

    def test_an_empty_index_has_no_scores(self) -> None:
        assert words(LexicalIndex(), "red cat") == []
        assert words(index_of(["", "the"]), "red cat") == [0.0, 0.0]


@settings(max_examples=50)
@given(
    st.lists(st.sampled_from(TEXTS), max_size=8),
    st.integers(0, 8),
    st.sampled_from(["red cat", "painted house by the sea"]),
)
def test_what_was_removed_leaves_no_trace(
    texts: List[str], count: int, query: str
) -> None:
    index = index_of(texts)
    index.truncate(count)
    fresh = index_of(texts[:count])
    assert vars(index) == vars(fresh)
    assert len(index) == len(texts[:count])
    assert words(index, query) == words(fresh, query)
