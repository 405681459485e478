"""Say what of a message is searched by words, and what of a query."""

from __future__ import annotations

import re
from typing import List

from contextstore import messages
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
