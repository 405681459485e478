"""Compute on columns without any package: they are lists."""

# ruff: noqa: D102 - Columns says what each method does

from __future__ import annotations

import math
from operator import mul
from typing import TYPE_CHECKING, List, Sequence

from contextstore.retrieval.columns import SCORE_STEPS, Column
from contextstore.retrieval.vectors import folded_sum

if TYPE_CHECKING:
    from contextstore.retrieval.columns import FloatArray, IntArray

__all__ = ["PlainColumns"]


class PlainColumns:
    """Compute on lists; see ``Columns``."""

    def zeros(self, count: int) -> Column:
        return [0.0] * count

    def of(self, values: Sequence[float]) -> Column:
        return [float(value) for value in values]

    def list_of(self, column: Column) -> List[float]:
        return list(column)

    def take(self, column: Column, rows: Sequence[int]) -> Column:
        return [column[row] for row in rows]

    def put(self, column: Column, rows: Sequence[int], values: Column) -> None:
        for row, value in zip(rows, values):
            column[row] = value

    def add_at(self, column: Column, rows: IntArray, value: float) -> None:
        for row in rows:
            column[row] += value

    def gathered(self, count: int, rows: IntArray, values: Column) -> Column:
        sums = [0.0] * count
        for row, value in zip(rows, values):
            sums[row] += value
        return sums

    def any_in(self, column: Column) -> bool:
        return any(column)

    def product(self, left: FloatArray, right: FloatArray) -> float:
        return sum(map(mul, left, right), 0.0)

    def scaled(self, column: Column, factor: float, offset: float = 0.0) -> Column:
        return [value * factor + offset for value in column]

    def plus(self, left: Column, right: Column) -> Column:
        return [a + b for a, b in zip(left, right)]

    def times(self, left: Column, right: Column) -> Column:
        return [a * b for a, b in zip(left, right)]

    def over(self, left: Column, right: Column) -> Column:
        return [a / b if b > 0.0 else 0.0 for a, b in zip(left, right)]

    def root(self, column: Column) -> Column:
        return list(map(math.sqrt, column))

    def clipped(self, column: Column, low: float, high: float) -> Column:
        return [min(max(value, low), high) for value in column]

    def spread(self, column: Column, share: float) -> Column:
        padded = [0.0, *column, 0.0]
        return [
            padded[row + 1] + share * (padded[row] + padded[row + 2])
            for row in range(len(column))
        ]

    def standardised(self, column: Column) -> Column:
        # The mean of equal numbers need not equal them, once it is rounded.
        if not column or min(column) == max(column):
            return [0.0] * len(column)
        mean = folded_sum(column) / len(column)
        rest = [value - mean for value in column]
        variance = folded_sum([value * value for value in rest]) / len(column)
        deviation = math.sqrt(variance)
        return [value / deviation if deviation > 0.0 else 0.0 for value in rest]

    def best_around(self, column: Column, reach: int, best: int) -> Column:
        means: List[float] = []
        for row in range(len(column)):
            window = column[max(0, row - reach) : row + reach + 1]
            top = sorted(window, reverse=True)[:best]
            means.append(_sum_in_order(top) / len(top))
        return means

    def rounded(self, column: Column) -> Column:
        return [round(value * SCORE_STEPS) / SCORE_STEPS for value in column]

    def ranked(self, column: Column, k: int) -> List[int]:
        return sorted(range(len(column)), key=lambda row: (-column[row], row))[:k]


def _sum_in_order(values: Sequence[float]) -> float:
    """Add up from the first to the last; ``sum`` compensates on some Pythons."""
    total = values[0]
    for value in values[1:]:
        total += value
    return total
