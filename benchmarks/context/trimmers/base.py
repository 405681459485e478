"""Say what it takes to measure a system that trims, and count prompts for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Callable, Coroutine, Dict, List

import tiktoken

Message = Dict[str, Any]

MODEL = "gpt-4o"
REPLY = 3
_PER_MESSAGE, _PER_CALL = 3, 3


class Trimmer(ABC):
    """Hold a growing history in a system's own types, and trim it.

    Only ``trim`` is timed. Messages come and go in OpenAI's chat shape.

    Args:
        cost: the tokens of a message, for systems that let the caller count.
        budget: the tokens that a prompt may take.
    """

    def __init__(self, cost: Callable[[Message], int], budget: int) -> None:
        self.cost = cost
        self.budget = budget
        self.history: List[Any] = []

    def add(self, messages: List[Message]) -> None:
        """Take new messages, in whole groups."""
        self.history += messages

    @abstractmethod
    def trim(self) -> Any:
        """Return what the system would send, in its own types."""

    def prompt(self, trimmed: Any) -> List[Message]:
        """Return what ``trim`` gave in OpenAI's shape."""
        messages: List[Message] = trimmed
        return messages

    def renew(self) -> None:
        """Undo what ``trim`` did to the history, so that it can be timed again."""


class Costs:
    """Count a message as OpenAI bills it, for messages of text and tool calls.

    Args:
        remembered: whether a message that was counted is not counted again.
    """

    def __init__(self, *, remembered: bool) -> None:
        self._encode = tiktoken.encoding_for_model(MODEL).encode_ordinary
        self._remembered = remembered
        self._known: Dict[str, int] = {}

    def __call__(self, message: Message) -> int:
        texts = [message["role"], message.get("content") or ""]
        calls = message.get("tool_calls") or ()
        for call in calls:
            texts += [call["function"]["name"], call["function"]["arguments"]]
        return _PER_MESSAGE + _PER_CALL * len(calls) + sum(map(self._text, texts))

    def _text(self, text: str) -> int:
        if not self._remembered:
            return len(self._encode(text))
        if text not in self._known:
            self._known[text] = len(self._encode(text))
        return self._known[text]


def finish(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that waits for nothing, without the cost of an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise RuntimeError("the coroutine waits for something")
