from __future__ import annotations

from typing import Any, Dict, Iterator, List

import pytest

from contextstore.context import strategies as registry
from contextstore.context import validate
from contextstore.context.builder import ContextBuilder
from contextstore.context.strategies import (
    Choice,
    Request,
    knows_options,
    register_strategy,
)
from contextstore.errors import ConfigurationError, InvalidInputError
from tests.context.histories import WordTokenizer

Message = Dict[str, Any]

BUILDER = ContextBuilder(WordTokenizer())


def chat(turns: int) -> List[Message]:
    return [
        {"id": str(at), "role": ("user", "assistant")[at % 2], "content": "word " * 8}
        for at in range(2 * turns)
    ]


def summarized(summarizer: Any, budget: int = 100, **opts: Any) -> Any:
    history = [{"id": "s", "role": "system", "content": "Be kind."}, *chat(10)]
    opts["summarizer"] = summarizer
    return BUILDER.build(history, budget, "summarize_oldest", opts)


def test_a_summary_stands_for_the_oldest_turns() -> None:
    seen: List[List[Message]] = []

    def summarize(messages: List[Message]) -> str:
        seen.append(messages)
        return "They talked."

    result = summarized(summarize)
    assert len(seen) == 1
    old = [message["id"] for message in seen[0]]
    assert result.metadata["summarized_ids"] == old == [str(at) for at in range(16)]
    assert result.metadata["dropped_ids"] == []
    assert result.messages[1] == {"role": "system", "content": "They talked."}
    assert [m.get("id") for m in result.messages[2:]] == ["16", "17", "18", "19"]
    assert result.strategy_used == "summarize_oldest"


def test_no_summary_is_made_of_what_fits() -> None:
    def never(messages: List[Message]) -> str:
        raise AssertionError

    assert len(summarized(never, 1000).messages) == 21


def test_a_summary_goes_behind_the_pinned_head_only() -> None:
    history = [
        {"role": "system", "content": "a"},
        {"role": "developer", "content": "b"},
    ]
    history += chat(6)
    history.insert(5, {"role": "system", "content": "c"})
    opts = {"summarizer": lambda messages: "S"}
    result = BUILDER.build(history, 80, "summarize_oldest", opts)
    contents = [message["content"] for message in result.messages]
    assert contents[:4] == ["a", "b", "S", "c"]


