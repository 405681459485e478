"""Say what a provider would refuse in a prompt.

Written from the errors that the providers document, and on purpose without any of the
code that builds prompts: a wrong reading of a rule must not be made twice.
"""

from __future__ import annotations

import re
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Union

from contextstore.errors import InvalidInputError

__all__ = ["Fault", "validate"]

Json = Dict[str, Any]

_CHAT_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_ITEM_ROLES = ("system", "developer", "user", "assistant")
_CHAT_NAME = re.compile(r"[^\s<|\\/>]{1,64}")
_TOOL_ID = re.compile(r"[a-zA-Z0-9_-]+")
_TEXTS = ("text", "input_text", "output_text")
_SPEAKS = ("refusal", "audio", "function_call")


class Fault(NamedTuple):
    """Be one thing that a provider would refuse.

    Attributes:
        position: the place of the message; -1 for the prompt as a whole.
        text: what is wrong.
    """

    position: int
    text: str


def validate(
    messages: Union[Sequence[Json], Json], provider: str, *, complete: bool = False
) -> List[Fault]:
    """Return what a provider would refuse in a prompt; an empty list if nothing.

    Fields that only the store knows, such as ``id`` and ``timestamp``, are let pass;
    ``to_openai`` and ``to_anthropic`` take them out.

    Args:
        messages: for ``"openai"``, chat messages or Responses items; for
            ``"anthropic"``, messages, or the ``system`` and ``messages`` that
            ``to_anthropic`` returns.
        provider: ``"openai"`` or ``"anthropic"``.
        complete: also refuse calls at the very end that still wait for their results.

    Raises:
        InvalidInputError: the provider is not one of these, or there is no list of
            messages.
    """
    if provider == "openai":
        items = _listed(messages)
        if any("role" not in item for item in items):
            return list(_responses_faults(items, complete))
        return list(_chat_faults(items, complete))
    if provider == "anthropic":
        if isinstance(messages, dict):
            faults = list(_system_faults(messages.get("system")))
            items = _listed(messages.get("messages", ()))
            return faults + list(_anthropic_faults(items, complete))
        return list(_anthropic_faults(_listed(messages), complete))
    raise InvalidInputError(
        f"provider is {provider!r}; pass 'openai' or 'anthropic'", path="provider"
    )


def _listed(messages: Any) -> List[Json]:
    if not isinstance(messages, (list, tuple)):
        raise InvalidInputError(
            f"messages is of type {type(messages).__name__}; pass a list of messages",
            path="messages",
        )
    return [item if isinstance(item, dict) else {} for item in messages]


def _chat_faults(messages: List[Json], complete: bool) -> Iterator[Fault]:
    if not messages:
        yield Fault(-1, "there are no messages")
    waiting: List[Any] = []
    for at, message in enumerate(messages):
        if message.get("role") == "tool":
            call_id = _text_field(message, "tool_call_id")
            if call_id is not None and call_id in waiting:
                waiting.remove(call_id)
            else:
                yield Fault(at, "a tool message must answer a call just before it")
        else:
            if waiting:
                yield Fault(at, f"calls without results before this: {waiting}")
            waiting = [_field(call, "id") for call in _entries(message, "tool_calls")]
        yield from (Fault(at, text) for text in _chat_message_faults(message))
    if waiting and complete:
        yield Fault(len(messages) - 1, f"calls without results: {waiting}")


def _chat_message_faults(message: Json) -> Iterator[str]:
    role = message.get("role")
    if role not in _CHAT_ROLES:
        yield f"{role!r} is no role"
    calls = message.get("tool_calls")
    if calls is not None and (role != "assistant" or not isinstance(calls, list)):
        yield "only assistant messages have tool_calls, a list"
    elif calls == []:
        yield "tool_calls is empty"
    for call in _entries(message, "tool_calls"):
        yield from _call_faults(call)
    if message.get("function_call") is not None:
        yield from _called_faults(message["function_call"], "arguments")
    yield from _chat_content_faults(message, bool(calls))
    name = message.get("name")
    if isinstance(name, str) and not _CHAT_NAME.fullmatch(name):
        yield "name has characters that are not allowed, or more than 64"


