from __future__ import annotations

import copy
from typing import Any, Dict, List, Set

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextstore.context import as_anthropic, to_anthropic, to_openai, validate
from contextstore.context.builder import ContextBuilder
from contextstore.errors import InvalidInputError
from tests.context.histories import (
    WordTokenizer,
    block_histories,
    chat_histories,
    response_histories,
)

Message = Dict[str, Any]

BUILDER = ContextBuilder(WordTokenizer())
budgets = st.integers(0, 500)
strategies = st.sampled_from(["truncate_oldest", "recent_only"])
histories = st.one_of(chat_histories, block_histories, response_histories)


@given(st.one_of(chat_histories, response_histories), budgets, strategies)
def test_what_is_built_is_valid_for_openai_as_it_is(
    history: List[Message], budget: int, strategy: str
) -> None:
    prompt = BUILDER.build(history, budget, strategy).messages
    if prompt:
        assert validate(prompt, "openai") == []


@given(histories, budgets, strategies)
def test_what_is_built_is_valid_for_both_after_conversion(
    history: List[Message], budget: int, strategy: str
) -> None:
    prompt = BUILDER.build(history, budget, strategy).messages
    before = copy.deepcopy(prompt)
    request = to_anthropic(prompt)
    if request["messages"]:
        assert validate(request, "anthropic") == []
    chat = to_openai(prompt)
    if chat:
        assert validate(chat, "openai") == []
    assert prompt == before


def call(call_id: str = "c", arguments: str = '{"a": 1}') -> Message:
    function = {"name": "find", "arguments": arguments}
    made = {"id": call_id, "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [made]}


def answer(call_id: str = "c", content: Any = "found") -> Message:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


USER = {"role": "user", "content": "hello"}
ASSISTANT = {"role": "assistant", "content": "hi"}


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [answer()],
        [call(), USER],
        [call(), USER, answer()],
        [call(), answer(), answer()],
        [{"content": "no role", "role": "robot"}],
        [{"role": "user", "content": None}],
        [{"role": "assistant", "content": None}],
        [{"role": "assistant", "content": []}],
        [{"role": "user", "content": 7}],
        [{"role": "assistant", "content": "x", "tool_calls": []}],
        [{"role": "user", "content": "x", "tool_calls": [1]}],
        [{"role": "assistant", "content": "x", "tool_calls": "y"}],
        [{"role": "assistant", "content": "x", "tool_calls": [{"type": "function"}]}],
        [{"role": "user", "content": "x", "name": "two words"}],
        [{"type": "function_call_output", "call_id": "x", "output": ""}],
        [{"type": "function_call", "call_id": "x"}, USER],
        [{"type": "reasoning", "summary": []}],
        [{"type": "reasoning", "summary": []}, USER],
    ],
)
def test_openai_would_refuse(messages: List[Message]) -> None:
    assert validate(messages, "openai") != []


@pytest.mark.parametrize(
    "messages",
    [
        [USER, ASSISTANT],
        [USER, call(), answer()],
        [USER, call()],
        [{"role": "assistant", "content": None, "refusal": "no"}],
        [{"role": "user", "content": [{"type": "text", "text": "x"}], "id": "1"}],
        [
            {"type": "reasoning", "summary": []},
            {"type": "message", "role": "assistant", "content": "x"},
        ],
        [{"type": "function_call", "call_id": "x"}],
    ],
)
def test_openai_would_take(messages: List[Message]) -> None:
    assert validate(messages, "openai") == []


def use(call_id: str = "c", name: str = "find", given: Any = None) -> Message:
    block = {"type": "tool_use", "id": call_id, "name": name, "input": given or {}}
    return {"role": "assistant", "content": [block]}


def given_back(call_id: str = "c", *others: Message) -> Message:
    result = {"type": "tool_result", "tool_use_id": call_id, "content": "found"}
    return {"role": "user", "content": [result, *others]}


