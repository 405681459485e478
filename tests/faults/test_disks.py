"""Where nothing can be written, a write says so, stores nothing and hurts nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from contextstore.testing.faults.disks import run_full_disk, run_read_only

OURS = "contextstore:SQLiteMemory"


def test_a_full_disk_is_an_error_and_stores_nothing(tmp_path: Path) -> None:
    report = run_full_disk(OURS, tmp_path, rounds=2)
    assert report.findings == []
    assert report.counts["limits"] == 2
    assert report.counts["failed writes"] > 2


@pytest.mark.parametrize(
    ("mutant", "kind"),
    [("trusts_savepoints", "lost"), ("SwallowsErrors", "lost")],
)
def test_a_backend_that_loses_what_did_not_fit_is_caught(
    mutant: str, kind: str, tmp_path: Path
) -> None:
    report = run_full_disk(f"tests.faults.mutants:{mutant}", tmp_path, rounds=3)
    assert report.count(kind) > 0


def test_read_only_places_are_errors() -> None:
    report = run_read_only(OURS)
    assert report.findings == []
    assert report.counts == {"read only": 4}


@pytest.mark.parametrize(
    ("mutant", "kind"), [("SwallowsErrors", "silent"), ("RaisesAnything", "error")]
)
def test_a_backend_that_does_not_say_so_is_caught(mutant: str, kind: str) -> None:
    report = run_read_only(f"tests.faults.mutants:{mutant}")
    assert report.count(kind) > 0


def test_a_child_that_fails_is_told(tmp_path: Path) -> None:
    opener = "tests.faults.mutants:fails_in_children"
    assert run_full_disk(opener, tmp_path, rounds=1).count("error") == 1
    assert run_read_only(opener).count("error") == 1
