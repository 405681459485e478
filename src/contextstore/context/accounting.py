"""Say what a message costs: texts, names, tool calls, tool definitions, images.

The rules are OpenAI's published ones (cookbook, "How to count tokens with tiktoken")
and, for functions, those measured by openai-chat-tokens. Messages of other shapes, such
as Anthropic's blocks, are counted by the same rules, text for text.
"""

from __future__ import annotations

import json
from typing import Any, Callable, Dict, Optional, Sequence

from contextstore.context.images import has_known_price, image_tokens
from contextstore.context.kinds import IMAGES
from contextstore.context.models import ModelProfile
from contextstore.context.tokenizers import Tokenizer
from contextstore.context.toolschema import tools_as_typescript
from contextstore.messages import Message

__all__ = ["Accounting"]

# Measured by openai-chat-tokens.
_TOOLS = 9
_TOOLS_WITH_SYSTEM = -4
_CALL = 3
_FUNCTION_ROLE = -2
_CHOICE_NONE = 1
_CHOICE_FUNCTION = 4
_CHOICE_TOOL = 7

_DEFAULT_PROFILE = ModelProfile("")


class Accounting:
    """Count prompts and messages for one tokenizer.

    Attributes:
        count: the tokens of a text.
        approximate: True where the counts of texts are estimates.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.count: Callable[[str], int] = tokenizer.count
        self.approximate = tokenizer.approximate
        self._profile: ModelProfile = getattr(tokenizer, "profile", _DEFAULT_PROFILE)
        self._known_roles: Dict[Any, int] = {
            role: self._profile.per_message + self.count(role) for role in _ROLES
        }
        self._known_roles["function"] += _FUNCTION_ROLE

    def prompt(
        self,
        messages: Sequence[Message],
        tools: Optional[Sequence[Dict[str, Any]]] = None,
        tool_choice: Any = None,
    ) -> int:
        """Return the tokens of a whole prompt; one without messages has none."""
        if not messages:
            return 0
        return self.frame(messages, tools, tool_choice) + sum(
            map(self.message, messages)
        )

    def is_approximate(self, messages: Sequence[Message]) -> bool:
        """Tell whether the tokens of a prompt of these messages are an estimate."""
        if self.approximate:
            return True
        # Most contents are texts, and a build asks this of all that it keeps.
        others = [m for m in messages if type(m.get("content")) is not str]
        return any(map(self._has_estimate, others))

    def _has_estimate(self, message: Message) -> bool:
        content = message.get("content")
        if content is not None and self._is_estimate(content):
            return True
        # What a model thought is billed, but only its provider can read it.
        return "role" not in message and (
            bool(message.get("encrypted_content"))
            or self._is_estimate(message.get("output"))
        )

    def _is_estimate(self, content: Any) -> bool:
        """Tell whether a part, or one of a list of them, has no known price."""
        if isinstance(content, list):
            return any(self._is_estimate(p) for p in content if isinstance(p, dict))
        if not isinstance(content, dict):
            return False
        kind = content.get("type")
        if kind == "tool_result":
            return self._is_estimate(content.get("content"))
        if kind in IMAGES:
            return not has_known_price(content, self._profile)
        return kind in _UNPRICED

    def frame(
        self,
        messages: Sequence[Message],
        tools: Optional[Sequence[Dict[str, Any]]] = None,
        tool_choice: Any = None,
    ) -> int:
        """Return what a prompt costs beside its messages: priming, tools, choice."""
        tokens = self._profile.priming + self._choice(tool_choice)
        if not tools:
            return tokens
        text = tools_as_typescript(tools)
        tokens += self.count(text) + _TOOLS
        for message in messages:
            if message.get("role") == "system":
                return tokens + _TOOLS_WITH_SYSTEM + self._line_end(message)
        return tokens

    def _line_end(self, system: Message) -> int:
        """Return what a line end after the first system message adds."""
        content = system.get("content")
        if not isinstance(content, str):
            return self.count("\n")
        return self.count(content + "\n") - self.count(content)

    def _choice(self, choice: Any) -> int:
        if choice == "none":
            return _CHOICE_NONE
        if not isinstance(choice, dict):
            return 0
        if isinstance(choice.get("function"), dict):
            return _CHOICE_TOOL + self._text(choice["function"].get("name"))
        return _CHOICE_FUNCTION + self._text(choice.get("name"))

    def message(self, message: Message) -> int:
        """Return the tokens of one message; fields that no provider reads are free."""
        try:
            tokens = self._known_roles[message["role"]]
        except (KeyError, TypeError):
            tokens = self._other_role(message.get("role"))
        content = message.get("content")
        if type(content) is str:
            tokens += self.count(content)
        elif content is not None:
            tokens += self.content(content)
        if not _OTHER_FIELDS.isdisjoint(message):
            tokens += self._other_fields(message)
        return tokens

    def _other_role(self, role: Any) -> int:
        text = role if isinstance(role, str) else ""
        return self._profile.per_message + self.count(text)

    def _other_fields(self, message: Message) -> int:
        tokens = 0
        if message.get("name") and "call_id" not in message:
            tokens += self._text(message["name"]) + self._profile.per_name
        if isinstance(message.get("function_call"), dict):
            tokens += self._call(message["function_call"])
        if isinstance(message.get("tool_calls"), list):
            tokens += sum(map(self._tool_call, message["tool_calls"]))
        tokens += self._text(message.get("refusal"))
        if "role" not in message and "type" in message:
            tokens += self._item(message)
        return tokens

    def _tool_call(self, call: Any) -> int:
        if not isinstance(call, dict):
            return self._text(call)
        inner = call.get("function", call.get("custom"))
        return self._call(inner if isinstance(inner, dict) else call)

    def _call(self, call: Dict[str, Any]) -> int:
        arguments = call.get("arguments", call.get("input"))
        return _CALL + self._text(call.get("name")) + self._text(arguments)

    def _item(self, item: Message) -> int:
        """Return the tokens of a Responses item that is no message."""
        if "arguments" in item or "input" in item:
            return self._call(item)
        if "output" in item:
            return self.content(item["output"])
        if "summary" in item:
            return self.content(item["summary"])
        return self._text({key: item[key] for key in item if key not in _FREE_FIELDS})

    def content(self, content: Any) -> int:
        """Return the tokens of a content: a text, a list of parts, or any JSON."""
        if isinstance(content, list):
            return sum(map(self._part, content))
        return self._text(content)

    def _part(self, part: Any) -> int:
        if not isinstance(part, dict):
            return self._text(part)
        kind = part.get("type")
        for field in ("text", "refusal", "thinking"):
            if isinstance(part.get(field), str):
                return self.count(part[field])
        if kind in IMAGES:
            return image_tokens(part, self._profile)
        if kind == "tool_use":
            return self._call(part)
        if kind == "tool_result":
            return self.content(part.get("content"))
        return self._text(part)

    def _text(self, value: Any) -> int:
        """Return the tokens of a text, or of the JSON text of anything else."""
        if isinstance(value, str):
            return self.count(value)
        if value is None:
            return 0
        return self.count(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


_ROLES = ("user", "assistant", "tool", "system", "developer", "function")
# What these cost is not published.
_UNPRICED = (
    *("input_audio", "input_file", "file", "document"),
    *("redacted_thinking", "computer_screenshot"),
)
_OTHER_FIELDS = frozenset(("name", "tool_calls", "function_call", "refusal", "type"))
_FREE_FIELDS = frozenset(("id", "type", "status", "timestamp", "metadata"))
