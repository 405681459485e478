"""LlamaIndex: Memory, which drops messages as new ones come in.

What is timed is to add a question of the user and to get the messages.
"""

from __future__ import annotations

import asyncio
from typing import Any, List

import tiktoken
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import Memory

from benchmarks.context.trimmers.base import MODEL, Message, Trimmer


class System(Trimmer):
    def __init__(self, cost: Any, budget: int) -> None:
        super().__init__(cost, budget)
        self._loop = asyncio.new_event_loop()
        self._memory = Memory.from_defaults(
            token_limit=budget,
            tokenizer_fn=tiktoken.encoding_for_model(MODEL).encode_ordinary,
        )
        self._waiting: List[ChatMessage] = []

    def add(self, messages: List[Message]) -> None:
        for message in messages:
            # It keeps what it does not know itself, such as tool calls, as it is.
            native = ChatMessage(
                role=message["role"],
                content=message["content"],
                additional_kwargs={"place": len(self.history)},
            )
            self.history.append(message)
            self._waiting.append(native)
        *earlier, newest = self._waiting
        if earlier:
            self._run(self._memory.aput_messages(earlier))
        self._waiting = [newest]

    def trim(self) -> Any:
        self._run(self._memory.aput_messages(self._waiting))
        self._waiting = []
        return self._run(self._memory.aget())

    def prompt(self, trimmed: Any) -> List[Message]:
        return [self.history[native.additional_kwargs["place"]] for native in trimmed]

    def renew(self) -> None:
        self.add([{"role": "user", "content": "And what of that?"}])

    def _run(self, work: Any) -> Any:
        return self._loop.run_until_complete(work)
