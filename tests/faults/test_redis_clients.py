"""Many clients of one Valkey, or of a cluster, lose nothing and see one order."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from contextstore import RedisMemory
from contextstore.testing.faults.crowd import run_crowd, run_first_opens
from contextstore.testing.faults.histories import run_histories
from tests.servers import openers
from tests.servers.many import worked
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
    """Be short for the 10,000 sessions of `python -m tests.servers.many`."""
    memory = RedisMemory(url, namespace=namespace(tmp_path))
    work = asyncio.run(worked(memory, 1500))
    assert (work.missing, work.wrong) == (0, 0)
    memory.sync.close()
