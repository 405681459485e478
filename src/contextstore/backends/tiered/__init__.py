"""Keep messages in a record, and the newest of them in a faster memory beside it.

``memory`` is what callers see, ``cache`` asks a cache that may be down, damaged or
behind, and ``blocks`` says what it holds and when that may be served.
"""

from __future__ import annotations

from contextstore.backends.tiered.memory import TieredMemory

__all__ = ["TieredMemory"]
