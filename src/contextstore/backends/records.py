"""Work out what a write changes, as pure functions that every backend shares.

A backend keeps records: the encoded message beside what is needed to find and compare
it. Whether an append repeats what is there, and from where on a save differs from what
is stored, is decided here and nowhere else.
"""

from __future__ import annotations

from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

from contextstore import messages
from contextstore.backends.stamps import Stamps
from contextstore.errors import ConflictError, InvalidInputError
from contextstore.messages import Message

# How stores write down which fields they filled in.
FILLED_NAMES: Tuple[Tuple[str, ...], ...] = (
    (),
    ("id",),
    ("timestamp",),
    ("id", "timestamp"),
)
FILLED_NUMBERS: Dict[Tuple[str, ...], int] = {
    names: number for number, names in enumerate(FILLED_NAMES)
}


class Record(NamedTuple):
    """Be one stored message.

    Attributes:
        id: the message id.
        body: the whole message, encoded.
        filled: the names of the fields that the store filled in.
        pinned: whether the message is always kept in a prompt.
    """

    id: str
    body: bytes
    filled: Tuple[str, ...]
    pinned: bool


class AppendPlan(NamedTuple):
    """Say what an append adds.

    Attributes:
        ids: the ids of all messages given, in their order.
        added: the records that are not there yet.
    """

    ids: Tuple[str, ...]
    added: List[Record]


class SavePlan(NamedTuple):
    """Say what a save changes.

    Attributes:
        ids: the ids of all messages given, in their order.
        kept: how many stored messages stay, from the first on.
        added: the records that follow them.
        removed: ids of stored messages that go, or whose content changes.
    """

    ids: Tuple[str, ...]
    kept: int
    added: List[Record]
    removed: Tuple[str, ...]


def make_record(message: Message, stamps: Stamps) -> Record:
    """Fill in what a prepared message lacks, and encode it."""
    filled = messages.stamp(message, stamps.id_factory, stamps.clock)
    return Record(
        message["id"], messages.encode(message), filled, messages.is_pinned(message)
    )


def plan_append(
    session_id: str,
    incoming: Sequence[Message],
    find: Callable[[str], Optional[Record]],
    stamps: Stamps,
) -> AppendPlan:
    """Leave out what is there already, so that repeating an append is safe.

    Args:
        find: gives the stored record of an id, or None.

    Raises:
        ConflictError: an id is stored with other content.
    """
    ids: List[str] = []
    added: List[Record] = []
    for index, message in enumerate(incoming):
        known = find(message["id"]) if "id" in message else None
        if known is None:
            record = make_record(dict(message), stamps)
            if "id" not in message and not stamps.makes_unique_ids:
                _refuse_known(session_id, record, find)
            added.append(record)
            ids.append(record.id)
        else:
            refuse_other_content(session_id, index, message, known)
            ids.append(known.id)
    refuse_repeats(ids)
    return AppendPlan(tuple(ids), added)


def refuse_other_content(
    session_id: str, index: int, message: Message, known: Record
) -> None:
    """Refuse to append a message under the id of a stored one that it does not repeat.

    Args:
        index: its place in what was given, for the text of the error.
        known: the stored record.

    Raises:
        ConflictError: it has no id of its own, or other content.
    """
    if "id" not in message or not _is_stored_as(message, known):
        raise ConflictError(
            f"context[{index}]: session {session_id!r} holds another message with "
            f"the id {known.id!r}; append under a new id, or change the stored "
            f"history with save_context",
            session_id=session_id,
        )


def _refuse_known(
    session_id: str, record: Record, find: Callable[[str], Optional[Record]]
) -> None:
    """Refuse an id that the caller's id factory made although the session has it."""
    if find(record.id) is not None:
        raise ConflictError(
            f"session {session_id!r}: the id factory gave an id that the session has "
            f"already; ids have to be unique in their session",
            session_id=session_id,
        )


def updated_record(message: Message, old: Record) -> Optional[Record]:
    """Return what takes the place of a record, or None where that is the same.

    A new message without an id or timestamp keeps that of the old one.
    """
    stored = messages.decode(old.body)
    kept = {name: stored[name] for name in ("id", "timestamp") if name not in message}
    new = {**message, **kept}
    if messages.canonical(new) == messages.canonical(stored):
        return None
    filled = tuple(name for name in old.filled if name in kept)
    return Record(old.id, messages.encode(new), filled, messages.is_pinned(new))


def refuse_other_id(message: Message, interaction_id: str) -> None:
    """Refuse a new message that brings another id than that of the stored one."""
    if message.get("id", interaction_id) != interaction_id:
        raise InvalidInputError(
            f"message.id is not {interaction_id!r}; an update keeps the id",
            path="message.id",
        )


def plan_save(
    incoming: Sequence[Message], stored: Sequence[Record], stamps: Stamps
) -> SavePlan:
    """Find where the new history parts from the stored one.

    A message that comes in without an id or timestamp that the store filled in matches
    the stored one at its position, and so keeps them.
    """
    kept = _common_prefix(incoming, stored)
    added = [make_record(dict(message), stamps) for message in incoming[kept:]]
    ids = [record.id for record in stored[:kept]] + [record.id for record in added]
    refuse_repeats(ids)
    return SavePlan(tuple(ids), kept, added, _removed(stored[kept:], added))


def _common_prefix(incoming: Sequence[Message], stored: Sequence[Record]) -> int:
    for position, (message, record) in enumerate(zip(incoming, stored)):
        if not _is_stored_as(message, record):
            return position
    return min(len(incoming), len(stored))


def _is_stored_as(message: Message, record: Record) -> bool:
    # What was loaded and comes back has its keys in the stored order: the bytes agree.
    if messages.encode(message) == record.body:
        return True
    return messages.same_as_stored(message, messages.decode(record.body), record.filled)


def _removed(old: Iterable[Record], new: Iterable[Record]) -> Tuple[str, ...]:
    bodies: Dict[str, bytes] = {record.id: record.body for record in new}
    return tuple(record.id for record in old if bodies.get(record.id) != record.body)


def refuse_repeats(ids: Sequence[str]) -> None:
    """Refuse an id that stands twice: given, and kept or made for another message."""
    seen: Dict[str, int] = {}
    for index, message_id in enumerate(ids):
        first = seen.setdefault(message_id, index)
        if first != index:
            raise InvalidInputError(
                f"context[{index}].id repeats the id of context[{first}]",
                path=f"context[{index}].id",
            )


def validate_version(expected_version: Any) -> Optional[int]:
    """Return the version that a write expects: a non-negative int, or None for any.

    Raises:
        InvalidInputError: it is a bool, negative, or no int.
    """
    if expected_version is None:
        return None
    is_int = isinstance(expected_version, int) and not isinstance(
        expected_version, bool
    )
    if not is_int or expected_version < 0:
        raise InvalidInputError(
            "expected_version has to be a non-negative int", path="expected_version"
        )
    return int(expected_version)


def check_version(session_id: str, expected: Optional[int], current: int) -> None:
    """Refuse a write that expects another version of the session.

    Raises:
        ConflictError: with the current version in it.
    """
    if expected is not None and expected != current:
        raise ConflictError(
            f"session {session_id!r} is at version {current}, not {expected}: "
            f"read session_info and the messages again, then repeat the change",
            session_id=session_id,
            current_version=current,
        )
