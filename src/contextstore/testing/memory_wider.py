"""Test the methods that a memory backend may have beyond those of the contract."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest

from contextstore import messages
from contextstore.backends.base import MemoryBackend
from contextstore.errors import ConflictError
from contextstore.sync import SyncMemory
from contextstore.testing.memory_suite import (
    RICH,
    MemorySuite,
    Message,
    bare,
    message,
    numbered,
)
from contextstore.testing.suite import Capability, written_over

_overrides = partial(written_over, MemoryBackend)

SESSION_INFO = Capability("session-info", _overrides("session_info"))
LIST_SESSIONS = Capability("list-sessions", _overrides("list_sessions"))
LOAD_PAGE = Capability("load-page", _overrides("load_page"))
LOAD_PINNED = Capability("load-pinned", _overrides("load_pinned"))
UPDATE = Capability("update-interaction", _overrides("update_interaction"))
FORK = Capability("fork-session", _overrides("fork_session"))
METADATA = Capability("set-metadata", _overrides("set_metadata"))
PRUNE = Capability("prune", _overrides("prune"))
ERASE = Capability("erase", _overrides("erase"))
SEARCH_TEXT = Capability("search-text", _overrides("search_text"))
VERIFY = Capability("verify", _overrides("verify"))
BACKUP = Capability("backup", _overrides("backup"))

A_DAY = timedelta(days=1)


def ids(context: List[Message]) -> List[str]:
    """Return the ids of messages."""
    return [one["id"] for one in context]


def refused(*attempts: Callable[[], Any]) -> None:
    """Expect each call to raise ValueError."""
    for attempt in attempts:
        with pytest.raises(ValueError):
            attempt()


def refuses(method: Callable[..., Any], *arguments: Any, **options: Any) -> None:
    """Expect a call to raise ValueError."""
    with pytest.raises(ValueError):
        method(*arguments, **options)


def calling(number: int) -> List[Message]:
    """Return a tool call and its result, with ids from ``number`` on."""
    call = {"id": f"call-{number}", "type": "function", "function": {"name": "f"}}
    return [
        {"id": f"m{number}", "role": "assistant", "tool_calls": [call]},
        {
            "id": f"m{number + 1}",
            "role": "tool",
            "tool_call_id": f"call-{number}",
            "content": "result",
        },
    ]


class WiderTests(MemorySuite):
    """Test what MemoryBackend describes and leaves open, where the backend has it."""

    @SESSION_INFO
    def test_a_session_is_described(self, memory: SyncMemory) -> None:
        memory.save_context("s", numbered(1, 3))
        memory.save_context("empty", [])
        first = memory.session_info("s")
        assert (first.session_id, first.message_count) == ("s", 3)
        assert first.metadata == {}
        assert first.created_at <= first.updated_at
        memory.append_context("s", [message(4)])
        second = memory.session_info("s")
        assert second.message_count == 4
        assert second.version > first.version
        assert second.created_at == first.created_at
        assert second.updated_at >= first.updated_at
        assert memory.session_info("empty").message_count == 0

    @SESSION_INFO
    def test_its_version_is_that_of_the_writes(self, memory: SyncMemory) -> None:
        def now() -> int:
            return memory.session_info("s").version

        written = memory.save_context("s", numbered(1, 3))
        assert written is not None
        assert written.version == now()
        written = memory.append_context("s", numbered(4, 5))
        assert written is not None
        assert written.version == now()
        written = memory.delete_interaction("s", "m2")
        assert written is not None
        assert written.version == now()

    @SESSION_INFO
    def test_what_is_not_there_is_not_described(self, memory: SyncMemory) -> None:
        refused(lambda: memory.session_info("nobody"), lambda: memory.session_info(""))
        memory.save_context("s", [])
        memory.delete_session("s")
        refused(lambda: memory.session_info("s"))

    @LIST_SESSIONS
    def test_sessions_are_listed_newest_change_first(self, memory: SyncMemory) -> None:
        names = [f"s{number}" for number in range(7)]
        for name in names:
            memory.save_context(name, [message(1)])
        page = memory.list_sessions(limit=100)
        assert page.cursor is None
        assert sorted(one.session_id for one in page.sessions) == names
        times = [one.updated_at for one in page.sessions]
        assert times == sorted(times, reverse=True)
        assert [one.message_count for one in page.sessions] == [1] * 7

    @LIST_SESSIONS
    def test_pages_give_each_session_once(self, memory: SyncMemory) -> None:
        names = [f"s{number}" for number in range(7)]
        for name in names:
            memory.save_context(name, [message(1)])
        whole = [one.session_id for one in memory.list_sessions(limit=7).sessions]
        for limit in (1, 2, 3, 6):
            page = memory.list_sessions(limit=limit)
            found = [one.session_id for one in page.sessions]
            while page.cursor is not None and len(found) < len(names):
                assert len(page.sessions) == limit
                page = memory.list_sessions(limit=limit, cursor=page.cursor)
                found += [one.session_id for one in page.sessions]
            assert (found, page.cursor) == (whole, None)

    @LIST_SESSIONS
    def test_a_prefix_is_taken_literally(self, memory: SyncMemory) -> None:
        for name in ("a%c", "abc", "a_c", "A%c", "a", "ü1", "ü"):
            memory.save_context(name, [])

        def named(prefix: str) -> List[str]:
            page = memory.list_sessions(prefix=prefix)
            return sorted(one.session_id for one in page.sessions)

        assert named("a%") == ["a%c"]
        assert named("a_") == ["a_c"]
        assert named("a") == ["a", "a%c", "a_c", "abc"]
        assert named("ü") == ["ü", "ü1"]
        assert named("nobody") == []
        assert len(named("")) == 7

    @LIST_SESSIONS
    @METADATA
    def test_sessions_are_found_by_metadata(self, memory: SyncMemory) -> None:
        given: Dict[str, Dict[str, Any]] = {
            "a": {"user": "ann", "n": 1},
            "b": {"user": "bob", "n": 1},
            "c": {"user": "ann", "n": True, "deep": {"x": [1, 2]}},
            "d": {},
        }
        for name, metadata in given.items():
            memory.save_context(name, [])
            memory.set_metadata(name, metadata)

        def having(**metadata: Any) -> List[str]:
            page = memory.list_sessions(metadata=metadata)
            return sorted(one.session_id for one in page.sessions)

        assert having(user="ann") == ["a", "c"]
        assert having(user="ann", n=1) == ["a"]
        assert having(n=1) == ["a", "b"]
        assert having(n=True) == ["c"]
        assert having(deep={"x": [1, 2]}) == ["c"]
        assert having(missing=None) == []
        assert having() == ["a", "b", "c", "d"]

    @LIST_SESSIONS
    def test_a_list_that_cannot_be_is_refused(self, memory: SyncMemory) -> None:
        memory.save_context("s", [])
        bad: Any
        for bad in (0, -1, True, 1.5, "1", None):
            refuses(memory.list_sessions, limit=bad)
        for bad in ("", "x", "1", "1-x", "-", 7, f"{10**30}-1", f"1-{10**30}", "--1"):
            refuses(memory.list_sessions, cursor=bad)
        for bad in (7, b"s", "\ud800"):
            refuses(memory.list_sessions, prefix=bad)
        for bad in (7, "text", [1], {"a": float("nan")}, {1: 2}):
            refuses(memory.list_sessions, metadata=bad)
        assert len(memory.list_sessions(limit=10**30).sessions) == 1

    @LOAD_PAGE
    def test_a_page_is_a_stretch(self, memory: SyncMemory) -> None:
        memory.save_context("s", numbered(1, 9))
        assert memory.load_page("s", limit=3) == numbered(7, 9)
        assert memory.load_page("s", before="m7", limit=3) == numbered(4, 6)
        assert memory.load_page("s", before="m3", limit=5) == numbered(1, 2)
        assert memory.load_page("s", before="m1", limit=5) == []
        assert memory.load_page("s", after="m7", limit=1) == [message(8)]
        assert memory.load_page("s", after="m7", limit=10**30) == numbered(8, 9)
        assert memory.load_page("s", after="m9") == []
        assert memory.load_page("s") == numbered(1, 9)
        assert memory.load_page("nobody") == []

    @LOAD_PAGE
    def test_pages_follow_a_rewind(self, memory: SyncMemory) -> None:
        memory.save_context("s", numbered(1, 5))
        memory.delete_interaction("s", "m4")
        memory.append_context("s", numbered(6, 7))
        assert ids(memory.load_page("s", before="m7", limit=2)) == ["m3", "m6"]
        refused(lambda: memory.load_page("s", before="m4"))

    @LOAD_PAGE
    def test_a_page_that_cannot_be_is_refused(self, memory: SyncMemory) -> None:
        memory.save_context("s", numbered(1, 2))
        refused(
            lambda: memory.load_page("s", before="m9"),
            lambda: memory.load_page("s", after="m9"),
            lambda: memory.load_page("nobody", after="m1"),
            lambda: memory.load_page("s", before="m2", after="m1"),
            lambda: memory.load_page("s", before=""),
            lambda: memory.load_page(""),
        )
        bad: Any
        for bad in (0, -1, True, 1.0, None):
            refuses(memory.load_page, "s", limit=bad)

    @LOAD_PINNED
    def test_what_is_pinned_is_given(self, memory: SyncMemory) -> None:
        pinned = {**message(3), "metadata": {"pinned": True}}
        system = {**message(1), "role": "system"}
        developer = {**message(5), "role": "developer"}
        context = [system, message(2), pinned, message(4), developer]
        memory.save_context("s", context)
        assert memory.load_pinned("s") == [system, pinned, developer]
        memory.append_context("s", [{**message(6), "role": "system"}])
        assert ids(memory.load_pinned("s")) == ["m1", "m3", "m5", "m6"]
        memory.delete_interaction("s", "m5")
        assert ids(memory.load_pinned("s")) == ["m1", "m3"]
        assert memory.load_pinned("nobody") == []
        refused(lambda: memory.load_pinned(""))

    @UPDATE
    def test_a_message_is_changed_in_its_place(self, memory: SyncMemory) -> None:
        memory.save_context("s", [message(1), bare("two"), message(3)])
        before = memory.load_context("s")
        second = before[1]
        written = memory.update_interaction(
            "s", second["id"], {"role": "user", "content": "other"}
        )
        assert written.ids == written.removed == (second["id"],)
        changed = {**second, "content": "other"}
        assert memory.load_context("s") == [before[0], changed, before[2]]
        memory.update_interaction("s", "m3", {"id": "m3", "timestamp": "new"})
        assert memory.load_context("s", 1) == [{"id": "m3", "timestamp": "new"}]
        memory.append_context("s", [message(4)])
        assert len(memory.load_context("s")) == 4

    @UPDATE
    def test_an_update_to_the_same_changes_nothing(self, memory: SyncMemory) -> None:
        memory.save_context("s", [message(1), {**message(2), "n": 1}])
        same = memory.update_interaction("s", "m1", message(1))
        again = memory.update_interaction("s", "m1", message(1))
        assert (same.version, same.removed) == (again.version, ())
        other = memory.update_interaction("s", "m2", {**message(2), "n": True})
        assert other.version > same.version
        assert memory.load_context("s", 1)[0]["n"] is True

    @UPDATE
    def test_an_update_that_cannot_be_is_refused(self, memory: SyncMemory) -> None:
        memory.save_context("s", numbered(1, 2))
        bad: Any
        for bad in (None, [], "text", {"a": float("nan")}, {"id": "m2"}, {"id": 7}):
            refuses(memory.update_interaction, "s", "m1", bad)
        refused(
            lambda: memory.update_interaction("s", "m9", {}),
            lambda: memory.update_interaction("nobody", "m1", {}),
            lambda: memory.update_interaction("s", "m1", {}, expected_version=99),
            lambda: memory.update_interaction("s", "m1", {}, expected_version=-1),
        )
        assert memory.load_context("s") == numbered(1, 2)

    @FORK
    def test_a_fork_is_a_copy_that_goes_its_own_way(self, memory: SyncMemory) -> None:
        memory.save_context("s", [*RICH, *numbered(1, 3)])
        written = memory.fork_session("s", "t")
        assert list(written.ids) == ids([*RICH, *numbered(1, 3)])
        assert memory.load_context("t") == [*RICH, *numbered(1, 3)]
        memory.append_context("t", [message(9)])
        memory.delete_interaction("s", "m1")
        assert memory.load_context("t") == [*RICH, *numbered(1, 3), message(9)]
        assert memory.load_context("s") == RICH
        memory.delete_session("s")
        assert len(memory.load_context("t")) == 7

    @FORK
    def test_a_fork_ends_at_a_message(self, memory: SyncMemory) -> None:
        memory.save_context("s", numbered(1, 4))
        memory.fork_session("s", "t", at="m2")
        assert memory.load_context("t") == numbered(1, 2)
        memory.append_context("t", [message(7)])
        assert memory.load_context("t", 2) == [message(2), message(7)]
        memory.save_context("empty", [])
        memory.fork_session("empty", "copy")
        memory.append_context("copy", [message(1)])

    @FORK
    def test_a_fork_that_cannot_be_is_refused(self, memory: SyncMemory) -> None:
        memory.save_context("s", numbered(1, 2))
        memory.save_context("t", [])
        for target in ("t", "s"):
            with pytest.raises(ConflictError):
                memory.fork_session("s", target)
        refused(
            lambda: memory.fork_session("nobody", "u"),
            lambda: memory.fork_session("s", ""),
            lambda: memory.fork_session("s", "u", at="m9"),
            lambda: memory.fork_session("s", "u", at=""),
        )
        refused(lambda: memory.append_context("u", []))

    @METADATA
    @SESSION_INFO
    def test_metadata_is_any_object(self, memory: SyncMemory) -> None:
        memory.save_context("s", [message(1)])
        given = {"title": "säge", "n": [1, True, None, {"deep": 1.5}]}
        first = memory.set_metadata("s", given)
        given["title"] = "changed"
        info = memory.session_info("s")
        assert info.metadata == {"title": "säge", "n": [1, True, None, {"deep": 1.5}]}
        assert info.version == first.version
        info.metadata["title"] = "changed"
        assert memory.session_info("s").metadata["title"] == "säge"
        second = memory.set_metadata("s", {"n": 1})
        assert second.version > first.version
        assert memory.session_info("s").metadata == {"n": 1}
        assert memory.load_context("s") == [message(1)]

    @METADATA
    def test_metadata_that_cannot_be_is_refused(self, memory: SyncMemory) -> None:
        memory.save_context("s", [])
        bad: Any
        for bad in (None, [], "text", {"a": float("nan")}, {1: 2}, {"a": {1}}):
            refuses(memory.set_metadata, "s", bad)
        refused(
            lambda: memory.set_metadata("nobody", {}),
            lambda: memory.set_metadata("s", {}, expected_version=99),
        )

    @PRUNE
    def test_what_is_not_among_the_newest_goes(self, memory: SyncMemory) -> None:
        memory.save_context("s", numbered(1, 6))
        memory.save_context("t", numbered(1, 6))
        tried = memory.prune("s", keep_last=4, dry_run=True)
        assert (tried.removed, tried.dry_run) == ({"s": ("m1", "m2")}, True)
        assert memory.load_context("s") == numbered(1, 6)
        done = memory.prune("s", keep_last=4)
        assert (done.removed, done.dry_run) == (tried.removed, False)
        assert done.message_count == 2
        assert memory.load_context("s") == numbered(3, 6)
        assert memory.load_context("s", 9) == numbered(3, 6)
        assert memory.load_context("t") == numbered(1, 6)
        assert memory.prune("s", keep_last=4).removed == {}
        everywhere = memory.prune(keep_last=0)
        assert everywhere.message_count == 10
        assert memory.load_context("s") == memory.load_context("t") == []
        memory.append_context("s", [message(7)])
        assert memory.load_context("s") == [message(7)]

    @PRUNE
    def test_a_pruned_session_is_one_like_others(self, memory: SyncMemory) -> None:
        memory.save_context("s", numbered(1, 6))
        memory.prune("s", keep_last=3)
        memory.append_context("s", [message(7)])
        memory.delete_interaction("s", "m6")
        assert memory.load_context("s") == numbered(4, 5)
        memory.save_context("s", [*numbered(4, 5), message(8)])
        assert memory.load_context("s") == [*numbered(4, 5), message(8)]
        memory.save_context("s", numbered(1, 9))
        assert memory.load_context("s") == numbered(1, 9)
        memory.prune("s", keep_last=2)
        assert memory.load_context("s") == numbered(8, 9)

    @PRUNE
    def test_pinned_messages_stay(self, memory: SyncMemory) -> None:
        system = {**message(1), "role": "system"}
        pinned = {**message(4), "metadata": {"pinned": True}}
        context = [system, *numbered(2, 3), pinned, *numbered(5, 8)]
        memory.save_context("s", context)
        done = memory.prune("s", keep_last=2)
        assert done.removed == {"s": ("m2", "m3", "m5", "m6")}
        assert memory.load_context("s") == [system, pinned, *numbered(7, 8)]
        memory.append_context("s", numbered(9, 10))
        assert memory.prune("s", keep_last=1).removed == {"s": ("m7", "m8", "m9")}
        assert memory.load_context("s") == [system, pinned, message(10)]
        memory.prune("s", keep_last=0)
        assert memory.load_context("s") == [system, pinned]

    @PRUNE
    def test_a_call_and_its_result_stay_together(self, memory: SyncMemory) -> None:
        context = [message(1), *calling(2), message(4), *calling(5), message(7)]
        for keep_last, kept in ((6, 6), (5, 6), (4, 4), (3, 3), (2, 3), (1, 1), (0, 0)):
            memory.save_context("s", context)
            memory.prune("s", keep_last=keep_last)
            expected = context[len(context) - kept :]
            assert ids(memory.load_context("s")) == ids(expected), keep_last

    @PRUNE
    def test_age_is_by_the_time_of_writing(self, memory: SyncMemory) -> None:
        system = {**message(1), "role": "system"}
        memory.save_context("s", [system, *numbered(2, 4)])
        assert memory.prune(older_than=A_DAY).removed == {}
        assert memory.prune("s", older_than=datetime.now(timezone.utc) - A_DAY) == (
            memory.prune("s", older_than=10_000 * A_DAY)
        )
        tomorrow = datetime.now(timezone.utc) + A_DAY
        both = memory.prune("s", older_than=tomorrow, keep_last=2)
        assert both.removed == {"s": ("m2",)}
        assert memory.prune(older_than=tomorrow).removed == {"s": ("m3", "m4")}
        assert memory.load_context("s") == [system]

    @PRUNE
    def test_a_prune_that_cannot_be_is_refused(self, memory: SyncMemory) -> None:
        memory.save_context("s", numbered(1, 2))
        bad: Any
        for bad in (-1, True, 1.0, "1"):
            refuses(memory.prune, "s", keep_last=bad)
        naive = datetime.now(timezone.utc).replace(tzinfo=None)
        for bad in (7, "day", naive, timedelta.max, timedelta.min):
            refuses(memory.prune, "s", older_than=bad)
        refused(
            lambda: memory.prune(),
            lambda: memory.prune("s", dry_run=True),
            lambda: memory.prune("nobody", keep_last=1),
            lambda: memory.prune("", keep_last=1),
        )
        assert memory.load_context("s") == numbered(1, 2)

    @ERASE
    def test_an_erased_session_is_gone(self, memory: SyncMemory) -> None:
        memory.save_context("s", numbered(1, 3))
        memory.save_context("t", numbered(1, 2))
        receipt = memory.erase(session_id="s")
        assert (receipt.session_ids, receipt.message_count) == (("s",), 3)
        assert memory.load_context("s") == []
        refused(lambda: memory.append_context("s", []))
        assert memory.load_context("t") == numbered(1, 2)

    @ERASE
    @METADATA
    def test_sessions_are_erased_by_metadata(self, memory: SyncMemory) -> None:
        for name, user in (("a", "ann"), ("b", "bob"), ("c", "ann")):
            memory.save_context(name, numbered(1, 2))
            memory.set_metadata(name, {"user": user})
        receipt = memory.erase(where={"user": "ann"})
        assert (receipt.session_ids, receipt.message_count) == (("a", "c"), 4)
        assert memory.load_context("a") == memory.load_context("c") == []
        assert memory.load_context("b") == numbered(1, 2)
        assert memory.erase(where={"user": "nobody"}).session_ids == ()

    @ERASE
    def test_an_erasure_that_cannot_be_is_refused(self, memory: SyncMemory) -> None:
        memory.save_context("s", [message(1)])
        bad: Any
        for bad in ({}, 7, "text", {"a": float("nan")}):
            refuses(memory.erase, where=bad)
        refused(
            lambda: memory.erase(),
            lambda: memory.erase(session_id="s", where={"a": 1}),
            lambda: memory.erase(session_id="nobody"),
            lambda: memory.erase(session_id=""),
        )
        assert memory.load_context("s") == [message(1)]

    @SEARCH_TEXT
    def test_messages_are_found_by_their_words(self, memory: SyncMemory) -> None:
        said = ["red apples", "green apples", "a red fox and a red hen", "nothing"]
        context = [
            {**message(number), "content": text}
            for number, text in enumerate(said, start=1)
        ]
        memory.save_context("s", context)
        assert sorted(one.message_id for one in memory.search_text("apples")) == [
            "m1",
            "m2",
        ]
        (both,) = memory.search_text("red apples")
        assert (both.session_id, both.message_id) == ("s", "m1")
        assert both.message == context[0]
        scores = [one.score for one in memory.search_text("red")]
        assert scores == sorted(scores, reverse=True)
        assert len(memory.search_text("red", limit=1)) == 1
        assert memory.search_text("absent") == []

    @SEARCH_TEXT
    def test_searches_keep_to_sessions(self, memory: SyncMemory) -> None:
        for name in ("a1", "a2", "b1"):
            memory.save_context(name, [{**message(1), "content": "needle"}])

        def found(**options: Any) -> List[str]:
            matches = memory.search_text("needle", **options)
            return [one.session_id for one in matches]

        assert sorted(found()) == ["a1", "a2", "b1"]
        assert found(session_id="a2") == ["a2"]
        assert sorted(found(prefix="a")) == ["a1", "a2"]
        assert found(session_id="nobody") == []
        assert len(found(limit=10**30)) == 3

    @SEARCH_TEXT
    def test_a_search_follows_every_change(self, memory: SyncMemory) -> None:
        def say(number: int, text: str) -> Message:
            return {**message(number), "content": text}

        def found(query: str) -> List[str]:
            return sorted(one.message_id for one in memory.search_text(query))

        memory.save_context("s", [say(1, "alpha"), say(2, "beta"), say(3, "gamma")])
        assert found("alpha") == ["m1"]
        memory.append_context("s", [say(4, "alpha beta")])
        assert found("alpha") == ["m1", "m4"]
        memory.delete_interaction("s", "m3")
        assert found("gamma") == []
        assert found("alpha") == ["m1"]
        # The store may reuse the places of what went.
        memory.append_context("s", [say(5, "delta")])
        assert found("gamma") == []
        assert found("delta") == ["m5"]
        memory.save_context("s", [say(1, "alpha"), say(2, "epsilon")])
        assert found("beta") == found("delta") == []
        assert found("epsilon") == ["m2"]
        memory.delete_session("s")
        assert found("alpha") == []

    @SEARCH_TEXT
    @UPDATE
    def test_a_search_follows_an_update(self, memory: SyncMemory) -> None:
        memory.save_context("s", [{**message(1), "content": "before"}, message(2)])
        assert len(memory.search_text("before")) == 1
        memory.update_interaction("s", "m1", {"content": "after"})
        assert memory.search_text("before") == []
        assert len(memory.search_text("after")) == 1

    @SEARCH_TEXT
    def test_words_are_no_language(self, memory: SyncMemory) -> None:
        memory.save_context("s", [{**message(1), "content": 'NOT "a" AND b* or-c'}])
        for query in ("NOT", '"a"', "AND b*", "or-c", "not:a", "(and", "b*", "a OR a"):
            found = memory.search_text(query)
            assert [one.message_id for one in found] == ["m1"], query

    @SEARCH_TEXT
    def test_a_search_that_cannot_be_is_refused(self, memory: SyncMemory) -> None:
        memory.save_context("s", [message(1)])
        bad: Any
        for bad in ("", "  ", "*", "\ud800", None, 7):
            refuses(memory.search_text, bad)
        for bad in (0, -1, True, 1.0, None):
            refuses(memory.search_text, "a", limit=bad)
        refused(
            lambda: memory.search_text("a", session_id=""),
            lambda: memory.search_text("a", prefix="\ud800"),
        )

    @VERIFY
    def test_a_sound_store_has_no_problems(self, memory: SyncMemory) -> None:
        memory.save_context("s", [*RICH, bare("text")])
        memory.save_context("t", numbered(1, 5))
        memory.delete_interaction("t", "m4")
        memory.save_context("empty", [])
        for repair in (False, True):
            report = memory.verify(repair=repair)
            assert report.problems == ()
            assert report.ok
            assert (report.session_count, report.message_count) == (3, 7)
        assert messages.canonical(memory.load_context("s", 4)[:3]) == (
            messages.canonical(RICH)
        )

    @BACKUP
    def test_a_backup_has_what_was_stored(
        self, memory: SyncMemory, tmp_path: Path
    ) -> None:
        memory.save_context("s", numbered(1, 3))
        target = tmp_path / "backup.db"
        memory.backup(target)
        assert target.stat().st_size > 0
        before = target.read_bytes()
        memory.append_context("s", [message(4)])
        with pytest.raises(ValueError):
            memory.backup(target)
        assert target.read_bytes() == before
        assert memory.load_context("s") == numbered(1, 4)
