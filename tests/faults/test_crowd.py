"""Many processes on one file lose nothing and meet no error."""

from __future__ import annotations

from pathlib import Path
from typing import List

from contextstore.testing.faults.crowd import run_crowd, run_first_opens

OURS = "contextstore:SQLiteMemory"


def test_processes_lose_nothing_of_each_other(tmp_path: Path) -> None:
    report = run_crowd(OURS, tmp_path, processes=3, turns=40)
    assert report.findings == []
    assert report.counts == {"processes": 3, "turns": 120}


def test_all_may_be_the_first(tmp_path: Path) -> None:
    lines: List[str] = []
    report = run_first_opens(
        OURS, tmp_path, processes=4, files=6, progress=lines.append
    )
    assert report.findings == []
    assert report.counts == {"first opens": 24}
    assert lines[-1] == "24 of 24 first opens"


def test_a_backend_that_reads_changes_and_writes_back_is_caught(
    tmp_path: Path,
) -> None:
    report = run_crowd(
        "tests.faults.mutants:ReadsAndWritesBack", tmp_path, processes=2, turns=30
    )
    assert report.count("lost") > 0


def test_a_backend_that_tears_turns_apart_is_caught(tmp_path: Path) -> None:
    report = run_crowd(
        "tests.faults.mutants:NoTransaction", tmp_path, processes=2, turns=10
    )
    assert report.count("wrong") > 0


def test_a_backend_that_does_not_wait_for_a_lock_is_caught(tmp_path: Path) -> None:
    opener = "tests.faults.mutants:RawFirstOpen"
    report = run_first_opens(opener, tmp_path, processes=4, files=15)
    assert report.count("error") > 0
