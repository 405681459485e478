"""Whatever JSON a message is, only errors of our own come out, and say where."""

from __future__ import annotations

import copy
import datetime
from typing import Any, Callable, Dict, List, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextstore.context import to_anthropic, to_openai, validate
from contextstore.context.builder import ContextBuilder
from contextstore.errors import ContextStoreError, InvalidInputError
from tests.context.histories import WordTokenizer
from tests.context.hostile import histories, tools, values

Message = Dict[str, Any]

BUILDER = ContextBuilder(WordTokenizer())
budgets = st.integers(0, 200)
STRATEGIES: Dict[str, Dict[str, Any]] = {
    "truncate_oldest": {"headroom": 0.5},
    "recent_only": {"on_overflow": "error"},
    "summarize_oldest": {"summarizer": lambda old: f"{len(old)} messages"},
    "relevant": {"ranking": ["m1", "m2"], "on_overflow": "keep"},
}
USER = {"role": "user", "content": "hello"}


def refused_at(work: Callable[[], Any]) -> Optional[str]:
    """Return the path that an error of input names, or None where there is none."""
    try:
        work()
    except InvalidInputError as error:
        return error.path or "an error without a path"
    return None


@given(histories(), budgets, st.sampled_from(sorted(STRATEGIES)))
def test_a_build_raises_nothing_raw(
    history: List[Message], budget: int, strategy: str
) -> None:
    before = copy.deepcopy(history)
    try:
        result = BUILDER.build(history, budget, strategy, STRATEGIES[strategy])
        options = {**STRATEGIES[strategy], "previous": result, "pin": ["m1"]}
        BUILDER.build(history, budget, strategy, options)
        assert str(result.explain()).count("\n") == len(history)
    except ContextStoreError:
        pass
    assert history == before


@given(histories(), tools(), values)
def test_a_count_raises_nothing_raw(
    history: List[Message], definitions: List[Any], choice: Any
) -> None:
    path = refused_at(lambda: BUILDER.count(history, definitions, choice))
    assert path is None or path.startswith("tools")


@given(histories(), values)
def test_validate_never_raises(history: List[Message], system: Any) -> None:
    for complete in (False, True):
        validate(history, "openai", complete=complete)
        validate(history, "anthropic", complete=complete)
        request = {"system": system, "messages": history}
        validate(request, "anthropic", complete=complete)


@given(histories(), values)
def test_a_conversion_refuses_with_a_path_or_not_at_all(
    history: List[Message], system: Any
) -> None:
    before = copy.deepcopy(history)
    request = {"system": system, "messages": history}
    for path in (
        refused_at(lambda: to_openai(history)),
        refused_at(lambda: to_anthropic(history)),
        refused_at(lambda: to_openai(request)),
    ):
        assert path is None or path.startswith(("messages[", "system"))
    assert history == before


@given(histories())
def test_what_one_conversion_gives_the_other_takes(history: List[Message]) -> None:
    if refused_at(lambda: to_openai(history)) is None:
        to_anthropic(to_openai(history))
        to_openai(to_anthropic(history))


def calling(calls: Any) -> Message:
    return {"role": "assistant", "content": None, "tool_calls": calls}


def saying(*parts: Any) -> Message:
    return {"role": "user", "content": list(parts)}


@pytest.mark.parametrize(
    ("message", "path"),
    [
        (calling("find"), ".tool_calls"),
        (calling({"id": "c"}), ".tool_calls"),
        (calling(["find"]), ".tool_calls[0]"),
        (calling([{"id": "c", "function": "find"}]), ".tool_calls[0].function"),
        (calling([{"id": "c"}]), ".tool_calls[0].function"),
        (calling([{"id": "c", "function": {}}]), ".tool_calls[0].function.name"),
        (calling([{"id": "c", "custom": []}]), ".tool_calls[0].custom"),
        (saying({"type": ["text"], "text": "x"}), ".content[0].type"),
        (saying(USER, {"type": {"a": 1}}), ".content[1].type"),
        (saying({"type": "text"}), ".content[0].text"),
        (saying({"type": "image_url"}), ".content[0].image_url"),
        (saying({"type": "image_url", "image_url": {}}), ".content[0].image_url"),
        (
            saying({"type": "tool_result", "content": [{"type": 5}]}),
            ".content[0].content[0].type",
        ),
        ({"role": "assistant", "function_call": "find"}, ".function_call"),
        ({"role": ["user"], "content": "x"}, ".role"),
        ({"type": "function_call", "call_id": "c"}, ".name"),
    ],
)
def test_what_cannot_be_read_is_refused_where_it_is(
    message: Message, path: str
) -> None:
    history = [USER, message]
    assert refused_at(lambda: to_openai(history)) == f"messages[1]{path}"
    assert refused_at(lambda: to_anthropic(history)) == f"messages[1]{path}"


