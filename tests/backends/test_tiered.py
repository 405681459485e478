"""The cache beside a record: it speeds up, and is never believed."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from pathlib import Path
from typing import Any, Awaitable, Callable, Dict, List, Mapping, Optional

import pytest

from contextstore import (
    InMemoryMemory,
    MemoryBackend,
    SQLiteMemory,
    TieredMemory,
    UnavailableError,
)
from contextstore._hop import Signal
from contextstore.backends.results import EraseReceipt
from contextstore.backends.tiered.blocks import Block, newest
from contextstore.errors import ConfigurationError, ConflictError, CorruptDataError
from contextstore.testing.memory_suite import bare, message, numbered


class Broken(InMemoryMemory):
    """Be a cache that fails as often as it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.is_down = False
        self.asked = 0

    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Dict[str, Any]]:
        self._check()
        return await super().load_context(session_id, k)

    async def append_context(self, *arguments: Any, **options: Any) -> Any:
        self._check()
        return await super().append_context(*arguments, **options)

    async def save_context(self, *arguments: Any, **options: Any) -> Any:
        self._check()
        return await super().save_context(*arguments, **options)

    async def erase(self, **options: Any) -> Any:
        self._check()
        return await super().erase(**options)

    def _check(self) -> None:
        self.asked += 1
        if self.is_down:
            raise UnavailableError("down")


class Damaged(InMemoryMemory):
    """Be a cache in which one session is damaged until it is deleted."""

    def __init__(self) -> None:
        super().__init__()
        self.damaged = ""

    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Dict[str, Any]]:
        self._check(session_id)
        return await super().load_context(session_id, k)

    async def append_context(self, session_id: str, *rest: Any, **options: Any) -> Any:
        self._check(session_id)
        return await super().append_context(session_id, *rest, **options)

    async def delete_session(self, session_id: str) -> None:
        if session_id == self.damaged:
            self.damaged = ""
        await super().delete_session(session_id)

    def _check(self, session_id: str) -> None:
        if session_id == self.damaged:
            raise CorruptDataError("damaged")


class Slow(InMemoryMemory):
    """Be a record that lets others go on when it has stored an append."""

    async def append_context(self, *arguments: Any, **options: Any) -> Any:
        written = await super().append_context(*arguments, **options)
        await asyncio.sleep(0.01)
        return written


def tiered(cache: MemoryBackend, **options: Any) -> TieredMemory:
    return TieredMemory(InMemoryMemory(), cache, **options)


def test_what_was_loaded_once_comes_from_the_cache() -> None:
    memory = tiered(InMemoryMemory())
    memory.sync.save_context("s", numbered(1, 9))
    assert memory.sync.load_context("s", 4) == numbered(6, 9)
    assert memory.cache_hits == 0
    assert memory.sync.load_context("s", 4) == numbered(6, 9)
    assert memory.sync.load_context("s", 20) == numbered(1, 9)
    assert memory.cache_hits == 2


def test_an_append_keeps_the_cache_warm() -> None:
    memory = tiered(InMemoryMemory())
    memory.sync.save_context("s", numbered(1, 3))
    memory.sync.load_context("s", 4)
    memory.sync.append_context("s", numbered(4, 5))
    memory.sync.append_context("s", [bare("six"), bare("seven")])
    loaded = memory.sync.load_context("s", 4)
    assert loaded[:2] == numbered(4, 5)
    assert [one["content"] for one in loaded[2:]] == ["six", "seven"]
    assert memory.cache_hits == 1


def test_the_cache_holds_no_more_than_its_share() -> None:
    cache = InMemoryMemory()
    memory = tiered(cache, window=4)
    memory.sync.save_context("s", [message(0)])
    memory.sync.load_context("s", 4)
    for number in range(1, 40):
        memory.sync.append_context("s", [message(number)])
    assert memory.sync.load_context("s", 4) == numbered(36, 39)
    assert memory.cache_hits == 1
    assert cache.sync.session_info("s").message_count <= 8


