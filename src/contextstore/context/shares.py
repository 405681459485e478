"""Take a share of a number of tokens, the same for any number."""

from __future__ import annotations

__all__ = ["share_of"]

_PARTS = 10**9


def share_of(tokens: int, share: float) -> int:
    """Return a share, from 0 to 1, of tokens, rounded down.

    In integers: a float has no room for 10**400, and makes 0 of a tenth of 10 where the
    tenth was written 1 - 0.9. The share counts in billionths.
    """
    return tokens * round(share * _PARTS) // _PARTS
