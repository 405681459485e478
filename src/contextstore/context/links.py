"""Read which tool calls a message makes and which results it carries, and remove them.

Three shapes are understood: OpenAI chat (``tool_calls``, role ``tool``), Anthropic
blocks (``tool_use``, ``tool_result``) and OpenAI Responses items (``function_call``,
``function_call_output`` and their kin). Whatever else a message is, it has no links.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence

from contextstore.context.kinds import CALLS, THOUGHTS
from contextstore.messages import Message

__all__ = [
    "NO_ID",
    "calls_of",
    "has_more_than_results",
    "is_reasoning",
    "is_response_output",
    "made_legal",
    "results_of",
    "says_nothing",
    "without_calls",
    "without_results",
]

# A call or result whose id is missing or no string can never be matched.
NO_ID = ""


def _item_type(message: Message) -> str:
    """Return the type of a Responses item that is no message, or the empty string."""
    kind = message.get("type")
    return kind if isinstance(kind, str) and "role" not in message else ""


def _id(value: Any) -> str:
    return value if isinstance(value, str) else NO_ID


def _blocks(message: Message, kind: str) -> List[Dict[str, Any]]:
    content = message.get("content")
    if not isinstance(content, list):
        return []
    return [
        block
        for block in content
        if isinstance(block, dict) and block.get("type") == kind
    ]


def calls_of(message: Message) -> List[str]:
    """Return the ids of the tool calls that a message makes, in order.

    A call that some library wrote down in both shapes is one call.
    """
    if message.get("role") == "assistant":
        calls = message.get("tool_calls")
        ids = [_call_id(call) for call in calls] if isinstance(calls, list) else []
        used = [_id(block.get("id")) for block in _blocks(message, "tool_use")]
        written = set(ids) - {NO_ID}
        return [*ids, *(call_id for call_id in used if call_id not in written)]
    kind = _item_type(message)
    if kind.endswith("_call") and ("call_id" in message or kind in CALLS):
        return [_id(message.get("call_id"))]
    return []


def _call_id(call: Any) -> str:
    return _id(call.get("id")) if isinstance(call, dict) else NO_ID


def results_of(message: Message) -> List[str]:
    """Return the ids of the calls whose results a message carries, in order."""
    role = message.get("role")
    if role == "tool":
        return [_id(message.get("tool_call_id"))]
    if role == "user":
        blocks = _blocks(message, "tool_result")
        return [_id(block.get("tool_use_id")) for block in blocks]
    if _item_type(message).endswith("_call_output"):
        return [_id(message.get("call_id"))]
    return []


def has_more_than_results(message: Message) -> bool:
    """Tell whether a message that carries results also says something of its own."""
    content = message.get("content")
    return (
        message.get("role") == "user"
        and isinstance(content, list)
        and len(content) > len(_blocks(message, "tool_result"))
    )


def is_response_output(message: Message) -> bool:
    """Tell whether it is a Responses item that a model put out."""
    kind = message.get("type")
    if kind == "message":
        return message.get("role") == "assistant"
    return kind == "reasoning" or _item_type(message).endswith("_call")


def is_reasoning(message: Message) -> bool:
    """Tell whether it is a reasoning item, which must not stand without its output."""
    return _item_type(message) == "reasoning"


def says_nothing(message: Message) -> bool:
    """Tell whether it is a message that a provider would refuse as empty."""
    role, content = message.get("role"), message.get("content")
    if role in ("user", "system", "developer"):
        return content is None or content == []
    if role != "assistant":
        return False
    if isinstance(content, list):
        empty = all(_is_thought(block) for block in content)
    else:
        empty = content is None
    others = ("tool_calls", "function_call", "refusal", "audio")
    return empty and not any(message.get(field) for field in others)


def made_legal(message: Message) -> Message:
    """Return a message without what is refused though it says nothing.

    That is an empty list of calls, an empty list beside what else an assistant says,
    the second shape of a call, and a result whose content is null or an empty list.
    """
    message = _in_one_shape(message)
    role, content = message.get("role"), message.get("content")
    if message.get("tool_calls") == []:
        message = {key: message[key] for key in message if key != "tool_calls"}
    if role == "assistant" and content == []:
        return {**message, "content": None}
    if role in ("tool", "function") and (content is None or content == []):
        return {**message, "content": ""}
    return message


def _in_one_shape(message: Message) -> Message:
    """Return a message without the blocks of calls that its ``tool_calls`` have too."""
    calls, content = message.get("tool_calls"), message.get("content")
    if not (isinstance(calls, list) and isinstance(content, list)):
        return message
    twice = {_call_id(call) for call in calls} - {NO_ID}
    left = [block for block in content if _used_id(block) not in twice]
    if message.get("role") != "assistant" or len(left) == len(content):
        return message
    return {**message, "content": left}


def _used_id(block: Any) -> str:
    is_use = isinstance(block, dict) and block.get("type") == "tool_use"
    return _id(block.get("id")) if is_use else NO_ID


def _is_thought(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") in THOUGHTS


def without_calls(message: Message, unwanted: Sequence[str]) -> Optional[Message]:
    """Return a message without these calls, or None if nothing would be left.

    Args:
        unwanted: call ids; one that stands here twice removes the last two calls of it.
    """
    if message.get("role") != "assistant":
        return None
    left = list(unwanted)
    kept = dict(_in_one_shape(message))
    if isinstance(kept.get("content"), list):
        kept["content"] = _filtered(kept["content"], left, "tool_use", "id")
    if isinstance(kept.get("tool_calls"), list):
        calls = _filtered(kept["tool_calls"], left, None, "id")
        if calls:
            kept["tool_calls"] = calls
        else:
            del kept["tool_calls"]
    said = kept.get("content")
    return None if says_nothing(kept) or (said == "" and not calls_of(kept)) else kept


def without_results(message: Message, unwanted: Sequence[str]) -> Optional[Message]:
    """Return a message without these results, or None if nothing would be left.

    Args:
        unwanted: call ids; one that stands here twice removes the last two results.
    """
    content = message.get("content")
    if message.get("role") != "user" or not isinstance(content, list):
        return None
    left = _filtered(content, list(unwanted), "tool_result", "tool_use_id")
    return {**message, "content": left} if left else None


def _filtered(
    entries: List[Any], unwanted: List[str], kind: Optional[str], field: str
) -> List[Any]:
    """Return the entries without those of a kind and id, the last of each id first."""
    kept: List[Any] = []
    for entry in reversed(entries):
        is_link = kind is None or (
            isinstance(entry, dict) and entry.get("type") == kind
        )
        link = _id(entry.get(field)) if isinstance(entry, dict) else NO_ID
        if is_link and link in unwanted:
            unwanted.remove(link)
        else:
            kept.append(entry)
    kept.reverse()
    return kept
