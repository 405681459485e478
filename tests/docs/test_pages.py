"""The programs of the pages in docs/ run, and their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs import markdown

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
PAGES = sorted(DOCS.glob("*.md"))
PROGRAMS = [
    pytest.param(page, section, id=f"{page.name}-{section.title}")
    for page in PAGES
    for section in markdown.sections(page)
]


@pytest.mark.parametrize(("page", "section"), PROGRAMS)
def test_the_programs_of_a_section_run(
    page: Path, section: markdown.Section, workplace: Path
) -> None:
    markdown.run(section, page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_there_are_pages_and_programs() -> None:
    assert PAGES
    assert PROGRAMS
