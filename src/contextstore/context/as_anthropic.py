"""Turn stored messages into what Anthropic's API takes, from any of their shapes.

Texts, images, tool calls and tool results come through, in order. What the API has no
place for does not: fields of the store and the names of speakers; and messages that had
to be joined stay joined.
"""

from __future__ import annotations

import json
import re
from collections import deque
from typing import (
    Any,
    Deque,
    Dict,
    Iterable,
    Iterator,
    List,
    Optional,
    Sequence,
    Set,
    Tuple,
)

from contextstore.context.kinds import CALLS, TEXTS, THOUGHTS
from contextstore.context.shapes import (
    copies_in_shape,
    is_message_without_role,
    text_block,
)
from contextstore.messages import Message

__all__ = ["OPENING", "to_anthropic"]

Json = Dict[str, Any]

# Anthropic's API wants the user to begin. This stands in where older messages were cut.
OPENING = "(The conversation goes on.)"

_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_-]")
_DATA_URL = re.compile(r"data:([^;,]+);base64,(.*)", re.DOTALL)


def to_anthropic(messages: Sequence[Message]) -> Json:
    """Return messages as Anthropic's API takes them: ``create(**to_anthropic(...))``.

    System and developer messages become ``system``; messages of one role in a row are
    joined; results come first in their message; ids of calls are made unique, and legal
    for the API. Thoughts at the end of a message, which the API refuses, are left out,
    and so is a message of nothing else. Where the first message is not the user's, a
    short one is put before.

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
        _append(turns, *_turn(message, links))
    turns = _without_last_thoughts(turns)
    if turns and turns[0]["role"] == "assistant":
        turns.insert(0, {"role": "user", "content": [text_block(OPENING)]})
    for turn in turns:
        turn["content"].sort(key=_comes_later)
    _trim_end(turns)
    return {"system": system, "messages": turns} if system else {"messages": turns}


def _append(turns: List[Json], role: str, blocks: List[Json]) -> None:
    """Append blocks to the last turn if that is of the same role, or as a new one."""
    if blocks and turns and turns[-1]["role"] == role:
        turns[-1]["content"].extend(blocks)
    elif blocks:
        turns.append({"role": role, "content": blocks})


def _without_last_thoughts(turns: List[Json]) -> List[Json]:
    """Return turns of which none of the assistant's ends with a thought."""
    kept: List[Json] = []
    for turn in turns:
        blocks = turn["content"]
        while turn["role"] == "assistant" and blocks and _is_thought(blocks[-1]):
            blocks = blocks[:-1]
        _append(kept, turn["role"], blocks)
    return kept


def _is_thought(block: Json) -> bool:
    return block["type"] in THOUGHTS


def _as_text(block: Json) -> Json:
    """Return a block that ``system`` takes: it has no place for images and the like."""
    return block if block["type"] == "text" else text_block(f"[{block['type']}]")


def _comes_later(block: Json) -> bool:
    return bool(block["type"] != "tool_result")


class _Links:
    """Give calls ids that are unique and legal, and results the ids of their calls."""

    def __init__(self) -> None:
        self._used: Set[str] = set()
        # The last number tried for an id: none before it becomes free again.
        self._numbers: Dict[str, int] = {}
        self._open: Dict[str, Deque[str]] = {}

    def call(self, call_id: Any) -> str:
        """Return the id for a call."""
        legal = _NOT_IN_A_NAME.sub("_", str(call_id)) or "call"
        unique, number = legal, self._numbers.get(legal, 1)
        while unique in self._used:
            number += 1
            unique = f"{legal}_{number}"
        self._used.add(unique)
        self._numbers[legal] = number
        self._open.setdefault(str(call_id), deque()).append(unique)
        return unique

    def result(self, call_id: Any) -> Optional[str]:
        """Return the id for a result: that of the oldest call waiting, or None."""
        waiting = self._open.get(str(call_id))
        return waiting.popleft() if waiting else None


def _turn(message: Message, links: _Links) -> Tuple[str, List[Json]]:
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
    for call in _calls_not_in(message.get("content"), message):
        inner = call["custom"] if "custom" in call else call["function"]
        arguments = inner.get("arguments", inner.get("input"))
        blocks.append(_use(call.get("id"), inner["name"], arguments, links))
    legacy = message.get("function_call")
    if isinstance(legacy, dict):
        blocks.append(text_block(f"[called {legacy.get('name')}]"))
    if str(message.get("refusal") or "").strip():
        blocks.append(text_block(str(message["refusal"])))
    return "assistant", blocks


def _calls_not_in(content: Any, message: Message) -> List[Json]:
    """Return the ``tool_calls`` without those that the content has as blocks too."""
    parts = content if isinstance(content, list) else []
    uses = [p for p in parts if isinstance(p, dict) and p.get("type") == "tool_use"]
    used = [use["id"] for use in uses if isinstance(use.get("id"), str)]
    calls: List[Json] = message.get("tool_calls") or []
    return [call for call in calls if call.get("id") not in used]


def _item_turn(item: Message, kind: str, links: _Links) -> Tuple[str, List[Json]]:
    if kind in CALLS:
        arguments = item.get("arguments", item.get("input"))
        use = _use(item.get("call_id"), item.get("name"), arguments, links)
        return "assistant", [use]
    if kind.endswith("_call_output"):
        return "user", _result(item.get("call_id"), item.get("output"), links)
    if is_message_without_role(item, kind):
        return "user", _blocks_of(item["content"], links)
    return "assistant", []


def _use(call_id: Any, name: Any, arguments: Any, links: _Links) -> Json:
    return {
        "type": "tool_use",
        "id": links.call(call_id),
        "name": _NOT_IN_A_NAME.sub("_", str(name))[:128] or "tool",
        "input": _input(arguments),
    }


def _input(arguments: Any) -> Json:
    if arguments is None:
        return {}
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


def _blocks_of(content: Any, links: Optional[_Links] = None) -> List[Json]:
    """Return the blocks of a content; empty texts, which the API refuses, left out."""
    if content is None:
        return []
    parts: Iterable[Any] = content if isinstance(content, list) else [content]
    return [block for part in parts for block in _block(part, links)]


def _block(part: Any, links: Optional[_Links]) -> Iterator[Json]:
    if not isinstance(part, dict):
        text = part if isinstance(part, str) else json.dumps(part, ensure_ascii=False)
        part = text_block(text)
    kind = part.get("type")
    if kind in TEXTS or kind == "refusal":
        text = str(part.get("text", part.get("refusal")) or "")
        if text.strip():
            yield {**text_block(text), **_marks(part)}
    elif kind in ("image_url", "input_image"):
        yield _image(part)
    elif kind == "tool_use" and links is not None:
        given = _input(part.get("input"))
        yield {**part, "id": links.call(part.get("id")), "input": given}
    elif kind == "tool_result" and links is not None:
        known = links.result(part.get("tool_use_id"))
        result = {**part, "tool_use_id": known or str(part.get("tool_use_id"))}
        if isinstance(part.get("content"), list):
            result["content"] = _blocks_of(part["content"])
        yield result
    elif kind in ("input_audio", "file", "input_file"):
        yield text_block(f"[{kind}]")
    elif isinstance(kind, str):
        yield dict(part)
    else:
        yield text_block(json.dumps(part, ensure_ascii=False))


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
