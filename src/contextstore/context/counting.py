"""Remember token counts by text, within a bound of bytes."""

from __future__ import annotations

import sys
from hashlib import blake2b
from typing import Callable, Dict, Union

# Texts beyond this are remembered by their digest, so that no copy of them is held.
_LONG_TEXT = 65_536
_ENTRY_BYTES = 100


class RememberedCounts:
    """Call a counting function once for each text, as long as it is remembered.

    Two generations stand for "least recently used" without any bookkeeping on a hit:
    when the young one has grown to half of the bound it becomes the old one, and what
    is asked for again moves back to the young.

    Args:
        count: gives the tokens of a text; called for texts that are not remembered.
        max_bytes: about how much the texts and counts may take.
    """

    __slots__ = ("_bytes", "_count", "_half", "_old", "_young")

    def __init__(
        self, count: Callable[[str], int], *, max_bytes: int = 32 * 1024 * 1024
    ) -> None:
        self._count = count
        self._half = max_bytes // 2
        self._young: Dict[Union[str, bytes], int] = {}
        self._old: Dict[Union[str, bytes], int] = {}
        self._bytes = 0

    def __call__(self, text: str) -> int:
        """Return the tokens of a text."""
        found = self._young.get(text)
        return self._look_further(text) if found is None else found

    def _look_further(self, text: str) -> int:
        key: Union[str, bytes] = text
        if len(text) > _LONG_TEXT:
            key = blake2b(
                text.encode("utf-8", "surrogatepass"), digest_size=32
            ).digest()
            if key in self._young:
                return self._young[key]
        found = self._old.get(key)
        if found is None:
            found = self._count(text)
        self._remember(key, found)
        return found

    def _remember(self, key: Union[str, bytes], count: int) -> None:
        size = sys.getsizeof(key) + _ENTRY_BYTES
        if self._bytes + size > self._half:
            self._old = self._young
            self._young = {}
            self._bytes = 0
        self._young[key] = count
        self._bytes += size
