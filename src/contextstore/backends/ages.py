"""Say which messages of a session are old, and keep tool calls with their results."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, List, NamedTuple, Optional, Sequence, Set, Union

from contextstore import messages
from contextstore.backends.records import Record
from contextstore.context.links import calls_of, results_of
from contextstore.errors import InvalidInputError

# Whatever reaches out of the years 1 to 9999 is a slip.
_LONGEST = timedelta(days=366 * 9999)


class Old(NamedTuple):
    """Say which messages are old: those for which each condition that is given holds.

    Attributes:
        written_before: milliseconds since 1970: what the store wrote before.
        keep_last: what is not among the newest so many of its session.
    """

    written_before: Optional[int]
    keep_last: Optional[int]


class Age(NamedTuple):
    """Say what a caller calls old; ``by`` says of it which messages are.

    Attributes:
        older_than: what the store wrote before a time, or so long ago.
        keep_last: what is not among the newest so many of its session.
    """

    older_than: Union[datetime, timedelta, None]
    keep_last: Optional[int]

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
        if older_than is not None:
            _refuse_no_age(older_than)
        return cls(older_than, keep_last)

    @property
    def needs_clock(self) -> bool:
        """Tell whether it is up to a clock which messages are old."""
        return isinstance(self.older_than, timedelta)

    def by(self, now: int) -> Old:
        """Return which messages are old.

        Args:
            now: by the clock of who wrote the messages, in milliseconds since 1970;
                that of who prunes them may be another. Any, where no clock is needed.
        """
        before: Optional[int] = None
        if isinstance(self.older_than, timedelta):
            before = now - self.older_than // timedelta(milliseconds=1)
        elif self.older_than is not None:
            before = int(self.older_than.timestamp() * 1000)
        return Old(before, self.keep_last)


def _refuse_no_age(older_than: Any) -> None:
    """Refuse what is neither a time nor how long ago something was.

    Raises:
        InvalidInputError: it is neither.
    """
    if isinstance(older_than, timedelta):
        if abs(older_than) > _LONGEST:
            raise InvalidInputError(
                "older_than is longer than the years 1 to 9999", path="older_than"
            )
    elif not isinstance(older_than, datetime) or older_than.tzinfo is None:
        raise InvalidInputError(
            "older_than has to be a timedelta, or a datetime with a time zone",
            path="older_than",
        )


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
