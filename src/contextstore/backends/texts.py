"""Say what of a message is searched by words, and what of a query."""

from __future__ import annotations

import math
import re
import unicodedata
from typing import List, NamedTuple, Sequence, Tuple

from contextstore import messages
from contextstore.backends.records import Record
from contextstore.backends.results import TextMatch
from contextstore.errors import InvalidInputError

_WORD = re.compile(r"[^\W_]+")


def words_of(query: str) -> List[str]:
    """Return the words of a query, in its order.

    Raises:
        InvalidInputError: the query has no word.
    """
    words = split_words(query)
    if not words:
        raise InvalidInputError("query has no word to search for", path="query")
    return words


def split_words(text: str) -> List[str]:
    """Return the words of a text: what stands between what is no letter or digit."""
    return _WORD.findall(text)


def text_of_body(body: bytes) -> str:
    """Return the text of a stored message; a damaged one has none to index."""
    try:
        message = messages.decode(body)
    except (ValueError, TypeError):
        return ""
    name = message.get("name")
    text = messages.text_of(message)
    return f"{name}: {text}" if isinstance(name, str) else text


def folded_words(text: str) -> List[str]:
    """Return the words of a text for comparing: no accents, no capitals."""
    plain = unicodedata.normalize("NFKD", text)
    bare = "".join(one for one in plain if not unicodedata.combining(one))
    return split_words(bare.casefold())


class _Hit(NamedTuple):
    session_id: str
    record: Record
    counts: Tuple[int, ...]
    length: int


class BestMatches:
    """Find the messages that hold all words, for a store without an index of words.

    It is shown every message, once. The score is that of BM25 (k1 1.2, b 0.75), over
    the messages that it was shown.

    Args:
        words: what to look for; see ``words_of``.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self._words = tuple(dict.fromkeys(folded_words(" ".join(words))))
        self._hits: List[_Hit] = []
        self._shown = 0
        self._total = 0
        self._holding = [0] * len(self._words)

    def look_at(self, session_id: str, record: Record) -> None:
        """Take a message into account."""
        words = folded_words(text_of_body(record.body))
        self._shown += 1
        self._total += len(words)
        counts = tuple(map(words.count, self._words))
        for place, count in enumerate(counts):
            self._holding[place] += count > 0
        if all(counts):
            self._hits.append(_Hit(session_id, record, counts, len(words)))

    def matches(self, limit: int) -> List[TextMatch]:
        """Return what fits best; the one that was shown first where two fit as well."""
        scored = [(self._score(hit), hit) for hit in self._hits]
        scored.sort(key=lambda one: -one[0])
        return [
            TextMatch(
                hit.session_id, hit.record.id, score, messages.decode(hit.record.body)
            )
            for score, hit in scored[:limit]
        ]

    def _score(self, hit: _Hit) -> float:
        mean = self._total / self._shown
        norm = 1.2 * (1 - 0.75 + 0.75 * hit.length / mean)
        score = 0.0
        for count, holding in zip(hit.counts, self._holding):
            rarity = math.log(1 + (self._shown - holding + 0.5) / (holding + 0.5))
            score += rarity * count * 2.2 / (count + norm)
        return score
