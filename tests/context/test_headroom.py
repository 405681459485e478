from __future__ import annotations

from typing import Any, Dict, List, Optional

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
