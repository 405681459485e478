"""What concurrent clients see has one order, and the checker sees where it has none."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional, Tuple

import pytest

from contextstore.testing.faults.histories import run_histories
from contextstore.testing.faults.linearizability import (
    CONFLICT,
    DONE,
    NOT_FOUND,
    UNKNOWN,
    Operation,
    unexplained,
)

OURS = "contextstore:SQLiteMemory"


def test_concurrent_calls_have_one_order(tmp_path: Path) -> None:
    lines: List[str] = []
    report = run_histories(
        OURS, tmp_path, operations=1440, seed=5, progress=lines.append
    )
    assert report.findings == []
    assert report.counts["operations"] == 1440
    assert report.counts["cancelled"] > 50
    assert report.counts["conflicts"] > 20
    assert lines == ["1440 of 1440 operations"]


@pytest.mark.parametrize(
    "mutant",
    ["ReadsAndWritesBack", "AcknowledgesEarly", "RemembersReads", "IgnoresVersions"],
)
def test_a_backend_without_one_order_is_caught(mutant: str, tmp_path: Path) -> None:
    report = run_histories(f"tests.faults.mutants:{mutant}", tmp_path, operations=720)
    assert report.count("wrong") > 0


def test_errors_are_told(tmp_path: Path) -> None:
    report = run_histories(
        "tests.faults.mutants:RaisesAnything", tmp_path, operations=240
    )
    assert report.count("error") > 0


def test_a_child_that_fails_is_told(tmp_path: Path) -> None:
    report = run_histories(
        "tests.faults.mutants:fails_in_children", tmp_path, operations=1440
    )
    assert report.count("error") == 2


def op(
    verb: str,
    times: Tuple[int, int],
    ids: Tuple[str, ...] = (),
    outcome: str = DONE,
    *,
    version: Optional[int] = None,
    expected: Optional[int] = None,
) -> Operation:
    seen = ids if verb == "load" else ()
    return Operation(verb, "s", ids, expected, *times, outcome, version, seen)


SAVED = op("save", (0, 1), ("a",), version=2)


@pytest.mark.parametrize(
    "history",
    [
        [],
        [SAVED, op("load", (2, 3), ("a",))],
        [SAVED, op("load", (0, 3), ())],
        [SAVED, op("append", (2, 5), ("b",), version=3), op("load", (3, 4), ("a",))],
        [SAVED, op("append", (2, 5), ("b",)), op("load", (3, 4), ("a", "b"))],
        [SAVED, op("append", (2, 3), ("a",), version=2)],
        [SAVED, op("append", (2, 3), ("b",), UNKNOWN), op("load", (4, 5), ("a", "b"))],
        [SAVED, op("append", (2, 3), ("b",), UNKNOWN), op("load", (4, 5), ("a",))],
        [SAVED, op("load", (2, 3), (), UNKNOWN)],
        [SAVED, op("rewind", (2, 3), ("a",), version=3), op("load", (4, 5), ())],
        [SAVED, op("rewind", (2, 3), ("b",), NOT_FOUND)],
        [SAVED, op("delete", (2, 3)), op("append", (4, 5), ("b",), NOT_FOUND)],
        [SAVED, op("save", (2, 3), ("c",), CONFLICT, version=2, expected=1)],
        [SAVED, op("save", (2, 3), ("c",), expected=2, version=3)],
        [SAVED, op("info", (2, 3), version=2)],
        [
            op("save", (0, 1), ("a",), UNKNOWN),
            op("save", (2, 3), ("c",), CONFLICT, version=2, expected=1),
            op("info", (4, 5), version=2),
        ],
    ],
)
def test_what_has_an_order_is_explained(history: List[Operation]) -> None:
    assert unexplained(history) is None


@pytest.mark.parametrize(
    "history",
    [
        [SAVED, op("load", (2, 3), ())],
        [SAVED, op("load", (2, 3), ("b",))],
        [op("load", (0, 1), ("a",)), op("save", (2, 3), ("a",))],
        [SAVED, op("append", (2, 3), ("b",), NOT_FOUND)],
        [SAVED, op("append", (2, 3), ("b",), version=2)],
        [SAVED, op("append", (2, 3), ("a",), version=3)],
        [op("append", (2, 3), ("b",))],
        [SAVED, op("rewind", (2, 3), ("b",), version=3)],
        [SAVED, op("rewind", (2, 3), ("a",), NOT_FOUND)],
        [SAVED, op("info", (2, 3), version=3)],
        [SAVED, op("info", (2, 3), (), NOT_FOUND)],
        [op("info", (2, 3), version=3)],
        [SAVED, op("save", (2, 3), ("c",), CONFLICT, version=2, expected=2)],
        [SAVED, op("save", (2, 3), ("c",), CONFLICT, version=3, expected=1)],
        [SAVED, op("save", (2, 3), ("c",), expected=1, version=3)],
        # A cancelled call may not take effect after it returned.
        [
            SAVED,
            op("append", (2, 3), ("b",), UNKNOWN),
            op("load", (4, 5), ("a",)),
            op("load", (6, 7), ("a", "b")),
        ],
        [
            op("save", (0, 1), ("a",), UNKNOWN),
            op("save", (2, 3), ("c",), CONFLICT, version=1, expected=1),
        ],
    ],
)
def test_what_has_no_order_is_seen(history: List[Operation]) -> None:
    assert unexplained(history) is not None