def _call_faults(call: Any) -> Iterator[str]:
    if not isinstance(_field(call, "id"), str):
        yield "a tool call has no id"
    if _field(call, "type") == "custom":
        yield from _called_faults(_field(call, "custom"), "input")
    else:
        yield from _called_faults(_field(call, "function"), "arguments")


def _called_faults(called: Any, given: str) -> Iterator[str]:
    """Yield what is wrong with what a call names: a function or a tool of its own."""
    for field in ("name", given):
        if not isinstance(_field(called, field), str):
            yield f"a call has no {field}, a text"


def _part_faults(content: Any) -> Iterator[str]:
    for part in content if isinstance(content, list) else ():
        if not isinstance(part, dict):
            yield "a part of content is no object"
        elif not isinstance(part.get("type"), str):
            yield "a part of content has no type"
        elif part["type"] in _TEXTS and not isinstance(part.get("text"), str):
            yield "a part of content has no text"


def _chat_content_faults(message: Json, calls: bool) -> Iterator[str]:
    content = message.get("content")
    if content is None:
        speaks = calls or any(message.get(field) for field in _SPEAKS)
        if message.get("role") != "assistant" or not speaks:
            yield "content is missing"
    elif content == []:
        yield "content is an empty list"
    elif not isinstance(content, (str, list)):
        yield "content is neither text nor a list of parts"
    yield from _part_faults(content)


def _field(entry: Any, name: str) -> Any:
    return entry.get(name) if isinstance(entry, dict) else None


def _text_field(entry: Json, name: str) -> Optional[str]:
    value = entry.get(name)
    return value if isinstance(value, str) else None


def _entries(message: Json, field: str) -> List[Any]:
    entries = message.get(field)
    return entries if isinstance(entries, list) else []


def _responses_faults(items: List[Json], complete: bool) -> Iterator[Fault]:
    answered = {_text_field(item, "call_id") for item in items if _is_output(item)}
    answered.discard(None)
    called: Set[Optional[str]] = set()
    last = _last_input(items)
    for at, item in enumerate(items):
        call_id = _text_field(item, "call_id")
        if "role" not in item and not isinstance(item.get("type"), str):
            yield Fault(at, "it has neither a role nor a type")
        elif "role" in item:
            yield from (Fault(at, text) for text in _item_message_faults(item))
        if _is_output(item) and (call_id is None or call_id not in called):
            yield Fault(at, "no tool call found for this output")
        if item.get("type") in ("function_call", "custom_tool_call"):
            called.add(call_id)
            if call_id is None:
                yield Fault(at, "a call has no call_id")
            if call_id not in answered and (complete or at < last):
                yield Fault(at, "no tool output found for this call")
        if item.get("type") == "reasoning" and not _is_followed(items, at):
            yield Fault(at, "reasoning without the item that followed it")


def _item_message_faults(item: Json) -> Iterator[str]:
    if item["role"] not in _ITEM_ROLES:
        yield f"{item['role']!r} is no role"
    if not isinstance(item.get("content"), (str, list)):
        yield "content is neither text nor a list of parts"
    yield from _part_faults(item.get("content"))


def _is_output(item: Json) -> bool:
    return str(item.get("type", "")).endswith("_call_output")


def _last_input(items: List[Json]) -> int:
    """Return where the last item stands that neither a model nor a tool put out."""
    inputs = (at for at, item in enumerate(items) if not _is_put_out(item))
    return max(inputs, default=-1)


def _is_put_out(item: Json) -> bool:
    kind = str(item.get("type", ""))
    is_call = kind.endswith(("_call", "_call_output")) or kind == "reasoning"
    return is_call or item.get("role") == "assistant"


def _is_followed(items: List[Json], at: int) -> bool:
    following = items[at + 1] if at + 1 < len(items) else {}
    kind = str(following.get("type", ""))
    is_message = kind == "message" and following.get("role") == "assistant"
    return is_message or kind == "reasoning" or kind.endswith("_call")


