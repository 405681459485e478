"""Judge the newest part of a history: whether a prompt can be built from it alone."""

from __future__ import annotations

from typing import Iterable, List

from contextstore.context.builder import ContextBuilder
from contextstore.context.groups import Groups
from contextstore.context.links import calls_of, results_of
from contextstore.messages import Message

__all__ = ["any_linked", "cost_of", "exceeds"]

# An empty prompt has no frame whose cost could be told.
_NOTHING: Message = {"role": "user", "content": ""}


def cost_of(messages: List[Message], builder: ContextBuilder) -> int:
    """Return what messages add to the tokens of a prompt."""
    return builder.count([_NOTHING, *messages]) - builder.count([_NOTHING])


def exceeds(window: List[Message], max_tokens: int, builder: ContextBuilder) -> bool:
    """Tell whether a window begins with a turn, and a budget cannot hold all of it.

    Results whose call stands before the window do not count: it may cost more than they
    do, or be gone.
    """
    if window[0].get("role") != "user" or results_of(window[0]):
        return False
    left = max_tokens
    for group in Groups(window, lambda message: cost_of([message], builder)):
        left -= group.tokens
        if left < 0:
            return True
    return False


def any_linked(messages: Iterable[Message]) -> bool:
    """Tell whether one of them makes calls or carries results."""
    return any(calls_of(message) or results_of(message) for message in messages)
