"""Make the ids and timestamps that the stores fill in where a message has none."""

from __future__ import annotations

import os
import struct
import time
from datetime import datetime, timezone
from functools import lru_cache
from typing import Callable, List, NamedTuple, Optional

IdFactory = Callable[[], str]
Clock = Callable[[], str]


class Stamps(NamedTuple):
    """Hold the two sources of what a store fills in.

    Attributes:
        id_factory: gives a message id; by default a time-ordered UUID.
        clock: gives a timestamp; by default UTC in ISO 8601.
    """

    id_factory: IdFactory
    clock: Clock

    @classmethod
    def of(cls, id_factory: Optional[IdFactory], clock: Optional[Clock]) -> Stamps:
        """Return the given sources, and the defaults where None was given."""
        return cls(id_factory or time_ordered_id, clock or utc_timestamp)

    @property
    def makes_unique_ids(self) -> bool:
        """Tell whether an id that was made cannot be there already."""
        return self.id_factory is time_ordered_id


# Random bits that the system gave together: to ask for those of each id takes longer,
# and lets another thread go first. A forked child may not use them again.
_random_bits: List[int] = []
_BITS_AT_ONCE = 256
os.register_at_fork(after_in_child=_random_bits.clear)


def _next_random_bits() -> int:
    """Return 64 random bits of the system that nobody else gets."""
    while True:
        try:
            return _random_bits.pop()
        except IndexError:
            fresh = os.urandom(8 * _BITS_AT_ONCE)
            _random_bits.extend(struct.unpack(f">{_BITS_AT_ONCE}Q", fresh))


def time_ordered_id() -> str:
    """Return a UUID of version 7 (RFC 9562): later ids sort after earlier ones.

    The 48 bits of milliseconds are followed by 12 bits of the fraction of the
    millisecond (RFC 9562, 6.2, method 3) and 62 random bits.
    """
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    fraction = (rest << 12) // 1_000_000
    random = _next_random_bits() >> 2
    value = milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | random
    digits = f"{value:032x}"
    # uuid.UUID would give the same text in three times the time.
    return "-".join(
        (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
    )


def utc_timestamp() -> str:
    """Return the time now in UTC as ISO 8601 with microseconds."""
    seconds, rest = divmod(time.time_ns(), 1_000_000_000)
    return f"{_to_the_second(seconds)}.{rest // 1000:06d}+00:00"


# datetime.isoformat would take twice as long.
@lru_cache(maxsize=1)
def _to_the_second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def iso_time(milliseconds: int) -> str:
    """Return milliseconds since 1970 as UTC in ISO 8601."""
    moment = datetime.fromtimestamp(milliseconds / 1000, timezone.utc)
    return moment.isoformat(timespec="milliseconds")