TEXT = {"type": "text", "text": "and then?"}
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "s"}


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [ASSISTANT],
        [USER, USER],
        [{"role": "system", "content": "x"}],
        [{"role": "user", "content": " "}],
        [{"role": "user", "content": []}],
        [USER, use(), USER],
        [USER, use(), given_back("other")],
        [given_back()],
        [USER, use(), {"role": "user", "content": [TEXT, *given_back()["content"]]}],
        [USER, use(), given_back("c", *given_back()["content"])],
        [USER, use(), given_back(), use(), given_back()],
        [USER, use("not legal")],
        [USER, use("c", "not legal")],
        [USER, use("c", "find", [1])],
        [{"role": "user", "content": use()["content"]}],
        [USER, {"role": "assistant", "content": "ends badly "}],
        [USER, {"role": "assistant", "content": [THOUGHT]}],
        [USER, {"role": "assistant", "content": [TEXT, THOUGHT]}, USER],
        [USER, {"role": "assistant", "content": [{"type": "redacted_thinking"}]}],
        {"system": " ", "messages": [USER]},
        {"system": [{"type": "text", "text": ""}], "messages": [USER]},
    ],
)
def test_anthropic_would_refuse(messages: Any) -> None:
    assert validate(messages, "anthropic") != []


@pytest.mark.parametrize(
    "messages",
    [
        [USER, ASSISTANT],
        [USER, use(), given_back("c", TEXT)],
        [USER, use()],
        [USER, {"role": "assistant", "content": [THOUGHT, TEXT]}],
        {"system": "Be kind.", "messages": [USER]},
    ],
)
def test_anthropic_would_take(messages: Any) -> None:
    assert validate(messages, "anthropic") == []


@pytest.mark.parametrize(
    ("messages", "provider"),
    [
        ([USER, call()], "openai"),
        ([{"type": "function_call", "call_id": "x"}], "openai"),
        ([USER, use()], "anthropic"),
    ],
)
def test_an_open_call_is_no_complete_prompt(
    messages: List[Message], provider: str
) -> None:
    assert validate(messages, provider) == []
    (fault,) = validate(messages, provider, complete=True)
    assert fault.position == len(messages) - 1


def test_other_providers_are_not_known() -> None:
    with pytest.raises(InvalidInputError, match="provider"):
        validate([], "cohere")


def test_a_conversation_comes_back_from_anthropic() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}
    linked = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    chat: List[Message] = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": [TEXT, image, linked]},
        call(),
        answer(),
        {"role": "assistant", "content": "Here it is."},
        {"role": "user", "content": "thanks"},
    ]
    request = to_anthropic(chat)
    assert validate(request, "anthropic") == []
    assert request["system"] == [{"type": "text", "text": "Be kind."}]
    assert request["messages"][1]["content"][0]["input"] == {"a": 1}
    assert to_openai(request) == chat


def test_what_the_store_adds_is_taken_out() -> None:
    stored = {**USER, "id": "1", "timestamp": "t", "metadata": {}}
    assert to_openai([stored]) == [USER]
    assert to_anthropic([stored]) == {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]
    }


def test_the_user_begins() -> None:
    request = to_anthropic([ASSISTANT, USER])
    assert [m["role"] for m in request["messages"]] == ["user", "assistant", "user"]
    assert to_openai(request) == [ASSISTANT, USER]


def test_messages_of_one_role_are_joined_with_results_first() -> None:
    request = to_anthropic([USER, call("x"), answer("x"), USER, USER])
    joined = request["messages"][-1]["content"]
    assert [block["type"] for block in joined] == ["tool_result", "text", "text"]


def test_ids_and_names_are_made_legal_and_unique() -> None:
    history = [USER, call("a b"), answer("a b"), call("a b"), answer("a b")]
    request = to_anthropic(history)
    assert validate(request, "anthropic") == []
    uses = [m["content"][0]["id"] for m in request["messages"][1::2]]
    assert uses == ["a_b", "a_b_2"]


def test_repeated_ids_are_numbered_past_those_that_are_taken() -> None:
    ids = ["c", "c_3", "c", "c c", "c", "c_2", "c_c"]
    history = [USER, *(made for i in ids for made in (call(i), answer(i)))]
    request = to_anthropic(history)
    assert validate(request, "anthropic") == []
    uses = [message["content"][0]["id"] for message in request["messages"][1::2]]
    assert uses == ["c", "c_3", "c_2", "c_c", "c_4", "c_2_2", "c_c_2"]


