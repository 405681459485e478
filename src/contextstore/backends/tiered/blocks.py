"""Say what a cached message is, and which of them show the newest of a version.

A cached message says of which block it is: what an append made of version ``before``
into ``version``, or a fill that shows the session at ``version``. The newest messages
are served where blocks lead from one to the next without a gap up to the version of
the record. So a writer adds its block without reading the cache: where it does not fit
what lies there, nobody will read over the gap, and the next load fills the entry anew.
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Sequence

from contextstore import messages
from contextstore.messages import Message


class Block(NamedTuple):
    """Say which messages were cached together.

    Attributes:
        before: the version that they were appended to; None for a fill.
        version: the version that has them at its end.
        is_whole: whether they are all that the session has.
    """

    before: Optional[int]
    version: int
    is_whole: bool

    def copies(self, stored: Sequence[Message]) -> List[Message]:
        """Return what the cache keeps of messages."""
        return [
            {
                "id": one["id"],
                # It is there so that no store fills one in.
                "timestamp": "",
                "of": [*self, index, len(stored)],
                "copy": messages.encode(one).decode("utf-8"),
            }
            for index, one in enumerate(stored)
        ]


def newest(copies: Sequence[Message], version: int, k: int) -> Optional[List[Message]]:
    """Return the newest messages of a version; None where copies do not show them.

    Args:
        copies: the newest of the cache, at most ``k``.
        version: that of the session.
        k: how many are wanted; fewer come only of a session that has no more.
    """
    wanted: Optional[int] = version
    following: Optional[int] = None
    is_start = False
    try:
        for one in reversed(copies):
            before, after, is_whole, index, count = one["of"]
            last = count - 1 if following is None else following - 1
            if wanted is None or (after, index) != (wanted, last):
                return None
            following = index or None
            is_start = index == 0 and before is None and is_whole
            if index == 0:
                wanted = before
        if not copies or (len(copies) < k and not is_start):
            return None
        return [messages.decode(one["copy"].encode("utf-8")) for one in copies]
    except (KeyError, TypeError, ValueError, AttributeError):
        # Somebody else wrote there.
        return None
