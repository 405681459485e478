"""Say what a strategy is given and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import (
    Any,
    Awaitable,
    Callable,
    Dict,
    Iterable,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    Union,
)

from contextstore.context.groups import Group
from contextstore.context.history import History

__all__ = ["Choice", "Request", "Strategy", "newest_that_fit"]


@dataclass(frozen=True)
class Request:
    """Be what a strategy is asked.

    Attributes:
        history: the messages, in atomic groups.
        budget: the tokens that the whole prompt may take.
        frame: what a prompt costs beside its messages.
        room: the tokens that the chosen groups may take together; what is pinned is
            paid for already.
        options: the caller's ``strategy_opts``.
        cost: the tokens of a message.
        count: the tokens of a text.
        may_wait: whether the strategy may await something that takes time.
        kept: what the strategy keeps for a further try at the same prompt, which a
            counter may ask for.
    """

    history: History
    budget: int
    frame: int
    room: int
    options: Mapping[str, Any]
    cost: Callable[[Dict[str, Any]], int]
    count: Callable[[str], int]
    may_wait: bool = False
    kept: Dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
    """Be what a strategy gives back.

    Attributes:
        groups: the groups to keep, in any order. Where they exceed the room, the
            builder drops the oldest of them.
        summary: a message that stands for older ones, or None.
        summarized: the groups that the summary stands for.
        notes: entries for the metadata of the result.
    """

    groups: Sequence[Group]
    summary: Optional[Dict[str, Any]] = None
    summarized: Sequence[Group] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)


Chosen = Union[Choice, Iterable[Group]]
Strategy = Callable[[Request], Union[Chosen, Awaitable[Chosen]]]


def newest_that_fit(history: History, room: int) -> Tuple[List[Group], bool]:
    """Return the newest groups that fit the room without a gap, newest first.

    Returns:
        The groups, and whether they are all that there are.
    """
    kept: List[Group] = []
    for group in history.newest_first():
        room -= group.tokens
        if room < 0:
            return kept, False
        kept.append(group)
    return kept, True
