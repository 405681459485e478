"""contextstore 1.0.1: ContextBuilder.build."""

from __future__ import annotations

from typing import Any, List

from benchmarks.context.trimmers.base import MODEL, Message, Trimmer
from contextstore import ContextBuilder


class System(Trimmer):
    def __init__(self, cost: Any, budget: int) -> None:
        super().__init__(cost, budget)
        self._builder = ContextBuilder.from_model(MODEL)

    def add(self, messages: List[Message]) -> None:
        # It sorts by time, so that it needs one.
        self.history += [
            {**message, "timestamp": f"{len(self.history) + at:09}"}
            for at, message in enumerate(messages)
        ]

    def trim(self) -> Any:
        return self._builder.build(self.history, self.budget)

    def prompt(self, trimmed: Any) -> List[Message]:
        return [
            {key: value for key, value in message.items() if key != "timestamp"}
            for message in trimmed.messages
        ]
