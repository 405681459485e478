"""Read the conversations that were written for the tests, and what is asked of them.

A line is a message (``3 Nora: text``), the time of the next ones (``@ 2024-02-03``),
the begin of another history (``= name``), or a question after the numbers of the
messages that answer it (``? 3 4: text``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, FrozenSet, List, NamedTuple, Optional, Tuple

FOLDER = Path(__file__).resolve().parent / "conversations"
KINDS = ("people", "assistant", "short")

_ROLES = ("user", "assistant")


class Conversation(NamedTuple):
    """Be a history and the questions about it, each with the ids that answer it."""

    messages: List[Dict[str, Any]]
    questions: List[Tuple[str, FrozenSet[str]]]


def conversations(kind: str) -> List[Conversation]:
    """Return the conversations of one kind."""
    found: List[Conversation] = []
    time: Optional[str] = None
    for line in (FOLDER / f"{kind}.txt").read_text("utf-8").splitlines():
        mark, _, rest = line.partition(" ")
        if mark == "=" or not found:
            found.append(Conversation([], []))
        if mark == "@":
            time = rest
        elif mark == "?":
            found[-1].questions.append(_question(rest))
        elif mark.isdigit():
            found[-1].messages.append(_message(mark, rest, time))
    return [one for one in found if one.messages]


def _question(line: str) -> Tuple[str, FrozenSet[str]]:
    numbers, _, text = line.partition(": ")
    return text, frozenset(numbers.split())


def _message(number: str, line: str, time: Optional[str]) -> Dict[str, Any]:
    author, _, text = line.partition(": ")
    message: Dict[str, Any] = {"id": number, "role": author, "content": text}
    if author not in _ROLES:
        message.update(role="user", name=author)
    if time is not None:
        message["timestamp"] = time
    return message
