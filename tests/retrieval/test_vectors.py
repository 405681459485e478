"""Check that unit vectors lie on the grid and that scores of them are exact."""

from __future__ import annotations

import math
import sys
from array import array
from fractions import Fraction
from operator import mul
from random import Random
from typing import Any, List, Sequence
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from contextstore import _optional
from contextstore.errors import InvalidInputError
from contextstore.retrieval.matrix import make_matrix
from contextstore.retrieval.vectors import (
    GRID,
    floats_of,
    folded_sum,
    folded_sum_on_numpy,
    from_bytes,
    grid_query,
    to_bytes,
    unit_vectors,
)

finite = st.floats(allow_nan=False, allow_infinity=False)
vectors = st.lists(finite, min_size=1, max_size=40)


def plainly(values: Sequence[List[float]]) -> array[float]:
    """Normalise as a machine without numpy does."""
    with mock.patch.object(_optional, "find", return_value=None):
        return units_of(values)


def units_of(values: Sequence[Sequence[float]]) -> array[float]:
    """Normalise as a store does."""
    return unit_vectors([floats_of(vector) for vector in values])


def exact_unit(vector: List[float]) -> List[Fraction]:
    """Normalise with rational numbers and a root good to 60 digits."""
    exact = [Fraction(component) for component in vector]
    square = sum(component * component for component in exact)
    scale = 10**60
    # isqrt of numerator * denominator keeps the root of tiny fractions good too.
    root = Fraction(
        math.isqrt(square.numerator * square.denominator * scale * scale),
        square.denominator * scale,
    )
    return [component / root for component in exact]


@given(vectors)
@example([5e-324])
@example([1.7e308, -1.7e308, 1.0])
@example([1e-320, 3e-310])
@example([3.0, 4.0])
def test_a_component_is_the_nearest_point_of_the_grid(vector: List[float]) -> None:
    units = plainly([vector])
    if not any(vector):
        assert list(units) == [0.0] * len(vector)
        return
    for got, exact in zip(units, exact_unit(vector)):
        assert (got * GRID).is_integer()
        # Half a step, and the rounding of the norm in float64.
        assert abs(Fraction(got) - exact) <= Fraction(1, 2**25) + Fraction(1, 2**45)


@settings(max_examples=100)
@given(st.lists(st.lists(finite, min_size=7, max_size=7), min_size=1, max_size=5))
@example([[-1e-300, 1.0, 5e-324, -0.0, 1e300, 0.0, 2.0]])
def test_numpy_and_plain_python_give_the_same_bits(rows: List[List[float]]) -> None:
    pytest.importorskip("numpy")
    assert units_of(rows).tobytes() == plainly(rows).tobytes()


@given(vectors)
def test_the_direction_counts_and_the_length_does_not(vector: List[float]) -> None:
    halved = [component / 2 for component in vector]
    if [component * 2 for component in halved] == vector:
        assert plainly([halved]) == plainly([vector])


@pytest.mark.parametrize("dimension", [1, 3, 384, 1_536])
def test_scores_equal_those_of_rational_numbers(
    arithmetic: str, dimension: int
) -> None:
    random = Random(dimension)
    rows = [[random.gauss(0, 1) for _ in range(dimension)] for _ in range(12)]
    units = units_of(rows)
    matrix = make_matrix(dimension)
    matrix.append(units)
    query = grid_query(floats_of(rows[0]))
    for place, score in matrix.best([query], len(rows))[0]:
        unit = units[place * dimension : (place + 1) * dimension]
        exact = sum(map(mul, map(Fraction, unit), map(Fraction, query.numbers)))
        assert Fraction(score) == exact
        cosine = sum(map(mul, exact_unit(rows[place]), exact_unit(rows[0])))
        assert abs(Fraction(score * query.scale) - cosine) < 1e-7


@pytest.mark.parametrize("dimension", [1, 2, 383, 384, 1_536, 4_097, 70_000])
def test_the_squares_of_a_query_fit_float64(arithmetic: str, dimension: int) -> None:
    # The hardest case: all components as large as they come.
    query = grid_query(floats_of([0.999999999] * dimension))
    square = sum(int(number) ** 2 for number in query.numbers)
    assert square <= 2**53
    assert query.scale == 1.0 / math.sqrt(square)


