"""A killed process has stored what it acknowledged, and nothing in part."""

from __future__ import annotations

from pathlib import Path
from typing import List

from contextstore.testing.faults.kills import run_kills
from contextstore.testing.faults.report import FaultReport, merged

OURS = "contextstore:SQLiteMemory"


def until_caught(opener: str, directory: Path) -> FaultReport:
    """Kill until something is found; the moments are not the same in two runs."""
    reports: List[FaultReport] = []
    for seed in range(10):
        place = directory / str(seed)
        place.mkdir()
        reports.append(run_kills(opener, place, kills=3, seed=seed))
        if not reports[-1].ok:
            break
    return merged(reports)


def test_what_was_acknowledged_outlives_a_kill(tmp_path: Path) -> None:
    lines: List[str] = []
    report = run_kills(OURS, tmp_path, kills=6, seed=3, progress=lines.append)
    assert report.findings == []
    assert report.counts["kills"] == 6
    assert report.counts["acknowledged"] > 20
    assert lines == ["6 of 6 kills"]


def test_a_backend_that_acknowledges_before_it_writes_is_caught(
    tmp_path: Path,
) -> None:
    report = until_caught("tests.faults.mutants:AcknowledgesEarly", tmp_path)
    assert not report.ok


def test_a_backend_without_transactions_is_caught(tmp_path: Path) -> None:
    report = until_caught("tests.faults.mutants:NoTransaction", tmp_path)
    assert report.count("wrong") > 0


def test_a_child_that_fails_is_told(tmp_path: Path) -> None:
    report = run_kills("tests.faults.mutants:nothing_like_it", tmp_path, kills=1)
    assert [finding.kind for finding in report.findings] == ["error"]
    assert "nothing_like_it" in report.findings[0].detail
