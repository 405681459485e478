"""Input of any kind is stored as it is, or refused whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from contextstore.testing.faults.fuzz import run_fuzz


@pytest.mark.parametrize("opener", ["relaxed", "in_memory"])
def test_any_input_is_stored_or_refused(opener: str, tmp_path: Path) -> None:
    report = run_fuzz(
        f"tests.faults.mutants:{opener}", str(tmp_path / "chat.db"), examples=80
    )
    assert report.findings == []
    assert report.counts["examples"] >= 80
    assert report.counts["accepted"] > 5
    assert report.counts["refused"] > 20


@pytest.mark.parametrize(
    ("mutant", "kind"), [("AcceptsAnything", "wrong"), ("LetsErrorsOut", "error")]
)
def test_a_backend_that_is_not_strict_is_caught(
    mutant: str, kind: str, tmp_path: Path
) -> None:
    opener = f"tests.faults.mutants:{mutant}"
    report = run_fuzz(opener, str(tmp_path / "chat.db"), examples=80)
    assert report.count(kind) > 0
