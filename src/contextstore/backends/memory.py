"""Keep messages in this process: for tests, and for chats that need not outlive it."""

from __future__ import annotations

from typing import ClassVar, Optional

from contextstore.backends.sqlite import SQLiteMemory
from contextstore.backends.stamps import Clock, IdFactory


class InMemoryMemory(SQLiteMemory):
    """Keep messages in this process, safe to use from any thread and any loop.

    It is a SQLite database without a file, so that every rule has one implementation.
    ``backup`` writes it into a file, which SQLiteMemory opens.

    Args:
        id_factory: gives ids where a message has none; time-ordered UUIDs by default.
        clock: gives timestamps where a message has none; UTC ISO 8601 by default.
    """

    runs_inline: ClassVar[bool] = True

    def __init__(
        self,
        *,
        id_factory: Optional[IdFactory] = None,
        clock: Optional[Clock] = None,
    ) -> None:
        super().__init__(":memory:", id_factory=id_factory, clock=clock)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"
