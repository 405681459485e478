"""Score by vectors with most of their mean taken out.

Texts of one conversation share much, and so do their vectors: cosines between them lie
close together. With ``m``, a share of the mean, taken out of query and messages alike,
the score is ``cos(q - m, v - m)``. For unit vectors that is

    (v.q - v.m - q.m + m.m) / (|q - m| * sqrt(1 - 2 v.m + m.m))

so the stored vectors stay as they are. ``m`` is put on the grid of the vectors; every
scalar product here is then exact, see ``vectors``, and what follows is elementwise.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional, Sequence, Tuple

from contextstore.retrieval.columns import Column, Columns
from contextstore.retrieval.vectors import GRID, GridQuery

if TYPE_CHECKING:
    from contextstore.retrieval.vectors import FloatArray

__all__ = [
    "Centre",
    "DenseScan",
    "centre_of",
    "centred",
    "common_part",
    "shifted_query",
]


@dataclass(frozen=True)
class DenseScan:
    """Be what the vectors of a session give for one query.

    Attributes:
        ids: the messages that were scored; of a whole session it is the very same
            object as long as nothing was added or removed.
        cosines: the cosine of each, as far as it is known.
        centred: the cosine of each with a share of the mean taken out.
        elsewhere: the centred score to assume for a message that is not among them;
            None says that it has no vector.
    """

    ids: Tuple[str, ...]
    cosines: Sequence[Optional[float]]
    centred: Column
    elsewhere: Optional[float] = None


def common_part(total: Sequence[float], count: int, share: float) -> FloatArray:
    """Return a share of the mean vector, on the grid.

    Args:
        total: the sum of ``count`` unit vectors.
    """
    factor = share / count
    return array("f", [round(part * factor * GRID) / GRID for part in total])


def shifted_query(query: GridQuery, mean: FloatArray) -> FloatArray:
    """Return the query, as a unit vector, with a share of the mean taken out.

    Ranking by its scalar product is nearly ranking by the centred cosine: only what
    depends on the vector alone is missing.
    """
    return array(
        "d", [one * query.scale - part for one, part in zip(query.numbers, mean)]
    )


@dataclass(frozen=True)
class Centre:
    """Be what is taken out of some vectors, and what that makes of them.

    Attributes:
        mean: a share of their mean, on the grid.
        square: its product with itself.
        common: its products with the vectors.
        lengths: how long each vector is without it.
    """

    mean: FloatArray
    square: float
    common: Column
    lengths: Column


def centre_of(columns: Columns, mean: FloatArray, common: Column) -> Centre:
    """Return what a mean makes of vectors, from its products with them."""
    square = columns.product(mean, mean)
    squares = columns.scaled(common, -2.0, 1.0 + square)
    lengths = columns.root(columns.clipped(squares, 0.0, 4.0))
    return Centre(mean, square, common, lengths)


def centred(
    columns: Columns, cosines: Column, query: GridQuery, centre: Centre
) -> Column:
    """Return the centred cosines.

    Args:
        cosines: the cosines of the vectors and the query.
    """
    if not query.scale:
        # The zero vector has no direction, and says nothing of any message.
        return columns.scaled(cosines, 0.0)
    query_mean = columns.product(query.numbers, centre.mean) * query.scale
    query_length = math.sqrt(max(0.0, 1.0 - 2.0 * query_mean + centre.square))
    above = columns.plus(
        columns.scaled(cosines, 1.0, centre.square - query_mean),
        columns.scaled(centre.common, -1.0),
    )
    return columns.over(above, columns.scaled(centre.lengths, query_length))
