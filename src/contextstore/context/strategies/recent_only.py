"""Keep the newest groups of messages that fit."""

from __future__ import annotations

from contextstore.context.strategies.base import Choice, Request, newest_that_fit
from contextstore.context.strategies.options import knows_options

__all__ = ["recent_only"]


@knows_options()
def recent_only(request: Request) -> Choice:
    """Keep as many of the newest groups as fit, cut wherever the room ends."""
    groups, _ = newest_that_fit(request.history, request.room)
    return Choice(groups)
