from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from typing import Any, Callable, Dict, List

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextstore.context.builder import BuildResult, ContextBuilder
from tests.context.histories import (
    WordTokenizer,
    block_histories,
    chat_histories,
    response_histories,
)
from tests.context.rules import anthropic_faults, openai_faults, responses_faults

Message = Dict[str, Any]

BUILDER = ContextBuilder(WordTokenizer())
PLAIN = ("truncate_oldest", "recent_only")
strategies = st.sampled_from([*PLAIN, "summarize_oldest"])
budgets = st.integers(0, 500)


def build(messages: List[Message], budget: int, strategy: str) -> BuildResult:
    opts = {"summarizer": lambda old: f"{len(old)} messages"}
    summarize = strategy == "summarize_oldest"
    return BUILDER.build(messages, budget, strategy, opts if summarize else None)


def ids(messages: List[Message]) -> List[str]:
    return [message["id"] for message in messages if "id" in message]


@given(chat_histories, budgets, strategies)
def test_a_prompt_keeps_the_budget_and_says_what_it_costs(
    history: List[Message], budget: int, strategy: str
) -> None:
    result = build(history, budget, strategy)
    assert result.total_tokens <= budget
    assert result.total_tokens == BUILDER.count(result.messages)
    assert result.metadata["over_budget"] is False
    assert result.metadata["infeasible"] <= (result.messages == [])


@given(chat_histories, budgets, strategies)
def test_a_chat_prompt_is_valid(
    history: List[Message], budget: int, strategy: str
) -> None:
    assert openai_faults(build(history, budget, strategy).messages) == []


@given(block_histories, budgets, st.sampled_from(PLAIN))
def test_a_prompt_of_blocks_is_valid(
    history: List[Message], budget: int, strategy: str
) -> None:
    assert anthropic_faults(build(history, budget, strategy).messages) == []


@given(response_histories, budgets, st.sampled_from(PLAIN))
def test_a_prompt_of_response_items_is_valid(
    history: List[Message], budget: int, strategy: str
) -> None:
    assert responses_faults(build(history, budget, strategy).messages) == []


@given(chat_histories, budgets, strategies)
def test_pinned_messages_stay_unless_not_even_they_fit(
    history: List[Message], budget: int, strategy: str
) -> None:
    result = build(history, budget, strategy)
    pinned = [m for m in history if m["role"] in ("system", "developer")]
    pinned += [m for m in history if "metadata" in m]
    if not result.metadata["infeasible"]:
        assert all(message in result.messages for message in pinned)
    keep = BUILDER.build(history, 0, strategy_opts={"on_overflow": "keep"})
    if budget >= keep.total_tokens:
        assert not result.metadata["infeasible"]


@given(chat_histories, budgets, strategies)
def test_order_is_the_order_given_but_for_late_results(
    history: List[Message], budget: int, strategy: str
) -> None:
    result = build(history, budget, strategy)
    moved = set(result.metadata["moved_ids"])
    kept = [i for i in ids(result.messages) if i not in moved]
    assert kept == [i for i in ids(history) if i in set(kept)]


@given(chat_histories, budgets, strategies)
def test_every_message_is_accounted_for_once(
    history: List[Message], budget: int, strategy: str
) -> None:
    result = build(history, budget, strategy)
    kept = ids(result.messages)
    mended = [i for i in result.metadata["repaired_ids"] if i in kept]
    gone = [
        *result.metadata["dropped_ids"],
        *result.metadata["summarized_ids"],
        *(i for i in result.metadata["repaired_ids"] if i not in mended),
    ]
    assert sorted(kept + gone) == sorted(ids(history))
    for message in result.messages:
        if "id" in message and message not in history:
            assert message["id"] in (*mended, *result.metadata["truncated_ids"])


