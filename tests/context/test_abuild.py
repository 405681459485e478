from __future__ import annotations

import asyncio
from typing import Any, Dict, List

import pytest

from contextstore.context import strategies as registry
from contextstore.context.builder import BuildResult, ContextBuilder
from contextstore.context.strategies import Request, register_strategy
from contextstore.errors import ConfigurationError, InvalidInputError
from tests.context.histories import WordTokenizer

Message = Dict[str, Any]

BUILDER = ContextBuilder(WordTokenizer())


def chat(turns: int) -> List[Message]:
    return [
        {"id": str(at), "role": ("user", "assistant")[at % 2], "content": "word " * 8}
        for at in range(2 * turns)
    ]


def abuild(*arguments: Any, **named: Any) -> BuildResult:
    async def main() -> BuildResult:
        return await BUILDER.abuild(*arguments, **named)

    return asyncio.run(main())


def test_abuild_gives_what_build_gives() -> None:
    assert abuild(chat(9), 60) == BUILDER.build(chat(9), 60)


async def summarize(messages: List[Message]) -> str:
    await asyncio.sleep(0)
    return f"{len(messages)} messages"


def test_a_summarizer_may_be_asynchronous() -> None:
    opts = {"summarizer": summarize}
    result = abuild(chat(10), 100, "summarize_oldest", opts)
    assert result.messages[0]["content"] == "16 messages"
    with pytest.raises(InvalidInputError, match="abuild"):
        BUILDER.build(chat(10), 100, "summarize_oldest", opts)


def test_an_asynchronous_summarizer_may_fail() -> None:
    async def fail(messages: List[Message]) -> str:
        raise OSError

    result = abuild(chat(10), 100, "summarize_oldest", {"summarizer": fail})
    assert result.metadata["fallback_reason"] == "summarizer_failed"


def test_a_build_that_is_cancelled_keeps_no_half_of_a_summary() -> None:
    summaries: Dict[str, str] = {}

    async def main() -> BuildResult:
        begun = asyncio.Event()

        async def never(messages: List[Message]) -> str:
            begun.set()
            await asyncio.sleep(3600)
            return "too late"

        options = {"summarizer": never, "summaries": summaries}
        building = asyncio.ensure_future(
            BUILDER.abuild(chat(10), 100, "summarize_oldest", options)
        )
        await begun.wait()
        building.cancel()
        with pytest.raises(asyncio.CancelledError):
            await building
        options["summarizer"] = summarize
        return await BUILDER.abuild(chat(10), 100, "summarize_oldest", options)

    assert asyncio.run(main()).messages[0]["content"] == "16 messages"
    assert list(summaries.values()) == ["16 messages"]


def test_the_history_may_change_while_a_build_waits() -> None:
    history = chat(10)

    async def empty(messages: List[Message]) -> str:
        history.clear()
        await asyncio.sleep(0)
        return "S"

    result = abuild(history, 100, "summarize_oldest", {"summarizer": empty})
    assert result.messages[0]["content"] == "S"
    assert result.metadata["summarized_ids"] == [str(at) for at in range(16)]


def test_a_summary_is_extended_by_what_is_newly_dropped() -> None:
    seen: List[List[Message]] = []

    def extend(messages: List[Message]) -> str:
        seen.append(messages)
        return f"S{len(seen)}"

    summaries: Dict[str, str] = {}
    opts = {"summarizer": extend, "summaries": summaries}
    first = BUILDER.build(chat(10), 100, "summarize_oldest", opts)
    again = BUILDER.build(chat(10), 100, "summarize_oldest", opts)
    assert again == first
    assert [len(messages) for messages in seen] == [16]
    longer = BUILDER.build(chat(12), 100, "summarize_oldest", opts)
    assert seen[1][0] == {"role": "system", "content": "S1"}
    assert [message["id"] for message in seen[1][1:]] == ["16", "17", "18", "19"]
    assert longer.messages[0]["content"] == "S2"
    assert longer.metadata["summarized_ids"] == [str(at) for at in range(20)]
    changed = [{**chat(1)[0], "content": "changed"}, *chat(10)[1:]]
    BUILDER.build(changed, 100, "summarize_oldest", opts)
    assert len(seen[2]) == 16


def test_summaries_are_kept_in_a_dict() -> None:
    opts = {"summarizer": lambda messages: "S", "summaries": ["S"]}
    with pytest.raises(InvalidInputError, match="summaries"):
        BUILDER.build(chat(10), 100, "summarize_oldest", opts)


def test_a_counter_of_the_provider_decides() -> None:
    asked: List[int] = []

    def counter(messages: List[Message]) -> int:
        asked.append(len(messages))
        return 2 * BUILDER.count(messages)

    result = BUILDER.build(chat(20), 200, counter=counter)
    assert result.total_tokens == 2 * BUILDER.count(result.messages) <= 200
    assert result.total_tokens > 140
    assert result.approximate is False
    assert 1 < len(asked) <= 5
    exact = BUILDER.build(chat(2), 200, counter=BUILDER.count)
    assert exact.messages == chat(2)


def test_a_counter_may_be_asynchronous() -> None:
    async def counter(messages: List[Message]) -> int:
        await asyncio.sleep(0)
        return BUILDER.count(messages) + 7

    assert (
        abuild(chat(2), 200, counter=counter).total_tokens == BUILDER.count(chat(2)) + 7
    )
    with pytest.raises(InvalidInputError, match="abuild"):
        BUILDER.build(chat(2), 200, counter=counter)


def test_a_counter_that_is_never_content_is_not_asked_for_ever() -> None:
    asked: List[int] = []

    def greedy(messages: List[Message]) -> int:
        asked.append(1)
        return 1000

    result = BUILDER.build(chat(9), 100, counter=greedy)
    assert len(asked) <= 5
    assert result.metadata["over_budget"] or result.messages == []


@pytest.mark.parametrize("counted", [-1, 1.5, None])
def test_a_counter_gives_a_count(counted: Any) -> None:
    with pytest.raises(InvalidInputError, match="counter"):
        BUILDER.build(chat(1), 100, counter=lambda messages: counted)


def test_a_strategy_may_be_asynchronous(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_strategies", dict(registry._strategies))

    async def later(request: Request) -> Any:
        await asyncio.sleep(0)
        return list(request.history.newest_first())[:1]

    register_strategy("later", later)
    assert len(abuild(chat(3), 100, "later").messages) == 1
    with pytest.raises(ConfigurationError, match="abuild"):
        BUILDER.build(chat(3), 100, "later")
