"""Cut in steps, so that a prompt starts like the one before it for many turns.

Providers bill the part of a prompt that they have seen before at a fraction of its
price, from its start up to the first difference. Cutting to the brim changes the start
with every turn; dropping more at once, and then nothing for a while, keeps it.
"""

from __future__ import annotations

import math
from typing import Any, List, Mapping, Optional, Sequence

from contextstore.context.groups import Group
from contextstore.context.history import History
from contextstore.context.shares import share_of
from contextstore.context.strategies.base import Request
from contextstore.errors import InvalidInputError
from contextstore.messages import Message, is_pinned

__all__ = ["cached_tokens", "headroom_of", "previous_messages", "room_for_cut"]


def headroom_of(options: Mapping[str, Any]) -> float:
    """Return the part of the room to free with a cut: at least 0, less than 1.

    Raises:
        InvalidInputError: it is no such number.
    """
    value = options.get("headroom", 0.0)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        value = -1.0
    if not 0 <= value < 1:
        raise InvalidInputError(
            "headroom is the part of the budget to free with each cut: a number from "
            "0 to below 1",
            path="strategy_opts.headroom",
        )
    return float(value)


def previous_messages(options: Mapping[str, Any]) -> Optional[Sequence[Message]]:
    """Return the messages of the result given as ``previous``, or None.

    Raises:
        InvalidInputError: it is no result of a build.
    """
    previous = options.get("previous")
    if previous is None:
        return None
    messages: Optional[List[Message]] = getattr(previous, "messages", None)
    if not isinstance(messages, list) or not all(
        isinstance(message, dict) for message in messages
    ):
        raise InvalidInputError(
            "previous is not the result of a build", path="strategy_opts.previous"
        )
    return messages


def room_for_cut(request: Request, headroom: float) -> int:
    """Return the tokens that a cut may keep, so that the next ones can be spared.

    With ``previous`` its cut is kept while all since then fits; then the headroom is
    freed. Without it the cut is a function of the history alone: what is dropped is a
    whole number of steps, and a step is the headroom.
    """
    room = request.room
    step = max(1, share_of(room, headroom))
    previous = previous_messages(request.options)
    if previous is None:
        tokens = [group.tokens for group in request.history.newest_first()]
        over = sum(tokens) - room
        return room - (step * math.ceil(over / step) - over)
    kept = _since(request.history, previous, room)
    return room - step if kept is None else kept


def _since(history: History, previous: Sequence[Message], room: int) -> Optional[int]:
    """Return the tokens of all groups since the cut of a prompt, if they fit."""
    left = _chosen(history, previous)
    if not left:
        return None
    used = since_cut = 0
    has_turns = False
    for group in history.newest_first():
        if left and not _taken_from(left, group):
            start = _start_apart(left, history)
            if start is not None:
                return used + start.tokens if used + start.tokens <= room else None
        used += group.tokens
        if used > room:
            break
        has_turns = has_turns or group.starts_turn
        # A filter may have taken away the message that the first turn starts with.
        if not left and group.starts_turn:
            return used
        if not left and not since_cut:
            since_cut = used
    return since_cut if since_cut and not has_turns else None


def _chosen(history: History, previous: Sequence[Message]) -> List[Message]:
    """Return the messages of a prompt that are not there in any case."""
    pinned = [message for group in history.pinned for message in group.messages]
    return [
        message
        for message in previous
        if not is_pinned(message) and not any(_is_same(message, one) for one in pinned)
    ]


def _taken_from(left: List[Message], group: Group) -> bool:
    """Take the messages of a group from the end of those left, if they stand there."""
    before = len(left)
    for message in reversed(group.messages):
        if left and _is_same(message, left[-1]):
            left.pop()
    return len(left) < before


def _start_apart(left: Sequence[Message], history: History) -> Optional[Group]:
    """Return the start of the newest turn where it alone is left.

    Of a turn that is too long, it is kept without what follows.
    """
    if len(left) != 1:
        return None
    start = history.turn_start()
    return start if start and _is_same(start.messages[0], left[0]) else None


def _is_same(message: Message, other: Message) -> bool:
    if "id" in message or "id" in other:
        return message.get("id") == other.get("id")
    return message == other


def cached_tokens(
    messages: Sequence[Message], previous: Sequence[Message], costs: Sequence[int]
) -> int:
    """Return what the messages cost with which two prompts start alike."""
    tokens = 0
    for message, before, cost in zip(messages, previous, costs):
        if message != before:
            break
        tokens += cost
    return tokens