def test_a_change_behind_the_back_of_the_cache_is_seen() -> None:
    record, cache = InMemoryMemory(), InMemoryMemory()
    memory = TieredMemory(record, cache)
    memory.sync.save_context("s", numbered(1, 4))
    memory.sync.load_context("s", 9)
    record.sync.update_interaction("s", "m2", {"content": "other"})
    assert memory.sync.load_context("s", 9)[1]["content"] == "other"
    record.sync.delete_session("s")
    assert memory.sync.load_context("s", 9) == []
    record.sync.save_context("s", [message(7)])
    assert memory.sync.load_context("s", 9) == [message(7)]


def test_an_entry_of_an_older_version_is_never_served() -> None:
    """Two writers, whose news reaches the cache in the wrong order."""
    record, cache = InMemoryMemory(), InMemoryMemory()
    memory = TieredMemory(record, cache)
    memory.sync.save_context("s", [message(1)])
    memory.sync.load_context("s", 5)
    first = record.sync.append_context("s", [message(2)])
    second = record.sync.append_context("s", [message(3)])
    assert first is not None
    assert second is not None
    late = Block(second.before, second.version, False).copies([message(3)])
    early = Block(first.before, first.version, False).copies([message(2)])
    cache.sync.append_context("s", late)
    assert memory.sync.load_context("s", 2) == numbered(2, 3)
    with pytest.raises(ConflictError):
        cache.sync.append_context("s", early)
    assert memory.sync.load_context("s", 2) == numbered(2, 3)


def test_a_dead_cache_slows_and_does_not_fail() -> None:
    cache = Broken()
    memory = tiered(cache, retry_after=60.0)
    memory.sync.save_context("s", numbered(1, 3))
    memory.sync.load_context("s", 2)
    cache.is_down = True
    memory.sync.append_context("s", [message(4)])
    assert memory.sync.load_context("s", 2) == numbered(3, 4)
    assert memory.cache_failures == 1
    asked = cache.asked
    memory.sync.append_context("s", [message(5)])
    assert memory.sync.load_context("s", 2) == numbered(4, 5)
    assert cache.asked == asked


def test_a_cache_that_comes_back_is_behind_and_not_believed() -> None:
    cache = Broken()
    memory = tiered(cache, retry_after=0.0)
    memory.sync.save_context("s", numbered(1, 3))
    memory.sync.load_context("s", 2)
    cache.is_down = True
    memory.sync.append_context("s", [message(4)])
    cache.is_down = False
    memory.sync.append_context("s", [message(5)])
    assert memory.sync.load_context("s", 2) == numbered(4, 5)
    assert memory.cache_hits == 0
    assert memory.sync.load_context("s", 2) == numbered(4, 5)
    assert memory.cache_hits == 1


@pytest.mark.parametrize("is_loaded", [False, True])
def test_a_damaged_entry_is_made_anew_and_hurts_no_other(is_loaded: bool) -> None:
    cache = Damaged()
    memory = tiered(cache, retry_after=60.0)
    for name in ("s", "t"):
        memory.sync.save_context(name, numbered(1, 3))
        memory.sync.load_context(name, 2)
    cache.damaged = "s"
    if not is_loaded:
        memory.sync.append_context("s", [message(4)])
        assert cache.damaged == ""
    last = 3 if is_loaded else 4
    assert memory.sync.load_context("s", 2) == numbered(last - 1, last)
    assert (memory.cache_hits, memory.cache_failures) == (0, 0)
    assert memory.sync.load_context("t", 2) == numbered(2, 3)
    assert memory.sync.load_context("s", 2) == numbered(last - 1, last)
    assert memory.cache_hits == 2


def test_a_caller_who_goes_on_with_its_messages_changes_no_copy() -> None:
    memory = TieredMemory(Slow(), InMemoryMemory())
    memory.sync.save_context("s", [message(1)])
    memory.sync.load_context("s", 2)

    async def run() -> None:
        given = message(2)
        append = asyncio.ensure_future(memory.append_context("s", [given]))
        await asyncio.sleep(0.005)
        given["content"] = "changed later"
        await append
        assert await memory.load_context("s", 2) == numbered(1, 2)

    asyncio.run(run())
    assert memory.cache_hits == 1


