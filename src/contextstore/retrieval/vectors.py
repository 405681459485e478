"""Turn what callers pass as a vector into unit vectors on an exact grid.

A stored vector is scaled to length 1 and each component rounded to a multiple of
2**-24. float32 holds every such component exactly. A query is scaled by a power of two
and rounded to whole numbers, of so many bits that the sum of their squares stays within
the 53 bits of float64. The products of the two are then multiples of 2**-24, and no
partial sum of a scalar product leaves the bits of float64, so every product and every
sum is exact. A score is therefore the same number in any order of summation: with numpy
or without, on any BLAS, in blocks of any size. At the very end it is multiplied by one
over the length of the query, which makes it the cosine.

Against the true cosine the grids err by less than ``sqrt(dimension) * 2**-21``, and in
practice by 1e-8.

The norm of a stored vector is the one sum that is not exact. It is added up in a fixed
order, in which numpy and plain Python compute alike.
"""

from __future__ import annotations

import math
import sys
from array import array
from functools import reduce
from operator import add, mul
from typing import TYPE_CHECKING, Any, Iterable, List, NamedTuple, Sequence

from contextstore import _optional
from contextstore.errors import InvalidInputError

if TYPE_CHECKING:
    FloatArray = array[float]

__all__ = [
    "GRID",
    "GridQuery",
    "floats_of",
    "folded_sum",
    "folded_sum_on_numpy",
    "from_bytes",
    "grid_query",
    "to_bytes",
    "unit_vectors",
]

GRID = 2.0**24
"""How many steps the grid has between 0 and 1; float32 counts so far exactly."""

# Where numpy takes less time for running sums than for another fold.
_ONE_BY_ONE = 512


def floats_of(vector: Any, path: str = "vector") -> FloatArray:
    """Return a vector as an array of finite doubles.

    Args:
        vector: a list, tuple, ``array.array`` or one-dimensional array of numbers.
        path: what to call it in an error.

    Raises:
        InvalidInputError: it is empty, no sequence of numbers, or not finite.
    """
    values = _doubles_of(vector, path)
    # The sum is finite only if all are, but large ones may overflow it.
    if not math.isfinite(sum(values)) and not all(map(math.isfinite, values)):
        raise _not_finite(path)
    return values


def _doubles_of(vector: Any, path: str) -> FloatArray:
    components = _components_of(vector, path)
    if not components:
        raise InvalidInputError(f"{path} has no components", path=path)
    try:
        return array("d", components)
    except TypeError:
        raise _no_number(components, path) from None
    except OverflowError:
        raise _not_finite(path) from None


def _components_of(vector: Any, path: str) -> Sequence[Any]:
    as_list = getattr(vector, "tolist", None)
    components: Any = vector if as_list is None else as_list()
    if isinstance(components, (list, tuple)):
        return components
    raise InvalidInputError(
        f"{path} is of type {type(vector).__name__}; pass a list of numbers or an "
        f"array with one dimension",
        path=path,
    )


def _no_number(components: Sequence[Any], path: str) -> InvalidInputError:
    place = [_is_number(component) for component in components].index(False)
    return InvalidInputError(
        f"{path}[{place}] is of type {type(components[place]).__name__}; a component "
        f"of a vector is a number",
        path=f"{path}[{place}]",
    )


def _is_number(component: Any) -> bool:
    try:
        array("d", [component])
    except TypeError:
        return False
    return True


def _not_finite(path: str) -> InvalidInputError:
    return InvalidInputError(
        f"{path} holds a component that is not a finite number", path=path
    )


def unit_vectors(vectors: Iterable[FloatArray]) -> FloatArray:
    """Return vectors as unit vectors on the grid, one after another.

    The zero vector has no direction; it stays zero and scores 0 with everything.

    Args:
        vectors: finite doubles, as ``floats_of`` returns them.
    """
    numpy = _optional.find("numpy")
    units = array("f")
    for vector in vectors:
        if numpy is None:
            units.extend(_unit(vector))
        else:
            units.frombytes(_unit_on_numpy(numpy, vector))
    return units


