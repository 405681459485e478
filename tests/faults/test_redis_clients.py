"""Many clients of one Valkey, or of a cluster, lose nothing and see one order."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Optional, Set

import pytest

from contextstore import RedisMemory
from contextstore.testing.faults.crowd import run_crowd, run_first_opens
from contextstore.testing.faults.histories import run_histories
from contextstore.testing.memory_suite import message
from tests.servers import openers
from tests.servers.shared_valkey import cluster, valkey
from tests.servers.valkey import namespace

OURS = "tests.servers.openers:redis"


@pytest.fixture(params=["single", "cluster"])
def url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    url = valkey().url if request.param == "single" else cluster().url
    monkeypatch.setenv(openers.VALKEY_VARIABLE, url)
    return url


def test_concurrent_calls_have_one_order(url: str, tmp_path: Path) -> None:
    report = run_histories(OURS, tmp_path, operations=1440, seed=5)
    assert report.findings == []
    assert report.counts["operations"] == 1440
    assert report.counts["cancelled"] > 10
    assert report.counts["conflicts"] > 20


def test_processes_lose_nothing_of_each_other(url: str, tmp_path: Path) -> None:
    report = run_crowd(OURS, tmp_path, processes=3, turns=40)
    assert report.findings == []


def test_all_may_be_the_first(url: str, tmp_path: Path) -> None:
    report = run_first_opens(OURS, tmp_path, processes=4, files=3)
    assert report.findings == []


def test_many_sessions_from_many_tasks(url: str, tmp_path: Path) -> None:
    """Be short for the 10,000 sessions of `python -m benchmarks.servers.redis`."""
    memory = RedisMemory(url, namespace=namespace(tmp_path))
    numbers = iter(range(1500))

    async def work() -> None:
        for number in numbers:
            await memory.append_context(f"s{number}", [message(1)], create=True)
            await memory.append_context(f"s{number}", [message(2)])
            assert len(await memory.load_context(f"s{number}", 5)) == 2

    async def run() -> None:
        await asyncio.gather(*(work() for _ in range(64)))
        listed: Set[str] = set()
        cursor: Optional[str] = None
        while True:
            page = await memory.list_sessions(limit=500, cursor=cursor)
            listed.update(one.session_id for one in page.sessions)
            cursor = page.cursor
            if cursor is None:
                break
        assert listed == {f"s{number}" for number in range(1500)}
        await memory.close()

    asyncio.run(run())