def test_a_summary_does_not_part_a_pinned_call_from_its_late_result() -> None:
    calls = [
        {"id": "x", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    ]
    call = {"role": "assistant", "tool_calls": calls, "metadata": {"pinned": True}}
    history: List[Message] = [call, *chat(6)]
    history.insert(7, {"role": "tool", "tool_call_id": "x", "content": "found"})
    opts = {"summarizer": lambda messages: "S"}
    result = BUILDER.build(history, 80, "summarize_oldest", opts)
    assert "S" in [message.get("content") for message in result.messages]
    assert not validate(result.messages, "openai")


def test_a_long_summary_is_cut() -> None:
    result = summarized(lambda messages: "very long " * 100)
    assert " [...] " in result.messages[1]["content"]
    assert result.total_tokens <= 100
    short = summarized(lambda messages: "very long " * 100, 200, summary_max_tokens=15)
    assert BUILDER.count(short.messages[1:2]) - 3 <= 15


def test_chunks_are_summarized_one_after_the_other() -> None:
    seen: List[List[Message]] = []

    def summarize(messages: List[Message]) -> str:
        seen.append(messages)
        return f"S{len(seen)}"

    result = summarized(summarize, chunk_size=6)
    assert [len(messages) for messages in seen] == [6, 7, 5]
    assert seen[1][0] == {"role": "system", "content": "S1"}
    assert result.messages[1]["content"] == "S3"


def broken(messages: List[Message]) -> str:
    raise RuntimeError("private text")


@pytest.mark.parametrize(
    ("summarizer", "reason"),
    [
        (broken, "summarizer_failed"),
        (lambda messages: "  ", "summary_empty"),
        (lambda messages: None, "summary_not_text"),
        (lambda messages: "a \ud800", "summary_not_text"),
    ],
)
def test_without_a_summary_the_messages_are_dropped(
    summarizer: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    result = summarized(summarizer)
    assert result.metadata["fallback_reason"] == reason
    assert result.metadata["summarized_ids"] == []
    assert result.metadata["dropped_ids"] == [str(at) for at in range(14)]
    assert "private" not in caplog.text
    if summarizer is broken:
        assert "RuntimeError" in caplog.text


def test_a_tiny_room_holds_no_summary() -> None:
    result = summarized(lambda messages: "S", 45)
    assert result.metadata["fallback_reason"] == "no_room_for_summary"


def test_the_summarizer_cannot_change_the_history() -> None:
    history = chat(10)

    def spoil(messages: List[Message]) -> str:
        for message in messages:
            message["content"] = ""
        return "S"

    BUILDER.build(history, 100, "summarize_oldest", {"summarizer": spoil})
    assert history == chat(10)


async def asynchronous(messages: List[Message]) -> str:
    return "S"


@pytest.mark.parametrize("summarizer", [asynchronous, lambda m: asynchronous(m)])
def test_an_asynchronous_summarizer_is_refused(summarizer: Any) -> None:
    with pytest.raises(InvalidInputError, match="asynchronous"):
        summarized(summarizer)


def test_an_awaitable_without_close_is_refused_too() -> None:
    class Later:
        def __await__(self) -> Iterator[Any]:
            yield

    with pytest.raises(InvalidInputError, match="asynchronous"):
        summarized(lambda messages: Later())


def test_a_summarizer_must_be_given() -> None:
    with pytest.raises(ConfigurationError, match="summarizer"):
        summarized(None)
    with pytest.raises(InvalidInputError, match="type str"):
        summarized("text")


@pytest.mark.parametrize("name", ["chunk_size", "summary_max_tokens"])
@pytest.mark.parametrize("value", [0, True, "5"])
def test_sizes_are_positive(name: str, value: Any) -> None:
    with pytest.raises(InvalidInputError, match=name) as caught:
        summarized(lambda messages: "S", **{name: value})
    assert caught.value.path == f"strategy_opts.{name}"


def test_a_chunk_may_be_one_message() -> None:
    sizes: List[int] = []

    def summarize(messages: List[Message]) -> str:
        sizes.append(sum(message["role"] != "system" for message in messages))
        return "S"

    result = summarized(summarize, chunk_size=1)
    assert sizes == [1] * len(result.metadata["summarized_ids"])
    assert len(sizes) > 1


def test_the_end_of_a_long_turn_fills_the_room_to_the_last_token() -> None:
    turn = [{"id": "q", "role": "user", "content": "word " * 20}]
    turn += [
        {"id": f"a{at}", "role": "assistant", "content": "word " * 8} for at in range(6)
    ]
    kept = [turn[0], *turn[3:]]
    exactly = BUILDER.count(kept)
    assert BUILDER.build(turn, exactly).messages == kept
    assert BUILDER.build(turn, exactly - 1).messages == [turn[0], *turn[4:]]


def test_a_refused_strategy_says_where() -> None:
    with pytest.raises(InvalidInputError) as caught:
        BUILDER.build(chat(1), 100, "no such strategy")
    assert caught.value.path == "strategy"
    with pytest.raises(InvalidInputError) as caught:
        register_strategy("", lambda request: [])
    assert caught.value.path == "name"
    with pytest.raises(InvalidInputError) as caught:
        summarized(asynchronous)
    assert caught.value.path == "strategy_opts.summarizer"


@pytest.fixture
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_strategies", dict(registry._strategies))


@pytest.mark.usefixtures("_registry")
def test_a_registered_strategy_chooses_groups() -> None:
    def every_other(request: Request) -> Any:
        return list(request.history.newest_first())[::2]

    register_strategy("every_other", every_other)
    result = BUILDER.build(chat(3), 1000, strategy="every_other")
    assert [message["id"] for message in result.messages] == ["1", "3", "5"]
    assert result.strategy_used == "every_other"


@pytest.mark.usefixtures("_registry")
def test_a_greedy_strategy_is_held_to_the_budget() -> None:
    register_strategy("all", lambda request: request.history.newest_first())
    result = BUILDER.build(chat(10), 50, strategy="all")
    assert result.total_tokens <= 50
    assert result.messages[-1]["id"] == "19"


@pytest.mark.usefixtures("_registry")
def test_a_strategy_that_keeps_nothing_still_gives_a_prompt() -> None:
    register_strategy("none", lambda request: Choice((), notes={"why": "bored"}))
    result = BUILDER.build(chat(10), 50, strategy="none")
    assert [message["id"] for message in result.messages] == ["18", "19"]
    assert result.metadata["truncated_ids"] == []


@pytest.mark.usefixtures("_registry")
def test_a_strategy_may_return_nothing_but_groups() -> None:
    def choose(request: Request) -> Any:
        return request.history.messages

    register_strategy("wrong", choose)
    with pytest.raises(ConfigurationError, match="groups"):
        BUILDER.build(chat(1), 50, strategy="wrong")


@pytest.mark.usefixtures("_registry")
@pytest.mark.parametrize("answer", [None, 5, Choice((), summary="text")])  # type: ignore[arg-type]
def test_what_is_no_choice_is_refused(answer: Any) -> None:
    register_strategy("wrong", lambda request: answer)
    with pytest.raises(ConfigurationError, match="a strategy"):
        BUILDER.build(chat(1), 50, strategy="wrong")


@pytest.mark.usefixtures("_registry")
def test_what_is_pinned_is_kept_once() -> None:
    def choose(request: Request) -> Any:
        return [*request.history.pinned, *request.history.newest_first()]

    register_strategy("all", choose)
    history = [{"role": "system", "content": "Be kind."}, *chat(1)]
    assert BUILDER.build(history, 1000, strategy="all").messages == history


@pytest.mark.usefixtures("_registry")
def test_a_summary_of_nothing_keeps_to_the_budget() -> None:
    summary = {"role": "system", "content": "word " * 100}
    register_strategy("talk", lambda request: Choice((), summary=summary))
    history = [{"role": "system", "content": "Be kind."}]
    assert BUILDER.build(history, 50, strategy="talk").messages == history


def test_the_question_is_kept_before_what_it_recalls() -> None:
    history = [*chat(5), {"id": "new", "role": "user", "content": "word " * 900}]
    result = BUILDER.build(history, 60, "relevant", {"ranking": ["1", "4"]})
    assert [message["id"] for message in result.messages] == ["new"]
    assert result.metadata["truncated_ids"] == ["new"]


@pytest.mark.parametrize(
    ("option", "value"),
    [("ranking", [["x"]]), ("ranking", "1"), ("shorten", 5)],
)
def test_the_options_of_relevant_are_checked(option: str, value: Any) -> None:
    with pytest.raises(InvalidInputError) as caught:
        BUILDER.build(chat(5), 60, "relevant", {option: value})
    assert caught.value.path == f"strategy_opts.{option}"


def test_what_shortens_a_message_returns_one() -> None:
    options = {"ranking": ["1"], "shorten": lambda message: None}
    with pytest.raises(ConfigurationError, match="shorten"):
        BUILDER.build(chat(5), 60, "relevant", options)


def test_a_strategy_is_a_function_with_a_name() -> None:
    with pytest.raises(InvalidInputError, match="empty"):
        register_strategy("", lambda request: ())
    with pytest.raises(InvalidInputError, match="type int"):
        register_strategy("x", 1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("strategy", "option", "known"),
    [
        ("truncate_oldest", "head_room", "headroom, margin, on_overflow, pin"),
        ("recent_only", "headroom", "margin, on_overflow, pin, previous, reserve"),
        ("summarize_oldest", "sumarizer", "summarizer"),
        ("relevant", "rank", "ranking, recent_share"),
        ("relevant", "pinned", "pin"),
    ],
)
def test_an_option_that_nothing_reads_is_refused(
    strategy: str, option: str, known: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"'{option}'.*knows.*{known}"):
        BUILDER.build(chat(1), 100, strategy, {option: 0.5})


@pytest.mark.usefixtures("_registry")
def test_a_strategy_may_declare_its_options() -> None:
    @knows_options("depth")
    def deep(request: Request) -> Any:
        return list(request.history.newest_first())[: request.options["depth"]]

    register_strategy("deep", deep)
    register_strategy("open", lambda request: ())
    options = {"depth": 2, "reserve": 5}
    assert len(BUILDER.build(chat(3), 1000, "deep", options).messages) == 2
    assert BUILDER.build(chat(3), 1000, "open", {"anything": 1}).messages
    with pytest.raises(ConfigurationError, match="depth"):
        BUILDER.build(chat(3), 1000, "deep", {"dept": 2})


class Entry:
    """Stand for an entry point of an installed package."""

    name = "installed"

    def load(self) -> Any:
        return lambda request: list(request.history.newest_first())[:1]


@pytest.mark.usefixtures("_registry")
@pytest.mark.parametrize("selectable", [True, False])
def test_an_installed_package_offers_a_strategy(
    selectable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Selectable:
        def select(self, group: str) -> List[Entry]:
            return [Entry()] if group == "contextstore.strategies" else []

    groups = {"contextstore.strategies": [Entry()]}
    found = Selectable() if selectable else groups
    monkeypatch.setattr("importlib.metadata.entry_points", lambda: found)
    assert len(BUILDER.build(chat(3), 500, strategy="installed").messages) == 1
    with pytest.raises(InvalidInputError, match="no strategy 'other'"):
        BUILDER.build(chat(3), 500, strategy="other")


@pytest.mark.usefixtures("_registry")
def test_a_summary_that_is_repaired_is_reported_as_no_message() -> None:
    orphan = {"role": "tool", "tool_call_id": "nobody's", "content": "all of it"}

    def with_an_orphan(request: Request) -> Choice:
        return Choice(list(request.history.newest_first())[:1], orphan)

    register_strategy("with an orphan", with_an_orphan)
    result = BUILDER.build(
        chat(20), 60, strategy="with an orphan", post_filter=lambda message: True
    )
    assert [message["id"] for message in result.messages] == ["39"]
    assert result.metadata["repaired_ids"] == []
    assert result.metadata["dropped_count"] == 39


def test_of_a_long_history_hardly_more_is_counted_than_is_kept() -> None:
    counted: List[str] = []

    def count(text: str) -> int:
        counted.append(text)
        return len(text)

    history = [
        {"id": str(at), "role": "user", "content": f"{at:04}" * (5 + at % 3)}
        for at in range(3_000)
    ]
    ranking = [str(at) for at in range(0, 3_000, 2)]
    result = ContextBuilder(count).build(history, 400, "relevant", {"ranking": ranking})
    assert len(result.messages) > 5
    assert len(set(counted)) < 100


@pytest.mark.usefixtures("_registry")
@pytest.mark.parametrize("mode", ["truncate", "error", "keep"])
def test_where_a_strategy_keeps_nothing_the_newest_turn_is_kept(mode: str) -> None:
    register_strategy("nothing", lambda request: [])
    options = {"on_overflow": mode}
    result = BUILDER.build(chat(3), 1_000, strategy="nothing", strategy_opts=options)
    assert [message["id"] for message in result.messages] == ["4", "5"]
    assert result.metadata["truncated_ids"] == []


def test_a_summary_that_is_filtered_out_stands_for_nothing() -> None:
    result = BUILDER.build(
        chat(10),
        100,
        "summarize_oldest",
        {"summarizer": lambda dropped: "in short"},
        post_filter=lambda message: "id" in message,
    )
    assert all("id" in message for message in result.messages)
    assert result.metadata["summarized_ids"] == []
    assert result.metadata["dropped_count"] > 0
    assert {row.status for row in result.explain()} == {"kept", "dropped"}


def test_what_was_recalled_and_filtered_out_is_not_listed() -> None:
    options = {"ranking": ["1", "4"]}
    result = BUILDER.build(
        chat(20), 60, "relevant", options, post_filter=lambda m: m["id"] != "4"
    )
    assert result.metadata["recalled_ids"] == ["1"]
    assert "4" in result.metadata["dropped_ids"]