def _unit(vector: FloatArray) -> List[float]:
    # A power of two takes the largest component to [0.5, 1): exactly, and neither the
    # square of a huge component overflows nor that of a tiny one vanishes.
    exponent = math.frexp(max(map(abs, vector)))[1]
    scaled = [math.ldexp(component, -exponent) for component in vector]
    norm = math.sqrt(folded_sum([component * component for component in scaled])) or 1.0
    return [round(component / norm * GRID) / GRID for component in scaled]


def _unit_on_numpy(numpy: Any, vector: FloatArray) -> bytes:
    """Return the float32 numbers that ``_unit`` gives."""
    components = numpy.frombuffer(vector)
    exponent = math.frexp(numpy.abs(components).max())[1]
    scaled = numpy.ldexp(components, -exponent)
    norm = math.sqrt(folded_sum_on_numpy(numpy, scaled * scaled)) or 1.0
    # Adding 0.0 turns -0.0 into 0.0, which is what rounding to an int gives.
    on_grid = numpy.rint(scaled / norm * GRID) / GRID + 0.0
    as_bytes: bytes = on_grid.astype(numpy.float32).tobytes()
    return as_bytes


class GridQuery(NamedTuple):
    """Be a query in whole numbers.

    Attributes:
        numbers: the components, each of at most 24 bits.
        length: the root of the sum of their squares.
        scale: one over that length; 0 for the zero vector.
    """

    numbers: FloatArray
    length: float
    scale: float


def grid_query(vector: Any, path: str = "query_vector") -> GridQuery:
    """Return a vector in whole numbers, to be multiplied with vectors on the grid.

    Args:
        vector: what ``floats_of`` takes.
        path: what to call it in an error.

    Raises:
        InvalidInputError: as ``floats_of`` does.
    """
    components = _doubles_of(vector, path)
    # d numbers of b bits have squares of 2 b bits, whose sum has log2(d) bits more.
    bits = min(24, (53 - (len(components) - 1).bit_length()) // 2)
    numpy = _optional.find("numpy")
    if numpy is None:
        exponent = _exponent_of(max(map(abs, floats_of(components, path))), path)
        shifted = [math.ldexp(one, bits - exponent) for one in components]
        numbers = array("f", map(round, shifted))
        square = sum(map(mul, numbers, numbers))
    else:
        values = numpy.frombuffer(components)
        exponent = _exponent_of(float(numpy.abs(values).max()), path)
        whole = numpy.rint(numpy.ldexp(values, bits - exponent)) + 0.0
        numbers = array("f", whole.astype(numpy.float32).tobytes())
        square = float(whole @ whole)
    length = math.sqrt(square)
    return GridQuery(numbers, length, 1.0 / length if length else 0.0)


def _exponent_of(largest: float, path: str) -> int:
    """Return the power of two just above a number; numpy's maximum keeps a NaN."""
    if not math.isfinite(largest):
        raise _not_finite(path)
    return math.frexp(largest)[1]


def folded_sum(values: List[float]) -> float:
    """Add up floats in a fixed order: half upon half, what is left one by one.

    The rounding of each step then is the same everywhere, which it is not for a sum
    whose order is free (numpy's own, and that of Python from 3.12 on).
    """
    while len(values) > _ONE_BY_ONE:
        half = len(values) // 2
        rest = values[2 * half :]
        values = [a + b for a, b in zip(values[:half], values[half : 2 * half])]
        values += rest
    return reduce(add, values) if values else 0.0


def folded_sum_on_numpy(numpy: Any, values: Any) -> float:
    """Add up an array in the order of ``folded_sum``."""
    while len(values) > _ONE_BY_ONE:
        half = len(values) // 2
        rest = values[2 * half :]
        values = values[:half] + values[half : 2 * half]
        if len(rest):
            values = numpy.concatenate((values, rest))
    # Running sums have no freedom: each is the one before and the next number.
    return float(values.cumsum()[-1]) if len(values) else 0.0


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
