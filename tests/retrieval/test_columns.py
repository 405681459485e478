"""Check that columns with numpy and without have the same bits."""

from __future__ import annotations

import math
from array import array
from struct import pack
from typing import Any, Callable, List, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextstore.retrieval.columns import Columns
from contextstore.retrieval.plain_columns import PlainColumns

numbers = st.one_of(
    st.floats(-50, 50, allow_nan=False),
    # Few different ones, so that there are ties.
    st.sampled_from([0.0, 1.0, -0.5, 0.25]),
)
lists = st.lists(numbers, min_size=1, max_size=90)

OPERATIONS: List[Callable[[Columns, Any], Any]] = [
    lambda here, column: here.scaled(column, 0.3, -1.5),
    lambda here, column: here.plus(column, here.scaled(column, -0.1)),
    lambda here, column: here.times(column, column),
    lambda here, column: here.over(here.scaled(column, 0.7), column),
    lambda here, column: here.root(here.times(column, column)),
    lambda here, column: here.clipped(column, -0.5, 0.75),
    lambda here, column: here.spread(column, 0.4),
    lambda here, column: here.standardised(column),
    lambda here, column: here.best_around(column, 8, 3),
    lambda here, column: here.best_around(column, 2, 1),
    lambda here, column: here.best_around(column, 1, 5),
    lambda here, column: here.best_around(column, 10**300, 3),
    lambda here, column: here.rounded(column),
    lambda here, column: here.take(column, [0, len(column) - 1, 0]),
    lambda here, column: here.ranked(column, 7),
    lambda here, column: here.ranked(column, 1_000),
]


def numpy_columns() -> Columns:
    """Return the columns on numpy."""
    numpy = pytest.importorskip("numpy")
    from contextstore.retrieval.numpy_columns import NumpyColumns

    return NumpyColumns(numpy)


def bits(values: Sequence[float]) -> bytes:
    """Return the bits of numbers, -0.0 as 0.0."""
    return b"".join(pack("d", value + 0.0) for value in values)


@pytest.mark.parametrize("operation", OPERATIONS)
@settings(max_examples=60)
@given(values=lists)
def test_numpy_and_plain_python_agree(
    operation: Callable[[Columns, Any], Any], values: List[float]
) -> None:
    plain, on_numpy = PlainColumns(), numpy_columns()
    column = on_numpy.of(values)
    expected = operation(plain, plain.of(values))
    assert bits(list(operation(on_numpy, column))) == bits(expected)
    assert on_numpy.list_of(column) == values


@settings(max_examples=60)
@given(st.data(), lists)
def test_rows_are_added_to_alike(data: st.DataObject, values: List[float]) -> None:
    row = st.integers(0, len(values) - 1)
    rows = array("i", sorted(data.draw(st.sets(row, min_size=1))))
    several = array("i", data.draw(st.lists(row, max_size=90)))
    given_to = [0.1 + 0.7 * place for place in range(len(several))]
    results: List[List[float]] = []
    for here in (PlainColumns(), numpy_columns()):
        sums = here.gathered(len(values), several, here.of(given_to))
        column = here.plus(here.of(values), sums)
        here.add_at(column, rows, 0.1)
        here.put(column, [0], here.of([9.0]))
        results.append(here.list_of(column))
    assert bits(results[0]) == bits(results[1])


@pytest.mark.parametrize("make", [PlainColumns, numpy_columns])
class TestMeaning:
    def test_standardised(self, make: Callable[[], Columns]) -> None:
        here = make()
        column = here.standardised(here.of([1.0, 2.0, 3.0, 6.0]))
        deviation = math.sqrt(3.5)
        expected = [-2 / deviation, -1 / deviation, 0.0, 3 / deviation]
        assert here.list_of(column) == pytest.approx(expected)
        assert here.list_of(here.standardised(here.of([0.1] * 6))) == [0.0] * 6
        # So close that the squares of what is left vanish.
        column = here.standardised(here.of([0.0, 5e-324]))
        assert here.list_of(column) == [0.0, 0.0]
        assert here.list_of(here.standardised(here.of([]))) == []

    def test_best_around(self, make: Callable[[], Columns]) -> None:
        here = make()
        column = here.best_around(here.of([5.0, 1.0, 0.0, -4.0]), 1, 2)
        # Windows [5 1], [5 1 0], [1 0 -4], [0 -4].
        assert here.list_of(column) == [3.0, 3.0, 0.5, -2.0]
        assert here.list_of(here.best_around(here.of([7.0]), 8, 3)) == [7.0]

    def test_spread(self, make: Callable[[], Columns]) -> None:
        here = make()
        column = here.spread(here.of([1.0, 0.0, 2.0]), 0.5)
        assert here.list_of(column) == [1.0, 1.5, 2.0]

    def test_any_in(self, make: Callable[[], Columns]) -> None:
        here = make()
        assert here.any_in(here.of([0.0, 0.5]))
        assert not here.any_in(here.zeros(2))
        assert not here.any_in(here.of([]))

    def test_gathered(self, make: Callable[[], Columns]) -> None:
        here = make()
        sums = here.gathered(4, array("i", [2, 0, 2]), here.of([1.0, 3.0, 0.5]))
        assert here.list_of(sums) == [3.0, 0.0, 1.5, 0.0]
        nothing = here.gathered(2, array("i"), here.of([]))
        assert here.list_of(nothing) == [0.0, 0.0]

    def test_product(self, make: Callable[[], Columns]) -> None:
        assert make().product(array("f", [1.0, 0.5]), array("f", [3.0, -2.0])) == 2.0

    def test_over_nothing_is_nothing(self, make: Callable[[], Columns]) -> None:
        here = make()
        column = here.over(here.of([1.0, 1.0, 1.0]), here.of([2.0, 0.0, -1.0]))
        assert here.list_of(column) == [0.5, 0.0, 0.0]

    def test_equals_are_ranked_by_row(self, make: Callable[[], Columns]) -> None:
        here = make()
        column = here.of([1.0, 2.0, 1.0, 2.0, 1.0])
        assert here.ranked(column, 3) == [1, 3, 0]
        assert here.ranked(column, 0) == []
