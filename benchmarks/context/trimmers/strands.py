"""Strands: SlidingWindowConversationManager, by default 40 messages.

It counts no tokens. A prompt over the budget is taken for one that the provider
refuses: its manager is then asked to reduce it, until it fits.
"""

from __future__ import annotations

import copy
import json
from types import SimpleNamespace
from typing import Any, Dict, List

from strands.agent.conversation_manager import SlidingWindowConversationManager
from strands.types.exceptions import ContextWindowOverflowException

from benchmarks.context.trimmers.base import REPLY, Costs, Message, Trimmer


class System(Trimmer):
    def __init__(self, cost: Any, budget: int) -> None:
        super().__init__(cost, budget)
        # What the provider counts takes no time here.
        self._billed = Costs(remembered=True)
        self._manager = SlidingWindowConversationManager()
        self._agent: Any = SimpleNamespace(messages=[])
        self._kept: List[Dict[str, Any]] = []

    def add(self, messages: List[Message]) -> None:
        for message in messages:
            if message["role"] == "system":
                # An agent holds its system prompt apart.
                self.history.append(message)
            else:
                self._add(message)
        self._kept = copy.deepcopy(self._agent.messages)

    def _add(self, message: Message) -> None:
        held = self._agent.messages
        native = _native(message)
        if message["role"] == "tool" and "toolResult" in held[-1]["content"][-1]:
            held[-1]["content"] += native["content"]
        else:
            held.append(native)

    def trim(self) -> Any:
        self._manager.apply_management(self._agent)
        overflow = ContextWindowOverflowException()
        while self._tokens() > self.budget:
            self._manager.reduce_context(self._agent, overflow)
        return self._agent.messages

    def _tokens(self) -> int:
        return REPLY + sum(map(self._billed, self.prompt(self._agent.messages)))

    def prompt(self, trimmed: Any) -> List[Message]:
        found = list(self.history)
        for native in trimmed:
            found += _chat_messages(native)
        return found

    def renew(self) -> None:
        self._agent.messages = copy.deepcopy(self._kept)


def _native(message: Message) -> Dict[str, Any]:
    if message["role"] == "tool":
        result = {
            "toolUseId": message["tool_call_id"],
            "status": "success",
            "content": [{"text": message["content"]}],
        }
        return {"role": "user", "content": [{"toolResult": result}]}
    blocks: List[Dict[str, Any]] = []
    if message["content"]:
        blocks.append({"text": message["content"]})
    for call in message.get("tool_calls", ()):
        function = call["function"]
        use = {
            "toolUseId": call["id"],
            "name": function["name"],
            "input": json.loads(function["arguments"]),
        }
        blocks.append({"toolUse": use})
    return {"role": message["role"], "content": blocks}


def _chat_messages(native: Dict[str, Any]) -> List[Message]:
    texts = [block["text"] for block in native["content"] if "text" in block]
    calls = [
        _call(block["toolUse"]) for block in native["content"] if "toolUse" in block
    ]
    results = [
        {
            "role": "tool",
            "tool_call_id": block["toolResult"]["toolUseId"],
            "content": "".join(part["text"] for part in block["toolResult"]["content"]),
        }
        for block in native["content"]
        if "toolResult" in block
    ]
    if not texts and not calls:
        return results
    message = {"role": native["role"], "content": "".join(texts)}
    return [{**message, "tool_calls": calls} if calls else message, *results]


def _call(use: Dict[str, Any]) -> Dict[str, Any]:
    function = {"name": use["name"], "arguments": json.dumps(use["input"])}
    return {"id": use["toolUseId"], "type": "function", "function": function}
