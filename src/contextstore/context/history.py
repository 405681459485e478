"""Show a strategy what it may choose from: groups of messages, the pinned apart."""

from __future__ import annotations

from itertools import islice
from typing import Callable, Collection, Iterator, List, Optional, Sequence

from contextstore.context.groups import Group, Groups
from contextstore.context.links import (
    calls_of,
    is_response_output,
    made_legal,
    results_of,
    says_nothing,
)
from contextstore.messages import Message, is_pinned

__all__ = ["History"]

_PINNED_ROLES = frozenset(("system", "developer"))
# Of messages that may be pinned: the role, or True for one with metadata.
_SIGNS = frozenset((True, *_PINNED_ROLES))


class History:
    """Be a history of messages, in atomic groups.

    Only as much of it is grouped and counted as a strategy asks for.

    Args:
        messages: the history, oldest first. Not changed.
        cost: the tokens of a message.
        pin: ids of messages to pin beside those that are pinned by themselves.
        open_end: whether calls at the very end may still get their results.

    Attributes:
        messages: the history.
        pinned: groups that are always kept, oldest first: system and developer
            messages, those marked as pinned, and what belongs to them.
    """

    def __init__(
        self,
        messages: Sequence[Message],
        cost: Callable[[Message], int],
        pin: Collection[str] = (),
        *,
        open_end: bool = True,
    ) -> None:
        self.messages = messages
        self._cost = cost
        self._open_end = open_end
        self._seen: List[Group] = []
        pinned = _pinned_positions(messages, pin)
        if any(_is_linked(messages[at]) for at in pinned):
            self._part_all(pinned)
        else:
            self.pinned = self._set_aside(pinned)
            self._source = iter(self.groups)

    def _part_all(self, pinned: List[int]) -> None:
        """Group everything, as a pinned call or result pins the whole of its group."""
        wanted = set(pinned)
        alone = [at for at in pinned if not _is_linked(self.messages[at])]
        self.pinned = self._set_aside(alone)
        for group in self.groups:
            kind = self._seen if wanted.isdisjoint(group.positions) else self.pinned
            kind.append(group)
        self.pinned.sort(key=_position)
        self._source = iter(())

    def _set_aside(self, pinned: List[int]) -> List[Group]:
        """Group all but these messages without links, and return a group for each.

        Pinned or not, no provider takes a message that says nothing: it is left out.
        """
        said = [at for at in pinned if not says_nothing(self.messages[at])]
        self.groups = Groups(self.messages, self._cost, said, open_end=self._open_end)
        if len(said) < len(pinned):
            self.groups.left_out.extend(set(pinned).difference(said))
        return [self._alone(at) for at in said]

    def _alone(self, at: int) -> Group:
        message = self.messages[at]
        legal = made_legal(message)
        mended = () if legal is message else (at,)
        return Group((at,), (legal,), self._cost, mended=mended)

    def newest_first(self) -> Iterator[Group]:
        """Iterate over the groups that are not pinned, from the newest backwards."""
        yield from self._seen
        for group in self._source:
            self._seen.append(group)
            yield group

    def newest(self) -> Optional[Group]:
        """Return the newest group that is not pinned, or None."""
        return next(self.newest_first(), None)

    def is_empty(self) -> bool:
        """Tell whether there is nothing to keep: no messages, or none without fault."""
        return not self.pinned and self.newest() is None

    def turn_start(self) -> Optional[Group]:
        """Return the user message that starts the newest turn, or None."""
        starts = (group for group in self.newest_first() if group.starts_turn)
        return next(starts, None)

    def __repr__(self) -> str:
        return f"<history of {len(self.messages)} messages>"


def _position(group: Group) -> int:
    return group.position


def _pinned_positions(messages: Sequence[Message], pin: Collection[str]) -> List[int]:
    pinned = [at for at in _maybe_pinned(messages) if is_pinned(messages[at])]
    if not pin:
        return pinned
    wanted = set(pin)
    found = (at for at, m in enumerate(messages) if _has_id_in(m, wanted))
    return sorted({*pinned, *found})


def _maybe_pinned(messages: Sequence[Message]) -> List[int]:
    """Return positions that hold all pinned messages and few others.

    This is a pass over the whole history, as the ids of what is dropped take another:
    it must cost next to nothing a message.
    """
    try:
        head = 0
        while head < len(messages) and messages[head]["role"] in _PINNED_ROLES:
            head += 1
        # Most histories have no other: a set says so in half the time of a list.
        rest = islice(messages, head, None)
        signs = {True if "metadata" in message else message["role"] for message in rest}
        if signs.isdisjoint(_SIGNS):
            return list(range(head))
        return [
            at
            for at, message in enumerate(messages)
            if message["role"] in _PINNED_ROLES or "metadata" in message
        ]
    except (KeyError, TypeError):
        # A message without a role, or with one that cannot be hashed.
        roles = tuple(_PINNED_ROLES)
        return [
            at
            for at, message in enumerate(messages)
            if message.get("role") in roles or "metadata" in message
        ]


def _has_id_in(message: Message, wanted: Collection[str]) -> bool:
    message_id = message.get("id")
    return isinstance(message_id, str) and message_id in wanted


def _is_linked(message: Message) -> bool:
    return bool(
        calls_of(message)
        or results_of(message)
        or is_response_output(message)
        or "function_call" in message
        or message.get("role") == "function"
    )
