"""The demo shows in its output what it says it shows."""

from __future__ import annotations

import re
from typing import List

import pytest

from tests.docs.examples import run_example


@pytest.fixture(scope="module")
def lines() -> List[str]:
    return run_example("demo.py").splitlines()


def test_it_fits_a_terminal(lines: List[str]) -> None:
    assert [line for line in lines if len(line) > 80] == []


def test_the_second_process_finds_what_the_first_left(lines: List[str]) -> None:
    processes = [line.split()[1] for line in lines if line.startswith("  process")]
    assert len(set(processes)) == 2
    assert any("finds 160 messages" in line for line in lines)
    assert any("equals what went in: True" in line for line in lines)


def test_it_builds_prompts_at_three_budgets(lines: List[str]) -> None:
    built = [
        [int(number.replace(",", "")) for number in re.findall(r"[\d,]*\d", line)]
        for line in lines
        if " tokens: " in line and " dropped" in line
    ]
    assert [budget for _, budget, *_ in built] == [8000, 2000, 500, 900]
    assert all(0 < used <= budget for used, budget, *_ in built)
    assert [kept + dropped for *_, kept, dropped in built] == [171, 171, 171, 49]


def test_it_draws_what_was_kept(lines: List[str]) -> None:
    strips = [line for line in lines if re.match(r"    m\d{3} [@#.~]+$", line)]
    assert len(strips) == 3 * 3 + 1
    assert all(strip[9] == strip[19] == "@" for strip in strips[::3])
    assert strips[-1].endswith("##~~~")


def test_it_searches(lines: List[str]) -> None:
    place = lines.index("  Where can we charge the e-bike's battery?")
    assert " m072 " in lines[place + 1]
    place = lines.index("  reserving saddles")
    assert "soft saddle" in lines[place + 1]
