"""LangChain: trim_messages as its guide has it, with an exact counter."""

from __future__ import annotations

from typing import Any, List

from langchain_core.messages import (
    BaseMessage,
    convert_to_messages,
    convert_to_openai_messages,
    trim_messages,
)

from benchmarks.context.trimmers.base import REPLY, Message, Trimmer


class System(Trimmer):
    def add(self, messages: List[Message]) -> None:
        self.history += convert_to_messages(messages)

    def trim(self) -> List[BaseMessage]:
        return trim_messages(
            self.history,
            max_tokens=self.budget,
            token_counter=self._count,
            strategy="last",
            include_system=True,
            start_on="human",
        )

    def _count(self, messages: List[BaseMessage]) -> int:
        return REPLY + sum(map(self.cost, convert_to_openai_messages(messages)))

    def prompt(self, trimmed: Any) -> List[Message]:
        return list(convert_to_openai_messages(trimmed))
