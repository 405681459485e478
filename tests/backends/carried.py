"""Look at all that an error carries, also what a traceback does not show."""

from __future__ import annotations

from typing import List, Optional


def carried_by(error: Optional[BaseException]) -> str:
    """Return what an error and those behind it say, whoever suppressed them."""
    said: List[str] = []
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one is not None:
            said.append(f"{one} {one!r} {vars(one)!r}")
            waiting += [one.__cause__, one.__context__]
    return "\n".join(said)
