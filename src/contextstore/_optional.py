"""Import optional packages; the one place that does."""

from __future__ import annotations

import importlib
from typing import Any, Optional

from contextstore.errors import MissingDependencyError


def require(module: str, extra: str) -> Any:
    """Return an optional module.

    Raises:
        MissingDependencyError: it is not installed; the text names the extra.
    """
    found = find(module)
    if found is None:
        raise MissingDependencyError(
            f"this needs the package {module.partition('.')[0]!r}: "
            f"pip install 'contextstore[{extra}]'",
            extra=extra,
        )
    return found


def find(module: str) -> Optional[Any]:
    """Return an optional module, or None where it is not installed.

    An error other than its absence, such as a broken build, is let through.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and module.startswith(error.name):
            return None
        raise
