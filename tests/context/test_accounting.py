from __future__ import annotations

import base64
import math
import struct
from typing import Any, Dict, List

import pytest

from contextstore.context.accounting import Accounting
from contextstore.context.images import image_size, image_tokens
from contextstore.context.models import profile_of
from contextstore.context.tokenizers import tokenizer_from_name
from contextstore.context.toolschema import tools_as_typescript

GPT_4 = Accounting(tokenizer_from_name("gpt-4"))
GPT_4O = Accounting(tokenizer_from_name("gpt-4o"))
CHARACTERS = Accounting(tokenizer_from_name(len))

NO_ARGUMENTS = {"type": "object", "properties": {}}


def test_a_prompt_costs_its_texts_and_three_a_message_and_three_for_the_reply() -> None:
    messages = [{"role": "user", "content": "hello world"}]
    assert GPT_4.prompt(messages) == GPT_4O.prompt(messages) == 3 + 3 + 1 + 2
    assert CHARACTERS.prompt(messages) == 3 + 3 + 4 + 11
    assert GPT_4.prompt([]) == 0


def test_a_name_costs_one_more() -> None:
    named = {"role": "system", "name": "robot", "content": "hello"}
    assert GPT_4.message(named) == 3 + 1 + 1 + 1 + 1
    oldest = Accounting(tokenizer_from_name("gpt-3.5-turbo-0301"))
    assert oldest.message(named) == 4 + 1 + 1 + 1 - 1


def test_fields_that_are_not_sent_cost_nothing() -> None:
    plain = {"role": "user", "content": "hello"}
    stored = {**plain, "id": "1", "timestamp": "now", "metadata": {"a": "b"}, "x": [1]}
    assert GPT_4.message(stored) == GPT_4.message(plain)


def test_calls_and_functions_cost_their_texts() -> None:
    call = {"name": "do", "arguments": "{}"}
    said = {"role": "assistant", "content": None, "function_call": call}
    assert CHARACTERS.message(said) == 3 + 9 + 3 + 2 + 2
    calls = [{"id": "c", "type": "function", "function": call}] * 2
    assert CHARACTERS.message({"role": "assistant", "tool_calls": calls}) == 12 + 14
    custom = [{"id": "c", "type": "custom", "custom": {"name": "do", "input": "abc"}}]
    assert CHARACTERS.message({"role": "assistant", "tool_calls": custom}) == 12 + 8
    odd = {"role": "assistant", "tool_calls": ["do", {"name": "do"}]}
    assert CHARACTERS.message(odd) == 12 + 2 + 5
    answer = {"role": "function", "name": "do", "content": "{}"}
    assert CHARACTERS.message(answer) == 3 + 8 + 2 + 1 + 2 - 2
    result = {"role": "tool", "tool_call_id": "c", "content": "{}"}
    assert CHARACTERS.message(result) == 3 + 4 + 2
    assert CHARACTERS.message({"role": "assistant", "refusal": "no"}) == 12 + 2


def test_parts_cost_their_texts() -> None:
    parts: List[Any] = [
        {"type": "text", "text": "four"},
        {"type": "thinking", "thinking": "think", "signature": "long one"},
        {"type": "refusal", "refusal": "no"},
        {"type": "tool_use", "id": "x", "name": "do", "input": {"a": 1}},
        {"type": "tool_result", "tool_use_id": "x", "content": "done"},
        {"type": "tool_result", "content": [{"type": "text", "text": "done"}]},
        "bare",
        None,
    ]
    costs = [4, 5, 2, 3 + 2 + 7, 4, 4, 4, 0]
    assert [CHARACTERS.content([part]) for part in parts] == costs
    assert CHARACTERS.content(parts) == sum(costs)


def test_responses_items_cost_their_texts() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "do", "arguments": "{}"}
    assert CHARACTERS.message(call) == 3 + 3 + 2 + 2
    output = {"type": "function_call_output", "call_id": "c", "output": "done"}
    assert CHARACTERS.message(output) == 3 + 4
    summary = [{"type": "summary_text", "text": "hm"}]
    assert CHARACTERS.message({"type": "reasoning", "summary": summary}) == 3 + 2
    search = {"type": "web_search_call", "id": "w", "status": "done", "q": "a"}
    assert CHARACTERS.message(search) == 3 + len('{"q":"a"}')


