"""Prompts from what is stored: windows, what is relevant, summaries."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Dict, List, Type

import pytest

from contextstore import (
    ContextBuilder,
    InMemoryEmbeddingStore,
    InMemoryMemory,
    InvalidInputError,
    MemoryBackend,
    SessionStore,
    SessionStoreConfig,
    SQLiteMemory,
    SyncSessionStore,
    _flights,
)
from contextstore.embedders import HashingEmbedder
from tests.testing.backends import DictBackend

Message = Dict[str, Any]

TOPICS = [
    "apples",
    "bears",
    "cars",
    "dogs",
    "eggs",
    "fish",
    "goats",
    "hats",
    "ice",
    "jam",
    "kites",
    "lamps",
]
SYSTEM = {"id": "system", "role": "system", "content": "Answer in one line."}


def talk(times: int = 1) -> List[Message]:
    """Return a chat with one turn about each topic."""
    history: List[Message] = [SYSTEM]
    for number in range(times):
        for topic in TOPICS:
            name = f"{topic}{number or ''}"
            history += [
                {"id": f"q-{name}", "role": "user", "content": f"Tell me of {name}."},
                {
                    "id": f"a-{name}",
                    "role": "assistant",
                    "content": f"Of {name} there is much to say. " * 4,
                },
            ]
    return history


def call(call_id: str) -> Message:
    function = {"name": "weigh", "arguments": "{}"}
    calls = [{"id": call_id, "type": "function", "function": function}]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def ids(messages: List[Message]) -> List[str]:
    return [message["id"] for message in messages]


@pytest.fixture(params=[InMemoryMemory, DictBackend])
def memory(request: Any) -> MemoryBackend:
    made: MemoryBackend = request.param()
    return made


class TestWindow:
    def test_it_is_the_newest_and_the_pinned(self) -> None:
        store = SyncSessionStore(InMemoryMemory())
        history = talk(20)
        store.save_context("s", history)
        window = store.load_window("s", 300)
        assert window[0] == store.load_context("s")[0]
        assert len(window) < len(history) / 2
        assert ids(window[1:]) == ids(history[-len(window) + 1 :])
        assert window[1]["role"] == "user"

    @pytest.mark.parametrize("max_tokens", [1, 50, 300, 1_000, 5_000, 100_000])
    @pytest.mark.parametrize("strategy", ["truncate_oldest", "recent_only"])
    def test_the_prompt_is_that_of_the_whole_history(
        self, memory: MemoryBackend, strategy: str, max_tokens: int
    ) -> None:
        store = SyncSessionStore(memory)
        history = talk(15)
        store.save_context("s", history)
        built = store.build_context("s", max_tokens, strategy=strategy)
        expected = ContextBuilder().build(
            store.load_context("s"), max_tokens, strategy=strategy
        )
        assert built.messages == expected.messages
        assert built.total_tokens == expected.total_tokens

    def test_a_cut_in_steps_is_that_of_the_whole_history(
        self, memory: MemoryBackend
    ) -> None:
        store = SyncSessionStore(memory)
        store.save_context("s", [SYSTEM])
        starts = set()
        for topic in TOPICS * 3:
            said = {"role": "user", "content": f"Tell me of {topic}. " * 40}
            store.append_context("s", [said, {**said, "role": "assistant"}] * 4)
            options = {"headroom": 0.5}
            built = store.build_context("s", 2_000, strategy_opts=options)
            whole = ContextBuilder().build(
                store.load_context("s"), 2_000, strategy_opts=options
            )
            assert built.messages == whole.messages
            starts.add(built.messages[1]["id"])
        assert len(starts) > 3

    def test_it_is_read_page_by_page(self, monkeypatch: pytest.MonkeyPatch) -> None:
        memory = InMemoryMemory()
        store = SyncSessionStore(memory)
        store.save_context("s", talk(50))
        monkeypatch.setattr(memory, "load_context", None)
        assert store.build_context("s", 300).messages

    def test_a_session_that_is_not_there_is_empty(self, memory: MemoryBackend) -> None:
        store = SyncSessionStore(memory)
        assert store.load_window("s", 100) == []
        assert store.build_context("s", 100).messages == []
        assert store.build_context("s", 100, "what?").messages == []

    def test_what_is_asked_for_by_its_id_is_looked_for_everywhere(self) -> None:
        store = SyncSessionStore(InMemoryMemory())
        store.save_context("s", talk(12))
        built = store.build_context("s", 300, strategy_opts={"pin": ["q-bears"]})
        assert "q-bears" in ids(built.messages)
        for builder in (None, ContextBuilder(default_strategy="relevant")):
            built = store.build_context(
                "s",
                300,
                strategy="relevant" if builder is None else None,
                strategy_opts={"ranking": ["q-cars"]},
                builder=builder,
            )
            assert "q-cars" in ids(built.messages)

    def test_an_old_pinned_call_keeps_its_result(self) -> None:
        store = SyncSessionStore(InMemoryMemory())
        pair = [
            {**call("x"), "id": "call", "metadata": {"pinned": True}},
            {"id": "result", "role": "tool", "tool_call_id": "x", "content": "12"},
        ]
        store.save_context("s", [*pair, *talk(12)])
        result = store.build_context("s", 300)
        assert ids(result.messages)[:2] == ["call", "result"]

    def test_results_of_older_calls_do_not_fill_the_window(self) -> None:
        store = SyncSessionStore(InMemoryMemory())
        late = {"role": "tool", "tool_call_id": "x", "content": "word " * 500}
        said = {"role": "user", "content": "And now?"}
        store.save_context("s", [call("x"), *talk(8), late, said])
        history = store.load_context("s")
        for budget in range(500, 3_000, 100):
            result = store.build_context("s", budget, strategy="recent_only")
            whole = ContextBuilder().build(history, budget, "recent_only")
            assert result.messages == whole.messages

    def test_a_budget_of_nothing_holds_nothing(self, memory: MemoryBackend) -> None:
        store = SyncSessionStore(memory)
        store.save_context("s", talk())
        for query in (None, "apples"):
            result = store.build_context("s", 0, query)
            assert result.messages == []
            assert result.metadata["infeasible"]

    def test_options_are_a_dict(self) -> None:
        store = SyncSessionStore(InMemoryMemory())
        with pytest.raises(InvalidInputError, match="strategy_opts"):
            store.build_context("s", 100, strategy_opts=5)  # type: ignore[arg-type]

    @pytest.mark.parametrize("max_tokens", [0, -1, True, 1.5, "100", None])
    def test_the_budget_is_a_number_of_tokens(self, max_tokens: Any) -> None:
        with pytest.raises(InvalidInputError):
            SyncSessionStore(InMemoryMemory()).load_window("s", max_tokens)


class TestRelevant:
    @pytest.mark.parametrize("auto_embed", [False, True])
    def test_what_was_asked_for_is_recalled(
        self, memory: MemoryBackend, auto_embed: bool
    ) -> None:
        config = SessionStoreConfig(
            auto_embed=auto_embed, embed_fn=HashingEmbedder() if auto_embed else None
        )
        store = SyncSessionStore(memory, InMemoryEmbeddingStore(), config)
        store.save_context("s", talk())
        built = store.build_context("s", 200, "what about the bears?")
        assert built.total_tokens <= 200
        assert built.strategy_used == "relevant"
        found = ids(built.messages)
        assert found[0] == "system"
        assert "a-bears" in found
        assert found[-1] == "a-lamps"
        assert found == [one for one in ids(talk()) if one in found]
        assert "a-bears" in built.metadata["recalled_ids"]

    def test_calls_keep_their_results(self) -> None:
        call = {
            "id": "c1",
            "type": "function",
            "function": {"name": "weather", "arguments": '{"city": "Oslo"}'},
        }
        history: List[Message] = [
            {"id": "u", "role": "user", "content": "How is Oslo?"},
            {"id": "c", "role": "assistant", "content": None, "tool_calls": [call]},
            {"id": "r", "role": "tool", "tool_call_id": "c1", "content": "Snow storm."},
            *talk()[1:],
        ]
        store = SyncSessionStore(InMemoryMemory())
        store.save_context("s", history)
        found = ids(store.build_context("s", 150, "the snow storm").messages)
        assert {"c", "r"} <= set(found)

    def test_a_long_message_is_packed(self) -> None:
        filler = "Nothing of note happened on that day at all. " * 30
        history = talk()
        history[3]["content"] = f"{filler}The password is swordfish. {filler}"
        store = SyncSessionStore(InMemoryMemory())
        store.save_context("s", history)
        built = store.build_context("s", 400, "which password?", snippet_chars=200)
        (packed,) = [m for m in built.messages if m["id"] == history[3]["id"]]
        assert len(packed["content"]) <= 200
        assert "swordfish" in packed["content"]
        assert "[…]" in packed["content"]
        assert built.metadata["packed_ids"] == [history[3]["id"]]
        # The stored message is whole.
        assert store.load_context("s")[3]["content"] == history[3]["content"]

    def test_a_long_result_stays_whole(self) -> None:
        store = SyncSessionStore(InMemoryMemory())
        found = "The bears weigh much. " * 40
        pair = [
            {**call("x"), "id": "call", "content": found},
            {"id": "result", "role": "tool", "tool_call_id": "x", "content": found},
        ]
        store.save_context("s", [*pair, *talk(12)])
        result = store.build_context("s", 2_000, "weigh")
        assert ids(result.messages)[:2] == ["call", "result"]
        assert [m["content"] for m in result.messages[:2]] == [found, found]
        assert "result" not in result.metadata["packed_ids"]

    def test_it_stays_whole_where_asked(self) -> None:
        history = talk()
        history[3]["content"] = "The password is swordfish. " * 30
        store = SyncSessionStore(InMemoryMemory())
        store.save_context("s", history)
        built = store.build_context("s", 1_000, "password", snippet_chars=None)
        assert built.metadata["packed_ids"] == []
        assert history[3]["content"] in [m["content"] for m in built.messages]

    def test_the_share_of_the_recent(self) -> None:
        store = SyncSessionStore(InMemoryMemory())
        store.save_context("s", talk())
        most = store.build_context("s", 200, "bears", recent_share=1.0)
        least = store.build_context("s", 200, "bears", recent_share=0)
        assert most.metadata["recalled_ids"] == []
        assert ids(least.messages)[-1] == "a-lamps"
        assert len(least.metadata["recalled_ids"]) > 1

    @pytest.mark.parametrize("share", [-0.1, 1.1, "half", True, float("nan")])
    def test_a_share_is_a_part(self, share: Any) -> None:
        store = SyncSessionStore(InMemoryMemory())
        store.save_context("s", talk())
        with pytest.raises(InvalidInputError) as caught:
            store.build_context("s", 200, "bears", share)
        assert caught.value.path == "strategy_opts.recent_share"

    @pytest.mark.parametrize("chars", [0, -1, True, "many"])
    def test_a_length_is_a_number(self, chars: Any) -> None:
        store = SyncSessionStore(InMemoryMemory())
        with pytest.raises(InvalidInputError):
            store.build_context("s", 200, "bears", snippet_chars=chars)

    def test_query_or_strategy(self) -> None:
        store = SyncSessionStore(InMemoryMemory())
        with pytest.raises(InvalidInputError):
            store.build_context("s", 200, "bears", strategy="recent_only")


class Summarizer:
    """Say how many messages each summary stands for, and count the calls."""

    def __init__(self) -> None:
        self.calls: List[List[Message]] = []

    def __call__(self, messages: List[Message]) -> str:
        self.calls.append(messages)
        return f"summary {len(self.calls)}"


class Waited(Summarizer):
    def __call__(self, messages: List[Message]) -> Any:
        text = super().__call__(messages)

        async def later() -> str:
            return text

        return later()


class Slow(Summarizer):
    def __call__(self, messages: List[Message]) -> Any:
        text = super().__call__(messages)

        async def later() -> str:
            await asyncio.sleep(0.1)
            return text

        return later()


class TestSummaries:
    def options(self, summarizer: Any) -> Dict[str, Any]:
        return {
            "strategy": "summarize_oldest",
            "strategy_opts": {"summarizer": summarizer},
        }

    @pytest.mark.parametrize("kind", [Summarizer, Waited])
    def test_a_range_is_summarized_once(
        self, memory: MemoryBackend, kind: Type[Summarizer]
    ) -> None:
        store, summarizer = SyncSessionStore(memory), kind()
        store.save_context("s", talk())
        built = store.build_context("s", 300, **self.options(summarizer))
        assert built.messages[1]["content"] == "summary 1"
        store.build_context("s", 300, **self.options(summarizer))
        assert len(summarizer.calls) == 1

    async def contents(self, store: SessionStore, summarizers: List[Any]) -> List[str]:
        """Build at the same time, and return what stands for the oldest messages."""
        builds = [
            store.build_context("s", 300, **self.options(one)) for one in summarizers
        ]
        return [built.messages[1]["content"] for built in await asyncio.gather(*builds)]

    def test_builds_at_the_same_time_share_a_summary(
        self, memory: MemoryBackend
    ) -> None:
        store, summarizer = SessionStore(memory), Slow()

        async def run() -> List[str]:
            await store.save_context("s", talk())
            return await self.contents(store, [summarizer] * 5)

        assert asyncio.run(run()) == ["summary 1"] * 5
        assert len(summarizer.calls) == 1

    def test_builds_of_several_threads_share_a_summary(self) -> None:
        store, summarizer = SyncSessionStore(InMemoryMemory()), Slow()
        store.save_context("s", talk())
        start, built = threading.Barrier(4), []

        def build() -> None:
            start.wait()
            result = store.build_context("s", 300, **self.options(summarizer))
            built.append(result.messages[1]["content"])

        def build_in_a_loop() -> None:
            start.wait()
            built.extend(asyncio.run(self.contents(store.store, [summarizer])))

        threads = [threading.Thread(target=build) for _ in range(3)]
        threads.append(threading.Thread(target=build_in_a_loop))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert built == ["summary 1"] * 4
        assert len(summarizer.calls) == 1

    def test_a_failure_is_shared_by_those_who_wait_and_by_no_other(self) -> None:
        store, calls = SessionStore(InMemoryMemory()), []

        async def fail(messages: List[Message]) -> str:
            calls.append(messages)
            await asyncio.sleep(0.01)
            raise OSError("down")

        async def build() -> str:
            built = await store.build_context("s", 300, **self.options(fail))
            return str(built.metadata["fallback_reason"])

        async def run() -> List[str]:
            await store.save_context("s", talk())
            return await asyncio.gather(*(build() for _ in range(5)))

        assert asyncio.run(run()) == ["summarizer_failed"] * 5
        assert len(calls) == 1
        assert asyncio.run(build()) == "summarizer_failed"
        assert len(calls) == 2

    def test_one_of_those_who_wait_takes_over_from_a_cancelled_one(self) -> None:
        store, summarizer = SessionStore(InMemoryMemory()), Slow()

        async def never(messages: List[Message]) -> str:
            await asyncio.Event().wait()
            return ""

        async def run() -> List[str]:
            await store.save_context("s", talk())
            stuck = asyncio.ensure_future(self.contents(store, [never]))
            await asyncio.sleep(0.01)
            waiting = asyncio.ensure_future(self.contents(store, [summarizer] * 4))
            impatient = asyncio.ensure_future(self.contents(store, [summarizer]))
            await asyncio.sleep(0.01)
            assert not summarizer.calls
            for one in (impatient, stuck):
                one.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await one
            return await waiting

        assert asyncio.run(run()) == ["summary 1"] * 4
        assert len(summarizer.calls) == 1

    @pytest.mark.parametrize("budget", [300, 400])
    def test_a_build_in_a_summarizer_waits_for_nothing(self, budget: int) -> None:
        async def inner(messages: List[Message]) -> str:
            return "inner"

        async def run() -> str:
            store = SessionStore(InMemoryMemory())
            await store.save_context("s", talk())

            async def outer(messages: List[Message]) -> str:
                await store.build_context("s", budget, **self.options(inner))
                return "outer"

            work = self.contents(store, [outer])
            return (await asyncio.wait_for(work, 20))[0]

        assert asyncio.run(run()) == "outer"
        face = SyncSessionStore(InMemoryMemory())
        face.save_context("s", talk())

        def outer(messages: List[Message]) -> str:
            face.build_context("s", budget, **self.options(inner))
            return "outer"

        built = face.build_context("s", 300, **self.options(outer))
        assert built.messages[1]["content"] == "outer"

    def test_summarizers_that_build_each_others_sessions_come_to_an_end(self) -> None:
        store = SessionStore(InMemoryMemory())

        def of(other: str, depth: int) -> Any:
            async def summarize(messages: List[Message]) -> str:
                await asyncio.sleep(0.01)
                if depth:
                    back = {"s": "t", "t": "s"}[other]
                    options = self.options(of(back, depth - 1))
                    await store.build_context(other, 300, **options)
                return "in short"

            return summarize

        async def run() -> None:
            for name in ("s", "t"):
                await store.save_context(name, talk())
            builds = [
                store.build_context(name, 300, **self.options(of(other, 3)))
                for name, other in (("s", "t"), ("t", "s"))
            ]
            await asyncio.wait_for(asyncio.gather(*builds), 20)

        asyncio.run(run())

    def test_a_wait_that_might_never_end_ends(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_flights, "_LONGEST_WAIT", 0.02)
        face = SyncSessionStore(InMemoryMemory())
        face.save_context("s", talk())

        def in_a_thread(messages: List[Message]) -> str:
            # It begins with an empty context, so that nothing tells where it belongs.
            with ThreadPoolExecutor(1) as pool:
                options = self.options(Summarizer())
                pool.submit(face.build_context, "s", 300, **options).result()
            return "outer"

        built = face.build_context("s", 300, **self.options(in_a_thread))
        assert built.messages[1]["content"] == "outer"

        face.save_context("s", talk()[:-1])
        loop, summarizer = asyncio.new_event_loop(), Slow()
        stranded = loop.create_task(self.contents(face.store, [summarizer]))
        loop.run_until_complete(asyncio.sleep(0.01))
        built = face.build_context("s", 300, **self.options(Summarizer()))
        assert built.messages[1]["content"] == "summary 1"
        assert loop.run_until_complete(stranded) == ["summary 1"]
        loop.close()

    def test_what_is_newly_dropped_extends_it(self, memory: MemoryBackend) -> None:
        store, summarizer = SyncSessionStore(memory), Summarizer()
        store.save_context("s", talk())
        store.build_context("s", 300, **self.options(summarizer))
        store.append_context("s", [{**m, "id": f"n{m['id']}"} for m in talk()[1:5]])
        store.build_context("s", 300, **self.options(summarizer))
        first, second = summarizer.calls
        assert second[0]["content"] == "summary 1"
        assert len(second) < len(first)

    def test_it_outlives_the_process(self, tmp_path: Path) -> None:
        path, summarizer = tmp_path / "chat.db", Summarizer()
        for _ in range(2):
            with SQLiteMemory(path).sync as face:
                store = SyncSessionStore(face.backend)
                store.save_context("s", talk())
                built = store.build_context("s", 300, **self.options(summarizer))
                assert built.messages[1]["content"] == "summary 1"
        assert len(summarizer.calls) == 1

    def test_the_history_stays_whole(self, memory: MemoryBackend) -> None:
        store = SyncSessionStore(memory)
        store.save_context("s", talk())
        store.build_context("s", 300, **self.options(Summarizer()))
        assert ids(store.load_context("s")) == ids(talk())

    def test_an_edited_range_is_summarized_anew(self) -> None:
        store, summarizer = SyncSessionStore(InMemoryMemory()), Summarizer()
        store.save_context("s", talk())
        store.build_context("s", 300, **self.options(summarizer))
        store.update_interaction(
            "s", "q-apples", {"role": "user", "content": "Something else."}
        )
        store.build_context("s", 300, **self.options(summarizer))
        assert len(summarizer.calls) == 2
        assert summarizer.calls[1][0]["content"] == "Something else."

    def test_a_fork_has_them_and_a_deleted_session_does_not(self) -> None:
        memory = InMemoryMemory().sync
        memory.save_context("s", talk())
        memory.save_summaries("s", {"one": "first", "two": "second"})
        memory.fork_session("s", "t")
        memory.delete_session("s")
        assert memory.load_summaries("s") == {}
        assert list(memory.load_summaries("t").items()) == [
            ("one", "first"),
            ("two", "second"),
        ]
        memory.save_summaries("t", {})
        assert memory.load_summaries("t") == {}

    @pytest.mark.parametrize("summaries", [None, ["a"], {"a": 1}, {1: "a"}, "a"])
    def test_summaries_are_texts(self, summaries: Any) -> None:
        memory = InMemoryMemory().sync
        memory.save_context("s", talk())
        with pytest.raises(InvalidInputError):
            memory.save_summaries("s", summaries)

    def test_they_need_a_session(self) -> None:
        with pytest.raises(ValueError, match="no session"):
            InMemoryMemory().sync.save_summaries("s", {"a": "b"})


@pytest.mark.parametrize("make", [InMemoryMemory, DictBackend])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"query": "boats"},
        {"strategy_opts": {"headroom": 0.5}},
        {
            "strategy": "summarize_oldest",
            "strategy_opts": {"summarizer": lambda _: "short"},
        },
    ],
    ids=["window", "query", "whole", "summary"],
)
def test_a_prompt_of_no_session_is_empty_and_noted(
    make: Type[MemoryBackend], options: Dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    store = SessionStore(make()).sync
    with caplog.at_level(logging.DEBUG, logger="contextstore"):
        result = store.build_context("typo", 100, **options)
    assert (result.messages, result.metadata["infeasible"]) == ([], False)
    noted = [one for one in caplog.records if "'typo'" in one.getMessage()]
    assert [one.levelno for one in noted] == [logging.DEBUG]
    store.save_context("there", [SYSTEM])
    caplog.clear()
    with caplog.at_level(logging.DEBUG, logger="contextstore"):
        assert store.build_context("there", 100, **options).messages
    assert not caplog.records
