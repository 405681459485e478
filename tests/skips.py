"""Decide which tests may be left out, and count those that were.

A test that did not run has shown nothing. So every run ends with a line that says how
many did not, and with CONTEXTSTORE_STRICT=1 (continuous integration) each one that is
not on the list below fails the run.
"""

from __future__ import annotations

import re
import sys
from typing import List, Sequence, Tuple

Version = Tuple[int, ...]

_NEEDS_PYTHON = re.compile(r"needs Python (\d+)\.(\d+)\b")
_BEFORE_PYTHON = re.compile(r"only before Python (\d+)\.(\d+)\b")


def is_allowed(reason: str, version: Version = sys.version_info[:2]) -> bool:
    """Say whether a test may be left out for this reason.

    Allowed are only "needs Python 3.X", where this Python is older, and "only before
    Python 3.X", where it is not: the other Python of the same run has the test.
    """
    newer = _NEEDS_PYTHON.match(reason)
    if newer:
        return version < _numbers(newer)
    older = _BEFORE_PYTHON.match(reason)
    return older is not None and version >= _numbers(older)


class NotRun:
    """Collect the tests that did not run, and the reason of each.

    Attributes:
        skipped: name and reason of each test left out by a skip.
        deselected: how many tests the command line left out.
    """

    def __init__(self) -> None:
        self.skipped: List[Tuple[str, str]] = []
        self.deselected = 0

    def add(self, name: str, reason: str) -> None:
        """Note a skipped test, or a file skipped as a whole."""
        self.skipped.append((name, _without_prefix(reason)))

    @property
    def disallowed(self) -> Sequence[Tuple[str, str]]:
        """Give the skipped tests whose reason is not on the list."""
        return [skip for skip in self.skipped if not is_allowed(skip[1])]

    @property
    def should_have_run(self) -> int:
        """Count the tests that had to run and did not."""
        return len(self.disallowed) + self.deselected

    def summary(self) -> str:
        """Return the closing line."""
        total = len(self.skipped) + self.deselected
        allowed = len(self.skipped) - len(self.disallowed)
        return f"NOT RUN: {total} ({allowed} for this Python, as they should)"


def _numbers(found: re.Match[str]) -> Version:
    return int(found.group(1)), int(found.group(2))


def _without_prefix(reason: str) -> str:
    prefix = "Skipped: "
    return reason[len(prefix) :] if reason.startswith(prefix) else reason
