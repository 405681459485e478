"""Microsoft Agent Framework: TruncationStrategy, from the budget down to half of it.

Its tokenizer is given the JSON text of each message, and is exact for that.
"""

from __future__ import annotations

from typing import Any, List

import tiktoken
from agent_framework import Content, TruncationStrategy, apply_compaction
from agent_framework import Message as Native
from agent_framework._compaction import set_excluded

from benchmarks.context.trimmers.base import MODEL, Message, Trimmer, finish


class System(Trimmer):
    share_kept = 0.5

    def __init__(self, cost: Any, budget: int) -> None:
        super().__init__(cost, budget)
        self._tokenizer = _Tokenizer()

    def add(self, messages: List[Message]) -> None:
        self.history += map(_native, messages)

    def trim(self) -> Any:
        strategy = TruncationStrategy(
            max_n=self.budget,
            compact_to=int(self.budget * self.share_kept),
            tokenizer=self._tokenizer,
        )
        return finish(
            apply_compaction(self.history, strategy=strategy, tokenizer=self._tokenizer)
        )

    def prompt(self, trimmed: Any) -> List[Message]:
        return [message for native in trimmed for message in _chat_messages(native)]

    def renew(self) -> None:
        for native in self.history:
            set_excluded(native, excluded=False)


class _Tokenizer:
    def __init__(self) -> None:
        self._encode = tiktoken.encoding_for_model(MODEL).encode_ordinary

    def count_tokens(self, text: str) -> int:
        return len(self._encode(text))


def _native(message: Message) -> Native:
    if message["role"] == "tool":
        call_id, text = message["tool_call_id"], message["content"]
        return Native("tool", [Content.from_function_result(call_id, result=text)])
    contents = [Content.from_text(message["content"])] if message["content"] else []
    contents += [
        Content.from_function_call(
            call["id"],
            call["function"]["name"],
            arguments=call["function"]["arguments"],
        )
        for call in message.get("tool_calls", ())
    ]
    return Native(message["role"], contents)


def _chat_messages(native: Native) -> List[Message]:
    if native.role == "tool":
        return [
            {"role": "tool", "tool_call_id": part.call_id, "content": part.result}
            for part in native.contents
        ]
    calls = [
        {
            "id": part.call_id,
            "type": "function",
            "function": {"name": part.name, "arguments": part.arguments},
        }
        for part in native.contents
        if part.type == "function_call"
    ]
    message: Message = {"role": native.role, "content": native.text}
    return [{**message, "tool_calls": calls} if calls else message]