def test_other_content_costs_its_json() -> None:
    assert CHARACTERS.message({"role": "user", "content": {"a": 1}}) == 3 + 4 + 7
    assert CHARACTERS.message({"role": 5, "content": 12}) == 3 + 2
    assert CHARACTERS.message({}) == 3


def test_functions_are_shown_as_typescript() -> None:
    recipe = {
        "name": "cook",
        "description": "Cook a meal",
        "parameters": {
            "type": "object",
            "required": ["meal", "plan"],
            "properties": {
                "meal": {"type": "string", "description": "Its name"},
                "size": {"type": "integer", "enum": [1, 2]},
                "hot": {"type": "boolean"},
                "steps": {"type": "array", "items": {"type": "string"}},
                "extras": {"type": "array"},
                "who": {"anyOf": [{"type": "null"}, {"enum": ["me", "you"]}]},
                "when": {"type": ["number", "null"]},
                "what": {"description": "Anything"},
                "odd": True,
                "pan": {
                    "type": "object",
                    "properties": {"kind": {"type": "string", "description": "Hidden"}},
                },
                "plan": {"type": "object", "properties": {"day": {"type": "string"}}},
            },
        },
    }
    assert tools_as_typescript([recipe, {"name": "stop"}]) == (
        "namespace functions {\n"
        "\n"
        "// Cook a meal\n"
        "type cook = (_: {\n"
        "// Its name\n"
        "meal: string,\n"
        "size?: 1 | 2,\n"
        "hot?: boolean,\n"
        "steps?: string[],\n"
        "extras?: any[],\n"
        'who?: null | "me" | "you",\n'
        "when?: number | null,\n"
        "// Anything\n"
        "what?: any,\n"
        "odd?: any,\n"
        "pan?: {\n"
        "  kind?: string,\n"
        "},\n"
        "plan: {\n"
        "  day?: string,\n"
        "},\n"
        "}) => any;\n"
        "\n"
        "type stop = () => any;\n"
        "\n"
        "} // namespace functions"
    )


def tool(**properties: Any) -> Dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": ["plan"]}
    function = {"name": "cook", "description": "Cook a meal", "parameters": schema}
    return {"type": "function", "function": function}


def test_tools_have_objects_without_descriptions_on_one_line() -> None:
    day = {"type": "object", "properties": {"day": {"type": "string"}}}
    told = {"type": "object", "properties": {"day": {"description": "Its name"}}}
    meal = {"type": "string"}
    assert tools_as_typescript([tool(meal=meal, plan=day), tool(plan=told)]) == (
        "namespace functions {\n"
        "\n"
        "// Cook a meal\n"
        "type cook = (_: { meal?: string, plan: { day?: string } }) => any;\n"
        "\n"
        "// Cook a meal\n"
        "type cook = (_: { plan: {\n"
        "// Its name\n"
        "day?: any,\n"
        "} }) => any;\n"
        "\n"
        "} // namespace functions"
    )
    described = tool(plan={**told, "description": "When"}, meal=meal)
    assert (
        "(_: {\n// When\nplan: {\n// Its name\nday?: any,\n},\nmeal?: string,\n}) =>"
    ) in tools_as_typescript([described])


SYSTEM = {"role": "system", "content": "Hello"}
USER = {"role": "user", "content": "Hi there"}
STOP = {"name": "stop", "parameters": NO_ARGUMENTS}


def test_tools_cost_their_text_and_nine_less_four_beside_a_system_message() -> None:
    text = len(tools_as_typescript([STOP]))
    assert CHARACTERS.frame([USER], [STOP]) == 3 + text + 9
    # The first system message gets a line end.
    assert CHARACTERS.frame([SYSTEM, USER], [STOP]) == 3 + text + 9 - 4 + 1
    parts = {"role": "system", "content": [{"type": "text", "text": "Hello"}]}
    assert CHARACTERS.frame([parts], [STOP]) == 3 + text + 9 - 4 + 1


