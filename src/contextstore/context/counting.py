"""Remember token counts by text, within a bound of bytes."""

from __future__ import annotations

import sys
from hashlib import blake2b
from typing import Callable, Dict, Union

__all__ = ["RememberedCounts"]

# Texts beyond this are remembered by their digest, so that no copy of them is held.
_LONG_TEXT = 65_536
_ENTRY_BYTES = 100


class RememberedCounts(Dict[Union[str, bytes], int]):
    """Call a counting function once for each text, as long as it is remembered.

    ``counts[text]`` is the count, so that a hit costs a look-up and no call. Two
    generations stand for "least recently used" without any bookkeeping on a hit: when
    this one has grown to half of the bound it becomes the older one, and what is asked
    for again comes back.

    Args:
        count: gives the tokens of a text; called for texts that are not remembered.
        max_bytes: about how much the texts and counts may take.
    """

    __slots__ = ("_bytes", "_count", "_half", "_older")

    def __init__(
        self, count: Callable[[str], int], *, max_bytes: int = 32 * 1024 * 1024
    ) -> None:
        super().__init__()
        self._count = count
        self._half = max_bytes // 2
        self._older: Dict[Union[str, bytes], int] = {}
        self._bytes = 0

    def __missing__(self, text: Union[str, bytes]) -> int:
        """Return the tokens of a text that this generation does not hold."""
        if isinstance(text, bytes):
            raise TypeError("only texts have tokens")
        key: Union[str, bytes] = text
        if len(text) > _LONG_TEXT:
            key = blake2b(
                text.encode("utf-8", "surrogatepass"), digest_size=32
            ).digest()
        # One look-up: another thread may clear this generation between two.
        found = self.get(key)
        if found is None:
            found = self._older.get(key)
        if found is None:
            found = self._count(text)
        self._remember(key, found)
        return found

    def _remember(self, key: Union[str, bytes], count: int) -> None:
        size = sys.getsizeof(key) + _ENTRY_BYTES
        if self._bytes + size > self._half:
            self._older = dict(self)
            self.clear()
            self._bytes = 0
        self[key] = count
        self._bytes += size
