from __future__ import annotations

import asyncio
import copy
import gc
import inspect
import pickle
import weakref
from dataclasses import asdict, astuple, replace
from typing import Any, ClassVar, Dict, List, Set

import pytest

from contextstore.context.builder import BuildResult, ContextBuilder
from contextstore.context.shares import share_of
from contextstore.errors import (
    ConfigurationError,
    ContextOverflowError,
    InvalidInputError,
)
from tests.context.histories import WordTokenizer

Message = Dict[str, Any]

BUILDER = ContextBuilder(WordTokenizer())


def chat(turns: int) -> List[Message]:
    return [
        {
            "id": str(at),
            "role": "assistant" if at % 2 else "user",
            "content": f"This is message number {at:03}.",
            "timestamp": "2024-01-01T00:00:00Z",
        }
        for at in range(2 * turns)
    ]


def ids(result: BuildResult) -> List[Any]:
    return [message.get("id") for message in result.messages]


def test_the_signatures_are_those_of_the_contract() -> None:
    made = inspect.signature(ContextBuilder)
    assert list(made.parameters) == ["tokenizer", "default_strategy"]
    assert made.parameters["tokenizer"].default is None
    assert made.parameters["default_strategy"].default == "truncate_oldest"
    build = inspect.signature(ContextBuilder.build).parameters
    positional = [n for n, p in build.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional[1:] == [
        "messages",
        "max_tokens",
        "strategy",
        "strategy_opts",
        "pre_filter",
        "post_filter",
    ]
    assert all(build[name].default is None for name in positional[3:])


def test_what_fits_is_kept_whole() -> None:
    result = BUILDER.build(chat(3), 1000)
    assert result.messages == chat(3)
    assert result.total_tokens == BUILDER.count(chat(3)) == 3 + 6 * (3 + 7) + 3 * 1 + 9
    assert result.strategy_used == "truncate_oldest"
    assert result.approximate is False
    assert result.metadata == {
        "dropped_ids": [],
        "dropped_count": 0,
        "summarized_ids": [],
        "repaired_ids": [],
        "truncated_ids": [],
        "moved_ids": [],
        "infeasible": False,
        "repaired_count": 0,
        "truncated_count": 0,
        "over_budget": False,
    }


def test_no_messages_are_an_empty_prompt() -> None:
    result = BUILDER.build([], 0)
    assert (result.messages, result.total_tokens) == ([], 0)
    assert result.metadata["infeasible"] is False


def test_the_oldest_turns_go_first() -> None:
    result = BUILDER.build(chat(5), 60)
    assert ids(result) == ["6", "7", "8", "9"]
    assert result.metadata["dropped_ids"] == ["0", "1", "2", "3", "4", "5"]


def test_recent_only_cuts_within_a_turn() -> None:
    result = BUILDER.build(chat(5), 65, strategy="recent_only")
    assert ids(result) == ["5", "6", "7", "8", "9"]
    assert result.strategy_used == "recent_only"


def test_the_default_strategy_is_that_of_the_builder() -> None:
    builder = ContextBuilder(WordTokenizer(), default_strategy="recent_only")
    assert builder.build(chat(5), 65).strategy_used == "recent_only"


def test_system_and_pinned_messages_stay_where_they_are() -> None:
    history = chat(5)
    history[3] = {"id": "s", "role": "system", "content": "Be kind."}
    history[4]["metadata"] = {"pinned": True}
    result = BUILDER.build(history, 64, strategy_opts={"pin": ["0"]})
    assert ids(result) == ["0", "s", "4", "8", "9"]


def test_a_long_turn_keeps_its_start_and_its_end() -> None:
    history = chat(1)[:1]
    for at in range(5):
        call = {"id": f"c{at}", "type": "function", "function": {"name": "f"}}
        history += [
            {
                "id": f"a{at}",
                "role": "assistant",
                "content": None,
                "tool_calls": [call],
            },
            {"id": f"t{at}", "role": "tool", "tool_call_id": f"c{at}", "content": "x"},
        ]
    result = BUILDER.build(history, 50)
    assert ids(result) == ["0", "a3", "t3", "a4", "t4"]


def test_the_longest_text_is_cut_when_the_newest_turn_is_too_long() -> None:
    history = [*chat(2), {"id": "long", "role": "user", "content": "begin" + "x" * 900}]
    result = BUILDER.build(history, 50)
    assert ids(result) == ["long"]
    content = result.messages[0]["content"]
    assert content.startswith("begin")
    assert " [...] " in content
    assert 45 <= result.total_tokens <= 50
    assert result.metadata["truncated_ids"] == ["long"]
    assert result.metadata["dropped_ids"] == ["0", "1", "2", "3"]


def test_short_texts_are_not_cut_beside_long_ones() -> None:
    parts = [
        {"type": "text", "text": "short"},
        {"type": "text", "text": "y" * 500},
        {"type": "image_url", "image_url": {"url": "x", "detail": "low"}},
    ]
    result = BUILDER.build([{"role": "user", "content": parts}], 150)
    first, second, third = result.messages[0]["content"]
    assert (first, third) == (parts[0], parts[2])
    assert len(second["text"]) < 500


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": [{"type": "tool_result", "content": "z" * 400}]}],
        [{"type": "computer_result", "output": "z" * 400}],
        [{"role": "user", "content": ["z" * 400]}, {"role": "user", "content": "y"}],
        [{"type": "computer_result"}, {"role": "user", "content": "y" * 400}],
        [{"role": "user", "content": [7, {"type": "text", "text": "y" * 400}]}],
    ],
)
def test_texts_are_found_where_they_stand(messages: List[Message]) -> None:
    assert BUILDER.build(messages, 40).total_tokens <= 40


