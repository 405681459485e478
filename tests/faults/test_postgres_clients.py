"""Many clients of one Postgres lose nothing of each other and see one order."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import pytest

from contextstore import PostgresMemory
from contextstore.testing.faults.crowd import run_crowd, run_first_opens
from contextstore.testing.faults.histories import run_histories
from tests.servers import openers
from tests.servers.many import Work, worked
from tests.servers.shared import database_of, postgres_server

OURS = "tests.servers.openers:postgres"


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> None:
    url = postgres_server().dsn("").rstrip("/")
    monkeypatch.setenv(openers.VARIABLE, url)


def test_concurrent_calls_have_one_order(tmp_path: Path) -> None:
    report = run_histories(OURS, tmp_path, operations=1440, seed=5)
    assert report.findings == []
    assert report.counts["operations"] == 1440
    assert report.counts["cancelled"] > 50
    assert report.counts["conflicts"] > 20


def test_processes_lose_nothing_of_each_other(tmp_path: Path) -> None:
    report = run_crowd(OURS, tmp_path, processes=3, turns=40)
    assert report.findings == []


def test_all_may_be_the_first(tmp_path: Path) -> None:
    report = run_first_opens(OURS, tmp_path, processes=4, files=3)
    assert report.findings == []


def test_many_sessions_from_many_tasks(tmp_path: Path) -> None:
    """Be short for the 10,000 sessions of `python -m tests.servers.many`."""
    name = f"test-{uuid.uuid4().hex}"
    address = f"{database_of(tmp_path)}?application_name={name}"
    memory = PostgresMemory(address, partitions=4, pool_size=6)
    count = f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}'"

    async def run() -> Work:
        work = await worked(memory, 1500)
        # None is closed while the loop runs.
        assert 0 < postgres_server().ask(count)[0][0] <= 6
        return work

    work = asyncio.run(run())
    assert (work.missing, work.wrong) == (0, 0)
    memory.sync.close()