class CountedIds(Set[str]):
    """Count how often it is asked for an id."""

    asked = 0

    def __contains__(self, call_id: object) -> bool:
        self.asked += 1
        return super().__contains__(call_id)


def test_a_repeated_id_takes_no_longer_the_more_often_it_was_there() -> None:
    links, used = as_anthropic._Links(), CountedIds()
    links._used = used
    made = {links.call("c") for _ in range(500)}
    assert len(made) == 500
    assert used.asked <= 2 * 500


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('{"x": NaN}', {"arguments": '{"x": NaN}'}),
        ("[" * 100_000, {"arguments": "[" * 100_000}),
        ("", {}),
        ("[1]", {"arguments": [1]}),
        ("{broken", {"arguments": "{broken"}),
    ],
)
def test_arguments_become_an_object(arguments: str, expected: Any) -> None:
    request = to_anthropic([USER, call("c", arguments)])
    assert request["messages"][1]["content"][0]["input"] == expected


def test_response_items_become_messages() -> None:
    items: List[Message] = [
        USER,
        {"type": "reasoning", "summary": []},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "b", "name": "g", "input": "x"},
        {"type": "function_call_output", "call_id": "a", "output": "1"},
        {"type": "function_call_output", "call_id": "b", "output": [TEXT]},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "done"}],
        },
    ]
    chat = to_openai(items)
    assert [m["role"] for m in chat] == [
        *("user", "assistant", "tool", "tool", "assistant")
    ]
    assert [c["id"] for c in chat[1]["tool_calls"]] == ["a", "b"]
    assert chat[3]["content"] == "and then?"
    assert chat[4]["content"] == [{"type": "text", "text": "done"}]
    request = to_anthropic(items)
    assert validate(request, "anthropic") == []
    assert request["messages"][1]["content"][1]["input"] == {"arguments": "x"}


def test_blocks_become_messages() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    source = {"type": "base64", "media_type": "image/png", "data": "iVBO"}
    blocks: List[Message] = [
        {"role": "assistant", "content": [thought, TEXT, *use()["content"]]},
        given_back("c", {"type": "image", "source": source}),
        {
            "role": "user",
            "content": ["bare", {"type": "input_image", "image_url": "u"}],
        },
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "x"}]},
    ]
    chat = to_openai(blocks)
    assert chat[0]["content"] == "and then?"
    assert chat[1] == answer()
    assert chat[2]["content"][0]["image_url"]["url"] == "data:image/png;base64,iVBO"
    assert chat[3]["content"][0] == {"type": "text", "text": "bare"}
    assert len(chat) == 4


def test_what_has_no_place_is_named() -> None:
    odd: List[Message] = [
        {"role": "user", "content": [{"type": "input_audio"}, {"x": 1}, 5]},
        {
            "role": "assistant",
            "content": None,
            "refusal": "no",
            "function_call": {"name": "f"},
        },
        {"role": "function", "name": "f", "content": "1"},
        {"role": "assistant", "content": "over "},
        {"type": "web_search_call"},
    ]
    request = to_anthropic(odd)
    assert validate(request, "anthropic") == []
    texts = [[b["text"] for b in m["content"]] for m in request["messages"]]
    assert texts == [
        ["[input_audio]", '{"x": 1}', "5"],
        ["[called f]", "no"],
        ["1"],
        ["over"],
    ]
    assert to_openai([{"type": "web_search_call"}]) == []
    assert to_openai([answer("c", {"a": 1})])[0]["content"] == '{"a": 1}'
    output = {"type": "function_call_output", "call_id": "c", "output": {"a": 1}}
    assert to_openai([output])[0]["content"] == '{"a": 1}'


