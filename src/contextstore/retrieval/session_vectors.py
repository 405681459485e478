"""Keep the vectors of one session with their ids, metadata and order."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from contextstore.messages import canonical
from contextstore.retrieval.arithmetic import make_columns
from contextstore.retrieval.columns import Column
from contextstore.retrieval.dense import DenseScan, centred, common_part
from contextstore.retrieval.matrix import ScoredRow, make_matrix
from contextstore.retrieval.vectors import unit_vectors

if TYPE_CHECKING:
    from contextstore.retrieval.vectors import FloatArray

__all__ = ["Hit", "SessionVectors"]

Metadata = Dict[str, Any]


class Hit(NamedTuple):
    """Be one vector that was found.

    Attributes:
        score: the scalar product of the vectors on the grid, which may pass 1 by less
            than ``sqrt(dimension) * 2**-24``.
    """

    message_id: str
    score: float
    metadata: Metadata


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
        # The products of all vectors with that mean.
        self._products: Optional[Column] = None

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, message_id: str) -> bool:
        return message_id in self._row_of

    def put(self, message_id: str, vector: FloatArray, metadata: Metadata) -> None:
        """Add a vector, or replace the one of this id, which keeps its place."""
        self._changed()
        row = self._row_of.get(message_id)
        if row is not None:
            self._matrix.replace(row, vector)
            self._metadata[row] = metadata
            return
        self._matrix.append(vector)
        self._row_of[message_id] = len(self._ids)
        self._ids.append(message_id)
        self._metadata.append(metadata)
        self._places.append(self._next_place)
        self._next_place += 1

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
        self, queries: Sequence[FloatArray], k: int, where: Optional[Metadata] = None
    ) -> List[List[Hit]]:
        """Return for each query the k nearest, the older first among equals.

        Args:
            k: how many, at least 1.
            where: metadata that a vector must have to be looked at.
        """
        rows = None if where is None else self._matching(where)
        return [
            [
                Hit(self._ids[row], score, self._metadata[row])
                for row, score in sorted(found, key=self._rank)[:k]
            ]
            for found in self._matrix.best(queries, k, rows)
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

    def scan(self, query: FloatArray, centring: float) -> DenseScan:
        """Score every vector for a query, as they are and centred.

        Args:
            centring: the share of the mean vector that is taken out.
        """
        if self._all_ids is None:
            self._all_ids = tuple(self._ids)
        mean = self._mean(centring)
        if self._products is None:
            self._products = self._matrix.scores(mean)
        cosines = self._matrix.scores(query)
        scores = centred(make_columns(), cosines, self._products, query, mean)
        return DenseScan(self._all_ids, cosines, scores)

    def scan_pool(
        self, query: FloatArray, centring: float, pool: int, also: Sequence[str]
    ) -> DenseScan:
        """Score the vectors of ``also`` and the ``pool`` nearest to the shifted query.

        The shifted query is the query with a share of the mean taken out.
        """
        mean = self._mean(centring)
        shifted = array("d", [q - m for q, m in zip(query, mean)])
        (found,) = self._matrix.best([unit_vectors([shifted])], pool)
        chosen = {row for row, _ in sorted(found, key=self._rank)[:pool]}
        chosen.update(self._row_of[one] for one in also if one in self._row_of)
        rows = sorted(chosen)
        cosines = self._matrix.scores(query, rows)
        products = self._matrix.scores(mean, rows)
        scores = centred(make_columns(), cosines, products, query, mean)
        return DenseScan(tuple(self._ids[row] for row in rows), cosines, scores)

    def metadata_of(self, message_id: str) -> Optional[Metadata]:
        """Return the metadata kept beside a vector, None where there is none."""
        row = self._row_of.get(message_id)
        return None if row is None else self._metadata[row]

    def _mean(self, centring: float) -> FloatArray:
        """Return the share of the mean to take out, computed once for each state."""
        if self._mean_taken is None or self._mean_taken[0] != centring:
            mean = common_part(self._matrix.total(), len(self), centring)
            self._mean_taken, self._products = (centring, mean), None
        return self._mean_taken[1]

    def _changed(self) -> None:
        self._all_ids = self._mean_taken = self._products = None

    def _rank(self, scored: ScoredRow) -> Tuple[float, int]:
        row, score = scored
        return (-score, self._places[row])


def _fill_with_last(column: List[Any], row: int) -> None:
    last = column.pop()
    if row < len(column):
        column[row] = last