def test_an_erasure_that_missed_the_cache_says_so() -> None:
    cache = Broken()
    memory = tiered(cache, retry_after=0.0)
    for name in ("s", "t"):
        memory.sync.save_context(name, numbered(1, 3))
        memory.sync.load_context(name, 2)
    assert memory.sync.erase(session_id="s").purged
    assert cache.sync.list_sessions().sessions[0].session_id == "t"
    cache.is_down = True
    assert not memory.sync.erase(session_id="t").purged


def test_what_another_wrote_into_the_cache_is_ignored() -> None:
    cache = InMemoryMemory()
    memory = tiered(cache)
    memory.sync.save_context("s", numbered(1, 3))
    for junk in ([message(1)], [{"id": "m", "of": "junk"}], [{"of": [1, 2]}]):
        cache.sync.save_context("s", junk)
        assert memory.sync.load_context("s", 2) == numbered(2, 3)


def test_fewer_copies_than_wanted_are_only_right_for_a_whole_session() -> None:
    part = Block(None, 7, False).copies(numbered(1, 3))
    whole = Block(None, 7, True).copies(numbered(1, 3))
    assert newest(part, 7, 3) == numbered(1, 3)
    assert newest(part, 7, 4) is None
    assert newest(whole, 7, 4) == numbered(1, 3)
    assert newest(whole[1:], 7, 3) is None
    assert newest(whole[:2], 7, 2) is None
    assert newest([], 7, 1) is None


def test_a_record_has_to_tell_versions() -> None:
    from tests.testing.backends import DictBackend

    same = InMemoryMemory()
    for record, cache in ((DictBackend(), InMemoryMemory()), (same, same)):
        with pytest.raises(ConfigurationError):
            TieredMemory(record, cache)


@pytest.mark.parametrize("seed", range(8))
def test_no_history_of_writes_and_loads_shows_an_old_state(
    seed: int, tmp_path: Path
) -> None:
    """Several objects on one record and one cache, which fails now and then."""
    chance = random.Random(seed)
    record, cache = SQLiteMemory(tmp_path / "chat.db"), Broken()
    faces = [TieredMemory(record, cache, window=5, retry_after=0.0) for _ in range(3)]

    async def run() -> None:
        for number in range(120):
            cache.is_down = chance.random() < 0.2
            face = chance.choice(faces)
            kind = chance.random()
            stored = await record.load_context("s")
            if not stored or kind < 0.1:
                await face.save_context("s", [message(number)])
            elif kind < 0.5:
                new = [message(number), message(1000 + number)]
                chosen = chance.choice([new, new[:1], [bare("text")], [stored[-1]]])
                await face.append_context("s", chosen)
            elif kind < 0.6:
                gone = chance.choice(stored)
                await face.delete_interaction("s", gone["id"])
            elif kind < 0.65:
                await face.delete_session("s")
            k = chance.randint(1, 6)
            expected = (await record.load_context("s"))[-k:]
            assert await chance.choice(faces).load_context("s", k) == expected

    asyncio.run(run())
    record.sync.close()
    assert sum(face.cache_hits for face in faces) > 0


def test_concurrent_writers_and_readers_see_only_what_was_stored() -> None:
    """A load shows every append that was acknowledged before it began."""
    record, cache = InMemoryMemory(), InMemoryMemory()
    faces = [TieredMemory(record, cache, window=8) for _ in range(4)]
    record.sync.save_context("s", [message(0)])
    acknowledged = [0]

    async def write(face: TieredMemory, first: int) -> None:
        for number in range(first, first + 30):
            await face.append_context("s", [message(number)])
            acknowledged[0] += 1
            await asyncio.sleep(0)

    async def read(face: TieredMemory) -> None:
        for _ in range(60):
            before = acknowledged[0]
            loaded = await face.load_context("s", 3)
            stored = await record.load_context("s")
            place = [one["id"] for one in stored].index(loaded[-1]["id"])
            assert place >= before
            assert stored[max(0, place - 2) : place + 1] == loaded
            await asyncio.sleep(0)

    async def run() -> None:
        writes = [write(face, 1000 * n) for n, face in enumerate(faces[:2], start=1)]
        await asyncio.gather(*writes, *(read(face) for face in faces[2:]))

    asyncio.run(run())