@pytest.mark.parametrize(
    ("choice", "cost"),
    [
        (None, 0),
        ("auto", 0),
        ("none", 1),
        ({"name": "stop"}, 4 + 4),
        ({"type": "function", "function": {"name": "stop"}}, 7 + 4),
    ],
)
def test_a_choice_costs_its_name(choice: Any, cost: int) -> None:
    assert CHARACTERS.frame([], [STOP], choice) == CHARACTERS.frame([], [STOP]) + cost


def test_tools_come_in_several_wrappings() -> None:
    plain = CHARACTERS.frame([], [{**STOP, "description": "end"}])
    wrapped = {"type": "function", "function": {**STOP, "description": "end"}}
    anthropic = {"name": "stop", "description": "end", "input_schema": NO_ARGUMENTS}
    assert CHARACTERS.frame([], [wrapped]) == plain
    assert CHARACTERS.frame([], [anthropic]) == plain
    odd: List[Any] = ["stop", {"function": "stop"}]
    assert CHARACTERS.frame([], odd) == 3 + len(tools_as_typescript([{}, {}])) + 9


def test_a_tool_costs_less_than_the_same_function() -> None:
    wrapped = tool(meal={"type": "string"})
    assert GPT_4.frame([], [wrapped]) == GPT_4.frame([], [wrapped["function"]]) - 1


def data_url(data: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + bytes(8) + struct.pack(">II", width, height)


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height)


def jpeg(width: int, height: int) -> bytes:
    comment = b"\xff\xfe" + struct.pack(">H", 6) + b"abcd"
    frame = b"\xff\xc0" + struct.pack(">HBHH", 11, 8, height, width) + bytes(4)
    return b"\xff\xd8" + comment + frame


def image(data: bytes, **fields: Any) -> Dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": data_url(data), **fields}}


@pytest.mark.parametrize("picture", [png(640, 480), gif(640, 480), jpeg(640, 480)])
def test_the_size_of_an_image_is_read_from_its_data(picture: bytes) -> None:
    assert image_size(image(picture)) == (640, 480)
    assert image_size({"type": "input_image", "image_url": data_url(picture)}) == (
        640,
        480,
    )
    source = {"type": "base64", "data": base64.b64encode(picture).decode()}
    assert image_size({"type": "image", "source": source}) == (640, 480)


@pytest.mark.parametrize(
    "part",
    [
        {},
        {"image_url": "https://example.com/a.png"},
        {"image_url": "data:image/png,plain"},
        {"image_url": {"url": 5}},
        {"image_url": "data:image/png;base64,*****é"},
        {"image_url": "data:image/png;base64,é***"},
        {"source": {"type": "url", "url": "https://example.com"}},
        image(b"not an image"),
        image(png(1, 1)[:20]),
        image(gif(1, 1)[:8]),
        image(jpeg(1, 1)[:12]),
        image(b"\xff\xd8\xff\xd9\x00\x00" + bytes(20)),
        image(png(0, 5)),
    ],
)
def test_the_size_of_other_images_is_unknown(part: Dict[str, Any]) -> None:
    assert image_size(part) is None


@pytest.mark.parametrize(
    ("size", "tiles"),
    [
        ((1, 1), 1),
        ((512, 512), 1),
        ((513, 512), 2),
        ((1024, 1024), 4),
        ((2048, 4096), 6),
        ((8000, 100), 4),
    ],
)
def test_images_cost_their_tiles(size: Any, tiles: int) -> None:
    part = image(png(*size))
    assert image_tokens(part, profile_of("gpt-4o")) == 85 + 170 * tiles
    assert image_tokens(part, profile_of("gpt-4o-mini")) == 2833 + 5667 * tiles


def test_low_detail_costs_the_base_price() -> None:
    assert image_tokens(image(png(1, 1), detail="low"), profile_of("gpt-4o")) == 85
    message = {"role": "user", "content": [image(png(9, 9), detail="auto")]}
    assert CHARACTERS.message(message) == 3 + 4 + 85 + 170


