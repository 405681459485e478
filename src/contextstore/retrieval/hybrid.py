"""Rank the messages of a session by words and meaning.

The rule, with the names of ``RetrievalWeights`` and ``z`` for "less the mean, over the
standard deviation", over the messages of the session::

    score = dense_weight * z(centred cosine)
          + lexical_weight * z(words + neighbour_share * words of the two neighbours)
          + phrase_weight * z(phrases + neighbour_share * those of the two neighbours)
          + what length, role, speaker and date say
    score = score + window_weight * mean of the best scores around

Without vectors the words take over the weight of both. A message that has no vector
counts as average in meaning. Scores are rounded to multiples of 2**-20 and equal ones
are given oldest first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Awaitable, Callable, List, Optional, Sequence

from contextstore.retrieval.arithmetic import make_columns
from contextstore.retrieval.base import RetrievedItem
from contextstore.retrieval.columns import SCORE_STEPS, Column
from contextstore.retrieval.dense import DenseScan
from contextstore.retrieval.documents import SessionIndex
from contextstore.retrieval.vector_sums import VectorSum
from contextstore.retrieval.weights import RetrievalWeights

__all__ = ["HybridQuery", "Ranked", "nearest_by_age", "scan_backend"]

Nearest = Callable[[Sequence[float], int], Awaitable[List[RetrievedItem]]]
"""Searches a session for a vector, and gives so many at most, best first."""

_DEFAULT_WEIGHTS = RetrievalWeights()


@dataclass(frozen=True)
class Ranked:
    """Be one message in its rank.

    Attributes:
        row: its place in the index.
        message_id: its id.
        score: what it is ranked by.
        cosine: the cosine of its vector and the query's, None where it is not known.
        lexical: the score of the words that it shares with the query, 0 for none.
    """

    row: int
    message_id: str
    score: float
    cosine: Optional[float]
    lexical: float


class HybridQuery:
    """Be one query over one index: its words first, then the rank with the vectors.

    Attributes:
        pooled: True ranks only the best by words and the best by vectors.
    """

    def __init__(
        self,
        index: SessionIndex,
        query: str,
        weights: RetrievalWeights = _DEFAULT_WEIGHTS,
        *,
        pooled: bool = False,
    ) -> None:
        self.pooled = pooled or len(index) > weights.full_scan
        self._index = index
        self._query = query
        self._weights = weights
        self._columns = make_columns()
        scores = index.scores(query, self._columns, weights)
        self._words = scores.words
        share = weights.neighbour_share
        self._lexical = self._columns.spread(scores.words, share)
        self._phrases = self._columns.spread(scores.phrases, share)

    def lexical_of(self, message_id: str) -> Optional[float]:
        """Return the score of the words that a message shares, None if unknown."""
        row = self._index.row_of(message_id)
        return None if row is None else self._shared_words(row)

    def _shared_words(self, row: int) -> float:
        # Like the scores: logarithms may differ in their last bit between machines.
        return round(float(self._words[row]) * SCORE_STEPS) / SCORE_STEPS

    def best_by_words(self) -> List[str]:
        """Return the messages of the pool of words."""
        rows = self._columns.ranked(self._lexical, self._weights.pool)
        return [self._index.documents[row].message_id for row in rows]

    def rank(self, k: int, scan: Optional[DenseScan] = None) -> List[Ranked]:
        """Return the k best messages, the older first among equals.

        Args:
            scan: what the vectors say; None ranks by words alone.
        """
        rows = self._pool(scan) if self.pooled else None
        score = self._columns.rounded(self._score(scan, rows))
        best = self._columns.ranked(score, k)
        values = self._columns.list_of(self._columns.take(score, best))
        found = best if rows is None else [rows[place] for place in best]
        return [self._ranked(row, value, scan) for row, value in zip(found, values)]

    def _pool(self, scan: Optional[DenseScan]) -> List[int]:
        pool = set(self._columns.ranked(self._lexical, self._weights.pool))
        if scan is not None:
            pool.update(self._index.aligned(scan.ids).rows)
        return sorted(pool)

    def _score(self, scan: Optional[DenseScan], rows: Optional[List[int]]) -> Column:
        here, weights = self._columns, self._weights
        meaning = None if scan is None else self._meaning(scan, rows)
        lexical_weight = weights.lexical_weight
        if meaning is None:
            lexical_weight += weights.dense_weight
        priors = self._index.priors(self._query, here, weights)
        score = here.plus(
            here.scaled(self._standardised(self._lexical, rows), lexical_weight),
            here.scaled(self._standardised(self._phrases, rows), weights.phrase_weight),
        )
        if meaning is not None:
            score = here.plus(here.scaled(meaning, weights.dense_weight), score)
        score = here.plus(score, self._at(priors, rows))
        # The neighbours of a pooled message need not be in the pool.
        return score if self.pooled else self._with_surroundings(score)

    def _with_surroundings(self, score: Column) -> Column:
        here, weights = self._columns, self._weights
        if not weights.window_weight:
            return score
        around = here.best_around(score, weights.window_reach, weights.window_best)
        return here.plus(score, here.scaled(around, weights.window_weight))

    def _at(self, column: Column, rows: Optional[List[int]]) -> Column:
        return column if rows is None else self._columns.take(column, rows)

    def _standardised(self, column: Column, rows: Optional[List[int]]) -> Column:
        return self._columns.standardised(self._at(column, rows))

    def _meaning(self, scan: DenseScan, rows: Optional[List[int]]) -> Optional[Column]:
        """Return the standardised centred cosines, None where they say nothing."""
        here = self._columns
        aligned = self._index.aligned(scan.ids)
        scores = here.of(scan.centred)
        if not aligned.is_same:
            scores = here.take(scores, aligned.places)
        if scan.elsewhere is not None and rows is not None:
            whole = here.scaled(here.zeros(len(self._index)), 0.0, scan.elsewhere)
            here.put(whole, aligned.rows, scores)
            meaning = here.standardised(here.take(whole, rows))
        else:
            whole = here.standardised(scores)
            if not aligned.is_same:
                known, whole = whole, here.zeros(len(self._index))
                here.put(whole, aligned.rows, known)
            meaning = self._at(whole, rows)
        return meaning if here.any_in(meaning) else None

    def _ranked(self, row: int, score: float, scan: Optional[DenseScan]) -> Ranked:
        place = None
        if scan is not None:
            place = self._index.aligned(scan.ids).place_of.get(row)
        return Ranked(
            row=row,
            message_id=self._index.documents[row].message_id,
            score=score,
            cosine=None if scan is None or place is None else _cosine(scan, place),
            lexical=self._shared_words(row),
        )


def _cosine(scan: DenseScan, place: int) -> Optional[float]:
    value = scan.cosines[place]
    return None if value is None else max(-1.0, min(1.0, float(value)))


async def nearest_by_age(
    nearest: Nearest,
    query_vector: Sequence[float],
    k: int,
    place_of: Callable[[str], Any],
) -> List[RetrievedItem]:
    """Return the ``k`` nearest, the older message first among equals.

    A backend gives equals in an order of its own, such as that of adding. So it is
    asked for more, until all are there that equal the last one wanted.

    Args:
        k: how many, at least 1.
        place_of: the place of a message; the older has the smaller one.
    """
    asked = k + 1
    while True:
        hits = await nearest(query_vector, asked)
        if len(hits) < asked or hits[-1].score != hits[k - 1].score:
            hits.sort(key=lambda item: (-item.score, place_of(item.message_id)))
            return hits[:k]
        asked *= 2


async def scan_backend(
    nearest: Nearest,
    query_vector: Sequence[float],
    weights: RetrievalWeights,
    place_of: Callable[[str], Any],
    vector_sum: Optional[VectorSum] = None,
) -> Optional[DenseScan]:
    """Ask a backend that only returns its best for the pool of vectors.

    Where the sum of its vectors is known, the pool is that of the query with a share of
    the mean taken out, and a second search gives the cosines.

    Args:
        nearest: searches a session for a vector, and gives so many at most.
        place_of: the place of a message; the older has the smaller one.
    """
    pool = weights.pool
    hits = await nearest_by_age(nearest, query_vector, pool, place_of)
    cosines = {item.message_id: item.score for item in hits}
    shifted = vector_sum and vector_sum.shifted(query_vector, weights.centring)
    if shifted:
        hits = await nearest_by_age(nearest, shifted, pool, place_of)
    if not hits:
        return None
    scores = [item.score for item in hits]
    return DenseScan(
        ids=tuple(item.message_id for item in hits),
        cosines=[cosines.get(item.message_id) for item in hits],
        centred=scores,
        elsewhere=min(scores) if len(hits) >= pool else None,
    )
