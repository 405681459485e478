"""What a conversion has no place for leaves a mark, or goes somewhere else."""

from __future__ import annotations

from typing import Any, Dict, List

import pytest

from contextstore.context import to_anthropic, to_openai, validate

Message = Dict[str, Any]

ASKED: Message = {"role": "user", "content": "q"}
SOURCE = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
IMAGE: Message = {"type": "image", "source": SOURCE}


def use(call_id: str) -> Message:
    return {"type": "tool_use", "id": call_id, "name": "f", "input": {}}


def call(call_id: str) -> Message:
    function = {"name": "f", "arguments": "{}"}
    return {"id": call_id, "type": "function", "function": function}


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([IMAGE], "[image]"),
        (["hello"], "hello"),
        ([{"type": "text", "text": "a"}, "b", IMAGE], "a\nb\n[image]"),
        ([{"type": "document", "source": {}}], "[document]"),
        ([{"type": "input_image", "image_url": "http://x"}], "[image]"),
        ([{"some": "json"}], '{"some": "json"}'),
    ],
)
def test_a_result_of_parts_is_a_text_in_a_chat(parts: List[Any], text: str) -> None:
    block = {"type": "tool_result", "tool_use_id": "a", "content": parts}
    blocks: List[Message] = [
        {"role": "assistant", "content": [use("a")]},
        {"role": "user", "content": [block]},
    ]
    items: List[Message] = [
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": parts},
    ]
    for messages in (blocks, items):
        assert to_openai(messages)[-1]["content"] == text


def test_a_tool_message_of_a_chat_has_texts_alone() -> None:
    asked = {"role": "assistant", "content": None, "tool_calls": [call("a")]}
    image = {"type": "image_url", "image_url": {"url": "http://x"}}
    answer: Message = {"role": "tool", "tool_call_id": "a", "content": [image, "b"]}
    assert to_openai([asked, answer])[-1]["content"] == "[image]\nb"
    texts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert to_openai([asked, {**answer, "content": texts}])[-1]["content"] == texts


def test_a_result_in_blocks_has_blocks_alone() -> None:
    content = ["hello", {"type": "input_image", "image_url": "http://x"}]
    block = {"type": "tool_result", "tool_use_id": "a", "content": content}
    messages = [
        ASKED,
        {"role": "assistant", "content": [use("a")]},
        {"role": "user", "content": [block]},
    ]
    found = to_anthropic(messages)["messages"][-1]["content"][0]["content"]
    image = {"type": "image", "source": {"type": "url", "url": "http://x"}}
    assert found == [{"type": "text", "text": "hello"}, image]


@pytest.mark.parametrize("kind", ["human", "message"])
def test_what_has_a_content_and_no_role_is_the_users(kind: str) -> None:
    message = {"type": kind, "content": "hi"}
    assert to_openai([message]) == [{"role": "user", "content": "hi"}]
    blocks = [{"type": "text", "text": "hi"}]
    assert to_anthropic([message]) == {
        "messages": [{"role": "user", "content": blocks}]
    }


def test_thoughts_and_calls_of_others_are_not_the_users() -> None:
    for kind in ("reasoning", "file_search_call"):
        item = {"type": kind, "content": [{"type": "reasoning_text", "text": "hm"}]}
        assert to_openai([item]) == to_anthropic([item])["messages"] == []


def test_calls_in_both_places_are_all_kept() -> None:
    both = {"role": "assistant", "content": [use("a")], "tool_calls": [call("b")]}
    answers = [{"role": "tool", "tool_call_id": i, "content": i} for i in "ab"]
    chat = to_openai([ASKED, both, *answers])
    assert [made["id"] for made in chat[1]["tool_calls"]] == ["a", "b"]
    assert validate(chat, provider="openai") == []


def test_a_call_in_both_shapes_is_one() -> None:
    both = {"role": "assistant", "content": [use("a")], "tool_calls": [call("a")]}
    answer = {"role": "tool", "tool_call_id": "a", "content": "1"}
    messages = [ASKED, both, answer]
    assert validate(to_openai(messages), provider="openai") == []
    assert len(to_openai(messages)[1]["tool_calls"]) == 1
    assert validate(to_anthropic(messages), provider="anthropic") == []


def test_what_an_assistant_refused_beside_a_call_is_kept() -> None:
    message = {"role": "assistant", "content": [use("a")], "refusal": "no", "name": "x"}
    (converted,) = to_openai([message])
    assert (converted["refusal"], converted["name"]) == ("no", "x")


def test_a_hidden_thought_alone_is_no_part_of_a_chat() -> None:
    thought = {"type": "redacted_thinking", "data": "x"}
    text = {"type": "text", "text": "hi"}
    (message,) = to_openai([{"role": "assistant", "content": [thought, text]}])
    assert message["content"] == "hi"


def test_a_blank_refusal_is_none() -> None:
    said = {"role": "assistant", "content": "y", "refusal": " "}
    assert validate(to_anthropic([ASKED, said]), provider="anthropic") == []
