"""Repair what a provider refuses as empty, pinned or not, in any list."""

from __future__ import annotations

from typing import Any, Dict, List

import pytest

from contextstore.context import to_anthropic, validate
from contextstore.context.builder import BuildResult, ContextBuilder
from tests.context.histories import WordTokenizer

Message = Dict[str, Any]

BUILDER = ContextBuilder(WordTokenizer())

HI: Message = {"id": "u", "role": "user", "content": "hi"}
PINNED: Message = {"id": "p", "metadata": {"pinned": True}}


class Listed(List[Any]):
    """Be a list of another class, as some JSON readers give."""


def call(call_id: str) -> Message:
    return {"id": call_id, "type": "function", "function": {"name": "f"}}


def use(call_id: str) -> Message:
    return {"type": "tool_use", "id": call_id, "name": "f", "input": {}}


def built(*messages: Message, **options: Any) -> BuildResult:
    result = BUILDER.build(list(messages), 100, strategy_opts=options)
    # Arguments of calls are left out above, for shortness.
    faults = validate(result.messages, provider="openai")
    assert not [f for f in faults if "arguments" not in f.text]
    return result


@pytest.mark.parametrize(
    "nothing",
    [
        {"role": "assistant", "content": None},
        {"role": "assistant", "content": [], "tool_calls": []},
        {"role": "user", "content": None},
        {"role": "user", "content": []},
        {"role": "system", "content": None},
        {"role": "developer", "content": []},
    ],
)
def test_what_says_nothing_is_left_out_though_it_is_pinned(nothing: Message) -> None:
    for message in ({**PINNED, **nothing}, {"id": "p", **nothing}):
        for pin in ([], ["p"], ["u"]):
            for history in ((message, HI), (HI, message)):
                result = built(*history, pin=pin)
                assert result.messages == [HI]
                assert result.metadata["repaired_ids"] == ["p"]
                assert result.metadata["dropped_ids"] == []


def test_nothing_that_is_pinned_ends_no_open_call() -> None:
    asked = {"id": "a", "role": "assistant", "content": None, "tool_calls": [call("c")]}
    result = built(HI, asked, {**PINNED, "role": "user", "content": None})
    assert result.messages == [HI, asked]


@pytest.mark.parametrize(
    ("faulty", "mended"),
    [
        (
            {"role": "assistant", "content": "x", "tool_calls": []},
            {"role": "assistant", "content": "x"},
        ),
        (
            {"role": "assistant", "content": [], "refusal": "no"},
            {"role": "assistant", "content": None, "refusal": "no"},
        ),
    ],
)
def test_a_pinned_message_is_mended_like_others(
    faulty: Message, mended: Message
) -> None:
    for fields in (PINNED, {"id": "p"}):
        result = built({**fields, **faulty}, HI)
        assert result.messages == [{**fields, **mended}, HI]
        assert result.metadata["repaired_ids"] == ["p"]


def test_the_result_of_a_legacy_call_is_made_a_text() -> None:
    asked = {"role": "assistant", "content": None, "function_call": {"name": "f"}}
    result = built(HI, asked, {"role": "function", "name": "f", "content": None})
    assert result.messages[-1]["content"] == ""


def test_a_call_in_both_shapes_keeps_one() -> None:
    both = {"role": "assistant", "content": [use("a")], "tool_calls": [call("a")]}
    answer = {"role": "tool", "tool_call_id": "a", "content": "2"}
    kept = {"id": "b", "role": "assistant", "content": None, "tool_calls": [call("a")]}
    for end in ([], [HI]):
        result = built(HI, {"id": "b", **both}, answer, *end)
        assert result.messages == [HI, kept, answer, *end]
        assert result.metadata["repaired_ids"] == ["b"]


def test_a_call_in_both_shapes_goes_whole() -> None:
    both = {"role": "assistant", "content": [use("a")], "tool_calls": [call("a")]}
    result = built(HI, {"id": "b", **both}, HI)
    assert result.messages == [HI, HI]
    assert result.metadata["repaired_ids"] == ["b"]


def test_lists_of_another_class_are_lists() -> None:
    unanswered = {"id": "x", "role": "assistant", "content": Listed([use("a")])}
    result = built(HI, unanswered, HI)
    assert result.metadata["repaired_ids"] == ["x"]
    assert validate(to_anthropic(result.messages), provider="anthropic") == []
    asked = {"role": "assistant", "content": None, "tool_calls": Listed([call("a")])}
    answer = {"role": "tool", "tool_call_id": "a", "content": "2"}
    assert built(HI, asked, answer, HI).messages == [HI, asked, answer, HI]


def test_a_block_whose_type_has_no_hash_is_no_thought() -> None:
    odd = {"role": "assistant", "content": [{"type": ["x"]}]}
    assert BUILDER.build([odd], 100).messages == [odd]


@pytest.mark.parametrize("shape", ["chat", "blocks", "items"])
def test_an_open_call_without_an_id_is_taken_out(shape: str) -> None:
    idless = {key: value for key, value in call("").items() if key != "id"}
    history: Dict[str, List[Message]] = {
        "chat": [{"role": "assistant", "content": None, "tool_calls": [idless]}],
        "blocks": [
            {"role": "assistant", "content": [{**use(""), "id": None}, use("c")]}
        ],
        "items": [{"type": "function_call", "name": "f", "arguments": "{}"}],
    }
    open_end = [{"id": str(n), **one} for n, one in enumerate(history[shape])]
    result = BUILDER.build([HI, *open_end], 100)
    assert not validate(result.messages, provider="openai")
    assert result.metadata["repaired_ids"] == ["0"]
    # A call that has an id stays open beside it.
    kept = [one["content"] for one in result.messages[1:]]
    assert kept == ([[use("c")]] if shape == "blocks" else [])


def test_an_open_call_beside_an_answered_one_without_an_id() -> None:
    calls = [{**call("a"), "id": None}, call("b"), call("c")]
    history = [
        HI,
        {"id": "calls", "role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "b", "content": "done"},
    ]
    result = built(*history)
    assert [one["id"] for one in result.messages[1]["tool_calls"]] == ["b", "c"]
    assert result.metadata["repaired_ids"] == ["calls"]
