"""Work out what is written where a session is saved, rewound, edited or forked."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from contextstore import messages
from contextstore.backends.ages import Old, whole_groups
from contextstore.backends.filters import marks_of
from contextstore.backends.postgres.changes import Change, making, rewriting
from contextstore.backends.postgres.keys import Place
from contextstore.backends.postgres.rows import State, Stored, existing
from contextstore.backends.records import (
    Record,
    check_version,
    plan_save,
    updated_record,
)
from contextstore.backends.results import WriteResult
from contextstore.backends.stamps import Stamps
from contextstore.errors import ConflictError, InteractionNotFoundError
from contextstore.messages import Message

Plan = Callable[[Optional[State], List[Stored]], Change]


def save(
    place: Place,
    incoming: Sequence[Message],
    stamps: Stamps,
    *,
    expected_version: Optional[int],
    lifetime: Optional[int],
) -> Plan:
    """Write from where the new history parts from the stored one, and only that."""

    def plan(state: Optional[State], stored: List[Stored]) -> Change:
        before = state.version if state else 0
        saved = plan_save(incoming, [one.record for one in stored], stamps)
        kept = (state.pruned if state else 0) + saved.kept
        if state is None or kept < state.last or saved.added:
            # A repeat of what is stored says so, whatever the version is by now.
            check_version(place.session_id, expected_version, before)
        added = _placed(saved.added, kept + 1)
        if state is None:
            return making(place, WriteResult(saved.ids, 0), added, lifetime=lifetime)
        if kept == state.last and not added:
            return Change(WriteResult(saved.ids, before))
        # More than what it adds, so that no reader takes a rewrite for an append.
        version = before + len(added) + (kept < state.last)
        old = {one.record.id for one in stored[saved.kept :]}
        return rewriting(
            place,
            state,
            WriteResult(saved.ids, version, saved.removed),
            last=kept + len(added),
            first=kept + 1,
            until=state.last,
            added=added,
            staying=sorted(old.difference(saved.removed)),
        )

    return plan


def rewind(place: Place, interaction_id: str) -> Plan:
    """Delete a message and all after it."""

    def plan(state: Optional[State], stored: List[Stored]) -> Change:
        state = existing(state, place)
        if not stored or stored[0].record.id != interaction_id:
            raise InteractionNotFoundError.of(place.session_id, interaction_id)
        first = stored[0].position
        removed = tuple(one.record.id for one in stored)
        result = WriteResult((), state.version + 1, removed)
        return rewriting(
            place, state, result, last=first - 1, first=first, until=state.last
        )

    return plan


def update(
    place: Place,
    interaction_id: str,
    message: Message,
    *,
    expected_version: Optional[int],
) -> Plan:
    """Put another message in the place of a stored one."""

    def plan(state: Optional[State], stored: List[Stored]) -> Change:
        state = existing(state, place)
        check_version(place.session_id, expected_version, state.version)
        if not stored or stored[0].record.id != interaction_id:
            raise InteractionNotFoundError.of(place.session_id, interaction_id)
        position, old, _ = stored[0]
        new = updated_record(message, old)
        ids = (interaction_id,)
        if new is None:
            return Change(WriteResult(ids, state.version))
        return rewriting(
            place,
            state,
            WriteResult(ids, state.version + 1, ids),
            last=state.last,
            first=position,
            until=position,
            added=[Stored(position, new, 0)],
        )

    return plan


def set_metadata(
    place: Place, metadata: Dict[str, Any], *, expected_version: Optional[int]
) -> Callable[[Optional[State], bytes], Change]:
    """Give a session metadata, in place of what it had."""

    def plan(state: Optional[State], stored: bytes) -> Change:
        state = existing(state, place)
        check_version(place.session_id, expected_version, state.version)
        encoded = messages.encode(metadata)
        if encoded == stored:
            return Change(WriteResult((), state.version))
        return rewriting(
            place,
            state,
            WriteResult((), state.version + 1),
            last=state.last,
            first=state.last + 1,
            until=state.last,
            metadata=encoded,
            marks=marks_of(metadata),
        )

    return plan


class Source(NamedTuple):
    """Be what a fork copies."""

    state: State
    stored: List[Stored]
    metadata: bytes
    marks: List[int]


def fork(
    place: Place, target: Place, at: Optional[str]
) -> Callable[[Optional[State], Optional[Source]], Change]:
    """Copy a session, its messages, their vectors and its metadata under a new id."""

    def plan(state: Optional[State], source: Optional[Source]) -> Change:
        held = existing(source and source.state, place)
        assert source is not None  # noqa: S101 - existing() has looked
        copied = source.stored
        if at is not None:
            ids = [one.record.id for one in copied]
            if at not in ids:
                raise InteractionNotFoundError.of(place.session_id, at)
            copied = copied[: ids.index(at) + 1]
        if state is not None:
            raise ConflictError(
                f"session {target.session_id!r} exists already; fork to a new id",
                session_id=target.session_id,
            )
        return making(
            target,
            WriteResult(tuple(one.record.id for one in copied), 0),
            [one._replace(written=0) for one in copied],
            lifetime=held.lifetime,
            source=place,
            pruned=held.pruned,
            metadata=source.metadata,
            marks=source.marks,
        )

    return plan


def prune(place: Place, wanted: Old) -> Plan:
    """Remove what is old, and move the pinned messages of it before what stays."""

    def plan(state: Optional[State], stored: List[Stored]) -> Change:
        state = existing(state, place)
        length = max(_length_of_old(stored, wanted), 0)
        old = stored[: len(whole_groups([one.record for one in stored], length))]
        gone = tuple(one.record.id for one in old if not one.record.pinned)
        if not gone:
            return Change(WriteResult((), state.version))
        pinned = [one for one in old if one.record.pinned]
        until = state.pruned + len(old)
        pruned = until - len(pinned)
        return rewriting(
            place,
            state,
            WriteResult((), state.version + 1, gone),
            last=state.last,
            first=state.pruned + 1,
            until=until,
            added=[
                one._replace(position=place_)
                for place_, one in enumerate(pinned, start=pruned + 1)
            ],
            staying=[one.record.id for one in pinned],
            pruned=pruned,
            # What was moved is indexed anew, and with it what follows.
            indexed=pruned if pinned else state.last,
        )

    return plan


def _length_of_old(stored: Sequence[Stored], wanted: Old) -> int:
    """Return how many messages from the first on are old."""
    length = len(stored)
    if wanted.keep_last is not None:
        length -= wanted.keep_last
    if wanted.written_before is not None:
        for place, one in enumerate(stored):
            # A pinned one stays anyway, and holds up no other.
            if one.written >= wanted.written_before and not one.record.pinned:
                return min(length, place)
    return length


def _placed(records: Sequence[Record], first: int) -> List[Stored]:
    return [
        Stored(position, record, 0)
        for position, record in enumerate(records, start=first)
    ]
