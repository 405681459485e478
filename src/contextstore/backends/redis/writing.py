"""Carry out the writes of one session: read what is there, plan, and run one script.

An append needs no read. Every other change says which version it was planned for, and
is planned anew where the session changed meanwhile.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from contextstore import messages
from contextstore.backends.ages import Old, whole_groups
from contextstore.backends.filters import Filter, metadata_or_none
from contextstore.backends.place import damaged
from contextstore.backends.records import (
    Record,
    check_version,
    plan_append,
    plan_save,
    refuse_other_content,
    updated_record,
)
from contextstore.backends.redis import layout
from contextstore.backends.redis.layout import Element
from contextstore.backends.redis.reading import (
    load_summaries,
    look_at,
    metadata_of,
)
from contextstore.backends.redis.room import Change, Room, Snapshot, new_version
from contextstore.backends.redis.scripts import APPEND, DELETE, SUMMARIZE
from contextstore.backends.results import WriteResult
from contextstore.errors import (
    ConflictError,
    InteractionNotFoundError,
    SessionNotFoundError,
    UnavailableError,
)
from contextstore.messages import Message

_ANY = Filter()


async def append(
    room: Room,
    session_id: str,
    incoming: Sequence[Message],
    *,
    create: bool,
    expected_version: Optional[int],
) -> WriteResult:
    """Add the messages that are not there yet; one round trip for a new message."""
    plan = plan_append(session_id, incoming, _unknown, room.stamps)
    place = room.place(session_id)
    blobs = dict(enumerate(layout.added(place, plan.added)))
    expected: Any = "" if expected_version is None else expected_version
    start: Any = ""
    patience = room.patience(session_id)
    while True:
        # Where all turned out to be repeats, the version does not matter any more.
        is_repeat = bool(incoming) and not blobs
        answer = await room.run(
            APPEND,
            session_id,
            "" if is_repeat else expected,
            start,
            room.ttl,
            room.confirm,
            *blobs.values(),
        )
        if isinstance(answer.value, list):
            _leave_out_repeats(room, session_id, incoming, blobs, answer.value[1:])
            continue
        said, *details = answer.value.split()
        if said == b"ok":
            before, version, changed = map(int, details)
            room.index.touch(session_id, changed, at_once=start != "")
            return WriteResult(plan.ids, version, before=before)
        if said == b"stale":
            check_version(session_id, expected_version, int(details[0]))
        elif said != b"missing":
            raise UnavailableError(
                f"{room.link.location} gave an answer that the script does not give",
                location=room.link.location,
                session_id=session_id,
            )
        elif not create:
            raise SessionNotFoundError.of(session_id)
        patience.check()
        await room.index.add(session_id)
        start = new_version()


def _unknown(_: str) -> Optional[Record]:
    return None


def _leave_out_repeats(
    room: Room,
    session_id: str,
    incoming: Sequence[Message],
    blobs: Dict[int, bytes],
    found: Sequence[Any],
) -> None:
    """Take messages that are stored already out of what is sent.

    Raises:
        ConflictError: an id is stored with other content.
    """
    sent = list(blobs)
    place = room.place(session_id)
    for number, position, raw in zip(found[::3], found[1::3], found[2::3]):
        stored = layout.element_of(place, raw, position)
        index = sent[number]
        refuse_other_content(session_id, index, incoming[index], stored.record)
        del blobs[index]


async def save(
    room: Room,
    session_id: str,
    incoming: Sequence[Message],
    *,
    expected_version: Optional[int],
) -> WriteResult:
    """Write from where the new history parts from the stored one, and only that."""
    patience = room.patience(session_id)
    while True:
        seen = await room.read(session_id, "last", "")
        stored = room.elements(session_id, seen) if seen else []
        plan = plan_save(incoming, [one.record for one in stored], room.stamps)
        is_prefix = plan.kept == len(stored)
        if not seen or not is_prefix or plan.added:
            # A repeat of what is stored already says so, whatever the version is now.
            check_version(session_id, expected_version, seen.version if seen else 0)
        elif not room.confirm:
            return WriteResult(plan.ids, seen.version, plan.removed)
        change = _saved(seen, stored, plan.kept, plan.added)
        before = seen.version if seen else None
        if await room.change(session_id, before, change):
            return WriteResult(plan.ids, change.version, plan.removed)
        patience.check()


def _saved(
    seen: Optional[Snapshot],
    stored: Sequence[Element],
    kept: int,
    added: Sequence[Record],
) -> Change:
    base = seen.base if seen else 0
    version = (seen.version if seen else new_version()) + len(added)
    if kept < len(stored):
        # More than what it adds, so that no reader takes it for an append.
        version += 1
    pinned = [one.position for one in stored[:kept] if one.record.pinned]
    return Change(
        version,
        base,
        pinned + _pinned(added, base + kept),
        trim=(0, len(stored) - kept),
        forgotten=[one.record.id for one in stored[kept:]],
        added=added,
    )


def _pinned(records: Sequence[Record], last: int) -> List[int]:
    """Return the positions of the pinned ones of records that follow a position."""
    numbered = enumerate(records, start=last + 1)
    return [position for position, record in numbered if record.pinned]


async def delete_session(room: Room, session_id: str, wanted: Filter = _ANY) -> int:
    """Delete a session, and return how many messages it had.

    Repeated after a lost answer, the script ends the session that was seen before, and
    none that was made anew since.

    Args:
        wanted: what its metadata has to be like.

    Raises:
        SessionNotFoundError: there is no such session.
    """
    patience = room.patience(session_id)
    while True:
        seen = await look_at(room, session_id)
        if wanted.metadata and not wanted.admits(metadata_or_none(seen.metadata) or {}):
            raise SessionNotFoundError.of(session_id)
        answer = await room.run(DELETE, session_id, room.confirm, seen.origin)
        said, *count = answer.value.split()
        if answer.doubt or said == b"ok":
            break
        if said == b"missing":
            raise SessionNotFoundError.of(session_id)
        patience.check()
    if said != b"other":
        # Else it leads to the session that was made anew.
        await _drop_from_index(room, session_id)
    return int(count[0] if count else seen.size)


async def _drop_from_index(room: Room, session_id: str) -> None:
    """Take the id of a session that was deleted out of the index.

    Raises:
        UnavailableError: that failed; nobody sees the session all the same.
    """
    try:
        await room.index.drop([session_id])
    except UnavailableError as error:
        raise UnavailableError(
            f"{room.link.location}: session {session_id!r} was deleted, but its id is "
            f"still in the index of sessions; see the cause, and call list_sessions(), "
            f"which takes out what is gone",
            location=room.link.location,
            session_id=session_id,
        ) from error


async def delete_interaction(
    room: Room, session_id: str, interaction_id: str
) -> WriteResult:
    """Delete a message and all after it."""
    patience = room.patience(session_id)
    while True:
        seen, tail = await _from(room, session_id, interaction_id, "")
        removed = tuple(one.record.id for one in tail)
        change = Change(
            seen.version + 1,
            seen.base,
            [position for position in seen.pinned if position < seen.first],
            trim=(0, len(tail)),
            forgotten=removed,
        )
        if await room.change(session_id, seen.version, change):
            return WriteResult((), change.version, removed)
        patience.check()


async def _from(
    room: Room, session_id: str, interaction_id: str, limit: Any
) -> Tuple[Snapshot, List[Element]]:
    """Read from a message on.

    Raises:
        NotFoundError: there is no such session or message.
    """
    id_digest = layout.digest(interaction_id)
    seen = await room.read(session_id, "from", id_digest, limit)
    if seen is None:
        raise SessionNotFoundError.of(session_id)
    if seen.first < 0:
        raise InteractionNotFoundError.of(session_id, interaction_id)
    found = room.elements(session_id, seen)
    if not found or found[0].record.id != interaction_id:
        raise damaged(
            room.link.location,
            "the ids of the session lead to other messages",
            session_id=session_id,
            position=seen.first,
        )
    return seen, found


async def update_interaction(
    room: Room,
    session_id: str,
    interaction_id: str,
    message: Message,
    *,
    expected_version: Optional[int],
) -> WriteResult:
    """Put another message in the place of a stored one."""
    patience = room.patience(session_id)
    while True:
        seen, (old,) = await _from(room, session_id, interaction_id, 1)
        check_version(session_id, expected_version, seen.version)
        new = updated_record(message, old.record)
        if new is None:
            return WriteResult((interaction_id,), seen.version)
        pinned = {one for one in seen.pinned if one != old.position}
        if new.pinned:
            pinned.add(old.position)
        change = Change(
            seen.version + 1,
            seen.base,
            sorted(pinned),
            placed=[(old.position, new)],
        )
        if await room.change(session_id, seen.version, change):
            gone = (interaction_id,)
            return WriteResult(gone, change.version, gone)
        patience.check()


async def set_metadata(
    room: Room,
    session_id: str,
    metadata: Dict[str, Any],
    *,
    expected_version: Optional[int],
) -> WriteResult:
    """Give a session metadata, in place of what it had."""
    patience = room.patience(session_id)
    encoded = messages.encode(metadata)
    while True:
        stored = await metadata_of(room, session_id)
        seen = await room.read(session_id, "last", 0)
        if stored is None or seen is None:
            raise SessionNotFoundError.of(session_id)
        check_version(session_id, expected_version, seen.version)
        if stored == encoded:
            return WriteResult((), seen.version)
        change = Change(seen.version + 1, seen.base, seen.pinned, metadata=encoded)
        if await room.change(session_id, seen.version, change):
            return WriteResult((), change.version)
        patience.check()


async def fork(
    room: Room, session_id: str, target: str, at: Optional[str]
) -> WriteResult:
    """Copy a session, with metadata and summaries, by one script where the copy lies.

    The two may lie in different slots. Whatever ends this early, the copy is there
    whole or not at all.
    """
    metadata = await metadata_of(room, session_id)
    summaries = await load_summaries(room, session_id)
    seen = await room.read(session_id, "last", "")
    if seen is None:
        raise SessionNotFoundError.of(session_id)
    records = [one.record for one in room.elements(session_id, seen)]
    if at is not None:
        ids = [record.id for record in records]
        if at not in ids:
            raise InteractionNotFoundError.of(session_id, at)
        records = records[: ids.index(at) + 1]
    change = Change(
        new_version() + len(records),
        seen.base,
        _pinned(records, seen.base),
        added=records,
        metadata=metadata,
        summaries=messages.encode(dict(summaries)) if summaries else None,
    )
    if await room.change(target, None, change) is None:
        raise ConflictError(
            f"session {target!r} exists already; fork to a new id",
            session_id=target,
        )
    return WriteResult(tuple(record.id for record in records), change.version)


async def prune_session(
    room: Room, session_id: str, wanted: Old, *, dry_run: bool
) -> Tuple[str, ...]:
    """Remove what is old from one session, and return the ids of what went."""
    patience = room.patience(session_id)
    while True:
        seen = await room.read(session_id, "last", "")
        if seen is None:
            raise SessionNotFoundError.of(session_id)
        stored = room.elements(session_id, seen)
        records = [one.record for one in stored]
        old = stored[: len(whole_groups(records, _count_of_old(stored, wanted)))]
        gone = tuple(one.record.id for one in old if not one.record.pinned)
        if not gone or dry_run:
            return gone
        if await room.change(session_id, seen.version, _pruned(seen, old, gone)):
            return gone
        patience.check()


def _count_of_old(stored: Sequence[Element], wanted: Old) -> int:
    count = len(stored)
    if wanted.keep_last is not None:
        count = max(0, count - wanted.keep_last)
    if wanted.written_before is not None:
        for place, one in enumerate(stored[:count]):
            # A pinned one stays anyway, and holds up no other.
            if one.written >= wanted.written_before and not one.record.pinned:
                return place
    return count


def _pruned(seen: Snapshot, old: Sequence[Element], gone: Sequence[str]) -> Change:
    """Return the change that moves the pinned ones of the old before what stays."""
    last = seen.base + len(old)
    pinned = [one for one in old if one.record.pinned]
    base = last - len(pinned)
    front = [
        one._replace(position=position)
        for position, one in enumerate(pinned, start=base + 1)
    ]
    return Change(
        seen.version + 1,
        base,
        [one.position for one in front]
        + [position for position in seen.pinned if position > last],
        trim=(len(old), 0),
        forgotten=gone,
        front=front,
    )


async def save_summaries(
    room: Room, session_id: str, summaries: Mapping[str, str]
) -> None:
    """Make these the summaries of a session; its version stays."""
    encoded = messages.encode(dict(summaries))
    answer = await room.run(SUMMARIZE, session_id, encoded)
    if answer.value == b"missing":
        raise SessionNotFoundError.of(session_id)
