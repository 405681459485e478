"""Compute on columns with numpy: they are float64 arrays."""

# ruff: noqa: D102 - Columns says what each method does

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, List, Sequence

from contextstore.retrieval.columns import SCORE_STEPS, Column
from contextstore.retrieval.vectors import folded_sum_on_numpy

if TYPE_CHECKING:
    from contextstore.retrieval.columns import FloatArray, IntArray

__all__ = ["NumpyColumns"]


class NumpyColumns:
    """Compute on float64 arrays; see ``Columns``."""

    def __init__(self, numpy: Any) -> None:
        self._numpy = numpy

    def zeros(self, count: int) -> Column:
        return self._numpy.zeros(count)

    def of(self, values: Sequence[float]) -> Column:
        return self._numpy.array(values, dtype=self._numpy.float64)

    def list_of(self, column: Column) -> List[float]:
        numbers: List[float] = column.tolist()
        return numbers

    def take(self, column: Column, rows: Sequence[int]) -> Column:
        return column[self._ints(rows)]

    def put(self, column: Column, rows: Sequence[int], values: Column) -> None:
        column[self._ints(rows)] = values

    def add_at(self, column: Column, rows: IntArray, value: float) -> None:
        column[self._ints(rows)] += value

    def gathered(self, count: int, rows: IntArray, values: Column) -> Column:
        # It goes through the values once, from the first to the last.
        return self._numpy.bincount(self._ints(rows), values, count)

    def any_in(self, column: Column) -> bool:
        return bool(column.any())

    def product(self, left: FloatArray, right: FloatArray) -> float:
        return float(self.of(left) @ self.of(right))

    def _ints(self, numbers: Sequence[int]) -> Any:
        # Not a view: an array that is looked at cannot grow.
        return self._numpy.array(numbers, dtype=self._numpy.intp)

    def scaled(self, column: Column, factor: float, offset: float = 0.0) -> Column:
        return column * factor + offset

    def plus(self, left: Column, right: Column) -> Column:
        return left + right

    def times(self, left: Column, right: Column) -> Column:
        return left * right

    def over(self, left: Column, right: Column) -> Column:
        numpy = self._numpy
        quotient = numpy.zeros(len(left))
        numpy.divide(left, right, out=quotient, where=right > 0.0)
        return quotient

    def root(self, column: Column) -> Column:
        return self._numpy.sqrt(column)

    def clipped(self, column: Column, low: float, high: float) -> Column:
        return self._numpy.minimum(self._numpy.maximum(column, low), high)

    def spread(self, column: Column, share: float) -> Column:
        padded = self._numpy.zeros(len(column) + 2)
        padded[1:-1] = column
        return column + share * (padded[:-2] + padded[2:])

    def standardised(self, column: Column) -> Column:
        numpy = self._numpy
        # The mean of equal numbers need not equal them, once it is rounded.
        if not len(column) or column.min() == column.max():
            return numpy.zeros(len(column))
        rest = column - folded_sum_on_numpy(numpy, column) / len(column)
        variance = folded_sum_on_numpy(numpy, rest * rest) / len(column)
        deviation = math.sqrt(variance)
        return rest / deviation if deviation > 0.0 else numpy.zeros(len(column))

    def best_around(self, column: Column, reach: int, best: int) -> Column:
        numpy = self._numpy
        # From every row, so many rows to either side are all that there are.
        reach = min(reach, len(column))
        padded = numpy.full(len(column) + 2 * reach, -math.inf)
        padded[reach : reach + len(column)] = column
        layers = _best_of_windows(numpy, padded, 2 * reach + 1, best)
        total, found = layers[0], 1.0
        for layer in layers[1:]:
            there = layer > -math.inf
            total = numpy.where(there, total + layer, total)
            found = found + there
        return total / found

    def rounded(self, column: Column) -> Column:
        # Adding 0.0 turns -0.0 into 0.0, which is what rounding to an int gives.
        return self._numpy.rint(column * SCORE_STEPS) / SCORE_STEPS + 0.0

    def ranked(self, column: Column, k: int) -> List[int]:
        numpy = self._numpy
        if k == 0:
            return []
        if k < len(column):
            kth = numpy.partition(column, len(column) - k)[len(column) - k]
            rows = numpy.flatnonzero(column >= kth)
        else:
            rows = numpy.arange(len(column))
        # Stable: the earlier row stays before a later one with the same number.
        order = numpy.argsort(-column[rows], kind="stable")[:k]
        found: List[int] = rows[order].tolist()
        return found


def _best_of_windows(numpy: Any, values: Any, width: int, best: int) -> List[Any]:
    """Return the best numbers of each window of ``width``, one array a rank.

    Windows of 1, 2, 4, ... are merged from two that do not overlap; the width asked
    for is put together from those of its binary digits.
    """
    power, layers = 1, [values]
    whole: List[Any] = []
    covered = 0
    while True:
        if width & power:
            shifted = [layer[covered:] for layer in layers]
            whole = _merged(numpy, whole, shifted, best) if whole else shifted
            covered += power
        if 2 * power > width:
            break
        layers = _merged(numpy, layers, [layer[power:] for layer in layers], best)
        power *= 2
    return [layer[: len(values) - width + 1] for layer in whole]


def _merged(numpy: Any, left: List[Any], right: List[Any], best: int) -> List[Any]:
    """Merge two descending lists of arrays into the ``best`` largest, descending."""
    count = min(len(left[0]), len(right[0]))
    layers = [layer[:count] for layer in left]
    for place, layer in enumerate(right):
        # What follows in ``right`` is smaller, and belongs below this one.
        layers = _inserted(numpy, layers, layer[:count], place, best)
    return layers


def _inserted(
    numpy: Any, layers: List[Any], layer: Any, place: int, best: int
) -> List[Any]:
    """Put an array into a descending list of arrays, not above ``place``."""
    kept = layers[:place]
    for held in layers[place:]:
        kept.append(numpy.maximum(held, layer))
        if len(kept) == best:
            return kept
        layer = numpy.minimum(held, layer)
    if len(kept) < best:
        kept.append(layer)
    return kept