@pytest.mark.parametrize(
    "message",
    [
        calling({"id": "c"}),
        calling(["find"]),
        calling([{"id": "c", "function": "find"}]),
        calling([{"id": "c", "function": {"name": "find"}}]),
        calling([{"id": "c", "type": "custom", "custom": {"name": "find"}}]),
        saying({"type": ["text"], "text": "x"}),
        saying("x"),
        saying({"type": "text", "text": 5}),
        {"role": "assistant", "content": "x", "function_call": {"name": 5}},
    ],
)
def test_validate_reports_what_cannot_be_read(message: Message) -> None:
    assert {fault.position for fault in validate([USER, message], "openai")} == {1}


def test_the_parts_of_an_output_are_checked() -> None:
    item = {"type": "function_call_output", "call_id": "c"}
    with pytest.raises(InvalidInputError) as caught:
        to_anthropic([{**item, "output": [{"type": "tool_use", "id": "c"}]}])
    assert caught.value.path == "messages[0].output[0].name"


def test_validate_reports_a_result_of_a_call_without_an_id() -> None:
    bad: Message = {**USER, "tool_calls": ["bad"]}
    messages: List[Message] = [bad, {"role": "tool", "content": "t"}]
    faults = [fault.position for fault in validate(messages, provider="openai")]
    assert set(faults) == {0, 1}


@pytest.mark.parametrize(
    "item",
    [
        {"role": "tool", "content": "x"},
        {"role": "user", "content": 5},
        {"role": "user", "content": [{"type": []}]},
        {"type": "function_call", "call_id": 5, "name": "find"},
    ],
)
def test_validate_reports_items_that_cannot_be_read(item: Message) -> None:
    reasoning = {"type": "reasoning", "summary": []}
    answer = {"type": "message", "role": "assistant", "content": "x"}
    assert validate([reasoning, answer, item], "openai")


def test_the_system_of_anthropic_has_texts_alone() -> None:
    image = {"type": "image_url", "image_url": {"url": "http://x"}}
    message = {"role": "system", "content": [image]}
    request = to_anthropic([message, USER])
    assert request["system"] == [{"type": "text", "text": "[image]"}]


@pytest.mark.parametrize("system", [True, {"text": "x"}, [5], [{"text": 5}]])
def test_a_system_that_is_no_text_is_reported_and_refused(system: Any) -> None:
    request = {"system": system, "messages": [USER]}
    assert [fault.position for fault in validate(request, "anthropic")] == [-1]
    assert str(refused_at(lambda: to_openai(request))).startswith("system")


@pytest.mark.parametrize(
    "block", [5, {"type": ["text"]}, {"text": "x"}, {"type": "text", "text": 5}]
)
def test_a_block_that_is_none_is_reported(block: Any) -> None:
    assert validate([{"role": "user", "content": [block]}], "anthropic")


def nested(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("odd", [nested(100_000), datetime.date(2024, 1, 1), {1, 2}])
@pytest.mark.parametrize("field", ["content", "name", "refusal"])
def test_what_is_no_json_is_named(odd: Any, field: str) -> None:
    history: List[Message] = [USER, {"role": "assistant", "content": "x", field: odd}]
    build = BUILDER.build
    for work in (
        lambda: build(history, 1_000),
        lambda: BUILDER.count(history),
        lambda: build([*history, USER], 8, "recent_only").explain(),
        lambda: to_openai(history),
        lambda: to_anthropic(history),
    ):
        assert str(refused_at(work)).startswith(f"messages[1].{field}")


def test_an_error_of_a_filter_stays_what_it_is() -> None:
    def wanted(message: Message) -> bool:
        raise TypeError("of the caller's own making")

    with pytest.raises(TypeError, match="own making"):
        BUILDER.build([USER], 100, pre_filter=wanted)


def test_a_tool_that_is_nested_too_deep_is_named() -> None:
    schema: Message = {"type": "string"}
    for _ in range(100_000):
        schema = {"type": "array", "items": schema}
    tool = {"name": "find", "parameters": {"properties": {"a": schema}}}
    path = refused_at(lambda: BUILDER.count([USER], [tool]))
    # Python 3.13 has no limit for some calls, and so counts it.
    assert path is None or path.startswith("tools[0].parameters")
