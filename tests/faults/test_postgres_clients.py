"""Many clients of one Postgres lose nothing of each other and see one order."""

from __future__ import annotations

from pathlib import Path

import pytest

from contextstore.testing.faults.crowd import run_crowd, run_first_opens
from contextstore.testing.faults.histories import run_histories
from tests.servers import openers
from tests.servers.shared import postgres_server

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
