"""Turn stored messages into what OpenAI's chat API takes, from any of their shapes.

Texts, images, tool calls and tool results come through, in order. What the API has no
place for does not: fields of the store and thoughts.
"""

from __future__ import annotations

import json
import re
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Union

from contextstore.context.as_anthropic import OPENING
from contextstore.context.kinds import CALLS, IMAGES, TEXTS, THOUGHTS
from contextstore.context.shapes import (
    copies_in_shape,
    is_message_without_role,
    system_texts,
    text_block,
)
from contextstore.messages import Message

__all__ = ["to_openai"]

Json = Dict[str, Any]

_CHAT_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_CHAT_FIELDS = (
    *("role", "content", "name", "tool_calls", "tool_call_id"),
    *("function_call", "refusal", "audio"),
)
_NOT_IN_CHAT = {"tool_use", *THOUGHTS}
_SAYS = ("content", "tool_calls", "function_call", "refusal", "audio")
_NOT_IN_A_CHAT_NAME = re.compile(r"[\s<|\\/>]")


def to_openai(messages: Union[Sequence[Message], Json]) -> List[Any]:
    """Return messages as OpenAI's chat API takes them.

    Results follow their calls directly; names are made legal for the API.

    Args:
        messages: stored messages of any shape, or what ``to_anthropic`` returned.

    Returns:
        A list of dicts; of any type to a type checker, as the client of OpenAI takes
        no others than its own.

    Raises:
        InvalidInputError: it is no list of messages, or one has calls or parts that
            cannot be read, with the path of that.
    """
    if not isinstance(messages, dict):
        return _chat_of(copies_in_shape(messages))
    texts = system_texts(messages.get("system"))
    opening: List[Json] = [{"role": "system", "content": text} for text in texts]
    said = copies_in_shape(messages.get("messages"))
    chat = _chat_of([message for message in said if not _is_opening(message)])
    return opening + [_with_bare_text(message) for message in chat]


def _chat_of(messages: Iterable[Message]) -> List[Json]:
    chat: List[Json] = []
    for message in messages:
        for converted in _to_chat(message):
            _append_chat(chat, converted)
    return chat


def _is_opening(message: Message) -> bool:
    return bool(message.get("content") == [text_block(OPENING)])


def _with_bare_text(message: Json) -> Json:
    """Write a content of one text as that text, as it mostly was before conversion."""
    content = message.get("content")
    if isinstance(content, list):
        return {**message, "content": _unwrapped(content)}
    return message


def _append_chat(chat: List[Json], message: Json) -> None:
    """Append a message; what the assistant says before its results come is joined."""
    item = message.pop("_item", False)
    if message.get("role") == "tool":
        chat.insert(_place_of_result(chat), message)
        return
    last = chat[-1] if chat else {}
    speaks_on = last.get("role") == message.get("role") == "assistant"
    if speaks_on and (item or last.get("tool_calls")):
        chat[-1] = _joined(last, message)
    else:
        chat.append(message)


def _place_of_result(chat: List[Json]) -> int:
    """Return where a result goes: before what the user said among the results."""
    place = len(chat)
    while place and chat[place - 1].get("role") == "user":
        place -= 1
    before = chat[place - 1] if place else {}
    if before.get("role") == "tool" or before.get("tool_calls"):
        return place
    return len(chat)


def _joined(first: Json, second: Json) -> Json:
    calls = [*first.get("tool_calls", ()), *second.get("tool_calls", ())]
    parts = [*_parts(first.get("content")), *_parts(second.get("content"))]
    return {**first, "content": _unwrapped(parts), "tool_calls": calls}


def _parts(content: Any) -> List[Json]:
    if isinstance(content, str):
        return [text_block(content)] if content else []
    return content or []


def _to_chat(message: Message) -> Iterator[Json]:
    kind = message.get("type")
    if "role" not in message and isinstance(kind, str):
        yield from _item_to_chat(message, kind)
        return
    content = message.get("content")
    kinds = {_kind(part) for part in content} if isinstance(content, list) else set()
    if message.get("role") == "assistant" and kinds & _NOT_IN_CHAT:
        converted = _assistant_to_chat(message)
        # Where there were thoughts alone, nothing is left that could be sent.
        if any(converted.get(field) for field in _SAYS):
            yield converted
    elif message.get("role") == "user" and "tool_result" in kinds:
        yield from _results_to_chat(message["content"])
    else:
        yield _chat_message(message)


def _chat_message(message: Message) -> Json:
    """Return a message of the chat API with nothing in it that this refuses."""
    kept = {name: message[name] for name in _CHAT_FIELDS if name in message}
    if kept.get("role") not in _CHAT_ROLES:
        kept["role"] = "user"
    is_assistant = kept["role"] == "assistant"
    if not (is_assistant and kept.get("tool_calls")):
        kept.pop("tool_calls", None)
    if "tool_calls" in kept:
        kept["tool_calls"] = [_with_texts(call) for call in kept["tool_calls"]]
    if kept.get("function_call") is not None:
        kept["function_call"] = _with_text(kept["function_call"], "arguments")
    content = kept.get("content")
    is_result = kept["role"] in ("tool", "function")
    if isinstance(content, list) and not (is_result and not _are_texts(content)):
        kept["content"] = [_chat_part(part) for part in content]
    elif not isinstance(content, str) and not (is_assistant and content is None):
        kept["content"] = _plain_text(content)
    if isinstance(kept.get("name"), str):
        kept["name"] = _NOT_IN_A_CHAT_NAME.sub("_", kept["name"])[:64] or "_"
    return kept