class Unsure(InMemoryMemory):
    """Be a cache that may keep a trace of what it erased."""

    async def erase(self, **options: Any) -> Any:
        return replace(await super().erase(**options), purged=False)


def test_a_cache_that_may_keep_a_trace_is_heard() -> None:
    memory = tiered(Unsure())
    memory.sync.save_context("s", numbered(1, 3))
    memory.sync.load_context("s", 2)
    assert not memory.sync.erase(session_id="s").purged


class SlowToKeep(InMemoryMemory):
    """Be a cache that takes its time to keep what it is given."""

    async def save_context(self, *arguments: Any, **options: Any) -> Any:
        await asyncio.sleep(0.05)
        return await super().save_context(*arguments, **options)


def test_a_load_that_is_under_way_brings_nothing_back_after_an_erasure() -> None:
    cache = SlowToKeep()
    memory = tiered(cache)

    async def run() -> None:
        await memory.save_context("s", numbered(1, 3))
        load = asyncio.ensure_future(memory.load_context("s", 2))
        await asyncio.sleep(0.02)
        await memory.erase(session_id="s")
        await load
        assert await cache.load_context("s") == []

    asyncio.run(run())


class CutShort(InMemoryMemory):
    """Be a record of which an erasure of several sessions is cut short half way.

    Attributes:
        reached: given when one session is gone.
    """

    def __init__(self, *, fails: bool) -> None:
        super().__init__()
        self.fails = fails
        self.reached = Signal()

    async def erase(
        self,
        *,
        session_id: Optional[str] = None,
        where: Optional[Mapping[str, Any]] = None,
    ) -> EraseReceipt:
        first = (await self.list_sessions(metadata=where)).sessions[0].session_id
        await super().erase(session_id=first)
        self.reached.give()
        if not self.fails:
            await asyncio.sleep(60.0)
        raise UnavailableError("down")


@pytest.mark.parametrize("fails", [False, True])
def test_an_erasure_that_is_cut_short_leaves_no_copy_of_what_is_gone(
    fails: bool,
) -> None:
    record, cache = CutShort(fails=fails), InMemoryMemory()
    memory = TieredMemory(record, cache)
    for name in ("s", "t", "u"):
        memory.sync.save_context(name, numbered(1, 3))
        memory.sync.set_metadata(name, {"whose": name < "u"})
        memory.sync.load_context(name, 2)

    async def run() -> None:
        erasure = asyncio.ensure_future(memory.erase(where={"whose": True}))
        await record.reached.wait()
        if not fails:
            erasure.cancel()
        await erasure

    with pytest.raises(UnavailableError if fails else asyncio.CancelledError):
        asyncio.run(run())
    left = {one.session_id for one in cache.sync.list_sessions().sessions}
    assert left <= {one.session_id for one in record.sync.list_sessions().sessions}
    assert "u" in left
    assert memory.sync.load_context("u", 2) == numbered(2, 3)
    assert memory.cache_hits == 1


class Watched(InMemoryMemory):
    """Be a record that is loaded from while it erases.

    Attributes:
        loads: what to do meanwhile.
    """

    loads: Callable[[], Awaitable[object]]

    async def erase(self, **options: Any) -> EraseReceipt:
        await self.loads()
        return await super().erase(**options)


@pytest.mark.parametrize("which", [0, 1])
def test_a_load_amid_an_erasure_brings_nothing_back(which: int) -> None:
    record, cache = Watched(), InMemoryMemory()
    faces = [TieredMemory(record, cache) for _ in range(2)]
    faces[0].sync.save_context("s", numbered(1, 3))
    faces[0].sync.set_metadata("s", {"whose": "hers"})
    faces[0].sync.load_context("s", 2)
    amid: List[int] = []

    async def load() -> None:
        assert await faces[which].load_context("s", 2) == numbered(2, 3)
        amid.append(len((await cache.list_sessions()).sessions))

    record.loads = load
    assert faces[0].sync.erase(where={"whose": "hers"}).session_ids == ("s",)
    # Another object may put it there, for as long as the record has it.
    assert amid == [which]
    assert cache.sync.list_sessions().sessions == []