@given(chat_histories, budgets)
def test_recent_only_drops_no_group_between_those_it_keeps(
    history: List[Message], budget: int
) -> None:
    whole = ids(build(history, 100_000, "recent_only").messages)
    result = build(history, budget, "recent_only")
    pinned = [m["id"] for m in history if m["role"] in ("system", "developer")]
    pinned += [m["id"] for m in history if "metadata" in m]
    kept = [i for i in ids(result.messages) if i not in pinned]
    free = [i for i in whole if i not in pinned]
    if kept and not result.metadata["truncated_ids"]:
        assert kept == free[-len(kept) :]


@given(chat_histories, budgets)
def test_truncate_oldest_starts_with_the_user_where_it_can(
    history: List[Message], budget: int
) -> None:
    result = build(history, budget, "truncate_oldest")
    free = [
        message
        for message in result.messages
        if message["role"] not in ("system", "developer") and "metadata" not in message
    ]
    if result.metadata["dropped_ids"] and any(m["role"] == "user" for m in free):
        assert free[0]["role"] == "user"


@given(chat_histories, budgets, st.sampled_from(PLAIN))
def test_building_a_prompt_again_changes_nothing(
    history: List[Message], budget: int, strategy: str
) -> None:
    first = build(history, budget, strategy)
    assert build(first.messages, budget, strategy).messages == first.messages


@given(chat_histories, budgets, strategies)
def test_the_input_is_left_alone_and_the_output_is_a_copy(
    history: List[Message], budget: int, strategy: str
) -> None:
    before = copy.deepcopy(history)
    result = build(history, budget, strategy)
    for message in result.messages:
        message["role"] = "changed"
        for call in message.get("tool_calls") or ():
            call["function"]["name"] = "changed"
    assert history == before


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=6,
)
field_names = st.sampled_from(
    [
        *("role", "content", "id", "type", "name", "tool_calls", "tool_call_id"),
        *("function_call", "call_id", "arguments", "output", "summary"),
        *("metadata", "timestamp", "refusal"),
    ]
)
known_values = st.sampled_from(
    [
        *("user", "assistant", "tool", "system", "function", "message", "text"),
        *("function_call", "function_call_output", "reasoning"),
    ]
)
odd_messages = st.dictionaries(
    field_names, st.one_of(known_values, json_values), max_size=5
)


@given(st.lists(odd_messages, max_size=6), budgets, strategies)
def test_no_json_object_is_too_odd(
    history: List[Message], budget: int, strategy: str
) -> None:
    result = build(history, budget, strategy)
    assert result.total_tokens <= budget
    assert BUILDER.count(history) >= 0


PROGRAM = """
import json, sys
from contextstore.context.builder import ContextBuilder
history = json.load(sys.stdin)
result = ContextBuilder().build(history, 60)
print(json.dumps([result.messages, result.total_tokens, result.metadata]))
"""


@pytest.mark.parametrize("seed", ["0", "1"])
def test_the_same_comes_out_in_another_process(
    seed: str, example_history: Callable[[], List[Message]]
) -> None:
    history = example_history()
    there = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(history),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": seed},
    )
    here = ContextBuilder().build(history, 60)
    assert json.loads(there.stdout) == [
        here.messages,
        here.total_tokens,
        here.metadata,
    ]


@pytest.fixture
def example_history() -> Callable[[], List[Message]]:
    def make() -> List[Message]:
        call = {"id": "c", "type": "function", "function": {"name": "f"}}
        return [
            {"id": "1", "role": "system", "content": "Be brief."},
            {"id": "2", "role": "user", "content": "What is the time in Rome? " * 9},
            {"id": "3", "role": "assistant", "content": None, "tool_calls": [call]},
            {"id": "4", "role": "tool", "tool_call_id": "c", "content": "noon"},
            {"id": "5", "role": "tool", "tool_call_id": "d", "content": "an orphan"},
            {"id": "6", "role": "assistant", "content": "It is noon."},
            {"id": "7", "role": "user", "content": "And in Paris, please?"},
        ]

    return make
