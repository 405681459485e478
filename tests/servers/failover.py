"""Kill the primary of a pair of Postgres servers under load, and promote the other.

    PYTHONPATH=scripts .venv/bin/python -m tests.servers.failover 5

prints, for each round, how many appends were acknowledged before and after, what was
lost or doubled, and how long nothing was acknowledged.
"""

from __future__ import annotations

import asyncio
import collections
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Tuple

from contextstore import MemoryBackend, PostgresMemory
from tests.servers.postgres import Postgres, hand_over, place, programs, reachable

# An acknowledged commit is in the memory of both: the standby has received it.
_SYNCHRONOUS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "on",
    "synchronous_standby_names": "standby",
}


class Outcome(NamedTuple):
    """Say what came of one failover.

    Attributes:
        before: appends acknowledged before the kill.
        after: appends acknowledged after it.
        lost: acknowledged messages that are not there.
        doubled: messages that are there twice.
        errors: what writers were told.
        pause: seconds from the kill to the first append acknowledged after it.
    """

    before: int
    after: int
    lost: int
    doubled: int
    errors: List[str]
    pause: float


class Pair:
    """Be a primary and its synchronous standby."""

    def __init__(self, folder: Path, binaries: Path) -> None:
        usable = reachable(binaries, folder)
        self.primary = Postgres(_made(folder / "one"), usable, _SYNCHRONOUS)
        self.standby = Postgres(_made(folder / "two"), usable, {"fsync": "off"})

    @property
    def dsn(self) -> str:
        hosts = f"127.0.0.1:{self.primary.port},127.0.0.1:{self.standby.port}"
        return f"postgresql://postgres@{hosts}/postgres"

    def start(self) -> None:
        """Start both, and wait until the standby is synchronous."""
        self.primary.create()
        self.primary.start()
        self.standby.copy_of(self.primary)
        self.standby.start()
        state = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"
        deadline = time.monotonic() + 30
        while not self.primary.ask(state):
            if time.monotonic() > deadline:
                raise RuntimeError("the standby did not become synchronous")
            time.sleep(0.05)

    def fail_over(self) -> None:
        """Kill the primary, and promote the standby."""
        self.primary.kill()
        self.standby.promote()

    def stop(self) -> None:
        """Stop what runs."""
        self.standby.stop()
        self.primary.stop()


def _made(folder: Path) -> Path:
    folder.mkdir()
    hand_over(folder)
    return folder


class Writers:
    """Append to a session each, one message a call, and note what was acknowledged."""

    def __init__(self, memory: MemoryBackend, count: int) -> None:
        self.acknowledged: Dict[str, List[str]] = {f"w{n}": [] for n in range(count)}
        self.times: List[float] = []
        self.errors: List[str] = []
        self._memory = memory
        self._ends = False

    async def run(self, fault: Any, seconds: float) -> float:
        """Write, have the fault happen, and write on; return when it happened."""
        for name in self.acknowledged:
            await self._memory.save_context(name, [])
        tasks = [asyncio.ensure_future(self._write(one)) for one in self.acknowledged]
        await asyncio.sleep(seconds)
        loop = asyncio.get_running_loop()
        moment = time.monotonic()
        await loop.run_in_executor(None, fault)
        await asyncio.sleep(seconds)
        while not self.times or self.times[-1] < moment:
            await asyncio.sleep(0.05)
        await asyncio.sleep(seconds)
        self._ends = True
        await asyncio.gather(*tasks)
        return moment

    async def _write(self, name: str) -> None:
        number = 0
        while not self._ends:
            message = {"id": f"{name}-{number}", "content": "x" * 200}
            try:
                await self._memory.append_context(name, [message])
            except Exception as error:
                self.errors.append(f"{type(error).__name__}: {error}")
                return
            self.acknowledged[name].append(str(message["id"]))
            self.times.append(time.monotonic())
            number += 1

    async def missing_and_doubled(self) -> Tuple[int, int]:
        """Return how many acknowledged messages are lost, and how many twice there."""
        lost = doubled = 0
        for name, asked in self.acknowledged.items():
            stored = [one["id"] for one in await self._memory.load_context(name)]
            lost += len(set(asked) - set(stored))
            doubled += sum(n - 1 for n in collections.Counter(stored).values())
        return lost, doubled


async def judged(memory: MemoryBackend, fault: Any, writers: int) -> Outcome:
    """Write from many tasks, have a fault happen, and look for what it did."""
    load = Writers(memory, writers)
    moment = await load.run(fault, 0.7)
    lost, doubled = await load.missing_and_doubled()
    if not (await memory.verify()).ok:
        load.errors.append("verify found problems")
    await memory.close()
    after = [one for one in load.times if one > moment]
    # Answers that were under way when the kill began do not count.
    pause = max(b - a for a, b in zip([moment, *after], after))
    before = len(load.times) - len(after)
    return Outcome(before, len(after), lost, doubled, load.errors, pause)


def needed() -> Path:
    """Return the folder with the programs of Postgres."""
    binaries = programs()
    if binaries is None:
        raise RuntimeError("no Postgres: run `make servers`")
    return binaries


def run_failover(writers: int = 32) -> Outcome:
    """Start a pair, load it, kill the primary, promote the standby, and judge."""
    binaries = needed()
    with place() as folder:
        pair = Pair(folder, binaries)
        pair.start()
        try:
            memory = PostgresMemory(pair.dsn, partitions=4, pool_size=16)
            return asyncio.run(judged(memory, pair.fail_over, writers))
        finally:
            pair.stop()


def run_restart(writers: int = 8) -> Outcome:
    """Kill a lone server under load, start it again, and judge."""
    binaries = needed()
    with place() as folder:
        # With every guard: what was acknowledged has to be on the disk.
        server = Postgres(folder, reachable(binaries, folder))
        server.create()
        server.start()

        def fault() -> None:
            server.kill()
            server.start()

        try:
            memory = PostgresMemory(server.dsn(), partitions=4)
            return asyncio.run(judged(memory, fault, writers))
        finally:
            server.stop()


if __name__ == "__main__":
    for _ in range(int((sys.argv[1:] or ["1"])[0])):
        print("failover", run_failover(), flush=True)
        print("restart", run_restart(), flush=True)
