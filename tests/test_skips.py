from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Tuple

import pytest

from tests.skips import NotRun, is_allowed

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    ("reason", "version", "allowed"),
    [
        ("needs Python 3.10: sys.stdlib_module_names", (3, 9), True),
        ("needs Python 3.10: sys.stdlib_module_names", (3, 10), False),
        ("only before Python 3.9", (3, 9), True),
        ("only before Python 3.9", (3, 8), False),
        ("could not import 'numpy'", (3, 8), False),
        ("", (3, 8), False),
    ],
)
def test_only_another_python_excuses_a_test(
    reason: str, version: Tuple[int, int], allowed: bool
) -> None:
    assert is_allowed(reason, version) is allowed


def test_what_did_not_run_is_counted() -> None:
    not_run = NotRun()
    not_run.add("a", "Skipped: needs Python 4.0")
    not_run.add("b", "Skipped: no server")
    not_run.deselected = 2
    assert not_run.disallowed == [("b", "no server")]
    assert not_run.should_have_run == 3
    assert not_run.summary() == "NOT RUN: 4 (1 for this Python, as they should)"


@pytest.mark.parametrize(
    ("strict", "reason", "code"),
    [("1", "no server", 1), ("0", "no server", 0), ("1", "needs Python 4.0", 0)],
)
def test_a_strict_run_fails_for_a_skipped_test(
    tmp_path: Path, strict: str, reason: str, code: int
) -> None:
    (tmp_path / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
    (tmp_path / "test_one.py").write_text(
        f"import pytest\n@pytest.mark.skip(reason={reason!r})\ndef test(): pass\n"
    )
    pytest_there = [sys.executable, "-m", "pytest", "-q", "--rootdir", str(tmp_path)]
    imported = os.pathsep.join((str(ROOT), str(ROOT / "scripts")))
    run = subprocess.run(
        [*pytest_there, str(tmp_path)],
        cwd=str(ROOT),
        env={**os.environ, "CONTEXTSTORE_STRICT": strict, "PYTHONPATH": imported},
        stdout=subprocess.PIPE,
        check=False,
    )
    assert run.returncode == code, run.stdout.decode()
    assert b"NOT RUN: 1" in run.stdout
