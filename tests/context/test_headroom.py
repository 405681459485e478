from __future__ import annotations

from functools import partial
from typing import Any, Callable, Dict, List, Optional

import pytest

from contextstore.context.builder import BuildResult, ContextBuilder
from contextstore.errors import InvalidInputError
from tests.context.histories import WordTokenizer

Message = Dict[str, Any]

BUILDER = ContextBuilder(WordTokenizer())
HEADROOM = {"headroom": 0.5}


def chat(turns: int, *, with_ids: bool = True) -> List[Message]:
    messages: List[Message] = [{"role": "system", "content": "Be kind."}]
    for at in range(2 * turns):
        role = ("user", "assistant")[at % 2]
        message = {"role": role, "content": f"{at:04} and some more words"}
        messages.append({**message, "id": str(at)} if with_ids else message)
    return messages


def starts(result: BuildResult) -> Any:
    return result.messages[1]["content"]


@pytest.mark.parametrize("with_previous", [False, True])
@pytest.mark.parametrize("with_ids", [False, True])
def test_a_prompt_starts_like_the_one_before_for_many_turns(
    with_previous: bool, with_ids: bool
) -> None:
    history = chat(60, with_ids=with_ids)
    previous: Optional[BuildResult] = None
    changes = 0
    for end in range(20, 120, 2):
        options: Dict[str, Any] = dict(HEADROOM)
        if with_previous:
            options["previous"] = previous
        result = BUILDER.build(history[:end], 200, strategy_opts=options)
        assert result.total_tokens <= 200
        assert result.messages[-1] == history[end - 1]
        changes += previous is not None and starts(result) != starts(previous)
        previous = result
    assert 3 <= changes <= 16


def test_what_is_cut_depends_on_the_history_alone() -> None:
    once = BUILDER.build(chat(40), 200, strategy_opts=HEADROOM)
    again = BUILDER.build(chat(40), 200, strategy_opts=HEADROOM)
    assert once == again
    assert 80 <= once.total_tokens <= 200


def test_what_fits_is_not_cut() -> None:
    assert BUILDER.build(chat(3), 200, strategy_opts=HEADROOM).messages == chat(3)


def test_a_long_newest_turn_is_kept_in_spite_of_headroom() -> None:
    history = [*chat(9), {"role": "user", "content": "x" * 600}]
    result = BUILDER.build(history, 200, strategy_opts={"headroom": 0.9})
    assert len(result.messages) >= 2


def test_the_part_that_is_the_same_is_reported() -> None:
    history = chat(20)
    first = BUILDER.build(history[:-2], 200, strategy_opts=HEADROOM)
    options = {**HEADROOM, "previous": first}
    second = BUILDER.build(history, 200, strategy_opts=options)
    cached = second.metadata["cached_tokens"]
    assert cached == BUILDER.count(first.messages) - 3
    changed = [{"role": "system", "content": "Be brief."}, *history[1:]]
    other = BUILDER.build(changed, 200, strategy_opts=options)
    assert other.metadata["cached_tokens"] == 0
    assert "cached_tokens" not in first.metadata


def test_an_empty_or_foreign_previous_result_changes_nothing_but_the_cut() -> None:
    empty = BUILDER.build([], 200)
    history = chat(40)
    options = {**HEADROOM, "previous": empty}
    assert BUILDER.build(history, 200, strategy_opts=options).total_tokens <= 110
    foreign = BUILDER.build([{"id": "zz", "role": "user", "content": "hi"}], 200)
    options = {**HEADROOM, "previous": foreign}
    assert BUILDER.build(history, 200, strategy_opts=options).total_tokens <= 110


@pytest.mark.parametrize("headroom", [-0.1, 1, True, "half", None])
def test_headroom_is_a_part(headroom: Any) -> None:
    with pytest.raises(InvalidInputError, match="headroom"):
        BUILDER.build(chat(9), 50, strategy_opts={"headroom": headroom})


def test_previous_is_a_result() -> None:
    with pytest.raises(InvalidInputError, match="previous"):
        BUILDER.build(chat(1), 50, strategy_opts={"previous": chat(1)})


def pinned_call(turns: int) -> List[Message]:
    """Return a chat with a pinned call, whose result bears no mark."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    history = chat(turns)
    history[1:1] = [
        {"role": "assistant", "tool_calls": [call], "metadata": {"pinned": True}},
        {"role": "tool", "tool_call_id": "c", "content": "kept for ever"},
    ]
    return history


def errand(steps: int, *, asked: bool = True, with_ids: bool = True) -> List[Message]:
    """Return one question, if any, and the many calls that an agent makes for it."""
    history: List[Message] = [{"role": "system", "content": "Be kind."}]
    if asked:
        history.append({"role": "user", "content": "Find out all about it."})
    for at in range(steps):
        function = {"name": "f", "arguments": f'{{"page": {at}}}'}
        call = {"id": f"c{at}", "type": "function", "function": function}
        result = {
            "role": "tool",
            "tool_call_id": f"c{at}",
            "content": f"page {at} says",
        }
        history += [{"role": "assistant", "tool_calls": [call]}, result]
    if with_ids:
        history = [{**message, "id": str(at)} for at, message in enumerate(history)]
    return history


def shares_of_prefix(
    make: Callable[[int], List[Message]],
    post_filter: Optional[Callable[[Message], bool]] = None,
    **options: Any,
) -> List[float]:
    """Return which part of each prompt the one before it starts with, as it grows."""
    previous: Optional[BuildResult] = None
    shares: List[float] = []
    for size in range(30, 110):
        result = BUILDER.build(
            make(size),
            200,
            strategy_opts={**HEADROOM, "previous": previous, **options},
            post_filter=post_filter,
        )
        if previous is not None:
            shares.append(result.metadata["cached_tokens"] / result.total_tokens)
        previous = result
    return shares


@pytest.mark.parametrize(
    "make",
    [
        chat,
        pinned_call,
        errand,
        partial(errand, with_ids=False),
        partial(errand, asked=False),
    ],
)
def test_most_prompts_start_like_the_one_before(
    make: Callable[[int], List[Message]],
) -> None:
    shares = shares_of_prefix(make)
    assert sum(share > 0.5 for share in shares) > 0.75 * len(shares)


def test_what_is_pinned_by_its_id_moves_no_cut() -> None:
    shares = shares_of_prefix(chat, pin=["0", "3"])
    assert sum(share > 0.5 for share in shares) > 0.75 * len(shares)


@pytest.mark.parametrize("role", ["user", "assistant"])
def test_what_a_filter_takes_out_moves_no_cut(role: str) -> None:
    shares = shares_of_prefix(chat, lambda message: message["role"] != role)
    assert sum(share > 0.5 for share in shares) > 0.75 * len(shares)
