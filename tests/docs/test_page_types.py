"""The programs of a page become modules that type checkers can read."""

from __future__ import annotations

from pathlib import Path

import page_types

PAGE = """## One
```python
from typing import List
first, kept = 1, 2
```
```python
def first():
    return kept
```
```text
printed
```
```python
print(first, len(kept))
```
## Two
```python
first = kept = 3
```
"""


def test_a_block_imports_what_it_uses_of_those_above_it(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    made = page_types.modules(page)
    assert {name: source.splitlines()[0] for name, source in made.items()} == {
        "line_2": "",
        "line_6": "from line_2 import kept as kept",
        "line_13": "from line_6 import first as first; from line_2 import kept as kept",
        "line_17": "",
    }
