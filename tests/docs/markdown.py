"""Find the program blocks and the tables of a page, and run the blocks."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any, Dict, List, NamedTuple

# A heading inside a block is a comment of the program.
_HEADING_OR_BLOCK = re.compile(
    r"^## (?P<title>[^\n]*)$|^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)
_HEADING = re.compile(r"^(#{1,3}) (.*)$")


class Block(NamedTuple):
    """Be a fenced block: its language, its lines and the line that it starts on."""

    language: str
    text: str
    line: int


class Section(NamedTuple):
    """Be what stands below a heading of the second level, up to the next one."""

    title: str
    blocks: List[Block]


def sections(page: Path) -> List[Section]:
    """Return the sections of a page that have blocks."""
    found = [Section("", [])]
    content = page.read_text(encoding="utf-8")
    for match in _HEADING_OR_BLOCK.finditer(content):
        if match["language"] is None:
            found.append(Section(match["title"], []))
        else:
            line = content.count("\n", 0, match.start()) + 1
            block = Block(match["language"], match["text"].rstrip("\n"), line)
            found[-1].blocks.append(block)
    return [section for section in found if section.blocks]


def run(section: Section, page: Path) -> Dict[str, Any]:
    """Run the program blocks of a section in order, in one namespace.

    A ``text`` block after a program is what that has to print.

    Returns:
        The namespace afterwards.

    Raises:
        AssertionError: a block printed something else.
    """
    namespace: Dict[str, Any] = {"__name__": "__main__"}
    followers = [*section.blocks[1:], None]
    for block, follower in zip(section.blocks, followers):
        if block.language != "python":
            continue
        printed = _execute(block, page, namespace)
        if follower is None or follower.language != "text":
            continue
        place = f"the program on line {block.line} of {page.name}"
        assert printed.strip() == follower.text, f"{place} printed\n{printed}"
    return namespace


def _execute(block: Block, page: Path, namespace: Dict[str, Any]) -> str:
    # Empty lines in front make tracebacks name the lines of the page.
    source = "\n" * block.line + block.text
    # Not under the __future__ imports of this file, but as a user would run it.
    code = compile(source, str(page), "exec", dont_inherit=True)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, namespace)
    return printed.getvalue()


def table_rows(page: Path) -> Dict[str, List[List[str]]]:
    """Return the cells of all table rows by the heading they stand below.

    Headings lose their backquotes; the head of each table is left out.
    """
    rows: Dict[str, List[List[str]]] = {}
    title, previous = "", ""
    for line in page.read_text(encoding="utf-8").splitlines():
        heading = _HEADING.match(line)
        if heading:
            title = heading.group(2).replace("`", "")
        elif line.startswith("|---"):
            rows[title].remove(_cells(previous))
        elif line.startswith("|"):
            rows.setdefault(title, []).append(_cells(line))
        previous = line
    return rows


def _cells(line: str) -> List[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]
