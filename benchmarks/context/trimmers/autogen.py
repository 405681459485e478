"""AutoGen: TokenLimitedChatCompletionContext, with an exact counter for its client."""

from __future__ import annotations

from typing import Any, List

from autogen_core import FunctionCall
from autogen_core.model_context import TokenLimitedChatCompletionContext
from autogen_core.models import (
    AssistantMessage,
    FunctionExecutionResult,
    FunctionExecutionResultMessage,
    SystemMessage,
    UserMessage,
)

from benchmarks.context.trimmers.base import REPLY, Message, Trimmer, finish


class System(Trimmer):
    def add(self, messages: List[Message]) -> None:
        for message in messages:
            self._add(message)

    def _add(self, message: Message) -> None:
        if message["role"] != "tool":
            self.history.append(_native(message))
            return
        result = FunctionExecutionResult(
            content=message["content"],
            name="search",
            call_id=message["tool_call_id"],
        )
        if self.history[-1].type == "FunctionExecutionResultMessage":
            self.history[-1].content.append(result)
        else:
            self.history.append(FunctionExecutionResultMessage(content=[result]))

    def trim(self) -> Any:
        context = TokenLimitedChatCompletionContext(
            _Client(self), token_limit=self.budget, initial_messages=self.history
        )
        return finish(context.get_messages())

    def prompt(self, trimmed: Any) -> List[Message]:
        return [message for native in trimmed for message in chat_messages(native)]


class _Client:
    """Be the part of a model client that a context asks."""

    def __init__(self, system: System) -> None:
        self._cost = system.cost

    def count_tokens(self, messages: List[Any], *, tools: Any = ()) -> int:
        chat = (message for native in messages for message in chat_messages(native))
        return REPLY + sum(map(self._cost, chat))


def _native(message: Message) -> Any:
    role, content = message["role"], message["content"]
    if role == "system":
        return SystemMessage(content=content)
    if role == "user":
        return UserMessage(content=content, source="user")
    if "tool_calls" in message:
        calls = [
            FunctionCall(
                id=call["id"],
                name=call["function"]["name"],
                arguments=call["function"]["arguments"],
            )
            for call in message["tool_calls"]
        ]
        return AssistantMessage(content=calls, source="assistant")
    return AssistantMessage(content=content, source="assistant")


def chat_messages(native: Any) -> List[Message]:
    """Return what a message of AutoGen is in OpenAI's shape."""
    if native.type == "FunctionExecutionResultMessage":
        return [
            {"role": "tool", "tool_call_id": result.call_id, "content": result.content}
            for result in native.content
        ]
    role = native.type[: -len("Message")].lower()
    if isinstance(native.content, str):
        return [{"role": role, "content": native.content}]
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for call in native.content
    ]
    return [{"role": role, "content": "", "tool_calls": calls}]
