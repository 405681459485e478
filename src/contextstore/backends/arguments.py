"""Check the arguments that the methods of every backend take alike."""

from __future__ import annotations

from typing import Any, Mapping, Optional

from contextstore import messages
from contextstore.backends.filters import Filter
from contextstore.errors import InvalidInputError


def interaction_id(value: Any, path: str = "interaction_id") -> str:
    """Return the id of a message.

    Raises:
        InvalidInputError: it is none.
    """
    return messages.validate_message_id(value, path)


def optional_id(value: Any, path: str) -> Optional[str]:
    """Return the id of a message, or None where none was given.

    Raises:
        InvalidInputError: it is no id.
    """
    return None if value is None else interaction_id(value, path)


def refuse_two_cursors(before: Optional[str], after: Optional[str]) -> None:
    """Refuse a page that is to end before one message and to begin after another.

    Raises:
        InvalidInputError: both were given.
    """
    if before is not None and after is not None:
        raise InvalidInputError("give before or after, not both", path="before")


def what_to_erase(
    session_id: Optional[str], where: Optional[Mapping[str, Any]]
) -> Filter:
    """Return which sessions are to be erased where no single one is named.

    Raises:
        InvalidInputError: neither or both were given, or one of them cannot be.
    """
    if session_id is not None and where:
        raise InvalidInputError("give session_id or where, not both", path="where")
    if session_id is None and not where:
        raise InvalidInputError(
            "give session_id, or where with at least one key; erase has no default",
            path="where",
        )
    if session_id is not None:
        messages.validate_session_id(session_id)
    return Filter.checked(None, where)
