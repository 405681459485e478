"""Say what is computed on columns, one number a message.

The classes that do it, one on numpy and one on lists, take the same elementary steps in
the same order, so that every result has the same bits. Where numpy is free to choose an
order (its own sums), a fixed one is used instead. Logarithms are not here: they come
from ``math``, whoever needs them.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any, List, Protocol, Sequence

if TYPE_CHECKING:
    FloatArray = array[float]
    IntArray = array[int]

__all__ = ["SCORE_STEPS", "Column", "Columns"]

Column = Any
"""A list of floats, or a float64 array: what the methods of one class make and take."""

SCORE_STEPS = 2.0**20
"""Scores are rounded to multiples of 1 over this before they are ranked."""


class Columns(Protocol):
    """Say what can be done to columns.

    Nothing changes a column that it was given, except where it says "in place".
    """

    def zeros(self, count: int) -> Column:
        """Return a column of zeros."""
        ...

    def of(self, values: Sequence[float]) -> Column:
        """Return numbers as a column."""
        ...

    def list_of(self, column: Column) -> List[float]:
        """Return a column as a list."""
        ...

    def take(self, column: Column, rows: Sequence[int]) -> Column:
        """Return the numbers at some rows, in their order."""
        ...

    def put(self, column: Column, rows: Sequence[int], values: Column) -> None:
        """Write numbers at some rows, in place."""
        ...

    def add_at(self, column: Column, rows: IntArray, value: float) -> None:
        """Add a number at some rows, each given once, in place."""
        ...

    def gathered(self, count: int, rows: IntArray, values: Column) -> Column:
        """Return so many sums, each of the values given for its row, in their order."""
        ...

    def any_in(self, column: Column) -> bool:
        """Tell whether a number is not 0."""
        ...

    def product(self, left: FloatArray, right: FloatArray) -> float:
        """Return the scalar product of two vectors on the grid, exact."""
        ...

    def scaled(self, column: Column, factor: float, offset: float = 0.0) -> Column:
        """Return ``column * factor + offset``."""
        ...

    def plus(self, left: Column, right: Column) -> Column:
        """Return ``left + right``."""
        ...

    def times(self, left: Column, right: Column) -> Column:
        """Return ``left * right``."""
        ...

    def over(self, left: Column, right: Column) -> Column:
        """Return ``left / right``, and 0 where ``right`` is not above 0."""
        ...

    def root(self, column: Column) -> Column:
        """Return the square roots."""
        ...

    def clipped(self, column: Column, low: float, high: float) -> Column:
        """Return the numbers, none below ``low`` and none above ``high``."""
        ...

    def spread(self, column: Column, share: float) -> Column:
        """Return each number plus a share of the sum of its two neighbours."""
        ...

    def standardised(self, column: Column) -> Column:
        """Return the numbers less their mean, over their standard deviation."""
        ...

    def best_around(self, column: Column, reach: int, best: int) -> Column:
        """Return the mean of the best numbers within so many rows of each row."""
        ...

    def rounded(self, column: Column) -> Column:
        """Return the numbers rounded to multiples of 2**-20."""
        ...

    def ranked(self, column: Column, k: int) -> List[int]:
        """Return the rows of the k largest numbers, the earlier row among equals."""
        ...
