"""Check how text is cut into terms."""

from __future__ import annotations

from typing import List

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextstore.retrieval.terms import stem, terms_of, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello, World!", ["hello", "world"]),
        ("Caroline's cat's", ["caroline", "cat"]),
        ("Caroline\u2019s", ["caroline"]),
        ("snake_case 3.14", ["snake", "case", "3", "14"]),
        ("Größe ÉTÉ", ["größe", "été"]),
        ("", []),
        ("?!", []),
        ("\u5317\u4eac\u5927\u5b66", ["\u5317\u4eac", "\u4eac\u5927", "\u5927\u5b66"]),
        (
            "python\u3092\u5b66\u3076 \u6c34",
            ["python", "\u3092\u5b66", "\u5b66\u3076", "\u6c34"],
        ),
    ],
)
def test_words_are_runs_of_letters_and_digits(text: str, words: List[str]) -> None:
    assert words_of(text) == words


@pytest.mark.parametrize(
    "forms",
    [
        ["paint", "paints", "painted", "painting"],
        ["run", "runs", "running"],
        ["bake", "bakes", "baked", "baking"],
        ["family", "families"],
        ["stop", "stops", "stopped", "stopping"],
        ["class", "class"],
        ["fall", "falls", "falling"],
    ],
)
def test_the_forms_of_a_word_have_one_stem(forms: List[str]) -> None:
    assert len({stem(form) for form in forms}) == 1


@pytest.mark.parametrize("word", ["bus", "gas", "red", "sing", "is", "ed", "ly", "s"])
def test_short_words_keep_what_only_looks_like_an_ending(word: str) -> None:
    assert stem(word) in (word, word.rstrip("s"))
    assert len(stem(word)) >= min(len(word), 2) or word == "s"


def test_stop_words_are_left_out() -> None:
    assert terms_of("When did the painters go to the sea?") == ["painter", "go", "sea"]
    assert terms_of("who was that?") == []


@given(st.text())
def test_any_text_has_terms(text: str) -> None:
    for term in terms_of(text):
        assert term
        assert term == term.lower()


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("자전거를 샀어요", "자전거"),
        ("Ｗｉｅｎ", "wien"),  # noqa: RUF001 - it is meant
        ("Mu\u0308nchen", "m\u00fcnchen"),
    ],
)
def test_words_are_the_same_in_all_their_forms(text: str, other: str) -> None:
    assert set(words_of(other)) <= set(words_of(text))
