"""Turn what callers pass as a vector into unit vectors on an exact grid.

A vector is scaled to length 1 and each component rounded to a multiple of 2**-24.
float32 holds every such component exactly. The product of two of them is a multiple of
2**-48, and no partial sum of a scalar product of two unit vectors leaves [-2, 2], so
float64, with its 53 bits, holds every product and every sum exactly. A score is
therefore the same number in any order of summation: with numpy or without, on any BLAS,
in blocks of any size. Against the true cosine the grid errs by less than
``sqrt(dimension) * 2**-24``.

The norm is the one sum that is not exact. It is added up as a fixed binary tree, which
numpy and plain Python compute alike.
"""

from __future__ import annotations

import math
import sys
from array import array
from numbers import Real
from typing import TYPE_CHECKING, Any, List, Sequence

from contextstore import _optional
from contextstore.errors import InvalidInputError

if TYPE_CHECKING:
    FloatArray = array[float]

__all__ = [
    "GRID",
    "floats_of",
    "from_bytes",
    "to_bytes",
    "tree_sum",
    "unit_vectors",
]

GRID = 2.0**24
"""How many steps the grid has between 0 and 1; float32 counts so far exactly."""

_PLAIN_NUMBERS = frozenset({float, int})


def floats_of(vector: Any, path: str = "vector") -> List[float]:
    """Return a vector as a list of finite floats.

    Args:
        vector: a list, tuple, ``array.array`` or one-dimensional array of numbers.
        path: what to call it in an error.

    Raises:
        InvalidInputError: it is empty, no sequence of numbers, or not finite.
    """
    components = _components_of(vector, path)
    if not components:
        raise InvalidInputError(f"{path} has no components", path=path)
    if not _PLAIN_NUMBERS.issuperset(map(type, components)):
        _refuse_other_than_numbers(components, path)
    try:
        values = [float(component) for component in components]
    except OverflowError:
        raise _not_finite(path) from None
    if not all(map(math.isfinite, values)):
        raise _not_finite(path)
    return values


def _components_of(vector: Any, path: str) -> List[Any]:
    as_list = getattr(vector, "tolist", None)
    components: Any = vector if as_list is None else as_list()
    if isinstance(components, (list, tuple)):
        return [*components]
    raise InvalidInputError(
        f"{path} is of type {type(vector).__name__}; pass a list of numbers or an "
        f"array with one dimension",
        path=path,
    )


def _refuse_other_than_numbers(components: List[Any], path: str) -> None:
    for index, component in enumerate(components):
        if isinstance(component, bool) or not isinstance(component, Real):
            here = f"{path}[{index}]"
            raise InvalidInputError(
                f"{here} is of type {type(component).__name__}; a component of a "
                f"vector is a number",
                path=here,
            )


def _not_finite(path: str) -> InvalidInputError:
    return InvalidInputError(
        f"{path} holds a component that is not a finite number", path=path
    )


def unit_vectors(vectors: Sequence[List[float]]) -> FloatArray:
    """Return vectors of one dimension as unit vectors on the grid, one after another.

    The zero vector has no direction; it stays zero and scores 0 with everything.

    Args:
        vectors: finite floats, as ``floats_of`` returns them.
    """
    numpy = _optional.find("numpy")
    if numpy is None or not vectors:
        flat = array("f")
        for vector in vectors:
            flat.extend(_unit(vector))
        return flat
    return array("f", _unit_rows(numpy, vectors).tobytes())


def _unit(vector: List[float]) -> List[float]:
    # A power of two takes the largest component to [0.5, 1): exactly, and neither the
    # square of a huge component overflows nor that of a tiny one vanishes.
    exponent = math.frexp(max(map(abs, vector)))[1]
    scaled = [math.ldexp(component, -exponent) for component in vector]
    norm = math.sqrt(tree_sum([component * component for component in scaled])) or 1.0
    return [round(component / norm * GRID) / GRID for component in scaled]


def _unit_rows(numpy: Any, vectors: Sequence[List[float]]) -> Any:
    rows = numpy.array(vectors, dtype=numpy.float64)
    exponents = numpy.frexp(numpy.abs(rows).max(axis=1))[1]
    rows = numpy.ldexp(rows, -exponents[:, None])
    norms = numpy.sqrt(_tree_sum_of_rows(numpy, rows * rows))
    norms[norms == 0.0] = 1.0
    # Adding 0.0 turns -0.0 into 0.0, which is what rounding to an int gives.
    on_grid = numpy.rint(rows / norms[:, None] * GRID) / GRID + 0.0
    return on_grid.astype(numpy.float32)


def tree_sum(values: List[float]) -> float:
    """Add up floats as a fixed binary tree: half upon half, an odd last one kept."""
    while len(values) > 1:
        half = len(values) // 2
        rest = values[2 * half :]
        values = [a + b for a, b in zip(values[:half], values[half : 2 * half])]
        values += rest
    return values[0] if values else 0.0


def _tree_sum_of_rows(numpy: Any, rows: Any) -> Any:
    """Add up each row in the order of ``tree_sum``."""
    while rows.shape[1] > 1:
        half = rows.shape[1] // 2
        rest = rows[:, 2 * half :]
        rows = rows[:, :half] + rows[:, half : 2 * half]
        if rest.shape[1]:
            rows = numpy.concatenate((rows, rest), axis=1)
    return rows[:, 0]


def to_bytes(vectors: FloatArray) -> bytes:
    """Return vectors as little-endian float32, whatever the machine."""
    return _little_endian(vectors).tobytes()


def from_bytes(data: bytes) -> FloatArray:
    """Return the vectors that ``to_bytes`` wrote."""
    return _little_endian(array("f", data))


def _little_endian(vectors: FloatArray) -> FloatArray:
    if sys.byteorder == "little":
        return vectors
    swapped = array("f", vectors)
    swapped.byteswap()
    return swapped
