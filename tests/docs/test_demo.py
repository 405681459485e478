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


def test_processes_find_what_others_left(lines: List[str]) -> None:
    starts = [line.split()[1] for line in lines if line.startswith("  process")]
    processes = [start.rstrip(":") for start in starts]
    # Two write, one embeds, and the last is the one that prints the rest.
    assert len(processes) == len(set(processes)) == 4
    assert any("finds 160 messages" in line for line in lines)
    assert any("equals what went in: True" in line for line in lines)


def test_it_builds_prompts_at_three_budgets(lines: List[str]) -> None:
    built = [
        [int(number.replace(",", "")) for number in re.findall(r"[\d,]*\d", line)]
        for line in lines
        if " tokens: " in line and " dropped" in line
    ]
    assert [budget for _, budget, *_ in built] == [8000, 2000, 500, 900, 2000]
    assert all(0 < used <= budget for used, budget, *_ in built)
    assert [kept + dropped for *_, kept, dropped in built] == [171, 171, 171, 49, 171]


def test_it_draws_what_was_kept(lines: List[str]) -> None:
    strips = [line for line in lines if re.match(r"    m\d{3} [@#.+~]+$", line)]
    assert len(strips) == 3 * 3 + 1 + 3
    assert all(line[9] == line[19] == "@" for line in strips if " m001 " in line)
    assert strips[9].endswith("##~~~")


def below(lines: List[str], query: str) -> List[List[str]]:
    """Return words, cosine and id of what was found, for each time it was asked."""
    places = [place for place, line in enumerate(lines) if line == f"  {query}"]
    return [lines[place + 2].split()[:3] for place in places]


def test_it_searches_by_words(lines: List[str]) -> None:
    ((words, cosine, found),) = below(
        lines, "Where can we charge the e-bike's battery?"
    )
    assert (cosine, found) == ("-", "m072")
    assert float(words) > 0


def test_vectors_find_what_words_do_not(lines: List[str]) -> None:
    by_words, by_vectors = below(lines, "vegeterian diners")
    assert by_words[:2] == ["0.0", "-"]
    assert (by_vectors[0], by_vectors[2]) == ("0.0", "m024")


def test_another_process_finds_the_vectors(lines: List[str]) -> None:
    assert "    142 of 142 texts lack one. embed_missing() makes 142." in lines
    assert "    0 texts lack a vector." in lines


def test_the_prompt_of_a_question_recalls_what_answers_it(lines: List[str]) -> None:
    text = " ".join(" ".join(lines).split())
    assert "8 of these answers are in this prompt: m074, m075, m098, m099" in text
    assert "The newest messages alone, as in part 2, hold 1: m164." in text