def test_what_the_user_says_among_results_comes_after_them() -> None:
    calls = [{"type": "tool_use", "id": i, "name": "f", "input": {}} for i in "ab"]
    results = [{"type": "tool_result", "tool_use_id": i, "content": i} for i in "ab"]
    prompt = to_openai(
        [
            {"role": "assistant", "content": calls},
            {"role": "user", "content": [results[0], {"type": "text", "text": "1"}]},
            {"role": "user", "content": [results[1]]},
        ]
    )
    assert [m["role"] for m in prompt] == ["assistant", "tool", "tool", "user"]
    assert not validate(prompt, "openai")


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": "Hi.", "name": "Jane <Doe> of Acme|Co" * 9},
        {"role": "user", "content": "Hi.", "tool_calls": [{"id": "a"}]},
        {"role": "assistant", "content": "Hi.", "tool_calls": []},
        {"role": "narrator", "content": "Then came night."},
        {"role": "user", "content": {"temperature": 21}},
        {"role": "assistant", "content": 5},
        {"role": "system", "content": None},
    ],
)
def test_odd_messages_are_made_legal_for_openai(message: Message) -> None:
    assert validate([message], "openai")
    assert not validate(to_openai([message]), "openai")


def test_a_build_leaves_names_and_to_openai_mends_them() -> None:
    history = [{"role": "user", "name": "Ann Lee", "content": "Hi."}]
    prompt = BUILDER.build(history, 100).messages
    assert prompt == history
    assert [fault.position for fault in validate(prompt, "openai")] == [0]
    chat = to_openai(prompt)
    assert validate(chat, "openai") == []
    assert chat == [{**history[0], "name": "Ann_Lee"}]


@pytest.mark.parametrize(
    "odd",
    [
        {"role": "user"},
        {"role": "user", "content": None},
        {"role": "user", "content": []},
        {"role": "assistant", "content": "Hi.", "tool_calls": []},
    ],
)
def test_messages_that_say_nothing_are_mended_or_left_out(odd: Message) -> None:
    history = [{"role": "user", "content": "Hi."}, {**odd, "id": "odd"}]
    result = ContextBuilder().build(history, 100)
    assert not validate(result.messages, "openai")
    assert result.metadata["repaired_ids"] == ["odd"]


def test_a_result_that_is_null_is_made_text() -> None:
    calls = [
        {"id": "x", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    ]
    history: List[Message] = [
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "x", "content": None, "id": "null"},
    ]
    result = ContextBuilder().build(history, 100)
    assert not validate(result.messages, "openai", complete=True)
    assert result.metadata["repaired_ids"] == ["null"]


def test_what_one_response_holds_after_a_call_leaves_it_open() -> None:
    call = {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"}
    said = {"type": "message", "role": "assistant", "content": "One moment."}
    assert not validate([call, said], "openai")
    assert validate([call, said], "openai", complete=True)
    assert validate([call, said, {"role": "user", "content": "Well?"}], "openai")


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_what_is_no_list_is_not_judged(provider: str) -> None:
    not_a_list: Any = None
    with pytest.raises(InvalidInputError, match="pass a list of messages"):
        validate(not_a_list, provider)


def test_what_is_no_message_is_refused_by_every_provider() -> None:
    odd: Any = [{"role": "user", "content": "Hi."}, 5]
    assert validate(odd, "openai")
    assert validate(odd, "anthropic")
    for convert in (to_openai, to_anthropic):
        with pytest.raises(InvalidInputError, match=r"messages\[1\]"):
            convert(odd)


@pytest.mark.parametrize("call_id", [None, 5, ["x"], {"x": 1}])
def test_ids_that_are_no_text_match_nothing(call_id: Any) -> None:
    call = {"type": "function_call", "call_id": call_id, "name": "f", "arguments": ""}
    output = {"type": "function_call_output", "call_id": call_id, "output": "r"}
    use = {"type": "tool_use", "id": call_id, "name": "f", "input": {}}
    answer = {"type": "tool_result", "tool_use_id": call_id, "content": "r"}
    assert validate([call, output], "openai")
    blocks: List[Message] = [
        {"role": "user", "content": "Hi."},
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [answer]},
    ]
    assert validate(blocks, "anthropic")


