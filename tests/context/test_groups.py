from __future__ import annotations

from typing import Any, Dict, List, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextstore.context.groups import Groups
from contextstore.context.history import History
from tests.context.histories import (
    block_histories,
    chat_histories,
    response_histories,
)

Message = Dict[str, Any]


def one(message: Message) -> int:
    return 1


def user(text: str = "hello") -> Message:
    return {"role": "user", "content": text}


def calls(*ids: str, content: Any = None) -> Message:
    made = [{"id": i, "type": "function", "function": {"name": "f"}} for i in ids]
    return {"role": "assistant", "content": content, "tool_calls": made}


def result(call_id: str) -> Message:
    return {"role": "tool", "tool_call_id": call_id, "content": "r"}


def grouped(*messages: Message) -> Tuple[List[Tuple[int, ...]], List[int]]:
    groups = Groups(messages, one)
    found = [group.positions for group in groups]
    return found[::-1], sorted(groups.left_out)


def test_messages_on_their_own_are_groups_of_one() -> None:
    assert grouped(user(), {"role": "assistant", "content": "hi"}, user()) == (
        [(0,), (1,), (2,)],
        [],
    )


def test_a_call_and_its_results_are_one_group() -> None:
    history = (user(), calls("a", "b"), result("b"), result("a"), user())
    assert grouped(*history) == ([(0,), (1, 2, 3), (4,)], [])


def test_a_result_after_a_user_message_follows_its_call() -> None:
    groups = Groups([calls("a"), user(), result("a")], one)
    assert [group.positions for group in groups] == [(1,), (0, 2)]
    assert groups.moved == [2]


def test_interleaved_calls_are_parted() -> None:
    groups = Groups([calls("a"), calls("b"), result("a"), result("b")], one)
    assert [group.positions for group in groups] == [(1, 3), (0, 2)]
    assert sorted(groups.moved) == [2, 3]


def test_a_call_id_used_again_belongs_to_the_newest_call_before() -> None:
    history = (calls("a"), result("a"), calls("a"), result("a"))
    assert grouped(*history) == ([(0, 1), (2, 3)], [])


def test_a_second_result_of_one_call_is_left_out() -> None:
    assert grouped(calls("a"), result("a"), result("a"), user()) == (
        [(0, 1), (3,)],
        [2],
    )


def test_a_result_without_its_call_is_left_out() -> None:
    history = (user(), result("x"), {"role": "tool", "content": "no id"}, user())
    assert grouped(*history) == ([(0,), (3,)], [1, 2])


def test_a_result_before_its_call_is_left_out() -> None:
    assert grouped(result("a"), calls("a"), result("a")) == ([(1, 2)], [0])


def test_an_unanswered_call_is_left_out() -> None:
    assert grouped(calls("a"), user()) == ([(1,)], [0])


@pytest.mark.parametrize("content", [None, "", []])
def test_an_empty_assistant_message_is_left_out(content: Any) -> None:
    assistant = {"role": "assistant", "content": content}
    kept = [(0,)] if content == "" else []
    assert grouped(assistant) == (kept, [] if kept else [0])


def test_a_refusal_says_something() -> None:
    refusal = {"role": "assistant", "content": None, "refusal": "no"}
    assert grouped(refusal) == ([(0,)], [])


def test_what_an_unanswered_call_says_beside_is_kept() -> None:
    groups = list(Groups([calls("a", "b", content="Let me see"), result("b")], one))
    assert groups[0].mended == ()
    history = [calls("a", "b", content="Let me see"), result("b"), user()]
    (_, group) = Groups(history, one)
    assert group.mended == (0,)
    assert [call["id"] for call in group.messages[0]["tool_calls"]] == ["b"]
    (_, said) = Groups([calls("a", content="Let me see"), user()], one)
    assert said.messages == [{"role": "assistant", "content": "Let me see"}]
    assert history[0] == calls("a", "b", content="Let me see")


@pytest.mark.parametrize(
    "history",
    [
        (calls("a"),),
        (calls("a", "b"), result("a")),
        (calls("a"), result("x")),
    ],
)
def test_a_call_at_the_very_end_stays_open(history: Tuple[Message, ...]) -> None:
    (group,) = Groups(history, one)
    assert group.messages[0] == history[0]
    assert group.mended == ()


def test_a_call_is_not_open_where_a_system_message_follows() -> None:
    history = [calls("a"), {"role": "system", "content": "s"}]
    assert list(Groups(history, one, aside=[1])) == []


def test_a_call_whose_result_a_filter_took_is_not_open() -> None:
    assert list(Groups([calls("a")], one, open_end=False)) == []


def test_two_calls_of_one_id_need_two_results() -> None:
    assert grouped(calls("a", "a"), result("a"), result("a"), user())[1] == []
    groups = list(Groups([calls("a", "a"), result("a"), user()], one))
    assert len(groups[1].messages[0]["tool_calls"]) == 1


def test_a_function_and_its_call_of_the_old_kind_are_one_group() -> None:
    call = {"role": "assistant", "content": None, "function_call": {"name": "f"}}
    answer = {"role": "function", "name": "f", "content": "1"}
    other = {"role": "function", "name": "g", "content": "1"}
    assert grouped(user(), call, answer) == ([(0,), (1, 2)], [])
    assert grouped(call, other) == ([(0,), (1,)], [])
    assert grouped(answer) == ([(0,)], [])


def use(*ids: str) -> Message:
    blocks = [{"type": "tool_use", "id": i, "name": "f", "input": {}} for i in ids]
    return {"role": "assistant", "content": blocks}


