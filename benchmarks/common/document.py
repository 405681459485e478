"""Write tables into docs/benchmarks.md: each room of benchmarks has a section there."""

from __future__ import annotations

from pathlib import Path
from typing import Iterable, Sequence

from benchmarks.common.environments import ROOT

DOCUMENT = ROOT / "docs" / "benchmarks.md"
_TITLE = "# Benchmarks\n"


def write_section(name: str, text: str, document: Path = DOCUMENT) -> None:
    """Put a section between its marks, in place of what the last run wrote there."""
    start, end = f"<!-- {name}: written by a run -->", f"<!-- end of {name} -->"
    section = f"{start}\n{text.strip()}\n{end}\n"
    old = document.read_text() if document.exists() else _TITLE
    before, found, rest = old.partition(start)
    if found:
        _, _, after = rest.partition(f"{end}\n")
        document.write_text(before + section + after)
    else:
        document.write_text(f"{old.rstrip()}\n\n{section}")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
