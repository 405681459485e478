"""Choose what computes: numpy where it is installed, plain Python where it is not."""

from __future__ import annotations

from typing import List

from contextstore import _optional
from contextstore._hop import call
from contextstore.retrieval.columns import Columns
from contextstore.retrieval.numpy_columns import NumpyColumns
from contextstore.retrieval.plain_columns import PlainColumns

__all__ = ["make_columns", "prepare"]


# Whether numpy was looked for: to find that it is absent takes time as well.
_prepared: List[bool] = []


async def prepare() -> None:
    """Import numpy before it is needed: a tenth of a second, away from the loop."""
    if not _prepared:
        await call(make_columns)
        _prepared.append(True)


def make_columns() -> Columns:
    """Return the columns of this machine."""
    numpy = _optional.find("numpy")
    return PlainColumns() if numpy is None else NumpyColumns(numpy)
