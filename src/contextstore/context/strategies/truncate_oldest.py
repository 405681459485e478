"""Drop the oldest turns until the rest fits."""

from __future__ import annotations

from typing import List

from contextstore.context.groups import Group
from contextstore.context.history import History
from contextstore.context.strategies.base import Choice, Request, newest_that_fit

__all__ = ["newest_turns", "truncate_oldest"]


def truncate_oldest(request: Request) -> Choice:
    """Drop the oldest turns until the rest fits.

    What is kept starts with a message of the user. Where the newest turn alone is too
    long, its user message and its newest groups are kept.
    """
    return Choice(newest_turns(request.history, request.room))


def newest_turns(history: History, room: int) -> List[Group]:
    """Return the groups of the newest turns that fit the room, newest first."""
    fitting = newest_that_fit(history, room)
    if _is_all(history, fitting):
        return fitting
    whole_turns = max(
        (place + 1 for place, group in enumerate(fitting) if group.starts_turn),
        default=0,
    )
    if whole_turns:
        return fitting[:whole_turns]
    return _end_of_turn(history, fitting, room)


def _is_all(history: History, groups: List[Group]) -> bool:
    """Tell whether these newest groups are all that there are."""
    return all(place < len(groups) for place, _ in enumerate(history.newest_first()))


def _end_of_turn(history: History, fitting: List[Group], room: int) -> List[Group]:
    """Return the newest groups of a turn that is too long, and its user message."""
    start = history.turn_start()
    if start is None or not fitting:
        return fitting
    used = start.tokens + sum(group.tokens for group in fitting)
    while fitting and used > room:
        used -= fitting.pop().tokens
    return [*fitting, start] if fitting else []
