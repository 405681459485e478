"""Many clients of one record and one cache lose nothing and see one order."""

from __future__ import annotations

from pathlib import Path

import pytest

from contextstore.testing.faults.crowd import run_crowd, run_first_opens
from contextstore.testing.faults.histories import run_histories
from tests.servers import openers
from tests.servers.shared import postgres_server
from tests.servers.shared_valkey import cluster, valkey

OURS = "tests.servers.openers:Tiered"


@pytest.fixture(params=["single", "cluster"], autouse=True)
def servers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    record = postgres_server().dsn("").rstrip("/")
    cache = valkey().url if request.param == "single" else cluster().url
    monkeypatch.setenv(openers.VARIABLE, record)
    monkeypatch.setenv(openers.VALKEY_VARIABLE, cache)
    monkeypatch.setattr(openers.Tiered, "hits", 0)


def test_concurrent_calls_have_one_order(tmp_path: Path) -> None:
    report = run_histories(OURS, tmp_path, operations=1440, seed=5, patience=0.01)
    assert report.findings == []
    assert report.counts["operations"] == 1440
    assert report.counts["cancelled"] > 50
    assert report.counts["conflicts"] > 20
    # The cache took part; how often hangs on how busy the machine is.
    assert openers.Tiered.hits > 10


def test_a_cache_that_is_believed_is_caught(tmp_path: Path) -> None:
    opener = "tests.servers.openers:BelievesTheCache"
    assert (
        run_histories(opener, tmp_path, operations=720, patience=0.01).count("wrong")
        > 0
    )


def test_processes_lose_nothing_of_each_other(tmp_path: Path) -> None:
    report = run_crowd(OURS, tmp_path, processes=3, turns=40)
    assert report.findings == []


def test_all_may_be_the_first(tmp_path: Path) -> None:
    report = run_first_opens(OURS, tmp_path, processes=4, files=3)
    assert report.findings == []
