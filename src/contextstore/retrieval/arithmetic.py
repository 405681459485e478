"""Choose what computes: numpy where it is installed, plain Python where it is not."""

from __future__ import annotations

import sys

from contextstore import _optional
from contextstore._hop import call
from contextstore.retrieval.columns import Columns
from contextstore.retrieval.numpy_columns import NumpyColumns
from contextstore.retrieval.plain_columns import PlainColumns

__all__ = ["make_columns", "prepare"]


async def prepare() -> None:
    """Import numpy before it is needed: a tenth of a second, away from the loop."""
    if "numpy" not in sys.modules:
        await call(make_columns)


def make_columns() -> Columns:
    """Return the columns of this machine."""
    numpy = _optional.find("numpy")
    return PlainColumns() if numpy is None else NumpyColumns(numpy)
