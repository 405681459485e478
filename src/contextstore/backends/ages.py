"""Say which messages of a session are old, and keep tool calls with their results."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, List, NamedTuple, Optional, Sequence, Set

from contextstore import messages
from contextstore.backends.records import Record
from contextstore.context.links import calls_of, results_of
from contextstore.errors import InvalidInputError


class Age(NamedTuple):
    """Say what is old; a message is when each condition that is given holds.

    Attributes:
        written_before: milliseconds since 1970: what the store wrote before.
        keep_last: what is not among the newest so many of its session.
        older_than: milliseconds: what the store wrote longer ago, by its own clock.
            ``by`` makes ``written_before`` of it.
    """

    written_before: Optional[int]
    keep_last: Optional[int]
    older_than: Optional[int] = None

    @classmethod
    def of(cls, older_than: Any, keep_last: Any) -> Age:
        """Return the age that the arguments of a prune mean.

        Raises:
            InvalidInputError: there is no condition, or one cannot be taken.
        """
        if older_than is None and keep_last is None:
            raise InvalidInputError(
                "give older_than, keep_last or both; prune has no default",
                path="older_than",
            )
        if keep_last is not None:
            keep_last = messages.validate_count(keep_last, "keep_last")
        if isinstance(older_than, timedelta):
            return cls(None, keep_last, _length(older_than))
        return cls(None if older_than is None else _moment(older_than), keep_last)

    def by(self, now: int) -> Age:
        """Return the same with nothing in it that hangs on a clock.

        Args:
            now: by the clock of who wrote the messages, in milliseconds since 1970;
                that of who prunes them may be another.
        """
        if self.older_than is None:
            return self
        return Age(now - self.older_than, self.keep_last)


def _moment(older_than: Any) -> int:
    """Return milliseconds since 1970 for a time."""
    if not isinstance(older_than, datetime) or older_than.tzinfo is None:
        raise InvalidInputError(
            "older_than has to be a timedelta, or a datetime with a time zone",
            path="older_than",
        )
    return int(older_than.timestamp() * 1000)


def _length(age: timedelta) -> int:
    try:
        # Only to see that there was such a time: whose clock counts is not known here.
        _ = datetime.now(timezone.utc) - age
    except OverflowError:
        raise InvalidInputError(
            "older_than reaches beyond the years 1 to 9999", path="older_than"
        ) from None
    return age // timedelta(milliseconds=1)


def whole_groups(records: Sequence[Record], length: int) -> List[Record]:
    """Return the records before a cut, which moves back before a call it would part."""
    decoded = [messages.decode(record.body) for record in records]
    after: Set[str] = set()
    for message in decoded[length:]:
        after.update(results_of(message))
    while True:
        parted = [
            place
            for place, message in enumerate(decoded[:length])
            if not after.isdisjoint(calls_of(message))
        ]
        if not parted:
            return list(records[:length])
        for message in decoded[parted[0] : length]:
            after.update(results_of(message))
        length = parted[0]
