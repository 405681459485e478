"""Check that the float32 pass never loses a row that belongs to the best."""

from __future__ import annotations

import math
from array import array
from random import Random
from typing import Any, List, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextstore.retrieval.matrix import NumpyMatrix, PlainMatrix, ScoredRow
from contextstore.retrieval.vectors import (
    GRID,
    GridQuery,
    floats_of,
    grid_query,
    unit_vectors,
)

numpy: Any = pytest.importorskip("numpy")


def best(matrix: Any, query: GridQuery, k: int, rows: Any = None) -> List[ScoredRow]:
    """Return the k best rows in their order."""
    (found,) = matrix.best([query], k, rows)
    return sorted(found, key=lambda scored: (-scored[1], scored[0]))[:k]


def both(vectors: Sequence[Sequence[float]]) -> Any:
    """Make a matrix of each kind with the same rows."""
    units = unit_vectors([floats_of(vector) for vector in vectors])
    matrices = (NumpyMatrix(numpy, len(vectors[0])), PlainMatrix(len(vectors[0])))
    for matrix in matrices:
        matrix.append(units)
    return matrices


components = st.floats(-1, 1).map(lambda value: value or 1.0)


@settings(max_examples=80)
@given(
    st.lists(st.lists(components, min_size=5, max_size=5), min_size=1, max_size=40),
    st.integers(1, 8),
    st.data(),
)
def test_the_narrowed_search_finds_what_a_full_one_does(
    vectors: List[List[float]], k: int, data: st.DataObject
) -> None:
    narrowed, full = both(vectors)
    query = grid_query(floats_of(data.draw(st.sampled_from(vectors))))
    assert best(narrowed, query, k) == best(full, query, k)
    rows = data.draw(st.lists(st.sampled_from(range(len(vectors))), unique=True))
    if rows:
        assert best(narrowed, query, k, rows) == best(full, query, k, rows)


@pytest.mark.parametrize("dimension", [3, 384, 1_536])
def test_near_ties_are_told_apart(dimension: int) -> None:
    # Rows one step of the grid apart: float32 products cannot order them.
    random = Random(dimension)
    base = [random.gauss(0, 1) for _ in range(dimension)]
    unit = unit_vectors([floats_of(base)])
    narrowed, full = NumpyMatrix(numpy, dimension), PlainMatrix(dimension)
    for row in range(300):
        moved = array("f", unit)
        moved[row % dimension] += random.choice([-2, -1, 1, 2]) / GRID
        narrowed.append(moved)
        full.append(moved)
    query = grid_query(floats_of(base))
    assert best(narrowed, query, 10) == best(full, query, 10)


@pytest.mark.parametrize("dimension", [2, 384, 1_536])
def test_the_bound_holds(dimension: int) -> None:
    random = Random(dimension)
    vectors = [[random.gauss(0, 1) for _ in range(dimension)] for _ in range(200)]
    matrix, _ = both(vectors)
    query = grid_query(floats_of(vectors[0]))
    exact = matrix.scores(query.numbers)
    rough = matrix._data[:200] @ numpy.array(query.numbers, numpy.float32)
    error = numpy.abs(rough - exact).max() * query.scale
    assert 0 < error <= matrix._error < 0.001


def test_no_bound_means_that_every_row_is_scored() -> None:
    assert NumpyMatrix(numpy, 2**23)._error == math.inf


def test_many_queries_give_what_each_gives() -> None:
    random = Random(1)
    vectors = [[random.gauss(0, 1) for _ in range(8)] for _ in range(60)]
    matrix, _ = both(vectors)
    queries = [grid_query(floats_of(vector)) for vector in vectors[:40]]
    found = matrix.best(queries, 3)
    for query, scored in zip(queries, found):
        ranked = sorted(scored, key=lambda pair: (-pair[1], pair[0]))[:3]
        assert ranked == best(matrix, query, 3)


@pytest.mark.parametrize("kind", [0, 1])
def test_sums_and_scores_follow_every_change(kind: int) -> None:
    matrix = both([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])[kind]
    matrix.replace(0, unit_vectors([floats_of([0.0, -1.0])]))
    matrix.remove(1)
    total = unit_vectors([floats_of([0.6, 0.8])])
    assert matrix.total() == [total[0], total[1] - 1.0]
    query = unit_vectors([floats_of([0.0, 1.0])])
    assert list(matrix.scores(query)) == [-1.0, total[1]]
    assert list(matrix.scores(query, [1])) == [total[1]]
    assert len(matrix) == 2


def test_blocks_leave_no_row_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from contextstore.retrieval import matrix as module

    random = Random(3)
    vectors = [[random.gauss(0, 1) for _ in range(6)] for _ in range(50)]
    narrowed, full = both(vectors)
    query = grid_query(floats_of(vectors[7]))
    expected = best(full, query, 5)
    monkeypatch.setattr(module, "_NUMBERS_OF_ONE_THREAD", 6 * 7)
    monkeypatch.setattr(module, "_BLOCK_NUMBERS", 6 * 4)
    assert best(narrowed, query, 5) == expected
    assert list(narrowed.scores(query.numbers)) == full.scores(query.numbers)
