"""Refuse messages of which no provider could be told what they mean."""

from __future__ import annotations

from typing import Any, List, Tuple, Union

from contextstore.context.arguments import checked_entries
from contextstore.context.kinds import CALLS, IMAGES, TEXTS
from contextstore.errors import InvalidInputError
from contextstore.messages import Message, copy_json

__all__ = [
    "copies_in_shape",
    "is_message_without_role",
    "system_texts",
    "text_block",
]


def copies_in_shape(messages: Any) -> List[Message]:
    """Return copies of messages whose calls and parts can be read.

    Raises:
        InvalidInputError: with the path of the first fault, such as
            ``messages[3].tool_calls[0].function``.
    """
    copies: List[Message] = []
    for at, message in enumerate(checked_entries(messages)):
        path = f"messages[{at}]"
        copied = copy_json(message, path)
        _check_message(copied, path)
        copies.append(copied)
    return copies


def system_texts(system: Any) -> List[str]:
    """Return the texts of Anthropic's ``system``: a text, or blocks of text."""
    if system is None or isinstance(system, str):
        return [system] if system else []
    _check(system, list, "system", "a text or a list of blocks")
    texts: List[str] = []
    for at, block in enumerate(system):
        _check(block, dict, f"system[{at}]", "an object")
        _check(block.get("text"), str, f"system[{at}].text", "a text")
        texts.append(copy_json(block["text"], f"system[{at}].text"))
    return texts


def text_block(text: str) -> Message:
    """Return a part of content that is a text, as both providers have it."""
    return {"type": "text", "text": text}


def is_message_without_role(item: Message, kind: str) -> bool:
    """Tell whether something of a type says what nobody else would: the user, then.

    Thoughts and calls may have a content too, which is not for the other provider.
    """
    is_put_out = kind == "reasoning" or kind.endswith(("_call", "_call_output"))
    return item.get("content") is not None and not is_put_out


def _check_message(message: Message, path: str) -> None:
    for field in ("role", "type"):
        if message.get(field) is not None:
            _check(message[field], str, f"{path}.{field}", "a text")
    # Those of any other role no provider is shown.
    if message.get("role") == "assistant" and message.get("tool_calls") is not None:
        _check_calls(message["tool_calls"], f"{path}.tool_calls")
    if message.get("function_call") is not None:
        _check_called(message["function_call"], f"{path}.function_call")
    if "role" not in message and message.get("type") in CALLS:
        _check_called(message, path)
    _check_parts(message.get("content"), f"{path}.content")
    if "role" not in message:
        _check_parts(message.get("output"), f"{path}.output")


def _check_calls(calls: Any, path: str) -> None:
    _check(calls, list, path, "a list of calls")
    for at, call in enumerate(calls):
        here = f"{path}[{at}]"
        _check(call, dict, here, "an object")
        kind = "custom" if "custom" in call else "function"
        _check_called(call.get(kind), f"{here}.{kind}")


def _check_called(called: Any, path: str) -> None:
    _check(called, dict, path, "an object")
    _check(called.get("name"), str, f"{path}.name", "a text")
    for field in ("arguments", "input"):
        if called.get(field) is not None:
            named = "an object, or a text"
            _check(called[field], (dict, str), f"{path}.{field}", named)


def _check_parts(content: Any, path: str) -> None:
    if not isinstance(content, list):
        return
    for at, part in enumerate(content):
        if isinstance(part, dict):
            _check_part(part, f"{path}[{at}]")


def _check_part(part: Message, path: str) -> None:
    kind = part.get("type")
    if kind is not None:
        _check(kind, str, f"{path}.type", "a text")
    if kind in TEXTS:
        _check(part.get("text"), str, f"{path}.text", "a text")
    elif kind in IMAGES and kind != "image":
        inner = part.get("image_url")
        url = inner.get("url") if isinstance(inner, dict) else inner
        _check(url, str, f"{path}.image_url", "the URL of an image, or has one")
    elif kind == "tool_use":
        _check_called(part, path)
    elif kind == "tool_result":
        _check_parts(part.get("content"), f"{path}.content")


def _check(
    value: Any, wanted: Union[type, Tuple[type, ...]], path: str, named: str
) -> None:
    if not isinstance(value, wanted):
        raise InvalidInputError(
            f"{path} is of type {type(value).__name__}; it has to be {named}", path=path
        )
