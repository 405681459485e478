"""Hold the unit vectors of one session as rows, and score them exactly.

Two classes with one interface: with numpy the rows lie in one growable float32 matrix,
without it in one ``array``. Both give the same bits; see ``vectors``.
"""

from __future__ import annotations

import math
from array import array
from operator import mul
from typing import (
    TYPE_CHECKING,
    Any,
    Iterator,
    List,
    Optional,
    Protocol,
    Sequence,
    Tuple,
)

from contextstore import _optional

if TYPE_CHECKING:
    from contextstore.retrieval.vectors import FloatArray, GridQuery

__all__ = ["NumpyMatrix", "PlainMatrix", "VectorMatrix", "make_matrix"]

ScoredRow = Tuple[int, float]

# Rows are widened to float64 in blocks of this many numbers, 256 KiB, which stay in the
# cache between the two passes over them.
_BLOCK_NUMBERS = 32_768
# OpenBLAS multiplies larger matrices with a thread a core. Reading memory gets hardly
# faster by that, and waiting for a core that others use takes milliseconds.
_NUMBERS_OF_ONE_THREAD = 393_216
_FIRST_CAPACITY = 16
# Several queries in one pass over the rows cost a third of as many passes.
_QUERIES_AT_ONCE = 16


class VectorMatrix(Protocol):
    """Say what a matrix of unit vectors can do. Rows are numbered from 0."""

    dimension: int

    def __len__(self) -> int: ...

    @property
    def nbytes(self) -> int:
        """Give the bytes of memory that the rows take, spare room included."""
        ...

    def append(self, vectors: FloatArray) -> None:
        """Add rows at the end."""
        ...

    def replace(self, row: int, vector: FloatArray) -> None:
        """Overwrite a row."""
        ...

    def remove(self, row: int) -> None:
        """Remove a row; the last one takes its place, so that no gap stays."""
        ...

    def total(self) -> List[float]:
        """Return the sum of all rows, exact."""
        ...

    def scores(self, query: FloatArray, rows: Optional[Sequence[int]] = None) -> Any:
        """Return the exact scores of some rows, or all, as a column of ``columns``."""
        ...

    def best(
        self,
        queries: Sequence[GridQuery],
        k: int,
        rows: Optional[Sequence[int]] = None,
    ) -> List[List[ScoredRow]]:
        """Return for each query, in any order, rows and scores with the k best among.

        Every row that ties with the k-th best is there too. Only ``rows`` are looked
        at where given.

        Args:
            k: how many are wanted, at least 1.
        """
        ...


def make_matrix(dimension: int) -> VectorMatrix:
    """Return an empty matrix: on numpy where it is installed, else without."""
    numpy = _optional.find("numpy")
    if numpy is None:
        return PlainMatrix(dimension)
    return NumpyMatrix(numpy, dimension)


class PlainMatrix:
    """Be a matrix that needs no package."""

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self._flat = array("f")

    def __len__(self) -> int:
        return len(self._flat) // self.dimension

    @property
    def nbytes(self) -> int:
        """Give the bytes of memory that the rows take."""
        return len(self._flat) * self._flat.itemsize

    def append(self, vectors: FloatArray) -> None:
        """Add rows at the end."""
        self._flat.extend(vectors)

    def replace(self, row: int, vector: FloatArray) -> None:
        """Overwrite a row."""
        start = row * self.dimension
        self._flat[start : start + self.dimension] = vector

    def remove(self, row: int) -> None:
        """Remove a row; the last one takes its place."""
        last = self._flat[-self.dimension :]
        self.replace(row, last)
        del self._flat[-self.dimension :]

    def total(self) -> List[float]:
        """Return the sum of all rows."""
        step = self.dimension
        return [sum(self._flat[place::step], 0.0) for place in range(step)]

    def scores(
        self, query: FloatArray, rows: Optional[Sequence[int]] = None
    ) -> List[float]:
        """Return the exact scores of some rows, or all."""
        chosen = range(len(self)) if rows is None else rows
        return [self._score(row, query) for row in chosen]

    def best(
        self,
        queries: Sequence[GridQuery],
        k: int,
        rows: Optional[Sequence[int]] = None,
    ) -> List[List[ScoredRow]]:
        """Return rows with their scores: all that were looked at."""
        chosen = range(len(self)) if rows is None else rows
        return [
            list(zip(chosen, self.scores(query.numbers, chosen))) for query in queries
        ]

    def _score(self, row: int, query: FloatArray) -> float:
        start = row * self.dimension
        vector = self._flat[start : start + self.dimension]
        # Starting from 0.0 keeps a sum of -0.0 from being one.
        return sum(map(mul, vector, query), 0.0)


