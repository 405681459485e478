"""Keep the vectors of one session with their ids, metadata and order."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple

from contextstore.messages import canonical
from contextstore.retrieval.arithmetic import make_columns
from contextstore.retrieval.dense import (
    Centre,
    DenseScan,
    centre_of,
    centred,
    common_part,
    shifted_query,
)
from contextstore.retrieval.matrix import ScoredRow, make_matrix
from contextstore.retrieval.vectors import GridQuery, grid_query

if TYPE_CHECKING:
    from contextstore.retrieval.vectors import FloatArray

__all__ = ["Hit", "SessionVectors"]

Metadata = Dict[str, Any]


Hit = Tuple[str, float, Metadata]
"""A message id, the cosine of its vector, which the grid may take past 1 by less than
``sqrt(dimension) * 2**-21``, and its metadata."""

_score = itemgetter(1)


class SessionVectors:
    """Be the vectors of one session: a matrix, and what belongs to each of its rows.

    Vectors come in as unit vectors on the grid. Metadata comes in and goes out as the
    very object that is kept: whoever faces the caller makes the copies.
    """

    def __init__(self, dimension: int) -> None:
        self._matrix = make_matrix(dimension)
        self._row_of: Dict[str, int] = {}
        self._ids: List[str] = []
        self._metadata: List[Metadata] = []
        # The place of each row in the order of adding, for ties: rows move, it stays.
        self._places: List[int] = []
        self._next_place = 0
        self._all_ids: Optional[Tuple[str, ...]] = None
        self._mean_taken: Optional[Tuple[float, FloatArray]] = None
        # What that mean makes of all vectors.
        self._centre: Optional[Centre] = None

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, message_id: str) -> bool:
        return message_id in self._row_of

    @property
    def dimension(self) -> int:
        """Give the number of components of each vector."""
        return self._matrix.dimension

    @property
    def nbytes(self) -> int:
        """Give the bytes of memory that the vectors take."""
        return self._matrix.nbytes

    def message_ids(self) -> List[str]:
        """Return the ids of all vectors, oldest first."""
        return [message_id for _, message_id in sorted(zip(self._places, self._ids))]

    def extend(
        self, ids: Sequence[str], vectors: FloatArray, metadata: Sequence[Metadata]
    ) -> None:
        """Add vectors, one after another in one array, under ids that are new."""
        self._changed()
        self._matrix.append(vectors)
        first = len(self._ids)
        self._row_of.update(zip(ids, range(first, first + len(ids))))
        self._ids.extend(ids)
        self._metadata.extend(metadata)
        self._places.extend(range(self._next_place, self._next_place + len(ids)))
        self._next_place += len(ids)

    def put(self, message_id: str, vector: FloatArray, metadata: Metadata) -> None:
        """Add a vector, or replace the one of this id, which keeps its place."""
        row = self._row_of.get(message_id)
        if row is not None:
            self._changed()
            self._matrix.replace(row, vector)
            self._metadata[row] = metadata
            return
        self.extend([message_id], vector, [metadata])

    def discard(self, message_id: str) -> bool:
        """Remove the vector of an id and tell whether there was one."""
        row = self._row_of.pop(message_id, None)
        if row is None:
            return False
        self._changed()
        self._matrix.remove(row)
        if row < len(self._ids) - 1:
            self._row_of[self._ids[-1]] = row
        for column in (self._ids, self._metadata, self._places):
            _fill_with_last(column, row)
        return True

    def search(
        self, queries: Sequence[GridQuery], k: int, where: Optional[Metadata] = None
    ) -> List[List[Hit]]:
        """Return for each query the k nearest, the older first among equals.

        Args:
            k: how many, at least 1.
            where: metadata that a vector must have to be looked at.
        """
        rows = None if where is None else self._matching(where)
        return [
            [
                (self._ids[row], score * query.scale, self._metadata[row])
                for row, score in self._ranked(found)[:k]
            ]
            for query, found in zip(queries, self._matrix.best(queries, k, rows))
        ]

    def _matching(self, where: Metadata) -> List[int]:
        wanted = {key: canonical(value) for key, value in where.items()}
        return [
            row
            for row, metadata in enumerate(self._metadata)
            if all(
                # Equality sorts most out; the text tells True from 1.
                key in metadata
                and metadata[key] == where[key]
                and canonical(metadata[key]) == text
                for key, text in wanted.items()
            )
        ]

    def scan(
        self,
        query: GridQuery,
        centring: float,
        pool: Optional[int] = None,
        also: Sequence[str] = (),
    ) -> DenseScan:
        """Score vectors for a query, as they are and centred.

        Args:
            centring: the share of the mean vector that is taken out.
            pool: score only so many, those nearest to the query when that share is
                taken out of it, what equals the last of them, and those of ``also``;
                None scores all.
        """
        if pool is not None:
            return self._scan_pool(query, centring, pool, also)
        if self._all_ids is None:
            self._all_ids = tuple(self._ids)
        mean = self._mean(centring)
        if self._centre is None:
            self._centre = self._centre_of(mean)
        return self._scan(self._all_ids, query, self._centre)

    def _scan_pool(
        self, query: GridQuery, centring: float, pool: int, also: Sequence[str]
    ) -> DenseScan:
        mean = self._mean(centring)
        shifted = shifted_query(query, mean)
        (found,) = self._matrix.best([grid_query(shifted)], pool)
        scores = sorted((score for _, score in found), reverse=True)
        # All that equal the last: which of them were added first must not matter.
        least = scores[:pool][-1]
        chosen = {row for row, score in found if score >= least}
        chosen.update(self._row_of[one] for one in also if one in self._row_of)
        rows = sorted(chosen)
        ids = tuple(self._ids[row] for row in rows)
        return self._scan(ids, query, self._centre_of(mean, rows), rows)

    def _centre_of(
        self, mean: FloatArray, rows: Optional[Sequence[int]] = None
    ) -> Centre:
        here = make_columns()
        return centre_of(here, mean, here.of(self._matrix.scores(mean, rows)))

    def _scan(
        self,
        ids: Tuple[str, ...],
        query: GridQuery,
        centre: Centre,
        rows: Optional[Sequence[int]] = None,
    ) -> DenseScan:
        here = make_columns()
        scores = here.of(self._matrix.scores(query.numbers, rows))
        cosines = here.scaled(scores, query.scale)
        return DenseScan(ids, cosines, centred(here, cosines, query, centre))

    def metadata_of(self, message_ids: Sequence[str]) -> Dict[str, Metadata]:
        """Return the metadata of those messages that have a vector."""
        rows = self._row_of
        return {one: self._metadata[rows[one]] for one in message_ids if one in rows}

    def _mean(self, centring: float) -> FloatArray:
        """Return the share of the mean to take out, computed once for each state."""
        if self._mean_taken is None or self._mean_taken[0] != centring:
            mean = common_part(self._matrix.total(), len(self), centring)
            self._mean_taken, self._centre = (centring, mean), None
        return self._mean_taken[1]

    def _changed(self) -> None:
        self._all_ids = self._mean_taken = self._centre = None

    def _ranked(self, found: List[ScoredRow]) -> List[ScoredRow]:
        """Return rows best first, the older first among equals."""
        if self._next_place > len(self._ids):
            # Something was removed, so rows may have moved.
            found.sort(key=lambda scored: self._places[scored[0]])
        return sorted(found, key=_score, reverse=True)


def _fill_with_last(column: List[Any], row: int) -> None:
    last = column.pop()
    if row < len(column):
        column[row] = last
