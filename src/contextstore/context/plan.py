"""Decide what goes into a prompt: the strategy's choice, held to the budget."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from contextstore.context.groups import Group, by_position
from contextstore.context.shorten import shorten
from contextstore.context.strategies import Choice, Request, Strategy
from contextstore.errors import (
    ConfigurationError,
    ContextOverflowError,
    InvalidInputError,
)
from contextstore.messages import Message

__all__ = ["SUMMARY", "Plan", "make_plan"]

_ON_OVERFLOW = ("truncate", "error", "keep")

SUMMARY = -1
"""The place of a summary, which stands nowhere in the history."""


@dataclass
class Plan:
    """Be the content of a prompt, before it is copied and counted as a whole.

    Attributes:
        groups: what is kept, oldest first, pinned groups included.
        summary: a message that goes after the pinned head, or None.
        summarized: the groups that it stands for.
        truncated: positions of messages whose texts were cut.
        infeasible: whether not even what must be kept fits.
        notes: entries for the metadata.
    """

    groups: List[Group] = field(default_factory=list)
    summary: Optional[Message] = None
    summarized: Sequence[Group] = ()
    truncated: Tuple[int, ...] = ()
    infeasible: bool = False
    notes: Mapping[str, Any] = field(default_factory=dict)

    def tokens(self, frame: int) -> int:
        """Return what the prompt costs, a summary left aside; an empty one nothing."""
        tokens = sum([group.tokens for group in self.groups])
        return frame + tokens if self.groups else 0

    def messages(self) -> List[Message]:
        """Return all that is kept, in order."""
        messages = [message for group in self.groups for message in group.messages]
        if self.summary is not None:
            messages.insert(_head(self.groups), self.summary)
        return messages

    def positions(self) -> List[int]:
        """Return where each message that is kept stands in the history."""
        positions = [at for group in self.groups for at in group.positions]
        if self.summary is not None:
            positions.insert(_head(self.groups), SUMMARY)
        return positions


def _head(groups: Sequence[Group]) -> int:
    """Return how many messages stand unbroken at the start of the history.

    Only whole groups count: nothing may come between a call and its results.
    """
    head = 0
    for group in groups:
        end = head + len(group.positions)
        if group.positions != tuple(range(head, end)):
            return head
        head = end
    return head


async def make_plan(request: Request, strategy: Strategy, max_tokens: int) -> Plan:
    """Return what to keep.

    Args:
        max_tokens: the budget that the caller gave, for the texts of errors.

    Raises:
        ContextOverflowError: with ``on_overflow="error"``, when the pinned messages and
            the newest turn do not fit.
    """
    mode = _on_overflow(request.options)
    if request.history.is_empty():
        return Plan()
    if request.room >= 0:
        answer = strategy(request)
        choice = _as_choice(await answer if inspect.isawaitable(answer) else answer)
        room = request.room - _cost_of_summary(choice, request)
        kept = _held_to(room, _not_pinned(choice.groups, request))
        if kept or request.history.newest() is None:
            return _plan(request, kept, choice if room >= 0 else None)
    return _overflow(request, mode, max_tokens)


def _on_overflow(options: Mapping[str, Any]) -> str:
    mode = options.get("on_overflow", "truncate")
    if mode not in _ON_OVERFLOW:
        raise InvalidInputError(
            f"on_overflow is {mode!r}; pass one of {', '.join(_ON_OVERFLOW)}",
            path="strategy_opts.on_overflow",
        )
    return str(mode)


def _as_choice(answer: Any) -> Choice:
    if not isinstance(answer, (Choice, Iterable)):
        raise _no_choice()
    choice = answer if isinstance(answer, Choice) else Choice(list(answer))
    if not all(isinstance(group, Group) for group in choice.groups):
        raise _no_choice()
    if not isinstance(choice.summary, (dict, type(None))):
        raise ConfigurationError("the summary that a strategy returned is no message")
    return choice


def _no_choice() -> ConfigurationError:
    return ConfigurationError(
        "a strategy returned something other than groups of its request's history"
    )


def _cost_of_summary(choice: Choice, request: Request) -> int:
    return 0 if choice.summary is None else request.cost(choice.summary)


def _not_pinned(groups: Iterable[Group], request: Request) -> Dict[int, Group]:
    """Return groups by position, without those that are kept, and paid for, anyway."""
    chosen = {group.position: group for group in groups}
    for group in request.history.pinned:
        chosen.pop(group.position, None)
    return chosen


def _held_to(room: int, groups: Mapping[int, Group]) -> List[Group]:
    """Return the newest of the groups that fit together, oldest first."""
    ordered = [groups[position] for position in sorted(groups)]
    over = sum([group.tokens for group in ordered]) - room
    first = 0
    while over > 0 and first < len(ordered):
        over -= ordered[first].tokens
        first += 1
    return ordered[first:]


def _plan(
    request: Request, kept: Iterable[Group], choice: Optional[Choice] = None
) -> Plan:
    groups = sorted((*request.history.pinned, *kept), key=by_position)
    if choice is None:
        return Plan(groups)
    return Plan(groups, choice.summary, choice.summarized, notes=choice.notes)


def _overflow(request: Request, mode: str, max_tokens: int) -> Plan:
    """Return a plan for a newest turn, or pinned messages, that are too long.

    Where the strategy chose nothing, the newest turn may well fit.
    """
    newest = _newest_turn(request)
    over = sum(group.tokens for group in newest) - request.room
    if mode == "keep" or over <= 0:
        return _plan(request, newest)
    if mode == "error":
        raise _too_long(request, newest, over, max_tokens)
    shortened = _shortened(request, newest) if request.room >= 0 else None
    if shortened is None:
        return Plan(infeasible=True)
    plan = _plan(request, shortened)
    plan.truncated = tuple(
        position
        for before, after in zip(newest, shortened)
        for position, old, new in zip(after.positions, before.messages, after.messages)
        if old != new
    )
    return plan


def _newest_turn(request: Request) -> List[Group]:
    """Return the least that makes sense: the newest group, and the turn's start."""
    history = request.history
    ends = (history.turn_start(), history.newest())
    found = {group.position: group for group in ends if group is not None}
    return [found[position] for position in sorted(found)]


def _too_long(
    request: Request, newest: Sequence[Group], over: int, max_tokens: int
) -> ContextOverflowError:
    groups = (*request.history.pinned, *newest)
    ids = [message.get("id") for group in groups for message in group.messages]
    return ContextOverflowError(
        f"the pinned messages and the newest turn are {over} tokens over the budget; "
        f"raise max_tokens, pin less, or pass on_overflow='truncate'",
        max_tokens=max_tokens,
        needed=max_tokens + over,
        message_ids=[found for found in ids if isinstance(found, str)],
    )


def _shortened(request: Request, groups: Sequence[Group]) -> Optional[List[Group]]:
    messages: List[Message] = [m for group in groups for m in group.messages]
    cut = shorten(messages, request.room, request.cost, request.count)
    if cut is None:
        return None
    rest = iter(cut)
    return [
        Group(
            group.positions,
            [next(rest) for _ in group.messages],
            request.cost,
            starts_turn=group.starts_turn,
            mended=group.mended,
        )
        for group in groups
    ]
