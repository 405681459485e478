"""Say of each message of a history what became of it, and why."""

from __future__ import annotations

from typing import Any, Callable, Iterator, List, NamedTuple, Sequence, Set, Tuple

from contextstore.context.arguments import blaming_input
from contextstore.messages import Message

__all__ = ["Explainer", "Explanation", "Fate", "Fates"]


class Fate(NamedTuple):
    """Be what became of one message.

    Attributes:
        position: where it stands in the history, from 0.
        id: its id, or None.
        role: its role, or the type of an item without one.
        tokens: what it costs as it is in the history.
        status: ``kept``, ``pinned``, ``truncated``, ``mended``, ``moved`` (in the
            prompt), ``summarized``, ``repaired`` or ``dropped`` (not in the prompt).
        reason: why, in a few words.
    """

    position: int
    id: Any
    role: Any
    tokens: int
    status: str
    reason: str


_REASONS = {
    "kept": "fits the budget",
    "pinned": "system, developer or pinned message",
    "truncated": "text cut to fit",
    "mended": "calls or results without a match taken out",
    "moved": "late result, put behind its call",
    "summarized": "stands in the summary",
    "repaired": "call without result, or result without call",
    "dropped": "over the budget, or filtered out",
}


class Fates(NamedTuple):
    """Be the positions of the messages of a history, by what became of them."""

    kept: Set[int]
    pinned: Set[int]
    truncated: Set[int]
    mended: Set[int]
    moved: Set[int]
    summarized: Set[int]
    left_out: Set[int]

    def status(self, position: int) -> str:
        """Return the one word that tells most about a message."""
        if position in self.kept:
            for name in ("truncated", "mended", "moved", "pinned"):
                if position in getattr(self, name):
                    return name
            return "kept"
        if position in self.summarized:
            return "summarized"
        return "repaired" if position in self.left_out else "dropped"


class Explanation(Sequence[Fate]):
    """Be one row for each message of a history; printed, it is a table.

    The costs of messages that were never looked at are counted when this is made.
    """

    def __init__(
        self, messages: Sequence[Message], fates: Fates, cost: Callable[[Message], int]
    ) -> None:
        self._rows = [
            _row(position, message, fates.status(position), cost(message))
            for position, message in enumerate(messages)
        ]

    def __getitem__(self, index: Any) -> Any:
        return self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"<explanation of {len(self)} messages>"

    def __str__(self) -> str:
        """Return the rows as a table; it holds no text of a message."""
        table: List[Sequence[str]] = [Fate._fields]
        table += [[str(field) for field in row] for row in self._rows]
        widths = [max(map(len, column)) for column in zip(*table)]
        return "\n".join(_lines(table, widths))


class Explainer:
    """Keep what an explanation is made from, and no more of its build.

    A deep copy is the same, as nothing in it changes. It is not pickled, as a tokenizer
    may refuse that: None comes back.
    """

    def __init__(
        self, messages: Sequence[Message], fates: Fates, cost: Callable[[Message], int]
    ) -> None:
        self._messages = messages
        self._fates = fates
        self._cost = cost

    def explanation(self) -> Explanation:
        """Return the rows, which count what was not looked at before."""
        with blaming_input(self._messages):
            return Explanation(self._messages, self._fates, self._cost)

    def __deepcopy__(self, memo: Any) -> Explainer:
        return self

    def __reduce__(self) -> Tuple[Any, ...]:
        return type(None), ()


def _row(position: int, message: Message, status: str, tokens: int) -> Fate:
    role = message.get("role", message.get("type"))
    return Fate(position, message.get("id"), role, tokens, status, _REASONS[status])


def _lines(table: Sequence[Sequence[str]], widths: Sequence[int]) -> Iterator[str]:
    for row in table:
        cells = [cell.ljust(width) for cell, width in zip(row, widths)]
        yield "  ".join(cells).rstrip()
