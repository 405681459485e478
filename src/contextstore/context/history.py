"""Show a strategy what it may choose from: groups of messages, the pinned apart."""

from __future__ import annotations

from typing import Callable, Collection, Iterator, List, Optional, Sequence

from contextstore.context.groups import Group, Groups, by_position
from contextstore.context.links import (
    calls_of,
    is_response_output,
    made_legal,
    results_of,
    says_nothing,
)
from contextstore.context.outline import Outline
from contextstore.messages import Message

__all__ = ["History"]


class History:
    """Be a history of messages, in atomic groups.

    Only as much of it is grouped and counted as a strategy asks for: all that is read
    of every message is in the outline.

    Args:
        messages: the history, oldest first. Not changed.
        cost: the tokens of a message.
        pin: ids of messages to pin beside those that are pinned by themselves.
        open_end: whether calls at the very end may still get their results.

    Attributes:
        messages: the history.
        outline: what is known of all its messages.
        pinned: groups that are always kept, oldest first: system and developer
            messages, those marked as pinned, and what belongs to them.
        groups: those of all other messages, and what was left out of them so far.
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
        self.outline = Outline(messages)
        pinned = self._pinned_positions(pin)
        if any(_is_linked(messages[at]) for at in pinned):
            self._part_all(pinned)
        else:
            self.pinned = self._set_aside(pinned)
            self._source = iter(self.groups)

    def _pinned_positions(self, pin: Collection[str]) -> List[int]:
        pinned = self.outline.pinned
        if not pin:
            return pinned
        return sorted({*pinned, *self.outline.positions_of(set(pin))})

    def _part_all(self, pinned: List[int]) -> None:
        """Group everything, as a pinned call or result pins the whole of its group."""
        wanted = set(pinned)
        alone = [at for at in pinned if not _is_linked(self.messages[at])]
        self.pinned = self._set_aside(alone)
        for group in self.groups:
            kind = self._seen if wanted.isdisjoint(group.positions) else self.pinned
            kind.append(group)
        self.pinned.sort(key=by_position)
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
        # Several may iterate at once: each reads on what none of them has seen.
        at, seen = 0, self._seen
        while at < len(seen) or self._reads_on():
            yield seen[at]
            at += 1

    def _reads_on(self) -> bool:
        group = next(self._source, None)
        if group is not None:
            self._seen.append(group)
        return group is not None

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


def _is_linked(message: Message) -> bool:
    return bool(
        calls_of(message)
        or results_of(message)
        or is_response_output(message)
        or "function_call" in message
        or message.get("role") == "function"
    )