def test_overflow_can_be_an_error() -> None:
    history = [{"id": "s", "role": "system", "content": "s" * 40}, *chat(1)]
    with pytest.raises(ContextOverflowError, match="over the budget") as caught:
        BUILDER.build(history, 20, strategy_opts={"on_overflow": "error"})
    assert caught.value.max_tokens == 20
    assert caught.value.needed == BUILDER.count(history)
    assert caught.value.message_ids == ("s", "0", "1")


def test_overflow_can_be_kept() -> None:
    result = BUILDER.build(chat(3), 5, strategy_opts={"on_overflow": "keep"})
    assert ids(result) == ["4", "5"]
    assert result.metadata["over_budget"] is True
    assert result.total_tokens > 5


@pytest.mark.parametrize("budget", [0, 5, 14])
def test_an_impossible_budget_gives_an_empty_prompt_and_says_so(
    budget: int, caplog: pytest.LogCaptureFixture
) -> None:
    history = [{"id": "s", "role": "system", "content": "s" * 40}, *chat(1)]
    result = BUILDER.build(history, budget)
    assert (result.messages, result.total_tokens) == ([], 0)
    assert result.metadata["infeasible"] is True
    assert result.metadata["dropped_ids"] == ["s", "0", "1"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_reserve_is_left_free() -> None:
    result = BUILDER.build(chat(5), 100, strategy_opts={"reserve": 40})
    assert ids(result) == ["6", "7", "8", "9"]


def test_a_margin_is_left_free_where_counts_are_estimates() -> None:
    options = {"margin": 0.25, "reserve": 20}
    assert BUILDER.build(chat(9), 100, strategy_opts=options) == BUILDER.build(
        chat(9), 80
    )
    estimating = ContextBuilder()
    result = estimating.build(chat(9), 100, strategy_opts=options)
    assert result == estimating.build(chat(9), 60)
    assert result.total_tokens <= 60


def test_a_counter_needs_no_margin() -> None:
    def exact(messages: List[Message]) -> int:
        return BUILDER.count(messages)

    estimating = ContextBuilder()
    options = {"margin": 0.5}
    result = estimating.build(chat(9), 100, strategy_opts=options, counter=exact)
    assert result == estimating.build(chat(9), 100, counter=exact)


@pytest.mark.parametrize(
    "opts", [{}, {"margin": 0.5}, {"headroom": 0.5}, {"reserve": 10**399}]
)
def test_a_budget_has_no_upper_bound(opts: Any) -> None:
    for builder in (BUILDER, ContextBuilder()):
        result = builder.build(chat(2), 10**400, strategy_opts=opts)
        assert result.messages == chat(2)
    for share in (0.25, 0.3):
        opts = {"recent_share": share}
        result = BUILDER.build(chat(2), 10**400, "relevant", opts)
        assert result.messages == chat(2)


def test_a_share_is_what_its_decimals_say() -> None:
    assert share_of(10, 1 - 0.9) == 1
    assert [share_of(10, share) for share in (0, 0.25, 0.99, 1)] == [0, 2, 9, 10]


def test_tools_are_paid_for() -> None:
    tools = [{"type": "function", "function": {"name": "f", "description": "d" * 60}}]
    plain = BUILDER.build(chat(5), 110)
    result = BUILDER.build(chat(5), 110, tools=tools, tool_choice="none")
    assert len(result.messages) < len(plain.messages)
    assert result.total_tokens == BUILDER.count(result.messages, tools, "none") <= 110


def test_filters_keep_what_they_say_true_to() -> None:
    def even(message: Message) -> bool:
        return int(message["id"]) % 2 == 0

    before = BUILDER.build(chat(5), 40, pre_filter=even)
    assert ids(before) == ["4", "6", "8"]
    after = BUILDER.build(chat(5), 60, post_filter=even)
    assert ids(after) == ["6", "8"]
    assert after.total_tokens == BUILDER.count(after.messages)
    assert after.metadata["dropped_ids"] == ["0", "1", "2", "3", "4", "5", "7", "9"]


def tool_chat() -> List[Message]:
    call = {"id": "c", "type": "function", "function": {"name": "f"}}
    return [
        {"id": "u", "role": "user", "content": "time?"},
        {"id": "a", "role": "assistant", "content": "wait", "tool_calls": [call]},
        {"id": "t", "role": "tool", "tool_call_id": "c", "content": "noon"},
    ]


@pytest.mark.parametrize("which", ["pre_filter", "post_filter"])
def test_repair_runs_after_the_filters(which: str) -> None:
    no_tool = {which: lambda message: message["role"] != "tool"}
    result = BUILDER.build(tool_chat(), 100, **no_tool)  # type: ignore[arg-type]
    assert result.messages[1] == {"id": "a", "role": "assistant", "content": "wait"}
    assert result.metadata["repaired_ids"] == ["a"]
    no_call = {which: lambda message: message["role"] != "assistant"}
    result = BUILDER.build(tool_chat(), 100, **no_call)  # type: ignore[arg-type]
    assert ids(result) == ["u"]


def test_orphans_are_listed_though_nothing_had_to_be_cut() -> None:
    orphan = {"id": "o", "role": "tool", "tool_call_id": "zz", "content": "lost"}
    result = BUILDER.build([orphan, *tool_chat()], 1000)
    assert ids(result) == ["u", "a", "t"]
    assert result.metadata["repaired_ids"] == ["o"]
    assert result.metadata["dropped_ids"] == []


def test_a_late_result_is_listed_as_moved() -> None:
    history = tool_chat()
    history.insert(2, {"id": "u2", "role": "user", "content": "well?"})
    result = BUILDER.build(history, 1000)
    assert ids(result) == ["u", "a", "t", "u2"]
    assert result.metadata["moved_ids"] == ["t"]


def test_messages_without_an_id_are_counted_among_the_dropped() -> None:
    history = chat(5)
    del history[0]["id"]
    metadata = BUILDER.build(history, 60).metadata
    assert metadata["dropped_ids"] == ["1", "2", "3", "4", "5"]
    assert metadata["dropped_count"] == 6


def test_unpriced_content_makes_the_count_approximate() -> None:
    def approximate(*parts: Any) -> bool:
        result = BUILDER.build([{"role": "user", "content": list(parts)}], 9999)
        return result.approximate

    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    assert approximate(image)
    assert approximate({"type": "input_file", "file_id": "f"})
    assert not approximate({"type": "text", "text": "hi"}, "hi")
    low = {"url": "https://example.com/a.png", "detail": "low"}
    assert not approximate({"type": "image_url", "image_url": low})


@pytest.mark.parametrize("max_tokens", [-1, True, 1.5, "100", None])
def test_a_budget_is_a_non_negative_int(max_tokens: Any) -> None:
    with pytest.raises(InvalidInputError, match="max_tokens") as caught:
        BUILDER.build(chat(1), max_tokens)
    assert caught.value.path == "max_tokens"


@pytest.mark.parametrize(
    ("opts", "path"),
    [
        ({"reserve": -1}, "strategy_opts.reserve"),
        ({"margin": 1}, "strategy_opts.margin"),
        ({"margin": True}, "strategy_opts.margin"),
        ({"margin": "0.1"}, "strategy_opts.margin"),
        ({"pin": "id"}, "strategy_opts.pin"),
        ({"pin": 7}, "strategy_opts.pin"),
        ({"on_overflow": "drop"}, "strategy_opts.on_overflow"),
        ({"previous": BuildResult([7], 0, False, "")}, "strategy_opts.previous"),  # type: ignore[list-item]
        ([], "strategy_opts"),
    ],
)
def test_options_are_checked(opts: Any, path: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        BUILDER.build(chat(1), 100, strategy_opts=opts)
    assert caught.value.path == path


def test_messages_are_a_list() -> None:
    with pytest.raises(InvalidInputError, match="messages is of type dict"):
        BUILDER.build({"role": "user"}, 100)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="messages is of type str"):
        BUILDER.count("hello")  # type: ignore[arg-type]


def test_an_unknown_strategy_is_refused_at_once() -> None:
    with pytest.raises(InvalidInputError, match="known are recent_only, "):
        BUILDER.build([], 100, strategy="best")
    with pytest.raises(InvalidInputError, match="no strategy 'best'"):
        ContextBuilder(default_strategy="best")


def test_a_builder_shows_how_it_counts() -> None:
    builder = ContextBuilder()
    assert repr(builder) == (
        "ContextBuilder(<tokenizer 'fallback', approximate=True>, 'truncate_oldest')"
    )
    assert builder.build(chat(1), 100).approximate is True
    assert ContextBuilder("gpt-4o").tokenizer.name == "gpt-4o"
    assert ContextBuilder.from_model("gpt-4").tokenizer.approximate is False


def test_a_result_explains_what_became_of_each_message() -> None:
    history = [{"id": "s", "role": "system", "content": "s"}, *chat(3), *tool_chat()]
    history.insert(1, {"id": "o", "role": "tool", "content": "lost"})
    history.insert(-1, {"id": "u2", "role": "user", "content": "well?"})
    result = BUILDER.build(history, 75)
    explained = result.explain()
    assert [(row.id, row.status) for row in explained] == [
        ("s", "pinned"),
        ("o", "dropped"),
        *((str(at), "dropped") for at in range(4)),
        ("4", "kept"),
        ("5", "kept"),
        ("u", "kept"),
        ("a", "kept"),
        ("u2", "kept"),
        ("t", "moved"),
    ]
    assert explained[0].tokens == BUILDER.count(history[:1]) - 3
    assert str(explained).splitlines()[0].split() == [
        *("position", "id", "role", "tokens", "status", "reason")
    ]
    assert len(str(explained).splitlines()) == len(explained) + 1 == 13
    assert repr(explained) == "<explanation of 12 messages>"


def test_every_fate_has_a_name() -> None:
    whole = BUILDER.build(tool_chat()[:2] + chat(1), 1000).explain()
    assert [row.status for row in whole] == ["kept", "mended", "kept", "kept"]
    orphan = BUILDER.build(tool_chat()[2:] + chat(1), 1000).explain()
    assert orphan[0].status == "repaired"
    cut = BUILDER.build([{"role": "user", "content": "x" * 900}], 40).explain()
    assert cut[0].status == "truncated"
    opts = {"summarizer": lambda messages: "S"}
    summary = BUILDER.build(chat(9), 60, "summarize_oldest", opts).explain()
    assert summary[0].status == "summarized"


def test_only_a_build_can_be_explained() -> None:
    with pytest.raises(ConfigurationError):
        BuildResult([], 0, False, "x").explain()


@pytest.mark.parametrize("kind", [list, tuple])
def test_the_metadata_is_that_of_the_build_however_late_it_is_read(kind: Any) -> None:
    history = kind(chat(10))
    at_once = BUILDER.build(history, 50).metadata
    result = BUILDER.build(history, 50)
    if kind is list:
        del history[:3]
        history.append({"id": "new", "role": "user", "content": "more"})
    result.messages.clear()
    assert result.metadata == at_once
    assert result.metadata["dropped_ids"] == [str(at) for at in range(18)]
    assert [row.status for row in result.explain()].count("dropped") == 18
    assert result.metadata is result.metadata


def test_a_result_is_an_ordinary_dataclass() -> None:
    result = BUILDER.build(chat(10), 50)
    assert copy.copy(result) == result == BUILDER.build(chat(10), 50)
    assert replace(result, metadata={"a": 1}).metadata == {"a": 1}
    assert asdict(result)["metadata"] == result.metadata == astuple(result)[-1]
    assert "dropped_ids" in repr(BUILDER.build(chat(10), 50))
    assert BuildResult([], 0, False, "x").metadata == {}
    assert not hasattr(result, "no_such_thing")


def test_a_result_can_be_pickled_and_copied() -> None:
    result = BUILDER.build(chat(10), 50)
    again = pickle.loads(pickle.dumps(result))
    assert again == result == copy.deepcopy(result)
    with pytest.raises(ConfigurationError):
        again.explain()
    for copied in (copy.copy(result), copy.deepcopy(result)):
        assert list(copied.explain()) == list(result.explain())


def test_a_result_keeps_no_earlier_one_alive() -> None:
    first = BUILDER.build(chat(10), 50)
    second = BUILDER.build(chat(11), 50, strategy_opts={"previous": first})
    old = weakref.ref(first)
    del first
    gc.collect()
    assert old() is None
    assert second.explain()[0].status == "dropped"


def test_a_result_keeps_no_option_alive() -> None:
    def shorten(message: Message) -> Message:
        return {**message, "content": "short"}

    options = {"ranking": ["0"], "shorten": shorten}
    result = BUILDER.build(chat(10), 60, "relevant", options)
    assert result.metadata["packed_ids"] == ["0"]
    kept = weakref.ref(shorten)
    del shorten, options
    gc.collect()
    assert kept() is None


def test_the_metadata_is_that_of_the_build_whatever_the_caller_does() -> None:
    history = chat(10)
    result = BUILDER.build(history, 50)
    for message in history:
        message.pop("id")
    assert result.metadata["dropped_ids"] == [str(at) for at in range(18)]


class Watched(Dict[str, Any]):
    """Note of which messages more is read than role, id and the mark of a pin."""

    read: ClassVar[Set[str]] = set()

    def _note(self, key: str) -> None:
        if key not in ("role", "id", "metadata"):
            self.read.add(str(dict.__getitem__(self, "id")))

    def __getitem__(self, key: str) -> Any:
        self._note(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self._note(key)
        return super().get(key, default)


@pytest.mark.parametrize("strategy", ["truncate_oldest", "recent_only"])
def test_of_what_is_dropped_only_role_and_id_are_looked_at(strategy: str) -> None:
    history = [Watched(message) for message in chat(200)]
    Watched.read.clear()
    result = BUILDER.build(history, 100, strategy)
    kept = {message["id"] for message in result.messages}
    # What is over the budget is known by the first group that does not fit.
    assert len(Watched.read - kept) <= 2
    assert len(result.metadata["dropped_ids"]) == 400 - len(kept)


class Usage:
    """Stand for the usage object of a provider's client."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


@pytest.mark.parametrize(
    "usage",
    [
        150,
        {"prompt_tokens": 150, "completion_tokens": 9},
        Usage(prompt_tokens=150),
        {
            "input_tokens": 50,
            "cache_read_input_tokens": 90,
            "cache_creation_input_tokens": 10,
        },
    ],
)
def test_a_builder_learns_from_what_a_provider_reported(usage: Any) -> None:
    result = BUILDER.build(chat(10), 120)
    builder = BUILDER.calibrated(result, usage)
    assert builder.count(result.messages) == pytest.approx(150, rel=0.1)
    assert builder.build(chat(10), 120).approximate is True
    assert builder.calibration_error == pytest.approx(1 - result.total_tokens / 150)
    assert BUILDER.calibration_error is None
    again = builder.calibrated(builder.build(chat(10), 120), usage)
    assert again.calibration_error is not None


@pytest.mark.parametrize("words", [1, 7, 60])
@pytest.mark.parametrize("ratio", [0.8, 1.0, 1.07, 1.4, 2.4])
def test_a_calibrated_builder_counts_as_the_provider_did(
    words: int, ratio: float
) -> None:
    history = [
        {"role": role, "content": " ".join(f"{role}{n}" for n in range(words + at))}
        for at in range(12)
        for role in ("user", "assistant")
    ]
    # By this ratio the provider counts texts, and roles of one token as they are.
    texts = [BUILDER.tokenizer.count(message["content"]) for message in history]
    around = BUILDER.count(history) - sum(texts)
    reported = round(around + ratio * sum(texts))
    builder = BUILDER.calibrated(BUILDER.build(history, 100_000), reported)
    assert builder.count(history) == pytest.approx(reported, rel=0.06)
    other = [{"role": "user", "content": "another text " * 400}]
    whole = BUILDER.tokenizer.count(other[0]["content"])
    assert builder.count(other) == pytest.approx(whole * ratio, rel=0.12)


@pytest.mark.parametrize("text", ["hi", "ok, and then?", "word " * 300])
@pytest.mark.parametrize("times", [1, 100])
def test_a_right_count_changes_nothing(text: str, times: int) -> None:
    history = [{"role": "user", "content": text}] * times
    result = BUILDER.build(history, 10**6)
    builder = BUILDER.calibrated(result, {"prompt_tokens": result.total_tokens})
    long = [{"role": "user", "content": "word " * 50_000}]
    assert builder.count(long) == BUILDER.count(long)
    assert builder.count(history) == BUILDER.count(history)
    assert builder.calibration_error == 0.0


def test_a_small_excess_makes_no_large_one_of_many_short_texts() -> None:
    history = [{"role": "user", "content": "ok"}] * 100
    result = BUILDER.build(history, 10**6)
    reported = result.total_tokens + 7
    builder = BUILDER.calibrated(result, reported)
    assert builder.count(history) == pytest.approx(reported, rel=0.02)


def test_a_count_of_the_provider_calibrates_what_was_counted_here() -> None:
    history = [{"role": "user", "content": f"number {n}, please" * 9} for n in range(9)]
    counted = BUILDER.count(history)
    result = BUILDER.build(history, 10**6, counter=lambda messages: 2 * counted)
    assert result.metadata["estimated_tokens"] == counted
    builder = BUILDER.calibrated(result, 2 * counted)
    assert builder.count(history) == pytest.approx(2 * counted, rel=0.02)
    assert builder.calibration_error == pytest.approx(0.5)


def test_calibrates_nothing_but_texts_by_the_ratio_alone() -> None:
    image = {"type": "image_url", "image_url": {"url": "x", "detail": "low"}}
    builder = ContextBuilder(lambda text: 0)
    result = builder.build([{"role": "user", "content": [image]}], 1_000)
    assert result.total_tokens > 0
    twice = builder.calibrated(result, 2 * result.total_tokens)
    assert twice.calibration_error == pytest.approx(0.5)
    assert twice.count(result.messages) == result.total_tokens


@pytest.mark.parametrize("usage", [0, -1, True, {}, None, {"prompt_tokens": 1.5}])
def test_usage_says_how_many_tokens(usage: Any) -> None:
    with pytest.raises(InvalidInputError):
        BUILDER.calibrated(BUILDER.build(chat(1), 100), usage)


def test_an_empty_prompt_calibrates_nothing() -> None:
    with pytest.raises(InvalidInputError, match="empty"):
        BUILDER.calibrated(BUILDER.build([], 100), 50)


def test_a_text_that_cannot_be_cut_makes_the_budget_impossible() -> None:
    call = {"name": "f", "arguments": "z" * 400}
    history = [{"role": "assistant", "content": None, "function_call": call}]
    assert BUILDER.build(history, 40).metadata["infeasible"] is True


def test_counts_that_do_not_add_up_still_keep_the_budget() -> None:
    # Each text costs its length, and every distinct one a hundred more.
    builder = ContextBuilder(lambda text: len(text) + (100 if len(text) > 50 else 0))
    history = [{"role": "user", "content": "a" * 900}]
    for budget in (20, 60, 100, 150, 200):
        assert builder.build(history, budget).total_tokens <= budget


def test_an_image_alone_is_not_cut() -> None:
    part = {"type": "image_url", "image_url": {"url": "x", "detail": "low"}}
    result = BUILDER.build([{"role": "user", "content": [part]}], 50)
    assert result.metadata["infeasible"] is True


async def _asynchronous(message: Message) -> bool:
    return True


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ({"pre_filter": 5}, "pre_filter"),
        ({"post_filter": "role"}, "post_filter"),
        # Its coroutine would be true for every message.
        ({"pre_filter": _asynchronous}, "pre_filter"),
        ({"counter": 5}, "counter"),
        ({"tools": {"name": "f"}}, "tools"),
        ({"tools": ["f"]}, "tools[0]"),
        ({"strategy_opts": {"pin": [1]}}, "strategy_opts.pin"),
        ({"strategy_opts": {"pin": [["1"]]}}, "strategy_opts.pin"),
    ],
)
def test_arguments_of_another_kind_are_refused(
    arguments: Dict[str, Any], path: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        ContextBuilder().build([{"role": "user", "content": "Hi."}], 100, **arguments)
    assert caught.value.path == path


def test_what_is_no_message_is_not_counted() -> None:
    not_a_message: Any = 5
    with pytest.raises(InvalidInputError) as caught:
        ContextBuilder().count([{"role": "user", "content": "Hi."}, not_a_message])
    assert caught.value.path == "messages[1]"


def test_what_is_no_result_calibrates_nothing() -> None:
    not_a_result: Any = None
    with pytest.raises(InvalidInputError, match="pass what build returned"):
        ContextBuilder().calibrated(not_a_result, 5)


def test_a_reserve_above_the_budget_leaves_no_room() -> None:
    history = [{"role": "user", "content": "Hi."}]
    result = ContextBuilder().build(history, 10, strategy_opts={"reserve": 50})
    assert result.messages == []
    assert result.metadata["infeasible"]


class Tally:
    """Be a filter whose call has to be awaited."""

    async def __call__(self, message: Message) -> bool:
        return False


@pytest.mark.parametrize("name", ["pre_filter", "post_filter"])
def test_an_object_with_an_asynchronous_call_is_no_filter(name: str) -> None:
    odd: Dict[str, Any] = {name: Tally()}
    with pytest.raises(InvalidInputError, match="asynchronous"):
        BUILDER.build(chat(2), 100, **odd)


def test_a_filter_that_runs_out_ends_no_history() -> None:
    answers = iter([True, True])
    with pytest.raises(RuntimeError):
        BUILDER.build(chat(5), 1_000, pre_filter=lambda message: next(answers))


def test_a_counter_that_has_to_be_awaited_is_refused() -> None:
    loop = asyncio.new_event_loop()
    with pytest.raises(InvalidInputError, match="abuild"):
        BUILDER.build(chat(2), 100, counter=lambda messages: loop.create_future())
    loop.close()


@pytest.mark.parametrize("options", [{}, {"reserve": 30}])
def test_too_long_a_turn_is_told_of_the_budget_that_was_given(
    options: Dict[str, Any],
) -> None:
    history = [{"id": "long", "role": "user", "content": "x" * 400}]
    needed = BUILDER.count(history) + options.get("reserve", 0)
    with pytest.raises(ContextOverflowError) as caught:
        BUILDER.build(history, 50, strategy_opts={"on_overflow": "error", **options})
    assert caught.value.max_tokens == 50
    assert caught.value.needed == needed


def test_what_is_cut_or_taken_out_is_counted_without_ids_too() -> None:
    history = [
        {"role": "user", "content": "word " * 400},
        {"role": "tool", "tool_call_id": "nobody's", "content": "?"},
    ]
    metadata = BUILDER.build(history, 50).metadata
    assert (metadata["repaired_count"], metadata["truncated_count"]) == (1, 1)
    assert metadata["repaired_ids"] == metadata["truncated_ids"] == []


def test_a_summarizer_is_called_once_however_often_a_counter_says_no() -> None:
    asked: List[int] = []

    def summarize(messages: List[Message]) -> str:
        asked.append(len(messages))
        return "in short"

    result = BUILDER.build(
        chat(30),
        200,
        strategy="summarize_oldest",
        strategy_opts={"summarizer": summarize},
        counter=lambda messages: 2 * BUILDER.count(messages),
    )
    assert result.total_tokens <= 200
    # What is dropped besides in a further try follows the summary so far.
    assert asked[0] > sum(count - 1 for count in asked[1:])
