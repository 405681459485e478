"""Turn stored messages into what each provider's API takes, from any of their shapes.

Texts, images, tool calls and tool results come through, in order, whichever way. What
one of the APIs has no place for does not: fields of the store, the names of speakers
and thoughts; and messages that had to be joined for Anthropic stay joined.
"""

from __future__ import annotations

import json
import re
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Union

from contextstore.context.shapes import copies_in_shape, system_texts
from contextstore.messages import Message

__all__ = ["to_anthropic", "to_openai"]

Json = Dict[str, Any]

# Anthropic's API wants the user to begin. This stands in where older messages were cut.
OPENING = "(The conversation goes on.)"

_CHAT_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_CHAT_FIELDS = (
    *("role", "content", "name", "tool_calls", "tool_call_id"),
    *("function_call", "refusal", "audio"),
)
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_-]")
_NOT_IN_A_CHAT_NAME = re.compile(r"[\s<|\\/>]")
_DATA_URL = re.compile(r"data:([^;,]+);base64,(.*)", re.DOTALL)
_TEXTS = ("text", "input_text", "output_text")


def to_openai(messages: Union[Sequence[Message], Json]) -> List[Json]:
    """Return messages as OpenAI's chat API takes them.

    Results follow their calls directly; names are made legal for the API.

    Args:
        messages: stored messages of any shape, or what ``to_anthropic`` returned.

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
    return bool(message.get("content") == [_text_block(OPENING)])


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
        return [_text_block(content)] if content else []
    return content or []


def _to_chat(message: Message) -> Iterator[Json]:
    kind = message.get("type")
    if "role" not in message and isinstance(kind, str):
        yield from _item_to_chat(message, kind)
        return
    content = message.get("content")
    kinds = {_kind(part) for part in content} if isinstance(content, list) else set()
    if message.get("role") == "assistant" and kinds & {"tool_use", "thinking"}:
        yield _assistant_to_chat(message)
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
    content = kept.get("content")
    if isinstance(content, list):
        kept["content"] = [_chat_part(part) for part in content]
    elif not isinstance(content, str) and not (is_assistant and content is None):
        kept["content"] = _plain_text(content)
    if isinstance(kept.get("name"), str):
        kept["name"] = _NOT_IN_A_CHAT_NAME.sub("_", kept["name"])[:64] or "_"
    return kept


def _kind(part: Any) -> Any:
    return part.get("type") if isinstance(part, dict) else None


def _item_to_chat(item: Message, kind: str) -> Iterator[Json]:
    if kind in ("function_call", "custom_tool_call"):
        arguments = item.get("arguments", item.get("input", ""))
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


def _chat_call(call_id: Any, name: Any, arguments: Any) -> Json:
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def _assistant_to_chat(message: Message) -> Json:
    texts: List[Json] = []
    calls: List[Json] = []
    for part in message["content"]:
        if _kind(part) == "tool_use":
            arguments = json.dumps(part.get("input", {}), ensure_ascii=False)
            calls.append(_chat_call(part.get("id"), part.get("name"), arguments))
        elif _kind(part) not in ("thinking", "redacted_thinking"):
            texts.append(_chat_part(part))
    converted: Json = {"role": "assistant", "content": _unwrapped(texts)}
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
    if _kind(part) in _TEXTS:
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
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        return "\n".join(text for text in texts if isinstance(text, str))
    return "" if content is None else json.dumps(content, ensure_ascii=False)


def to_anthropic(messages: Sequence[Message]) -> Json:
    """Return messages as Anthropic's API takes them: ``create(**to_anthropic(...))``.

    System and developer messages become ``system``; messages of one role in a row are
    joined; results come first in their message; ids of calls are made unique, and legal
    for the API. Where the first message is not the user's, a short one is put before.

    Args:
        messages: stored messages of any shape, such as those of a build.

    Raises:
        InvalidInputError: it is no list of messages, or one has calls or parts that
            cannot be read, with the path of that.
    """
    links = _Links()
    system: List[Json] = []
    turns: List[Json] = []
    for message in copies_in_shape(messages):
        if message.get("role") in ("system", "developer"):
            system.extend(map(_as_text, _blocks_of(message.get("content"))))
            continue
        role, blocks = _turn(message, links)
        if blocks and turns and turns[-1]["role"] == role:
            turns[-1]["content"].extend(blocks)
        elif blocks:
            turns.append({"role": role, "content": blocks})
    if turns and turns[0]["role"] == "assistant":
        turns.insert(0, {"role": "user", "content": [_text_block(OPENING)]})
    for turn in turns:
        turn["content"].sort(key=_comes_later)
    _trim_end(turns)
    return {"system": system, "messages": turns} if system else {"messages": turns}


def _as_text(block: Json) -> Json:
    """Return a block that ``system`` takes: it has no place for images and the like."""
    return block if block["type"] == "text" else _text_block(f"[{block['type']}]")


def _comes_later(block: Json) -> bool:
    return bool(block["type"] != "tool_result")


class _Links:
    """Give calls ids that are unique and legal, and results the ids of their calls."""

    def __init__(self) -> None:
        self._used: Set[str] = set()
        self._open: Dict[str, List[str]] = {}

    def call(self, call_id: Any) -> str:
        """Return the id for a call."""
        legal = _NOT_IN_A_NAME.sub("_", str(call_id)) or "call"
        unique, number = legal, 1
        while unique in self._used:
            number += 1
            unique = f"{legal}_{number}"
        self._used.add(unique)
        self._open.setdefault(str(call_id), []).append(unique)
        return unique

    def result(self, call_id: Any) -> Optional[str]:
        """Return the id for a result: that of the oldest call waiting, or None."""
        waiting = self._open.get(str(call_id))
        return waiting.pop(0) if waiting else None


def _turn(message: Message, links: _Links) -> Any:
    """Return role and blocks of a message."""
    role, kind = message.get("role"), message.get("type")
    if role is None and isinstance(kind, str):
        return _item_turn(message, kind, links)
    if role == "tool":
        call_id = message.get("tool_call_id")
        return "user", _result(call_id, message.get("content"), links)
    blocks = _blocks_of(message.get("content"), links)
    if role != "assistant":
        return "user", blocks
    for call in message.get("tool_calls") or ():
        inner = call["custom"] if "custom" in call else call["function"]
        arguments = inner.get("arguments", inner.get("input"))
        blocks.append(_use(call.get("id"), inner["name"], arguments, links))
    legacy = message.get("function_call")
    if isinstance(legacy, dict):
        blocks.append(_text_block(f"[called {legacy.get('name')}]"))
    if message.get("refusal"):
        blocks.append(_text_block(str(message["refusal"])))
    return "assistant", blocks


def _item_turn(item: Message, kind: str, links: _Links) -> Any:
    if kind in ("function_call", "custom_tool_call"):
        arguments = item.get("arguments", item.get("input"))
        use = _use(item.get("call_id"), item.get("name"), arguments, links)
        return "assistant", [use]
    if kind.endswith("_call_output"):
        return "user", _result(item.get("call_id"), item.get("output"), links)
    return "assistant", []


def _use(call_id: Any, name: Any, arguments: Any, links: _Links) -> Json:
    return {
        "type": "tool_use",
        "id": links.call(call_id),
        "name": _NOT_IN_A_NAME.sub("_", str(name))[:128] or "tool",
        "input": _input(arguments),
    }


def _input(arguments: Any) -> Json:
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}", parse_constant=_no_json)
        except (ValueError, RecursionError):
            return {"arguments": arguments}
    return arguments if isinstance(arguments, dict) else {"arguments": arguments}


def _no_json(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _result(call_id: Any, content: Any, links: _Links) -> List[Json]:
    known = links.result(call_id)
    result: Json = {"type": "tool_result", "tool_use_id": known or str(call_id)}
    blocks = _blocks_of(content)
    if blocks:
        result["content"] = blocks
    return [result]


def _text_block(text: str) -> Json:
    return {"type": "text", "text": text}


def _blocks_of(content: Any, links: Optional[_Links] = None) -> List[Json]:
    """Return the blocks of a content; empty texts, which the API refuses, left out."""
    if content is None:
        return []
    parts: Iterable[Any] = content if isinstance(content, list) else [content]
    return [block for part in parts for block in _block(part, links)]


def _block(part: Any, links: Optional[_Links]) -> Iterator[Json]:
    if not isinstance(part, dict):
        text = part if isinstance(part, str) else json.dumps(part, ensure_ascii=False)
        part = _text_block(text)
    kind = part.get("type")
    if kind in _TEXTS or kind == "refusal":
        text = str(part.get("text", part.get("refusal")) or "")
        if text.strip():
            yield {**_text_block(text), **_marks(part)}
    elif kind in ("image_url", "input_image"):
        yield _image(part)
    elif kind == "tool_use" and links is not None:
        yield {**part, "id": links.call(part.get("id"))}
    elif kind == "tool_result" and links is not None:
        known = links.result(part.get("tool_use_id"))
        yield {**part, "tool_use_id": known or str(part.get("tool_use_id"))}
    elif kind in ("input_audio", "file", "input_file"):
        yield _text_block(f"[{kind}]")
    elif isinstance(kind, str):
        yield dict(part)
    else:
        yield _text_block(json.dumps(part, ensure_ascii=False))


def _marks(part: Json) -> Json:
    return {name: part[name] for name in ("cache_control", "citations") if name in part}


def _image(part: Json) -> Json:
    inner = part.get("image_url")
    url = str(inner.get("url") if isinstance(inner, dict) else inner)
    data = _DATA_URL.match(url)
    source: Json = {"type": "url", "url": url}
    if data is not None:
        source = {"type": "base64", "media_type": data[1], "data": data[2]}
    return {"type": "image", "source": source}


def _trim_end(turns: List[Json]) -> None:
    """Take white space off the end of a final text of the assistant."""
    if turns and turns[-1]["role"] == "assistant":
        block = turns[-1]["content"][-1]
        if block["type"] == "text":
            turns[-1]["content"][-1] = {**block, "text": block["text"].rstrip()}
