"""Run an example as a user would."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"


def run_example(name: str, *arguments: str, typed: str = "") -> str:
    """Run an example in the directory of the test and return what it prints."""
    ended = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments],
        input=typed,
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout
