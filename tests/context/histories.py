"""Generated histories with every kind of group, for property tests."""

from __future__ import annotations

from typing import Any, Dict, List

from hypothesis import strategies as st

Message = Dict[str, Any]


class WordTokenizer:
    """Count a token for four characters begun: cheap, and the same everywhere."""

    name = "quarters"
    approximate = False

    def count(self, text: str, /) -> int:
        return (len(text) + 3) // 4


texts = st.text(alphabet="ab \n.é漢😀", max_size=60).map(lambda text: text or "x")
# Few ids, so that they repeat, overlap and miss one another.
call_ids = st.sampled_from(["c1", "c2", "c3", "c4"])


def user() -> st.SearchStrategy[Message]:
    return st.fixed_dictionaries({"role": st.just("user"), "content": texts})


def assistant() -> st.SearchStrategy[Message]:
    content = st.one_of(texts, st.none())
    return st.fixed_dictionaries({"role": st.just("assistant"), "content": content})


def system() -> st.SearchStrategy[Message]:
    role = st.sampled_from(["system", "developer"])
    return st.fixed_dictionaries({"role": role, "content": texts})


def pinned() -> st.SearchStrategy[Message]:
    return user().map(lambda message: {**message, "metadata": {"pinned": True}})


@st.composite
def chat_calls(draw: st.DrawFn) -> List[Message]:
    """Calls of OpenAI's chat shape with some of their results, in any order."""
    ids = draw(st.lists(call_ids, min_size=1, max_size=3, unique=True))
    calls = [
        {"id": i, "type": "function", "function": {"name": "f", "arguments": "{}"}}
        for i in ids
    ]
    content = draw(st.one_of(st.none(), texts))
    messages: List[Message] = [
        {"role": "assistant", "content": content, "tool_calls": calls}
    ]
    answered = draw(st.lists(st.sampled_from(ids), max_size=4))
    for call_id in answered if draw(st.booleans()) else ids:
        if draw(st.integers(0, 9)) == 0:
            messages.append(draw(user()))
        messages.append(draw(chat_result(call_id)))
    return messages


def chat_result(call_id: str) -> st.SearchStrategy[Message]:
    fields = {
        "role": st.just("tool"),
        "tool_call_id": st.just(call_id),
        "content": texts,
    }
    return st.fixed_dictionaries(fields)


@st.composite
def block_calls(draw: st.DrawFn) -> List[Message]:
    """Calls of Anthropic's shape, with results, some beside a text of the user."""
    ids = draw(st.lists(call_ids, min_size=1, max_size=3, unique=True))
    uses: List[Message] = [
        {"type": "tool_use", "id": i, "name": "f", "input": {}} for i in ids
    ]
    said: List[Message] = [{"type": "text", "text": draw(texts)}]
    messages: List[Message] = [
        {"role": "assistant", "content": (said if draw(st.booleans()) else []) + uses}
    ]
    answered = draw(st.lists(st.sampled_from(ids), max_size=4))
    results: List[Message] = [
        {"type": "tool_result", "tool_use_id": i, "content": draw(texts)}
        for i in (answered if draw(st.booleans()) else ids)
    ]
    if results:
        also = [{"type": "text", "text": draw(texts)}] if draw(st.booleans()) else []
        messages.append({"role": "user", "content": results + also})
    return messages


def thoughts() -> st.SearchStrategy[Message]:
    """What is left of an answer that was cut off: thoughts, and maybe a blank text."""
    thinking = {"type": "thinking", "thinking": "hm", "signature": "s"}
    redacted = {"type": "redacted_thinking", "data": "x"}
    blank = {"type": "text", "text": " "}
    contents = st.sampled_from([[thinking], [redacted, thinking], [thinking, blank]])
    return contents.map(lambda content: {"role": "assistant", "content": content})


@st.composite
def response_items(draw: st.DrawFn) -> List[Message]:
    """Items of the Responses API: reasoning, calls and outputs."""
    ids = draw(st.lists(call_ids, min_size=1, max_size=2, unique=True))
    items: List[Message] = []
    if draw(st.booleans()):
        items.append({"type": "reasoning", "id": "rs", "summary": []})
    items.extend(
        {"type": "function_call", "call_id": i, "name": "f", "arguments": "{}"}
        for i in ids
    )
    answered = draw(st.lists(st.sampled_from(ids), max_size=2, unique=True))
    items.extend(
        {"type": "function_call_output", "call_id": i, "output": draw(texts)}
        for i in (answered if draw(st.booleans()) else ids)
    )
    return items


def _alone(message: st.SearchStrategy[Message]) -> st.SearchStrategy[List[Message]]:
    return message.map(lambda one: [one])


def _history(
    groups: st.SearchStrategy[List[Message]], max_size: int
) -> st.SearchStrategy[List[Message]]:
    return st.lists(groups, max_size=max_size).map(_numbered)


def _numbered(groups: List[List[Message]]) -> List[Message]:
    flat = [message for group in groups for message in group]
    return [{**message, "id": f"m{at}"} for at, message in enumerate(flat)]


_plain = (_alone(user()), _alone(user()), _alone(assistant()), _alone(system()))

chat_histories = _history(
    st.one_of(
        *_plain,
        _alone(pinned()),
        chat_calls(),
        chat_calls(),
        _alone(call_ids.flatmap(chat_result)),
    ),
    12,
)
block_histories = _history(
    st.one_of(
        _alone(user()),
        _alone(system()),
        _alone(thoughts()),
        block_calls(),
        block_calls(),
    ),
    8,
)
response_histories = _history(
    st.one_of(_alone(user()), _alone(system()), response_items(), response_items()), 8
)
