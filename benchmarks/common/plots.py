"""Draw bars as SVG, without any plotting package."""

from __future__ import annotations

import math
from html import escape
from typing import Callable, List, NamedTuple, Sequence

_LABEL_WIDTH, _BAR_WIDTH, _VALUE_WIDTH = 250, 380, 110
_BAR, _STEP, _TOP = 18, 26, 44
_OURS, _OTHERS = "#1f6feb", "#9aa4b2"


class Bar(NamedTuple):
    """Be one bar: what it stands for, how long it is, and whether it is ours."""

    label: str
    value: float
    is_ours: bool


def bars(
    title: str, items: Sequence[Bar], show: Callable[[float], str], *, floor: float
) -> str:
    """Return an SVG of horizontal bars on a logarithmic scale, longest value first.

    Args:
        show: gives the text beside a bar.
        floor: the value at which a bar has no length.
    """
    height = _TOP + _STEP * len(items) + 10
    width = _LABEL_WIDTH + _BAR_WIDTH + _VALUE_WIDTH
    span = math.log(max(item.value for item in items) / floor)
    lines: List[str] = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="10" y="24" font-size="15" fill="#1f2328">{escape(title)}</text>',
    ]
    for number, item in enumerate(sorted(items, key=lambda item: -item.value)):
        top = _TOP + _STEP * number
        length = _BAR_WIDTH * math.log(max(item.value / floor, 1.01)) / span
        colour = _OURS if item.is_ours else _OTHERS
        lines += [
            f'<text x="{_LABEL_WIDTH - 8}" y="{top + 14}" text-anchor="end" '
            f'fill="#1f2328">{escape(item.label)}</text>',
            f'<rect x="{_LABEL_WIDTH}" y="{top}" width="{length:.1f}" '
            f'height="{_BAR}" fill="{colour}"/>',
            f'<text x="{_LABEL_WIDTH + length + 6:.1f}" y="{top + 14}" '
            f'fill="#1f2328">{escape(show(item.value))}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])
