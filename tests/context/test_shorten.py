from __future__ import annotations

from contextstore.context.shorten import MARK, cut_middle, shorten
from contextstore.messages import Message


def count(text: str) -> int:
    """Count a mark as twenty, and each other character as one."""
    mark = MARK.strip()
    return 20 * text.count(mark) + len(text.replace(mark, ""))


def test_texts_are_cut_to_the_mark_before_they_are_given_up() -> None:
    def cost(message: Message) -> int:
        """Count more than the text where something stands around the mark."""
        return count(message["content"]) + 10 * (MARK in message["content"])

    # The first try is one above the least length, and an eighth less is below it.
    kept = shorten([{"role": "user", "content": "x" * 100}], 23, cost, count)
    assert kept == [{"role": "user", "content": MARK.strip()}]
    assert shorten([{"role": "user", "content": "x" * 100}], 19, cost, count) is None


def test_a_text_keeps_its_head_and_its_tail() -> None:
    assert cut_middle("abcdefgh" * 5, 26, count) == "ab [...] gh"
    assert cut_middle("short", 26, count) == "short"
