"""Drop the oldest turns until the rest fits."""

from __future__ import annotations

from typing import List, Tuple

from contextstore.context.groups import Group
from contextstore.context.history import History
from contextstore.context.strategies.base import Choice, Request, newest_that_fit
from contextstore.context.strategies.headroom import headroom_of, room_for_cut
from contextstore.context.strategies.options import knows_options

__all__ = ["newest_turns", "truncate_oldest"]


@knows_options("headroom")
def truncate_oldest(request: Request) -> Choice:
    """Drop the oldest turns until the rest fits.

    What is kept starts with a message of the user. Where the newest turn alone is too
    long, its user message and its newest groups are kept. Options: ``headroom``, the
    part of the room to free with each cut, so that later prompts start alike (0, the
    default, cuts to the brim); ``previous``, the result of the build before.
    """
    headroom = headroom_of(request.options)
    groups, is_all = newest_turns(request.history, request.room)
    if headroom and not is_all:
        cut, _ = newest_turns(request.history, room_for_cut(request, headroom))
        # A cut that leaves nothing of the newest turn saves nothing either.
        groups = cut or groups
    return Choice(groups)


def newest_turns(history: History, room: int) -> Tuple[List[Group], bool]:
    """Return the groups of the newest turns that fit the room, newest first.

    Returns:
        The groups, and whether they are all that there are.
    """
    fitting, is_all = newest_that_fit(history, room)
    if is_all:
        return fitting, True
    whole_turns = len(fitting)
    while whole_turns and not fitting[whole_turns - 1].starts_turn:
        whole_turns -= 1
    if whole_turns:
        return fitting[:whole_turns], False
    return _end_of_turn(history, fitting, room), False


def _end_of_turn(history: History, fitting: List[Group], room: int) -> List[Group]:
    """Return the newest groups of a turn that is too long, and its user message."""
    start = history.turn_start()
    if start is None or not fitting:
        return fitting
    used = start.tokens + sum(group.tokens for group in fitting)
    while fitting and used > room:
        used -= fitting.pop().tokens
    return [*fitting, start] if fitting else []