BLANK = {"type": "text", "text": " \n"}


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ([THOUGHT], []),
        ([THOUGHT, BLANK], []),
        ([{"type": "redacted_thinking", "data": "x"}, THOUGHT], []),
        ([THOUGHT, TEXT, THOUGHT], [THOUGHT, TEXT]),
    ],
)
def test_no_message_for_anthropic_ends_with_a_thought(
    said: List[Message], left: List[Message]
) -> None:
    message: Message = {"role": "assistant", "content": said}
    history: List[Message] = [USER, message, USER]
    request = to_anthropic(history)
    assert validate(request, "anthropic") == []
    roles = [message["role"] for message in request["messages"]]
    assert roles == (["user", "assistant", "user"] if left else ["user"])
    assert not left or request["messages"][1]["content"] == left
    for chat in (to_openai(request), to_openai(history)):
        assert validate(chat, "openai") == []
    assert to_anthropic([message]) == to_anthropic([{**message, "content": left}])


def test_thoughts_stay_before_what_follows_them() -> None:
    thought: Message = {"role": "assistant", "content": [THOUGHT]}
    history: List[Message] = [USER, thought, use(), given_back()]
    request = to_anthropic(history)
    assert validate(request, "anthropic") == []
    assert request["messages"][1]["content"] == [THOUGHT, *use()["content"]]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"arguments": {"city": "Köln"}}, '{"city": "Köln"}'),
        ({"arguments": {}}, "{}"),
        ({"arguments": None}, "{}"),
        ({}, "{}"),
        ({"arguments": "as it is"}, "as it is"),
    ],
)
def test_arguments_become_text_for_openai(given: Message, text: str) -> None:
    called = {"name": "f", **given}
    calls = {"role": "assistant", "tool_calls": [{"id": "c", "function": called}]}
    legacy = {"role": "assistant", "content": None, "function_call": called}
    item = {"type": "function_call", "call_id": "c", **called}
    for message in (calls, legacy, item):
        (chat,) = to_openai([message])
        shown = chat.get("function_call") or chat["tool_calls"][0]["function"]
        assert shown == {"name": "f", "arguments": text}
        assert not validate([chat], "openai")
    (chat,) = to_openai([calls])
    assert chat["tool_calls"][0]["type"] == "function"
    assert called == {"name": "f", **given}


def test_other_inputs_become_text_for_openai() -> None:
    custom = {"id": "c", "custom": {"name": "f", "input": {"a": 1}}}
    made: List[Message] = [
        {"role": "assistant", "tool_calls": [custom]},
        {"type": "custom_tool_call", "call_id": "c", "name": "f", "input": {"a": 1}},
        use("c", "f", {"a": 1}),
    ]
    for message in made:
        (chat,) = to_openai([message])
        (shown,) = chat["tool_calls"]
        given = shown[shown["type"]]
        assert given.get("arguments", given.get("input")) == '{"a": 1}'
    unasked = {"type": "tool_use", "id": "c", "name": "f"}
    message = {"role": "assistant", "content": [unasked]}
    (chat,) = to_openai([message])
    assert chat["tool_calls"][0]["function"]["arguments"] == "{}"
    request = to_anthropic([USER, message])
    assert not validate(request, "anthropic")


def test_missing_arguments_are_none_for_anthropic() -> None:
    calls = [{"id": "c", "type": "function", "function": {"name": "f"}}]
    request = to_anthropic([USER, {"role": "assistant", "tool_calls": calls}])
    assert request["messages"][1]["content"][0]["input"] == {}


@pytest.mark.parametrize("odd", [5, True, ["x"]])
@pytest.mark.parametrize("convert", [to_openai, to_anthropic])
def test_arguments_that_are_neither_text_nor_object_are_refused(
    odd: Any, convert: Any
) -> None:
    called = {"name": "f", "arguments": odd}
    calls = {"role": "assistant", "tool_calls": [{"id": "c", "function": called}]}
    block = {"type": "tool_use", "id": "c", "name": "f", "input": odd}
    for message, path in (
        (calls, "messages[1].tool_calls[0].function.arguments"),
        ({"role": "assistant", "function_call": called}, "messages[1].function_call"),
        ({"type": "function_call", **called}, "messages[1].arguments"),
        ({"role": "assistant", "content": [block]}, "messages[1].content[0].input"),
    ):
        with pytest.raises(InvalidInputError) as caught:
            convert([USER, message])
        assert str(caught.value.path).startswith(path)
