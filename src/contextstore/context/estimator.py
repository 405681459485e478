"""Estimate the tokens of a text where no vocabulary is at hand.

The text is cut much as a tokenizer cuts it, and each piece has a price that was fitted.
Words of Latin letters cost more in languages that the vocabularies know less well; the
language is told by its most common words.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import partial
from typing import Callable, Dict, List

from contextstore.context import estimator_weights as weights

__all__ = ["estimate", "estimator_for"]

_LOWER = "a-z\u00df-\u00f6\u00f8-\u024f\u0250-\u02ff\u0300-\u036f\u1e00-\u1eff"
_UPPER = "A-Z\u00c0-\u00d6\u00d8-\u00de"
_WORD = f"[{_UPPER}]?[{_LOWER}]+|[{_UPPER}]+(?![{_LOWER}])"
_SIGNS = r"[!-/:-@\[-`{-~]"
_CODED_CHARACTER = "[A-Za-z0-9+/_-]"
_ALTERNATIVES = [
    # Long runs with digits, capitals and small letters in them, as base64 has.
    (
        "coded",
        "".join(
            f"(?=[A-Za-z0-9+/_-]{{0,40}}{kind})" for kind in ("[0-9]", "[A-Z]", "[a-z]")
        )
        + f"{_CODED_CHARACTER}{{24,}}",
    ),
    ("contraction", r"(?<=[A-Za-z])['\u2019](?:[sSdDmMtT]|ll|LL|ve|VE|re|RE)\b"),
    ("word", rf"(?<![\w.])(?:{_WORD})"),
    ("part", _WORD),
    ("number", "[0-9]{1,3}"),
    ("sign", f"{_SIGNS}+"),
    ("line", "[ \t]*[\r\n]+"),
    ("blank", rf"[ \t]+(?=[ \t])|(?<!{_SIGNS})(?<!\w)[ \t]"),
    *((name, f"[{script[0]}]+") for name, script in weights.SCRIPTS.items()),
    # What colours the output of a terminal; its last letter belongs to no word.
    ("escape", r"\x1b\[[0-9;]*[A-Za-z]"),
    ("control", "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"),
    ("other", "[^\x00-\x7f]"),
]
_PIECE = re.compile("|".join(f"(?P<{name}>{regex})" for name, regex in _ALTERNATIVES))

_REPEATED = [
    (re.compile(f"([{characters}])\\1{{15,}}"), price)
    for characters, price in weights.REPEATED
]
_BLANK = ("line", "blank")
_OUTSIDE_ASCII = re.compile("[^\x00-\x7f]")
_RUSSIAN_ONLY = "\u044b\u044d"
# Words that tell a language: at least so many, and such a share of all words.
_LEAST_HITS = 2
_LEAST_SHARE = 0.08
_ENGLISH_SHARE = 0.01
# English prose has its commonest words in it; code and lists need not.
_PROSE_WORDS = 20
_PROSE_SIGNS = 0.3
_PROSE_ENGLISH = 0.04

_TELLING: Dict[str, List[str]] = {}
for _language, (_, _words) in weights.LANGUAGES.items():
    for _telling_word in _words.split():
        _TELLING.setdefault(_telling_word, []).append(_language)

_COLUMNS = {"o200k_base": 0, "cl100k_base": 1, "p50k_base": 1, "r50k_base": 1}


def estimator_for(encoding: str) -> Callable[[str], int]:
    """Return the function that estimates the tokens of texts in an encoding.

    The encodings before cl100k_base are taken for it; they have more tokens.
    """
    return partial(estimate, column=_COLUMNS[encoding])


def estimate(text: str, *, column: int = 0) -> int:
    """Return about how many tokens a text has.

    Args:
        text: any text.
        column: which figure of the pairs to use: 0 for o200k_base, 1 for cl100k_base.
    """
    words: List[str] = []
    pieces: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for match in _PIECE.finditer(text):
        kind = match.lastgroup or ""
        size = match.end() - match.start()
        if kind == "word":
            words.append(match.group())
        elif kind == "sign":
            pieces[f"sign{min(size, 4)}"] += 1
            sizes[kind] += max(0, size - 4)
        else:
            pieces[kind] += 1
            sizes[kind] += max(0, size - 16) if kind in _BLANK else size
    tokens = _of_words(words, _signs(pieces), column)
    tokens += _of_pieces(pieces, sizes, column)
    tokens += _of_scripts(text, pieces, sizes, column)
    return round(tokens + _of_repeated(text, column))


def _signs(pieces: Counter[str]) -> int:
    return sum(pieces[f"sign{size}"] for size in (1, 2, 3, 4)) + pieces["part"]


def _of_words(words: List[str], signs: int, column: int) -> float:
    if not words:
        return 0.0
    prices = weights.WORD_LENGTHS
    tokens = 0.0
    for word in words:
        beyond = len(word) - len(prices)
        tokens += prices[min(len(word), len(prices)) - 1][column]
        if beyond > 0:
            tokens += beyond * weights.LONGER_WORD[column]
    return tokens * _language_factor(words, signs, column)


def _language_factor(words: List[str], signs: int, column: int) -> float:
    """Return how much more these words cost than English ones.

    Args:
        words: the words of a text.
        signs: how many signs stand between them; code has many.
        column: which figure of the pairs to use.
    """
    hits: Counter[str] = Counter()
    for word, times in Counter(map(str.lower, words)).items():
        for language in _TELLING.get(word, ()):
            hits[language] += times
    if hits:
        best = max(hits, key=lambda name: (hits[name], name == "en", name))
        if hits[best] >= max(_LEAST_HITS, _LEAST_SHARE * len(words)):
            return weights.LANGUAGES[best][0][column]
    letters = "".join(words)
    share = len(_OUTSIDE_ASCII.findall(letters)) / len(letters)
    if share < _ENGLISH_SHARE:
        is_prose = len(words) >= _PROSE_WORDS and signs < _PROSE_SIGNS * len(words)
        is_english = hits["en"] >= _PROSE_ENGLISH * len(words)
        foreign = is_prose and not is_english
        return weights.UNTOLD_PLAIN[column] if foreign else 1.0
    base, more = weights.UNTOLD
    return base[column] + more[column] * min(share, weights.UNTOLD_SHARE)


def _of_pieces(pieces: Counter[str], sizes: Counter[str], column: int) -> float:
    tokens = sum(
        times * weights.PIECES[kind][column]
        for kind, times in pieces.items()
        if kind in weights.PIECES
    )
    tokens += sizes["sign"] * weights.LONGER_SIGN[column]
    tokens += sum(sizes[kind] for kind in _BLANK) * weights.LONGER_BLANK[column]
    tokens += sizes["escape"] * weights.ESCAPE[column]
    return tokens + sizes["coded"] * weights.CODED[column]


def _of_scripts(
    text: str, pieces: Counter[str], sizes: Counter[str], column: int
) -> float:
    tokens = 0.0
    for script, (_, character, run) in weights.SCRIPTS.items():
        if not pieces[script]:
            continue
        if script == "cyrillic" and _is_russian(text, sizes[script]):
            character, run = weights.RUSSIAN
        elif script in weights.MORE_FOR_FOREIGN:
            tokens += _foreign(text, script) * weights.MORE_FOR_FOREIGN[script][column]
        tokens += sizes[script] * character[column] + pieces[script] * run[column]
    return tokens


def _of_repeated(text: str, column: int) -> float:
    """Return what long runs of one character cost beside the price of each."""
    return sum(
        price[column] * (run.end() - run.start())
        for runs, price in _REPEATED
        for run in runs.finditer(text)
    )


def _foreign(text: str, script: str) -> int:
    letters = weights.FOREIGN_CYRILLIC
    if script == "arabic":
        letters = weights.FOREIGN_ARABIC
    return _times(text.lower(), letters)


def _is_russian(text: str, letters: int) -> bool:
    lower = text.lower()
    if _times(lower, weights.FOREIGN_CYRILLIC) >= 0.01 * letters:
        return False
    return _times(lower, _RUSSIAN_ONLY) > 0.006 * letters


def _times(text: str, letters: str) -> int:
    return sum(map(text.count, letters))
