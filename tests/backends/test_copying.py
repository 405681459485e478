"""Copies between memories: whole, resumed, and compared at the end."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest
import redis

from contextstore import InMemoryMemory, RedisMemory, SQLiteMemory, open_memory
from contextstore.__main__ import main
from contextstore.backends.copying import CopyReport, copy_sessions
from contextstore.errors import ConflictError, UnavailableError
from contextstore.testing.memory_suite import RICH, bare, message, numbered
from tests.servers.shared_valkey import cluster, valkey
from tests.servers.valkey import namespace


def filled(sessions: int = 5) -> InMemoryMemory:
    memory = InMemoryMemory()
    for number in range(sessions):
        memory.sync.save_context(f"s{number}", [*RICH, *numbered(1, number)])
    memory.sync.append_context("s0", [bare("stamped")])
    memory.sync.set_metadata("s1", {"user": "ann", "n": [1, None]})
    memory.sync.save_summaries("s2", {"key": "what was said"})
    memory.sync.save_context("empty", [])
    return memory


def contents(memory: Any) -> Dict[str, Any]:
    face = memory.sync
    return {
        one.session_id: (
            face.load_context(one.session_id),
            one.metadata,
            face.load_summaries(one.session_id),
        )
        for one in face.list_sessions(limit=1000).sessions
    }


def copied(source: Any, target: Any, **options: Any) -> CopyReport:
    return asyncio.run(copy_sessions(source, target, **options))


def test_everything_is_copied_and_compared() -> None:
    source, target = filled(), InMemoryMemory()
    report = copied(source, target)
    assert report == CopyReport(6, 26, 6, is_verified=True)
    assert contents(target) == contents(source)
    assert copied(source, target).copied == 0


def test_through_a_server_and_a_cluster_nothing_changes(tmp_path: Path) -> None:
    source = filled()
    one = RedisMemory(valkey().url, namespace=namespace(tmp_path))
    many = RedisMemory(cluster().url, namespace=namespace(tmp_path))
    back = SQLiteMemory(tmp_path / "back.db")
    for start, end in ((source, one), (one, many), (many, back)):
        assert copied(start, end).is_verified
    assert contents(back) == contents(source)
    for memory in (one, many, back):
        memory.sync.close()


class Dying(InMemoryMemory):
    writes = 0

    async def save_context(self, *arguments: Any, **options: Any) -> Any:
        self.writes += 1
        if self.writes == 3:
            raise UnavailableError("gone")
        return await super().save_context(*arguments, **options)


def test_a_copy_that_was_cut_short_goes_on() -> None:
    source, target = filled(), Dying()
    with pytest.raises(UnavailableError):
        copied(source, target)
    report = copied(source, target)
    assert (report.copied, report.is_verified) == (4, True)
    assert contents(target) == contents(source)


def test_what_differs_is_copied_again() -> None:
    source, target = filled(), InMemoryMemory()
    copied(source, target)
    shortened = target.sync.load_context("s3")[:-1]
    target.sync.save_context("s3", shortened)
    target.sync.set_metadata("s1", {})
    target.sync.save_summaries("s2", {})
    target.sync.save_context("more", [message(1)])
    assert copied(source, target).copied == 3
    assert target.sync.load_context("more") == [message(1)]
    assert contents(target).items() >= contents(source).items()


@pytest.mark.parametrize("other", [[message(7)], [*numbered(1, 3), message(4)]])
def test_another_session_of_the_target_is_replaced_only_when_told(other: Any) -> None:
    source, target = InMemoryMemory(), InMemoryMemory()
    source.sync.save_context("mine", numbered(1, 3))
    target.sync.save_context("mine", other)
    version = target.sync.session_info("mine").version
    with pytest.raises(ConflictError, match="'mine'") as caught:
        copied(source, target)
    assert caught.value.session_id == "mine"
    assert target.sync.session_info("mine").version == version
    assert target.sync.load_context("mine") == other
    assert copied(source, target, overwrite=True).is_verified
    assert target.sync.load_context("mine") == numbered(1, 3)


def listed(memory: Any) -> List[str]:
    return [one.session_id for one in memory.sync.list_sessions(limit=1000).sessions]


def on_valkey(tmp_path: Path) -> RedisMemory:
    return RedisMemory(valkey().url, namespace=namespace(tmp_path))


@pytest.mark.parametrize("make", [lambda _: InMemoryMemory(), on_valkey])
def test_sessions_keep_the_order_of_their_last_change(
    tmp_path: Path, make: Callable[[Path], Any]
) -> None:
    names = [f"s{number * 7 % 20:02}" for number in range(20)]
    with make(tmp_path).sync as face:
        for name in [*names, *names[:3]]:
            face.append_context(name, [bare("said")], create=True)
            time.sleep(0.002)
        target = InMemoryMemory()
        assert copied(face.backend, target).is_verified
    assert listed(target) == [*names[2::-1], *names[:2:-1]]


def test_all_sessions_that_differ_are_named_and_no_more_is_written() -> None:
    source, target = InMemoryMemory(), InMemoryMemory()
    names = [f"s{number:02}" for number in range(30)]
    for name in names:
        source.sync.save_context(name, [message(1)])
    for name in names[1:24]:
        target.sync.save_context(name, [message(2)])
    with pytest.raises(ConflictError) as caught:
        copied(source, target)
    text = str(caught.value)
    assert [name for name in names if repr(name) in text] == names[1:21]
    assert " 23 names" in text
    assert "'s20' and 3 more" in text
    assert caught.value.session_id == "s01"
    assert sorted(listed(target)) == names[:24]
    assert copied(source, target, overwrite=True).is_verified


class Edited(InMemoryMemory):
    """Be a source in which somebody edits a message after it was copied."""

    loads = 0

    async def load_context(self, *arguments: Any, **options: Any) -> Any:
        self.loads += 1
        if self.loads == 3:
            await self.update_interaction("s", "m1", {"content": "edited"})
        return await super().load_context(*arguments, **options)


def test_what_this_copy_wrote_follows_an_edit_of_the_source() -> None:
    source, target = Edited(), InMemoryMemory()
    source.sync.save_context("s", numbered(1, 3))
    assert copied(source, target).is_verified
    assert target.sync.load_context("s")[0]["content"] == "edited"


def test_sessions_that_the_index_of_redis_lost_are_copied(tmp_path: Path) -> None:
    name = namespace(tmp_path)
    source = RedisMemory(valkey().url, namespace=name)
    for number in range(5):
        source.sync.save_context(f"s{number}", numbered(1, 2))
    assert source.sync.list_sessions().sessions
    with redis.Redis.from_url(valkey().url) as raw:
        for key in raw.scan_iter(match=f"{name}:index:*"):
            raw.delete(key)
    assert source.sync.list_sessions().sessions == []
    target = InMemoryMemory()
    assert copied(source, target) == CopyReport(5, 10, 5, is_verified=True)
    assert len(contents(target)) == 5
    source.sync.close()


class Restless(InMemoryMemory):
    """Be a source that grows whenever it is listed."""

    async def list_sessions(self, **options: Any) -> Any:
        await self.append_context("s", [bare("again")], create=True)
        return await super().list_sessions(**options)


def test_a_source_that_keeps_changing_is_not_called_verified() -> None:
    assert not copied(Restless(), InMemoryMemory()).is_verified


def test_the_command_copies_from_a_file_to_a_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "chat.db"
    with SQLiteMemory(file).sync as source:
        source.save_context("command", numbered(1, 3))
    commands: List[List[str]] = [
        ["copy", str(file), f"{valkey().url}/1"],
        ["copy", f"{valkey().url}/1", str(tmp_path / "new.db")],
    ]
    for command in commands:
        assert main(command) == 0
        assert "1 sessions, 3 messages, 1 sessions written" in capsys.readouterr().out
    with open_memory(f"sqlite:///{tmp_path / 'new.db'}").sync as target:
        assert target.load_context("command") == numbered(1, 3)


def test_the_command_overwrites_another_session_only_when_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(tmp_path / name) for name in ("source.db", "target.db")]
    for number, file in enumerate(files):
        with SQLiteMemory(file).sync as memory:
            memory.save_context("mine", [message(number)])
    assert main(["copy", *files]) == 2
    assert "'mine'" in capsys.readouterr().err
    with SQLiteMemory(files[1]).sync as target:
        assert target.load_context("mine") == [message(1)]
    assert main(["copy", "--overwrite", *files]) == 0
    with SQLiteMemory(files[1]).sync as target:
        assert target.load_context("mine") == [message(0)]


@pytest.mark.parametrize(
    "address", ["memory:", "memory://", "redis:h", "host=db password=secret"]
)
def test_the_command_makes_no_file_of_an_address(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    address: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with SQLiteMemory("chat.db").sync as source:
        source.save_context("s", [])
    before = sorted(tmp_path.iterdir())
    assert main(["copy", "chat.db", address]) == 2
    assert main(["copy", "host=db password=secret", "chat.db"]) == 2
    assert sorted(tmp_path.iterdir()) == before
    assert "secret" not in capsys.readouterr().err


def test_the_command_makes_no_source(tmp_path: Path) -> None:
    assert main(["copy", str(tmp_path / "no.db"), str(tmp_path / "new.db")]) == 2
