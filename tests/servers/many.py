"""Work on many sessions from many tasks, and look whether all of it is there.

    PYTHONPATH=scripts .venv/bin/python -m tests.servers.many 10000

prints how long it took on Postgres, on Valkey and on both as record and cache.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any, NamedTuple, Optional, Set

from contextstore.testing.memory_suite import message, numbered

_TASKS = 64


class Work(NamedTuple):
    """Say what came of it.

    Attributes:
        seconds: how long the tasks worked.
        missing: sessions that the list lacks.
        wrong: sessions that are not as they were written.
    """

    seconds: float
    missing: int
    wrong: int


async def worked(memory: Any, sessions: int) -> Work:
    """Make, append to and load so many sessions from 64 tasks, and check them."""
    names = [f"s{number}" for number in range(sessions)]
    left = iter(names)

    async def work() -> None:
        for name in left:
            await memory.append_context(name, [message(1)], create=True)
            await memory.append_context(name, [message(2)])
            assert await memory.load_context(name, 5) == numbered(1, 2)

    begun = time.monotonic()
    await asyncio.gather(*(work() for _ in range(_TASKS)))
    seconds = time.monotonic() - begun
    missing = len(set(names) ^ await _listed(memory))
    wrong = 0
    for name in names[:: max(1, sessions // 200)]:
        wrong += await memory.load_context(name) != numbered(1, 2)
    report = await memory.verify()
    wrong += len(report.problems) + abs(report.message_count - 2 * sessions)
    return Work(seconds, missing, wrong)


async def _listed(memory: Any) -> Set[str]:
    listed: Set[str] = set()
    cursor: Optional[str] = None
    while True:
        page = await memory.list_sessions(limit=500, cursor=cursor)
        listed.update(one.session_id for one in page.sessions)
        cursor = page.cursor
        if cursor is None:
            return listed


def run(sessions: int) -> None:
    """Do it on a server of each kind."""
    from contextstore import PostgresMemory, RedisMemory, TieredMemory
    from tests.servers.shared import postgres_server
    from tests.servers.shared_valkey import valkey

    for name in ("many", "tiered"):
        postgres_server().ask(f"CREATE DATABASE {name}")
    made = {
        "postgres": PostgresMemory(postgres_server().dsn("many")),
        "valkey": RedisMemory(valkey().url),
        "tiered": TieredMemory(
            PostgresMemory(postgres_server().dsn("tiered")),
            RedisMemory(valkey().url, namespace="cache"),
        ),
    }
    for name, memory in made.items():
        print(name, asyncio.run(worked(memory, sessions)), flush=True)


if __name__ == "__main__":
    run(int((sys.argv[1:] or ["10000"])[0]))