def _with_texts(call: Json) -> Json:
    """Return a call with a type, and with its arguments as a text."""
    if "custom" in call:
        return {"type": "custom", **call, "custom": _with_text(call["custom"], "input")}
    called = _with_text(call["function"], "arguments")
    return {"type": "function", **call, "function": called}


def _with_text(called: Json, field: str) -> Json:
    return {**called, field: _argument_text(called.get(field))}


def _argument_text(arguments: Any) -> str:
    """Return arguments as JSON text, which they are in most shapes already."""
    if isinstance(arguments, str):
        return arguments
    return json.dumps(arguments or {}, ensure_ascii=False)


def _are_texts(parts: List[Any]) -> bool:
    return all(_kind(part) in TEXTS for part in parts)


def _kind(part: Any) -> Any:
    return part.get("type") if isinstance(part, dict) else None


def _item_to_chat(item: Message, kind: str) -> Iterator[Json]:
    if kind in CALLS:
        arguments = _argument_text(item.get("arguments", item.get("input")))
        call = _chat_call(item.get("call_id"), item.get("name"), arguments)
        # An item belongs to the message of the same response, where there is one.
        yield {
            "role": "assistant",
            "content": None,
            "tool_calls": [call],
            "_item": True,
        }
    elif kind.endswith("_call_output"):
        output = _plain_text(item.get("output"))
        call_id = item.get("call_id")
        yield {"role": "tool", "tool_call_id": call_id, "content": output}
    elif is_message_without_role(item, kind):
        yield from _to_chat({**item, "role": "user"})


def _chat_call(call_id: Any, name: Any, arguments: Any) -> Json:
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def _assistant_to_chat(message: Message) -> Json:
    texts: List[Json] = []
    calls: List[Json] = []
    for part in message["content"]:
        if _kind(part) == "tool_use":
            arguments = _argument_text(part.get("input"))
            calls.append(_chat_call(part.get("id"), part.get("name"), arguments))
        elif _kind(part) not in THOUGHTS:
            texts.append(_chat_part(part))
    converted = _chat_message({**message, "content": None})
    made = [call["id"] for call in calls]
    # Some libraries write a call down in both shapes.
    calls += [c for c in converted.get("tool_calls", ()) if c.get("id") not in made]
    converted["content"] = _unwrapped(texts)
    if calls:
        converted["tool_calls"] = calls
    return converted


def _results_to_chat(parts: List[Any]) -> Iterator[Json]:
    others: List[Json] = []
    for part in parts:
        if _kind(part) == "tool_result":
            text = _plain_text(part.get("content"))
            call_id = part.get("tool_use_id")
            yield {"role": "tool", "tool_call_id": call_id, "content": text}
        else:
            others.append(_chat_part(part))
    if others:
        yield {"role": "user", "content": _unwrapped(others)}


def _unwrapped(parts: List[Json]) -> Union[str, List[Json], None]:
    """Return parts as content: one text on its own is that text."""
    if not parts:
        return None
    if len(parts) == 1 and parts[0].get("type") == "text":
        return str(parts[0]["text"])
    return parts


def _chat_part(part: Any) -> Json:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if _kind(part) in TEXTS:
        return {"type": "text", "text": part["text"]}
    if _kind(part) == "input_image":
        inner = part["image_url"]
        image = inner if isinstance(inner, dict) else {"url": inner}
        return {"type": "image_url", "image_url": image}
    url = _url_of(part.get("source")) if _kind(part) == "image" else None
    if url is not None:
        return {"type": "image_url", "image_url": {"url": url}}
    return dict(part) if isinstance(part, dict) else {"type": "text", "text": str(part)}


def _url_of(source: Any) -> Optional[str]:
    """Return the URL of an image of Anthropic's shape; a stored file has none."""
    if not isinstance(source, dict):
        return None
    if isinstance(source.get("data"), str):
        return f"data:{source.get('media_type')};base64,{source['data']}"
    url = source.get("url")
    return url if isinstance(url, str) else None


def _plain_text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(map(_text_of_part, content))
    return "" if content is None else json.dumps(content, ensure_ascii=False)


def _text_of_part(part: Any) -> str:
    """Return a part as text: results have no place for images, so ``[image]``."""
    if isinstance(part, str):
        return part
    kind = _kind(part)
    text = part.get("text") if isinstance(part, dict) else None
    if isinstance(text, str):
        return text
    if isinstance(kind, str):
        return "[image]" if kind in IMAGES else f"[{kind}]"
    return json.dumps(part, ensure_ascii=False)