class NumpyMatrix:
    """Be a matrix on numpy: contiguous float32 that doubles its room when full."""

    def __init__(self, numpy: Any, dimension: int) -> None:
        self.dimension = dimension
        self._numpy = numpy
        self._type = numpy.float32
        self._error = _float32_error(dimension)
        self._data = self._make_room(_FIRST_CAPACITY)
        self._count = 0
        # Sums of grid points are exact in float64, so adding and taking away rows
        # leaves no error behind.
        self._total = numpy.zeros(dimension)

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        """Give the bytes of memory that the rows take, spare room included."""
        return int(self._data.nbytes)

    def append(self, vectors: FloatArray) -> None:
        """Add rows at the end."""
        added = self._numpy.frombuffer(vectors, dtype=self._type)
        added = added.reshape(-1, self.dimension)
        total = self._count + len(added)
        if total > len(self._data):
            self._move_to(max(total, 2 * len(self._data)))
        self._data[self._count : total] = added
        self._count = total
        self._total += added.sum(axis=0, dtype=self._numpy.float64)

    def replace(self, row: int, vector: FloatArray) -> None:
        """Overwrite a row."""
        self._total -= self._data[row]
        self._data[row] = vector
        self._total += self._data[row]

    def remove(self, row: int) -> None:
        """Remove a row; the last one takes its place."""
        self._count -= 1
        self._total -= self._data[row]
        self._data[row] = self._data[self._count]
        if _FIRST_CAPACITY < 4 * self._count < len(self._data):
            self._move_to(2 * self._count)

    def _make_room(self, capacity: int) -> Any:
        return self._numpy.empty((capacity, self.dimension), self._type)

    def _move_to(self, capacity: int) -> None:
        data = self._make_room(capacity)
        data[: self._count] = self._data[: self._count]
        self._data = data

    def total(self) -> List[float]:
        """Return the sum of all rows."""
        components: List[float] = self._total.tolist()
        return components

    def scores(self, query: FloatArray, rows: Optional[Sequence[int]] = None) -> Any:
        """Return the exact scores of some rows, or all."""
        return self._scores(self._rows(rows), query)

    def _rows(self, rows: Optional[Sequence[int]]) -> Any:
        if rows is None:
            return self._data[: self._count]
        return self._data[self._numpy.array(rows, dtype=self._numpy.intp)]

    def best(
        self,
        queries: Sequence[GridQuery],
        k: int,
        rows: Optional[Sequence[int]] = None,
    ) -> List[List[ScoredRow]]:
        """Return for each query rows and scores with the k best among them."""
        data = self._rows(rows)
        found: List[List[ScoredRow]] = []
        for query, places in zip(queries, self._candidates(data, queries, k)):
            scores = self._scores(data[places], query.numbers).tolist()
            chosen = places.tolist()
            if rows is not None:
                chosen = [rows[place] for place in chosen]
            found.append(list(zip(chosen, scores)))
        return found

    def _candidates(
        self, data: Any, queries: Sequence[GridQuery], k: int
    ) -> Iterator[Any]:
        """Give for each query the rows among which its k best and their equals are."""
        numpy = self._numpy
        if k >= len(data):
            everything = numpy.arange(len(data))
            yield from (everything for _ in queries)
            return
        if len(queries) == 1:
            yield self._reaching(
                self._products(data, queries[0]), k, self._error * queries[0].length
            )
            return
        for start in range(0, len(queries), _QUERIES_AT_ONCE):
            some = queries[start : start + _QUERIES_AT_ONCE]
            block = numpy.array([query.numbers for query in some], self._type)
            for query, rough in zip(some, block @ data.T):
                yield self._reaching(rough, k, self._error * query.length)

    def _products(self, data: Any, query: GridQuery) -> Any:
        """Return the float32 products of all rows with a query."""
        numpy = self._numpy
        numbers = numpy.frombuffer(query.numbers, self._type)
        products = numpy.empty(len(data), self._type)
        step = max(1, _NUMBERS_OF_ONE_THREAD // self.dimension)
        for start in range(0, len(data), step):
            part = slice(start, start + step)
            numpy.dot(data[part], numbers, out=products[part])
        return products

    def _reaching(self, rough: Any, k: int, error: float) -> Any:
        """Return the rows that may be among the k best by their float32 scores.

        The k-th best exact score is no less than the k-th best float32 one less the
        error, and a row that reaches it shows at least that less the error once more.
        """
        kth = float(self._numpy.partition(rough, len(rough) - k)[len(rough) - k])
        # numpy may round the bound to float32 before it compares.
        floor = kth - 2.0 * error - abs(kth) * 2.0**-23
        return self._numpy.flatnonzero(rough >= floor)

    def _scores(self, data: Any, query: FloatArray) -> Any:
        """Return the exact scores of all rows, widening them block by block."""
        numpy = self._numpy
        wide_query = numpy.frombuffer(query, self._type).astype(numpy.float64)
        if data.size <= _BLOCK_NUMBERS:
            # BLAS may give -0.0, which compares equal but prints otherwise.
            return data.astype(numpy.float64) @ wide_query + 0.0
        scores = numpy.empty(len(data), dtype=numpy.float64)
        step = max(1, _BLOCK_NUMBERS // self.dimension)
        block = numpy.empty((min(step, len(data)), self.dimension))
        for start in range(0, len(data), step):
            part = data[start : start + step]
            wide = block[: len(part)]
            wide[...] = part
            scores[start : start + step] = wide @ wide_query
        return scores + 0.0


def _float32_error(dimension: int) -> float:
    """Bound the error of float32 scalar products with a row, per length of the query.

    For any order of summation, fused or not, it is at most gamma * |x| * |y| with
    gamma = n * u / (1 - n * u) and u = 2**-24 (Higham, Accuracy and Stability of
    Numerical Algorithms, section 3.1). Nothing underflows: products are multiples of
    2**-24. Rounding to the grid makes a unit vector longer by less than
    sqrt(n) * 2**-25. A last factor covers the rounding of the bound itself.
    """
    units = dimension * 2.0**-24
    if units >= 0.5:
        return math.inf
    longest = 1.0 + math.sqrt(dimension) * 2.0**-25
    return units / (1.0 - units) * longest * (1.0 + 2.0**-20)
