"""Check which dates a query names and how messages answer to them."""

from __future__ import annotations

from datetime import date
from typing import Any, List, Optional, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextstore.retrieval.dates import DateAsked, closeness, dates_in, day_of

EIGHTH_OF_MAY = DateAsked(5, 2023, date(2023, 5, 8).toordinal())


@pytest.mark.parametrize(
    "query",
    [
        "on 2023-05-08?",
        "on 2023-5-8",
        "am 8.5.2023",
        "am 08.05.2023.",
        "on 8 May 2023",
        "on 8 May, 2023",
        "on the 8th of May 2023",
        "On MAY 8, 2023",
        "on may 8th 2023",
    ],
)
def test_a_day_is_understood(query: str) -> None:
    assert dates_in(query) == [EIGHTH_OF_MAY]


@pytest.mark.parametrize(
    ("query", "month", "year"),
    [
        ("what happened in May 2023", 5, 2023),
        ("since May, 2023", 5, 2023),
        ("in may?", 5, None),
        ("in September 2022", 9, 2022),
        ("in Sept. 2022", 9, 2022),
        ("in sep 2022", 9, 2022),
        ("in december", 12, None),
        ("in January", 1, None),
    ],
)
def test_a_month_is_understood(query: str, month: int, year: Optional[int]) -> None:
    assert dates_in(query) == [DateAsked(month, year)]


@pytest.mark.parametrize(
    "query",
    [
        "may I ask?",
        "march on",
        "in marching order",
        "2023",
        "31.2.2023",
        "2023-13-01",
        "0000-01-01",
        "version 1.2.3",
        "12023-05-08",
        "",
    ],
)
def test_what_names_no_date_gives_none(query: str) -> None:
    assert dates_in(query) == []


def test_several_dates_are_all_found_and_none_twice() -> None:
    found = dates_in("between 8 May 2023 and June 2023, or in July")
    assert found == [EIGHTH_OF_MAY, DateAsked(6, 2023), DateAsked(7)]


@pytest.mark.parametrize(
    ("timestamp", "day"),
    [
        ("2024-01-01T00:00:00Z", date(2024, 1, 1)),
        ("2024-01-01", date(2024, 1, 1)),
        ("2024-01-01 23:59:59+09:00", date(2024, 1, 1)),
        ("2024-02-30T00:00:00Z", None),
        ("01.01.2024", None),
        ("", None),
        (1704067200, None),
        (None, None),
        ({"at": "2024-01-01"}, None),
    ],
)
def test_the_day_of_a_timestamp(timestamp: Any, day: Optional[date]) -> None:
    assert day_of(timestamp) == (0 if day is None else day.toordinal())


@pytest.mark.parametrize(
    ("day", "asked", "expected"),
    [
        ((2023, 5, 8), EIGHTH_OF_MAY, 1.0),
        ((2023, 5, 11), EIGHTH_OF_MAY, 1.0 - 3 / 9),
        ((2023, 5, 15), EIGHTH_OF_MAY, 1.0 - 7 / 9),
        ((2023, 5, 16), EIGHTH_OF_MAY, 0.0),
        ((2023, 5, 7), EIGHTH_OF_MAY, 0.0),
        ((2023, 5, 31), DateAsked(5, 2023), 1.0),
        ((2022, 5, 31), DateAsked(5, 2023), 0.0),
        ((2022, 5, 31), DateAsked(5), 1.0),
        ((2022, 6, 1), DateAsked(5), 0.0),
    ],
)
def test_closeness_to_a_date(
    day: Tuple[int, int, int], asked: DateAsked, expected: float
) -> None:
    assert closeness(date(*day).toordinal(), asked, 7, 9) == expected


@given(st.text(alphabet="0123456789.- MayJune,thof", max_size=40))
def test_no_text_is_too_odd(query: str) -> None:
    found: List[DateAsked] = dates_in(query)
    assert all(1 <= one.month <= 12 or one.day is None for one in found)
