"""Read of a whole history, in one pass, the little that a build needs of every message.

All else is read of as many messages as a prompt holds. A pass waits for the memory that
the messages lie in, not for the interpreter: ids read in the pass over the roles cost
next to nothing, and nearly as much as that in one of their own (docs/decisions.md). So
short stretches are gone through at a time, for whatever is wanted of them.
"""

from __future__ import annotations

from itertools import chain
from typing import Any, Collection, Iterable, Iterator, List, Sequence, Tuple

from contextstore.messages import Message, is_pinned

__all__ = ["Outline"]

# Of messages that may be pinned: the role, or True for one with metadata.
_SIGNS = frozenset(("system", "developer", True))

# As many messages as the processor's cache holds from one look to the next.
_STRETCH = 512

# In the place of an id: a message may have any JSON value for one, and None too.
_NO_ID: Any = object()


class Outline:
    """Be the ids of all messages of a history, and where those stand that are pinned.

    Args:
        messages: the history, oldest first. Not changed, and not kept.

    Attributes:
        pinned: positions of system and developer messages, and of those marked.
    """

    def __init__(self, messages: Sequence[Message]) -> None:
        self._ids: List[Any] = []
        self._lacks_ids = False
        # Most histories have no other pinned messages than these.
        head = _length_of_head(messages)
        self.pinned: List[int] = list(range(head))
        self._read_ids(messages[:head])
        for start in range(head, len(messages), _STRETCH):
            stretch = messages[start : start + _STRETCH]
            self._read_ids(stretch)
            self._read_pinned(stretch, start)

    def __len__(self) -> int:
        return len(self._ids)

    def _read_ids(self, stretch: Sequence[Message]) -> None:
        try:
            self._ids += [message["id"] for message in stretch]
        except KeyError:
            self._ids += [message.get("id", _NO_ID) for message in stretch]
            self._lacks_ids = True

    def _read_pinned(self, stretch: Sequence[Message], start: int) -> None:
        if _may_hold_pinned(stretch):
            self.pinned += [
                at for at, message in enumerate(stretch, start) if is_pinned(message)
            ]

    def positions_of(self, wanted: Collection[str]) -> Iterator[int]:
        """Iterate over the positions of the messages that have one of these ids."""
        for at, found in enumerate(self._ids):
            if isinstance(found, str) and found in wanted:
                yield at

    def ids_at(self, positions: Iterable[int]) -> List[Any]:
        """Return the ids of the messages at these positions, of those that have one."""
        return self._present([self._ids[at] for at in positions])

    def ids_within(self, runs: Iterable[Tuple[int, int]]) -> List[Any]:
        """Return the ids of all messages of these runs, of those that have one."""
        found = [self._ids[start:end] for start, end in runs]
        # Most prompts leave out one run, which need not be copied again.
        ids = found[0] if len(found) == 1 else list(chain.from_iterable(found))
        return self._present(ids)

    def _present(self, ids: List[Any]) -> List[Any]:
        return [one for one in ids if one is not _NO_ID] if self._lacks_ids else ids


def _length_of_head(messages: Sequence[Message]) -> int:
    """Return how many pinned messages a history begins with."""
    head = 0
    while head < len(messages) and is_pinned(messages[head]):
        head += 1
    return head


def _may_hold_pinned(stretch: Sequence[Message]) -> bool:
    """Tell, at next to no cost a message, of most stretches that none is pinned."""
    try:
        # A set of few signs is made in less time than a list of many.
        return not _SIGNS.isdisjoint(
            {True if "metadata" in message else message["role"] for message in stretch}
        )
    except (KeyError, TypeError):
        # One without a role, or with one that cannot be hashed.
        return True
