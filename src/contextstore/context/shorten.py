"""Cut texts in the middle, so that messages that must be kept fit a budget."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Sequence

from contextstore.context.kinds import TEXTS
from contextstore.messages import Message

__all__ = ["MARK", "cut_middle", "shorten"]

MARK = " [...] "


def shorten(
    messages: Sequence[Message],
    room: int,
    cost: Callable[[Message], int],
    count: Callable[[str], int],
) -> Optional[List[Message]]:
    """Return copies of messages, their longest texts cut so that all fit.

    All texts above one length are cut to that length: the longest first, and short
    ones not at all. Only what people and tools say is cut: no calls, no images.

    Args:
        room: the tokens that they may take together.
        cost: the tokens of a message.
        count: the tokens of a text.

    Returns:
        The copies, or None where they do not fit even with every text cut to MARK.
    """
    sizes = [count(text) for message in messages for text in _texts(message)]
    floor = count(MARK)
    excess = sum(map(cost, messages)) - room
    limit = _limit(sizes, excess, floor)
    while limit is not None:
        cut = _cut_all(messages, limit, count)
        if sum(map(cost, cut)) <= room:
            return cut
        # Only where the counts of texts do not add up to that of their message.
        limit = max(limit * 7 // 8, floor) if limit > floor else None
    return None


def _limit(sizes: List[int], excess: int, floor: int) -> Optional[int]:
    """Return the greatest length of texts that saves the excess, or None."""
    low, high = floor, max(sizes, default=0)
    if _saved(sizes, low) < excess:
        return None
    while low < high:
        middle = (low + high + 1) // 2
        if _saved(sizes, middle) >= excess:
            low = middle
        else:
            high = middle - 1
    return low


def _saved(sizes: List[int], limit: int) -> int:
    return sum(size - limit for size in sizes if size > limit)


def _cut_all(
    messages: Sequence[Message], limit: int, count: Callable[[str], int]
) -> List[Message]:
    cut: Dict[str, str] = {}

    def shorter(text: str) -> str:
        if text not in cut:
            cut[text] = cut_middle(text, limit, count)
        return cut[text]

    return [_with_texts(message, shorter) for message in messages]


def cut_middle(text: str, limit: int, count: Callable[[str], int]) -> str:
    """Return a text of at most so many tokens: its head, MARK and its tail.

    A text that is short enough comes back as it is; MARK alone may exceed the limit.
    """
    if count(text) <= limit:
        return text
    low, high = 0, min(len(text), 4 * limit + 4)
    while high < len(text) and count(_joined(text, high)) <= limit:
        low, high = high, min(len(text), 2 * high)
    while low < high - 1:
        middle = (low + high) // 2
        if count(_joined(text, middle)) <= limit:
            low = middle
        else:
            high = middle
    return _joined(text, low)


def _joined(text: str, kept: int) -> str:
    """Return the first and last characters of a text, so many of them, around MARK."""
    if kept == 0:
        return MARK.strip()
    tail = kept // 2
    return text[: kept - tail] + MARK + (text[-tail:] if tail else "")


def _texts(message: Message) -> List[str]:
    texts: List[str] = []

    def collect(text: str) -> str:
        texts.append(text)
        return text

    _with_texts(message, collect)
    return texts


def _with_texts(message: Message, change: Callable[[str], str]) -> Message:
    """Return a copy of a message with every text of its content changed."""
    field = "content" if "role" in message or "content" in message else "output"
    if field not in message:
        return message
    return {**message, field: _content_with_texts(message[field], change)}


def _content_with_texts(content: Any, change: Callable[[str], str]) -> Any:
    if isinstance(content, str):
        return change(content)
    if isinstance(content, list):
        return [_part_with_texts(part, change) for part in content]
    return content


def _part_with_texts(part: Any, change: Callable[[str], str]) -> Any:
    if not isinstance(part, dict):
        return part
    if part.get("type") in TEXTS and isinstance(part.get("text"), str):
        return {**part, "text": change(part["text"])}
    if part.get("type") == "tool_result" and "content" in part:
        return {**part, "content": _content_with_texts(part["content"], change)}
    return part