def test_an_image_of_unknown_size_costs_the_most() -> None:
    part = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    assert image_tokens(part, profile_of("gpt-4o")) == 85 + 170 * 8
    assert CHARACTERS.is_approximate([{"role": "user", "content": [part]}])
    inner = {"type": "tool_result", "content": [part]}
    assert CHARACTERS.is_approximate([{"role": "user", "content": [inner]}])
    known = {"type": "tool_result", "content": [image(png(1, 1))]}
    assert not CHARACTERS.is_approximate([{"role": "user", "content": [known]}])


@pytest.mark.parametrize(
    ("model", "price"),
    [
        ("gpt-4.1-mini", 1.62),
        ("gpt-4.1-nano-2025-04-14", 2.46),
        ("azure/gpt-5-mini", 1.62),
        ("gpt-5-nano-2025-08-07", 2.46),
        ("ft:o4-mini-2025-04-16:org::id", 1.72),
    ],
)
@pytest.mark.parametrize(
    ("size", "patches"),
    [
        ((1, 1), 1),
        ((33, 32), 2),
        # The two examples of OpenAI's guide.
        ((1024, 1024), 1024),
        ((1800, 2400), 1452),
        ((8000, 8000), 1521),
        ((100_000, 20), 1536),
    ],
)
def test_small_models_are_billed_by_patches_whatever_the_detail(
    model: str, price: float, size: Any, patches: int
) -> None:
    part, low = image(png(*size)), image(png(*size), detail="low")
    cost = math.ceil(patches * price)
    profile = profile_of(model)
    assert [image_tokens(shown, profile) for shown in (part, low)] == [cost, cost]
    accounting = Accounting(tokenizer_from_name(model))
    assert accounting.is_approximate([{"role": "user", "content": [part]}])
    assert not accounting.is_approximate([{"role": "user", "content": "hello"}])


def test_an_image_of_unknown_size_costs_the_most_patches() -> None:
    part = {"type": "input_image", "image_url": "https://example.com/a.png"}
    assert image_tokens(part, profile_of("gpt-4.1-mini")) == math.ceil(1536 * 1.62)


@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-5", "gpt-5.2", "o3", "gpt-4o-mini"])
def test_large_models_are_billed_by_tiles(model: str) -> None:
    part, profile = image(png(513, 512)), profile_of(model)
    assert image_tokens(part, profile) == profile.image_base + 2 * profile.image_tile
    accounting = Accounting(tokenizer_from_name(model))
    assert not accounting.is_approximate([{"role": "user", "content": [part]}])


UNKNOWN = {"type": "input_image", "image_url": "https://example.com/a.png"}


@pytest.mark.parametrize(
    "message",
    [
        {"type": "function_call_output", "call_id": "c", "output": [UNKNOWN]},
        {
            "type": "function_call_output",
            "call_id": "c",
            "output": [{"type": "input_file", "file_id": "f"}],
        },
        {
            "type": "computer_call_output",
            "call_id": "c",
            "output": {"type": "computer_screenshot", "file_id": "f"},
        },
        {"type": "reasoning", "summary": [], "encrypted_content": "gAAAAB"},
        {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "x"}]},
    ],
)
def test_what_has_no_known_price_makes_a_count_an_estimate(
    message: Dict[str, Any],
) -> None:
    assert CHARACTERS.is_approximate([USER, message])


@pytest.mark.parametrize(
    "message",
    [
        {"type": "function_call_output", "call_id": "c", "output": "done"},
        {"type": "function_call_output", "call_id": "c", "output": [image(png(9, 9))]},
        {"type": "reasoning", "summary": [], "encrypted_content": None},
        {"role": "user", "content": ["bare", {"type": "text", "text": "x"}]},
    ],
)
def test_what_has_a_known_price_is_counted_exactly(message: Dict[str, Any]) -> None:
    assert not CHARACTERS.is_approximate([USER, message])