def given_back(*ids: str, text: str = "") -> Message:
    content: List[Message] = [
        {"type": "tool_result", "tool_use_id": i, "content": "r"} for i in ids
    ]
    if text:
        content.append({"type": "text", "text": text})
    return {"role": "user", "content": content}


def test_blocks_are_grouped_like_messages() -> None:
    history = (user(), use("a", "b"), given_back("a"), given_back("b"), user())
    assert grouped(*history) == ([(0,), (1, 2, 3), (4,)], [])


def test_calling_messages_in_a_row_share_their_results() -> None:
    history = (use("a"), use("b"), given_back("a", "b"))
    assert grouped(*history) == ([(0, 1, 2)], [])


def test_an_orphaned_block_is_taken_out_of_its_message() -> None:
    (group,) = Groups([given_back("a", text="and this")], one)
    assert group.messages[0]["content"] == [{"type": "text", "text": "and this"}]
    assert group.mended == (0,)
    assert group.starts_turn
    assert grouped(given_back("a")) == ([], [0])


def test_a_surplus_block_is_taken_out_of_its_message() -> None:
    (group,) = Groups([use("a"), given_back("a", "x")], one)
    assert group.messages[1] == given_back("a")
    assert group.mended == (1,)


def test_thoughts_alone_are_left_out_with_their_call() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    message = {"role": "assistant", "content": [thought, *use("a")["content"]]}
    assert grouped(message, user()) == ([(1,)], [0])


def test_a_user_text_beside_results_ends_an_open_call() -> None:
    (group,) = Groups([use("a", "b"), given_back("a", text="go on")], one)
    assert group.messages[0] == use("a")


def call_item(call_id: Any) -> Message:
    return {"type": "function_call", "call_id": call_id, "name": "f", "arguments": ""}


def output_item(call_id: Any) -> Message:
    return {"type": "function_call_output", "call_id": call_id, "output": "r"}


REASONING = {"type": "reasoning", "id": "rs", "summary": []}


def test_items_of_one_response_are_one_group() -> None:
    items = (REASONING, call_item("a"), call_item("b"), output_item("a"))
    history = (user(), *items, output_item("b"), user())
    assert grouped(*history) == ([(0,), (1, 2, 3, 4, 5), (6,)], [])


def test_reasoning_starts_a_group() -> None:
    items = (REASONING, call_item("a"), REASONING, REASONING, call_item("b"))
    history = (*items, output_item("a"), output_item("b"))
    assert grouped(*history) == ([(0, 1, 5), (2, 3, 4, 6)], [])


def test_reasoning_goes_with_the_call_that_it_led_to() -> None:
    assert grouped(REASONING, call_item("a"), user()) == ([(2,)], [0, 1])
    assert grouped(REASONING, user()) == ([(1,)], [0])


def test_an_item_without_an_id_has_no_match() -> None:
    assert grouped(call_item(7), output_item(7), user()) == ([(2,)], [0, 1])


def test_a_hosted_call_answers_itself() -> None:
    search = {"type": "web_search_call", "id": "ws", "status": "completed"}
    assert grouped(search, user()) == ([(0,), (1,)], [])


def test_a_history_is_read_no_further_than_asked_for() -> None:
    class Fragile(Dict[str, Any]):
        def get(self, key: str, default: Any = None) -> Any:
            if key == "content":
                raise AssertionError
            return super().get(key, default)

    newest = next(iter(Groups([Fragile(role="user"), user(), user()], one)))
    assert newest.positions == (2,)


def test_a_pinned_result_pins_its_whole_group() -> None:
    pinned = {**result("a"), "metadata": {"pinned": True}}
    history = History([calls("a"), pinned, user(), user("pin me")], one, pin=())
    assert [group.positions for group in history.pinned] == [(0, 1)]
    assert [group.positions for group in history.newest_first()] == [(3,), (2,)]


def test_messages_are_pinned_by_role_mark_and_id() -> None:
    history = History(
        [
            {"role": "developer", "content": "d"},
            {**user(), "metadata": {"pinned": True}},
            {**user(), "metadata": {"pinned": 1}},
            {**user(), "id": "x"},
            {**user(), "id": ["x"]},
        ],
        one,
        pin=["x"],
    )
    assert [group.position for group in history.pinned] == [0, 1, 3]


def test_groups_show_where_they_stand() -> None:
    (group,) = Groups([user()], one)
    assert repr(group) == "<group of messages [0]>"
    assert repr(History([user()], one)) == "<history of 1 messages>"


class _OneByOne(Groups):
    """Match every result on its own, wherever it stands."""

    def _answered_calls(self, at: int) -> None:
        return None


@given(st.one_of(chat_histories, block_histories, response_histories))
def test_results_in_their_place_are_grouped_as_by_matching(
    history: List[Message],
) -> None:
    aside = [at for at, message in enumerate(history) if "metadata" in message]
    quick, slow = (kind(history, one, aside) for kind in (Groups, _OneByOne))
    parts = [
        [(group.positions, list(group.messages), group.mended) for group in groups]
        for groups in (quick, slow)
    ]
    assert parts[0] == parts[1]
    assert sorted(quick.left_out) == sorted(slow.left_out)
    assert sorted(quick.moved) == sorted(slow.moved)


class _Counted(List[Message]):
    """Count how often a message is looked up."""

    read = 0

    def __getitem__(self, at: Any) -> Any:
        self.read += 1
        return super().__getitem__(at)


@pytest.mark.parametrize("turn", [[result("x")], [result("x"), user(), calls("x")]])
def test_the_time_to_group_grows_with_the_history_alone(turn: List[Message]) -> None:
    history = _Counted(turn * 1000)
    list(Groups(history, one))
    assert history.read < 10 * len(history)
