"""Reports add up, and the room opens each tool by its name."""

from __future__ import annotations

import pytest

from contextstore.testing import faults
from contextstore.testing.faults.children import last_line
from contextstore.testing.faults.report import (
    FaultReport,
    Finding,
    at_most,
    merged,
    quiet,
)


def test_reports_add_up() -> None:
    lost = FaultReport({"kills": 2}, [Finding("lost", "here", "all of it")])
    both = merged([lost, FaultReport({"kills": 1, "steps": 5}, [])])
    assert both.counts == {"kills": 3, "steps": 5}
    assert (both.ok, both.count("lost"), both.count("wrong")) == (False, 1, 0)
    assert merged([]).ok


def test_every_tool_has_its_name() -> None:
    for name in faults.__all__:
        assert callable(getattr(faults, name))
    with pytest.raises(AttributeError, match="run_away"):
        faults.run_away  # noqa: B018


def test_long_values_are_cut() -> None:
    assert at_most("short") == "'short'"
    assert len(at_most("long" * 100)) < 250
    quiet("nothing is printed")


def test_what_a_child_died_of_is_its_last_line() -> None:
    assert last_line(b"Traceback\n  line\nValueError: why\n") == "ValueError: why"
    assert last_line(b"") == "no error text"
