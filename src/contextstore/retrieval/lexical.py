"""Index the words of one session, and score messages by the words of a query."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from dataclasses import dataclass
from sys import intern
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Sequence, Tuple

from contextstore.retrieval.columns import Column, Columns
from contextstore.retrieval.terms import terms_of
from contextstore.retrieval.weights import RetrievalWeights

if TYPE_CHECKING:
    FloatArray = array[float]
    IntArray = array[int]

__all__ = ["LexicalIndex", "LexicalScores"]

Pair = Tuple[str, str]


@dataclass(frozen=True)
class LexicalScores:
    """Be what the words of a query give each message.

    Attributes:
        words: BM25+ times the root of the coverage; 0 where no word is shared.
        phrases: the summed weight of the word pairs shared.
    """

    words: Column
    phrases: Column


class LexicalIndex:
    """Be the postings of the terms of one session, and of its pairs of terms.

    Rows are numbered in the order of adding. Only counts are kept; what they weigh is
    computed for each query, so that adding a text costs that text alone.
    """

    def __init__(self) -> None:
        self._texts: List[Tuple[str, ...]] = []
        self._lengths = array("i")
        self._total_length = 0
        self._rows: Dict[str, IntArray] = {}
        self._counts: Dict[str, IntArray] = {}
        self._pair_rows: Dict[Pair, IntArray] = {}

    def __len__(self) -> int:
        return len(self._texts)

    def append(self, text: str) -> None:
        """Add a text as the next row."""
        row = len(self._texts)
        terms = tuple(map(intern, terms_of(text)))
        self._texts.append(terms)
        self._lengths.append(len(terms))
        self._total_length += len(terms)
        for term, count in Counter(terms).items():
            self._rows.setdefault(term, array("i")).append(row)
            self._counts.setdefault(term, array("i")).append(count)
        for pair in _pairs(terms):
            self._pair_rows.setdefault(pair, array("i")).append(row)

    def truncate(self, count: int) -> None:
        """Remove all rows from ``count`` on."""
        while len(self._texts) > count:
            self._remove_last()

    def _remove_last(self) -> None:
        terms = self._texts.pop()
        self._lengths.pop()
        self._total_length -= len(terms)
        for term in dict.fromkeys(terms):
            _pop_last(self._rows, term)
            _pop_last(self._counts, term)
        for pair in _pairs(terms):
            _pop_last(self._pair_rows, pair)

    def scores(
        self, query: str, columns: Columns, weights: RetrievalWeights
    ) -> LexicalScores:
        """Score every row by the words of a query."""
        terms = terms_of(query)
        return LexicalScores(
            self._words(terms, columns, weights), self._phrases(terms, columns)
        )

    def weight_of(self, term: str) -> float:
        """Return the inverse document frequency of a term; an unknown one weighs 0."""
        rows = self._rows.get(term)
        return 0.0 if rows is None else self._weight(rows)

    def _words(
        self, terms: List[str], columns: Columns, weights: RetrievalWeights
    ) -> Column:
        known = [term for term in dict.fromkeys(terms) if term in self._rows]
        if not known:
            return columns.zeros(len(self))
        found = self._found([self._rows[term] for term in known])
        counts = array("i")
        for term in known:
            counts.extend(self._counts[term])
        weight = columns.of(found.weights)
        damping = columns.take(self._damping(columns, weights), found.rows)
        tf = columns.of(counts)
        gained = columns.over(
            columns.scaled(tf, weights.term_saturation + 1.0),
            columns.plus(tf, damping),
        )
        points = columns.times(weight, columns.scaled(gained, 1.0, weights.term_bonus))
        scores = columns.gathered(len(self), found.rows, points)
        covered = columns.gathered(len(self), found.rows, weight)
        coverage = columns.root(columns.scaled(covered, 1.0 / found.total))
        return columns.times(scores, coverage)

    def _damping(self, columns: Columns, weights: RetrievalWeights) -> Column:
        """Return the part of BM25's denominator that the length of a row gives."""
        share = weights.length_normalisation
        # A known term means that the mean length is not 0.
        slope = weights.term_saturation * share / (self._total_length / len(self))
        flat = weights.term_saturation * (1.0 - share)
        return columns.scaled(columns.of(self._lengths), slope, flat)

    def _phrases(self, terms: List[str], columns: Columns) -> Column:
        pairs = [pair for pair in _pairs(terms) if pair in self._pair_rows]
        if not pairs:
            return columns.zeros(len(self))
        found = self._found([self._pair_rows[pair] for pair in pairs])
        weight = columns.of(found.weights)
        return columns.gathered(len(self), found.rows, weight)

    def _found(self, postings: Iterable[IntArray]) -> _Found:
        """Join postings, so that few steps on columns do for all of them."""
        found = _Found()
        for rows in postings:
            weight = self._weight(rows)
            found.rows.extend(rows)
            found.weights.extend(array("d", [weight]) * len(rows))
            found.total += weight
        return found

    def _weight(self, rows: IntArray) -> float:
        """Return the inverse document frequency of what stands in these rows."""
        found = len(rows)
        return math.log(1.0 + (len(self) - found + 0.5) / (found + 0.5))


class _Found:
    """Be the postings of what a query asks for, one after the other.

    Attributes:
        rows: where it was found.
        weights: the inverse document frequency of what was found, for each row.
        total: the sum over what was asked for.
    """

    def __init__(self) -> None:
        self.rows: IntArray = array("i")
        self.weights: FloatArray = array("d")
        self.total = 0.0


def _pairs(terms: Sequence[str]) -> Iterable[Pair]:
    return dict.fromkeys(zip(terms, terms[1:]))


def _pop_last(postings: Dict[Any, IntArray], key: Any) -> None:
    postings[key].pop()
    if not postings[key]:
        # What was erased leaves no word behind.
        del postings[key]