@settings(max_examples=100)
@given(vectors)
@example([5e-324, 0.0])
@example([1.7e308, -1.7e308, 1.0])
@example([0.0])
def test_queries_have_the_same_bits_everywhere(vector: List[float]) -> None:
    pytest.importorskip("numpy")
    with_numpy = grid_query(floats_of(vector))
    with mock.patch.object(_optional, "find", return_value=None):
        plain = grid_query(floats_of(vector))
    assert with_numpy.numbers.tobytes() == plain.numbers.tobytes()
    assert with_numpy.scale == plain.scale
    assert (plain.scale > 0) == any(vector)


def test_a_short_sum_is_added_up_one_by_one() -> None:
    assert folded_sum([]) == 0.0
    assert folded_sum([0.5]) == 0.5
    # Another order gives another sum.
    numbers = [1e16, 1.0, -1e16, 1.0, 3.0]
    assert folded_sum(numbers) == (((1e16 + 1.0) + -1e16) + 1.0) + 3.0


def test_a_long_sum_is_folded_before() -> None:
    numbers = [1e16] * 300 + [1.0] * 300 + [3.0]
    folded = [1e16 + 1.0] * 300 + [3.0]
    assert folded_sum(numbers) == folded_sum(folded)
    assert folded_sum(numbers) != folded_sum(numbers[:300]) + 303.0


@pytest.mark.parametrize("count", [0, 1, 2, 511, 512, 513, 1_023, 1_025, 4_099])
def test_sums_have_the_same_bits_with_numpy(count: int) -> None:
    numpy = pytest.importorskip("numpy")
    random = Random(count)
    numbers = [random.uniform(-1, 1) * 10.0 ** random.randint(-9, 9)] * (count > 0)
    numbers += [random.gauss(0, 1e3) for _ in range(count - 1)]
    with_numpy = folded_sum_on_numpy(numpy, numpy.array(numbers))
    assert with_numpy.hex() == folded_sum(numbers).hex()


@pytest.mark.parametrize(
    "vector",
    [[1, 2.5], (1, 2.5), array("f", [1, 2.5]), array("d", [1, 2.5])],
)
def test_sequences_of_numbers_are_vectors(vector: Any) -> None:
    assert floats_of(vector).tolist() == [1.0, 2.5]


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "int8"])
def test_arrays_of_numpy_are_vectors(kind: str) -> None:
    numpy = pytest.importorskip("numpy")
    assert floats_of(numpy.array([1, 2], dtype=kind)).tolist() == [1.0, 2.0]
    assert floats_of(list(numpy.array([1, 2], dtype=kind))).tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("vector", "path"),
    [
        ([], "v"),
        (None, "v"),
        ("12", "v"),
        (b"12", "v"),
        ({1.0: 2.0}, "v"),
        (1.0, "v"),
        ([1.0, "2"], "v[1]"),
        ([1.0, None], "v[1]"),
        ([[1.0]], "v[0]"),
        ([1j], "v[0]"),
        ([1.0, math.nan], "v"),
        ([math.inf], "v"),
        ([-math.inf, math.inf], "v"),
        ([10**400], "v"),
    ],
)
def test_what_is_no_finite_vector_is_refused(
    arithmetic: str, vector: Any, path: str
) -> None:
    for function in (floats_of, grid_query):
        with pytest.raises(InvalidInputError) as caught:
            function(vector, "v")
        assert caught.value.path == path


def test_a_finite_vector_may_have_an_infinite_sum() -> None:
    assert floats_of([1.7e308, 1.7e308]).tolist() == [1.7e308, 1.7e308]


def test_the_caller_keeps_his_own_list() -> None:
    vector = [3.0, 4.0]
    floats_of(vector)[0] = 9.0
    assert vector == [3.0, 4.0]


@pytest.mark.parametrize("byteorder", ["little", "big"])
def test_bytes_are_little_endian(
    byteorder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vector = array("f", [1.0, -0.5])
    little = b"\x00\x00\x80\x3f\x00\x00\x00\xbf"
    other = sys.byteorder != byteorder
    monkeypatch.setattr(sys, "byteorder", byteorder)
    # On a machine of the other order the same code swaps, and swaps back.
    assert to_bytes(vector) == (little if not other else vector_swapped(vector))
    assert from_bytes(to_bytes(vector)) == vector


def vector_swapped(vector: array[float]) -> bytes:
    """Return the bytes of a vector in the order that this machine does not have."""
    swapped = array("f", vector)
    swapped.byteswap()
    return swapped.tobytes()
