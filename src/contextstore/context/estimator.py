"""Estimate the tokens of a text where no vocabulary is at hand."""

from __future__ import annotations

import math
import re

__all__ = ["estimate"]

_PIECES = re.compile(
    r"(?P<word>[A-Za-z]+)|(?P<number>[0-9]+)|(?P<space>[ \t]+|[\r\n]+)"
    r"|(?P<letters>[^\W\d_\u2e80-\U0003ffff]+)|(?P<wide>[\u2e80-\ud7ff\uf900-\ufaff]+)"
    r"|(?P<sign>[!-/:-@\[-`{-~]+)|(?P<other>.)",
    re.DOTALL,
)


def estimate(text: str) -> int:
    """Return about how many tokens of a present vocabulary a text has."""
    total = 0.0
    for match in _PIECES.finditer(text):
        size = match.end() - match.start()
        kind = match.lastgroup
        if kind == "word":
            total += 1.0 + max(0, size - 6) * 0.2
        elif kind == "number":
            total += math.ceil(size / 3)
        elif kind == "space":
            total += 0.02 if size == 1 else 1.0
        elif kind == "sign":
            total += 0.4 + 0.3 * size
        elif kind == "wide":
            total += 0.8 * size
        elif kind == "letters":
            total += 0.3 + 0.25 * size
        else:
            total += 1.5
    return round(total)
