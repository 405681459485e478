"""LlamaIndex: ChatMemoryBuffer, which counts texts but no tool calls."""

from __future__ import annotations

from typing import Any, List

import tiktoken
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer

from benchmarks.context.trimmers.base import MODEL, Message, Trimmer


class System(Trimmer):
    def __init__(self, cost: Any, budget: int) -> None:
        super().__init__(cost, budget)
        self._encode = tiktoken.encoding_for_model(MODEL).encode_ordinary
        self._given: List[Message] = []

    def add(self, messages: List[Message]) -> None:
        for message in messages:
            # It keeps what it does not know itself, such as tool calls, as it is.
            native = ChatMessage(
                role=message["role"],
                content=message["content"],
                additional_kwargs={"place": len(self._given)},
            )
            self.history.append(native)
            self._given.append(message)

    def trim(self) -> Any:
        memory = ChatMemoryBuffer.from_defaults(
            chat_history=self.history,
            token_limit=self.budget,
            tokenizer_fn=self._encode,
        )
        return memory.get()

    def prompt(self, trimmed: Any) -> List[Message]:
        return [self._given[native.additional_kwargs["place"]] for native in trimmed]