def _system_faults(system: Any) -> Iterator[Fault]:
    blocks = [{"text": system}] if isinstance(system, str) else system
    if not isinstance(blocks, (list, type(None))):
        yield Fault(-1, "system is neither text nor a list of blocks")
        return
    for block in blocks or ():
        if not _says(_field(block, "text")):
            yield Fault(-1, "a text of system is empty, or no text")


def _anthropic_faults(messages: List[Json], complete: bool) -> Iterator[Fault]:
    if not messages:
        yield Fault(-1, "there are no messages")
    before: Json = {}
    used: Set[Any] = set()
    last = len(messages) - 1
    for at, message in enumerate(messages):
        for text in (
            *_anthropic_role_faults(message, before),
            *_block_faults(message, is_last=at == last),
            *_link_faults(
                message, before, used, missing_ok=at == last and not complete
            ),
        ):
            yield Fault(at, text)
        before = message
    if complete and _ids(before, "tool_use", "id"):
        yield Fault(last, "tool_use without tool_result")


def _anthropic_role_faults(message: Json, before: Json) -> Iterator[str]:
    role = message.get("role")
    if role not in ("user", "assistant"):
        yield f"{role!r} is no role; system is a field of its own"
    elif not before and role != "user":
        yield "the first message must be the user's"
    elif role == before.get("role"):
        yield "roles must alternate"


def _blocks(message: Json) -> List[Json]:
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return _listed(content) if isinstance(content, list) else []


def _block_faults(message: Json, *, is_last: bool) -> Iterator[str]:
    blocks = _blocks(message)
    if not blocks:
        yield "content is empty"
    own, foreign = "tool_use", "tool_result"
    if message.get("role") == "user":
        own, foreign = foreign, own
    seen_other = False
    for block in blocks:
        kind = block.get("type")
        if not isinstance(kind, str):
            yield "a block is no object with a type"
        if kind == "text" and not _says(block.get("text")):
            yield "a text block is empty, or has no text"
        if kind == foreign:
            yield f"{foreign} belongs to the other role"
        if kind == "tool_result" and seen_other:
            yield "tool_result blocks must come first"
        seen_other = seen_other or kind != "tool_result"
        if kind == "tool_use":
            yield from _tool_use_faults(block)
    if message.get("role") == "assistant" and blocks:
        yield from _last_block_faults(blocks[-1], is_last=is_last)


def _last_block_faults(block: Json, *, is_last: bool) -> Iterator[str]:
    """Yield what is wrong with the last block of a message of the assistant."""
    if block.get("type") in ("thinking", "redacted_thinking"):
        yield "the final block of an assistant message is a thought"
    text = block.get("text")
    if is_last and isinstance(text, str) and text != text.rstrip():
        yield "the final text of the assistant ends with white space"


def _says(text: Any) -> bool:
    return isinstance(text, str) and bool(text.strip())


def _tool_use_faults(block: Json) -> Iterator[str]:
    for field in ("id", "name"):
        value = block.get(field)
        if not isinstance(value, str) or not _TOOL_ID.fullmatch(value):
            yield f"the {field} of a tool_use has other characters than [a-zA-Z0-9_-]"
    if not isinstance(block.get("input"), dict):
        yield "the input of a tool_use is no object"


def _ids(message: Json, kind: str, field: str) -> List[Optional[str]]:
    blocks = _blocks(message)
    return [_text_field(b, field) for b in blocks if b.get("type") == kind]


def _link_faults(
    message: Json, before: Json, used: Set[Any], *, missing_ok: bool
) -> Iterator[str]:
    asked = _ids(before, "tool_use", "id")
    given = _ids(message, "tool_result", "tool_use_id")
    only_results = len(given) == len(_blocks(message))
    for call_id in asked:
        if missing_ok and only_results and call_id not in given:
            continue
        if given.count(call_id) != 1:
            yield "each tool_use needs one tool_result in the next message"
    for call_id in given:
        if call_id not in asked:
            yield "a tool_result needs its tool_use in the message before"
    for call_id in _ids(message, "tool_use", "id"):
        if call_id in used:
            yield "tool_use ids must be unique"
        used.add(call_id)
