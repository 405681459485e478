"""Find the dates that a query names, and tell the day of a message."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Any, Dict, List, Match, Optional

__all__ = ["DateAsked", "closeness", "dates_in", "day_of"]

_NAMES = "january february march april may june july august september october november"
_MONTHS = [*_NAMES.split(), "december"]
# Three letters, or "sept"; "may" and "mar" stay what they are in running text.
_MONTH = r"(?P<month>jan|feb|mar|apr|may|jun|jul|aug|sept?|oct|nov|dec|{})\b\.?".format(
    "|".join(_MONTHS)
)
_DAY = r"\b(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>\d{4})\b"

# Tried in this order; what one has taken, the next does not see.
_FORMS = tuple(
    re.compile(form)
    for form in (
        r"\b(?P<year>\d{4})-(?P<number>\d{1,2})-(?P<day>\d{1,2})(?!\d)",
        r"\b(?P<day>\d{1,2})\.(?P<number>\d{1,2})\.(?P<year>\d{4})\b",
        rf"{_DAY}\s+(?:of\s+)?{_MONTH},?\s+{_YEAR}",
        rf"\b{_MONTH}\s+{_DAY},?\s+{_YEAR}",
        rf"\b{_MONTH},?\s+{_YEAR}",
        rf"\bin\s+{_MONTH}",
    )
)
_ISO_DAY = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?!\d)")


@dataclass(frozen=True)
class DateAsked:
    """Be a day or a month that a query names.

    Attributes:
        day: the day as ``date.toordinal`` counts, None for a whole month.
        month: the month, from 1 to 12.
        year: the year, None for that month of any year.
    """

    month: int
    year: Optional[int] = None
    day: Optional[int] = None


def dates_in(query: str) -> List[DateAsked]:
    """Return the days and months that a text names.

    Understood are ``2023-05-08``, ``8.5.2023``, ``8 May 2023``, ``May 8, 2023``,
    ``May 2023`` and ``in May``.
    """
    found: List[DateAsked] = []
    rest = query.lower()
    for form in _FORMS:
        matches = list(form.finditer(rest))
        if matches:
            found += filter(None, map(_asked, matches))
            rest = form.sub(" ", rest)
    return found


def _asked(match: Match[str]) -> Optional[DateAsked]:
    parts = match.groupdict()
    month = _month_number(parts)
    year = int(parts["year"]) if "year" in parts else None
    if year is None or "day" not in parts:
        return DateAsked(month, year)
    try:
        day = date(year, month, int(parts["day"]))
    except ValueError:
        return None
    return DateAsked(month, year, day.toordinal())


def _month_number(parts: Dict[str, str]) -> int:
    if "number" in parts:
        return int(parts["number"])
    return 1 + [name[:3] for name in _MONTHS].index(parts["month"][:3])


def day_of(timestamp: Any) -> int:
    """Return the day of an ISO 8601 timestamp as an ordinal, 0 where there is none."""
    match = _ISO_DAY.match(timestamp) if isinstance(timestamp, str) else None
    if match is None:
        return 0
    year, month, day = map(int, match.groups())
    try:
        return date(year, month, day).toordinal()
    except ValueError:
        return 0


def closeness(day: int, asked: DateAsked, days: int, fade: int) -> float:
    """Return how well a day answers to a date that was asked for, from 0 to 1.

    A named day counts in full, and the ``days`` days after it too, less by 1 / ``fade``
    each: people tell of a day after it. A named month counts as a whole.
    """
    if asked.day is not None:
        late = day - asked.day
        return 1.0 - late / fade if 0 <= late <= days else 0.0
    found = date.fromordinal(day)
    same_year = asked.year is None or found.year == asked.year
    return 1.0 if same_year and found.month == asked.month else 0.0
