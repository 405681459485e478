"""Choose which groups of a history to keep: one strategy a file, and the registry."""

from __future__ import annotations

import importlib
from typing import Any, Dict, List

from contextstore.context.strategies.base import Choice, Request, Strategy
from contextstore.context.strategies.options import (
    knows_options,
    refuse_unknown_options,
)
from contextstore.context.strategies.recent_only import recent_only
from contextstore.context.strategies.relevant import relevant
from contextstore.context.strategies.summarize_oldest import summarize_oldest
from contextstore.context.strategies.truncate_oldest import truncate_oldest
from contextstore.errors import InvalidInputError

__all__ = [
    "Choice",
    "Request",
    "Strategy",
    "find_strategy",
    "knows_options",
    "refuse_unknown_options",
    "register_strategy",
]

ENTRY_POINTS = "contextstore.strategies"
"""The entry-point group in which installed packages offer strategies."""

_strategies: Dict[str, Strategy] = {
    "recent_only": recent_only,
    "relevant": relevant,
    "summarize_oldest": summarize_oldest,
    "truncate_oldest": truncate_oldest,
}


def register_strategy(name: str, strategy: Strategy) -> None:
    """Add a strategy, or replace one, for all builders of the process.

    Args:
        name: what callers pass as ``strategy``.
        strategy: function from a Request to the groups to keep, or to a Choice. It
            chooses among groups, so it cannot part a tool call from its results, and
            the builder keeps the budget whatever it returns. Decorated with
            ``knows_options``, it is passed no options but those it names.

    Raises:
        InvalidInputError: the name is empty, or the strategy no function.
    """
    if not name:
        raise InvalidInputError("the name of a strategy is empty", path="name")
    if not callable(strategy):
        raise InvalidInputError(
            f"strategy {name!r} is of type {type(strategy).__name__}; pass a function",
            path="strategy",
        )
    _strategies[name] = strategy


def find_strategy(name: str) -> Strategy:
    """Return a registered strategy.

    Raises:
        InvalidInputError: there is none of this name; the text lists those there are.
    """
    try:
        return _strategies.get(name) or _from_entry_point(name)
    except (LookupError, TypeError):
        known: List[str] = sorted(_strategies)
        raise InvalidInputError(
            f"there is no strategy {name!r}; known are {', '.join(known)}",
            path="strategy",
        ) from None


def _from_entry_point(name: str) -> Strategy:
    """Register and return the strategy that an installed package offers."""
    # Imported only where a name is unknown: it costs as much as the rest of this room.
    metadata: Any = importlib.import_module("importlib.metadata")
    found = metadata.entry_points()
    # Before Python 3.12 the groups are a dict too, and before 3.10 nothing else.
    if hasattr(found, "select"):
        offered = found.select(group=ENTRY_POINTS)
    else:
        offered = found.get(ENTRY_POINTS, ())
    entry = {entry.name: entry for entry in offered}[name]
    register_strategy(name, entry.load())
    return _strategies[name]
