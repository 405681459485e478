"""Check how long messages are shortened to what answers a query."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextstore.retrieval.documents import Document, SessionIndex
from contextstore.retrieval.snippets import GAP, snippet

TEXT = (
    "Here is my plan for the week. On Monday I bake bread. On Tuesday I go sailing "
    "with Ann. On Wednesday I sleep! Is Thursday free? On Friday the boat is painted."
)


def one(_: str) -> float:
    """Weigh all terms alike."""
    return 1.0


def test_a_short_text_stays_as_it_is() -> None:
    assert snippet(TEXT, "boat", one, len(TEXT)) == TEXT
    assert snippet("", "boat", one, 10) == ""


def test_the_best_sentences_come_in_the_order_of_the_text() -> None:
    query = "when is the boat painted, when do we sail?"
    week, boat = "Here is my plan for the week.", "On Friday the boat is painted."
    sailing = "On Tuesday I go sailing with Ann."
    assert snippet(TEXT, query, one, 80) == f"{week} […] {boat}"
    assert snippet(TEXT, query, one, 110) == f"{week} […] {sailing} […] {boat}"


def test_neighbours_are_joined_without_a_mark() -> None:
    found = snippet(TEXT, "plan bake", one, 60)
    assert found == "Here is my plan for the week. On Monday I bake bread. […]"


def test_a_beginning_left_out_is_marked() -> None:
    text = "Hello there my dear old friend. The boat is red. And so on and on."
    found = snippet(text, "red boat", lambda _: 9.0, 32)
    assert found == "[…] The boat is red. […]"


def test_rare_terms_weigh_more() -> None:
    index = SessionIndex()
    for row, text in enumerate(["red", "red", "red", "boat"]):
        index.append(Document(str(row), text))
    assert index.weight_of("boat") > index.weight_of("red") > 0
    assert index.weight_of("unknown") == 0.0
    text = "x " * 40 + ". A red one. A big boat. " + "y " * 40
    found = snippet(text, "red boat", index.weight_of, 24)
    assert found == "[…] A big boat. […]"


def test_a_sentence_too_long_alone_is_cut() -> None:
    assert snippet("word " * 50, "word", one, 20) == "word word word w […]"
    assert snippet("x" * 50, "y", one, 3) == "xxx"


def test_lines_are_sentences_too() -> None:
    text = "Shopping list\n- red paint\n- new mast\n- bread and butter for the crew"
    assert (
        snippet(text, "mast", lambda _: 5.0, 33) == "Shopping list […] - new mast […]"
    )


@pytest.mark.parametrize("text", ["今日は船に乗りました。明日は休みです。" * 5])
def test_sentences_without_spaces_are_found(text: str) -> None:
    assert snippet(text, "", one, 20) == "今日は船に乗りました。 […]"


@settings(max_examples=100)
@given(
    st.text(alphabet="ab .!?\n。", max_size=120),
    st.text(max_size=5),
    st.integers(0, 60),
)
def test_a_snippet_is_never_longer_than_asked(text: str, query: str, size: int) -> None:
    found = snippet(text, query, one, size)
    assert len(found) <= max(size, 0) or found == text
    assert len(found) <= len(text) or len(text) > size
    for part in found.split(GAP.strip()):
        for word in part.split():
            assert word in text
