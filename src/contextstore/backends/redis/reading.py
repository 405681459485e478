"""Read a session: its messages, a stretch of them, and what describes it."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from contextstore import messages
from contextstore.backends.filters import metadata_or_none
from contextstore.backends.place import damaged
from contextstore.backends.redis import layout
from contextstore.backends.redis.link import Request
from contextstore.backends.redis.room import Room, Snapshot
from contextstore.backends.results import SessionInfo
from contextstore.backends.stamps import iso_time
from contextstore.errors import (
    CorruptDataError,
    InteractionNotFoundError,
    SessionNotFoundError,
)
from contextstore.messages import Message


async def load(room: Room, session_id: str, k: Optional[int]) -> List[Message]:
    """Return the newest ``k`` messages of a session, or all, oldest first.

    Raises:
        CorruptDataError: one of them is damaged or missing.
    """
    if k == 0:
        return []
    until = room.link.give_up_at()
    found = await _glance(room, session_id, k)
    if found is not None:
        return found
    limit = "" if k is None else k
    seen = await room.read(session_id, "last", limit, until=until)
    return [] if seen is None else _opened(room, session_id, seen)


async def _glance(
    room: Room, session_id: str, k: Optional[int]
) -> Optional[List[Message]]:
    """Load with two plain commands, which cost the server a fifth of the script.

    The second sees all it gives at one moment; the first tells how many that has to be.
    Where they do not fit, as another client came between them or something is wrong,
    None leaves it to the script.
    """
    keys = room.keys(session_id)
    replies = await room.link.glance(
        keys.head,
        [
            ("HMGET", keys.head, "b", "n"),
            ("LRANGE", keys.messages, 0 if k is None else -k, -1),
        ],
    )
    if replies is None:
        return None
    (base, size), found = replies
    if base is None or size is None:
        return None
    try:
        count = int(size) if k is None else min(k, int(size))
        first = int(base) + int(size) - count + 1
        return layout.opened(room.place(session_id), found, first, count)
    except (CorruptDataError, ValueError):
        return None


def _opened(room: Room, session_id: str, seen: Snapshot) -> List[Message]:
    found = seen.packed.split()
    return layout.opened(room.place(session_id), found, seen.first, seen.length)


async def load_page(
    room: Room,
    session_id: str,
    before: Optional[str],
    after: Optional[str],
    limit: int,
) -> List[Message]:
    """Return the messages next to one, or the newest of all, oldest first."""
    cursor = after if before is None else before
    if cursor is None:
        return await load(room, session_id, limit)
    side = "before" if after is None else "after"
    seen = await room.read(session_id, side, layout.digest(cursor), limit)
    if seen is None or seen.first < 0:
        raise InteractionNotFoundError.of(session_id, cursor)
    return _opened(room, session_id, seen)


async def load_pinned(room: Room, session_id: str) -> List[Message]:
    """Return the pinned messages of a session, oldest first."""
    seen = await room.read(session_id, "pinned")
    if seen is None:
        return []
    place = room.place(session_id)
    return [
        messages.decode(layout.element_of(place, raw, position).record.body)
        for position, raw in zip(seen.pinned, seen.packed.split())
    ]


async def load_summaries(room: Room, session_id: str) -> Dict[str, str]:
    """Return the summaries kept beside a session."""
    encoded = await _head_field(room, session_id, "s")
    return {} if encoded is None else messages.decode(encoded)


async def metadata_of(room: Room, session_id: str) -> Optional[bytes]:
    """Return the encoded metadata of a session, or None where it does not exist."""
    return await _head_field(room, session_id, "m")


async def _head_field(room: Room, session_id: str, name: str) -> Optional[bytes]:
    key = room.keys(session_id).head
    value: Optional[bytes]
    value, _ = await room.link.ask(Request(key, ("HGET", key, name)))
    return value


class Seen(NamedTuple):
    """Be what a deletion has to know of a session.

    Attributes:
        origin: the version that it began at; empty where there is no session, or only
            a damaged one.
        size: how many messages it has.
        metadata: encoded.
    """

    origin: bytes = b""
    size: bytes = b"0"
    metadata: bytes = b"{}"


async def look_at(room: Room, session_id: str) -> Seen:
    """Return what a deletion has to know of a session, damaged as it may be."""
    key = room.keys(session_id).head
    try:
        answer = await room.link.ask(Request(key, ("HMGET", key, "o", "n", "m")))
    except CorruptDataError:
        return Seen()
    return Seen(*(value or unknown for value, unknown in zip(answer.value, Seen())))


async def clocks_of(room: Room, session_ids: Sequence[str]) -> List[int]:
    """Return what the clock of the server of each session says, in milliseconds."""
    keys = [room.keys(session_id).head for session_id in session_ids]
    return [
        int(seconds) * 1000 + int(microseconds) // 1000
        for seconds, microseconds in await room.link.ask_servers(keys, ("TIME",))
    ]


async def info(room: Room, session_id: str) -> SessionInfo:
    """Describe one session."""
    (found,) = await infos(room, [session_id])
    if found is None:
        raise SessionNotFoundError.of(session_id)
    return found


async def infos(room: Room, session_ids: Sequence[str]) -> List[Optional[SessionInfo]]:
    """Describe sessions; None stands for one that is not there."""
    keys = [room.keys(session_id).head for session_id in session_ids]
    replies = await room.link.ask_all(
        [Request(key, ("HMGET", key, "v", "n", "c", "u", "m")) for key in keys]
    )
    return [
        _described(room, session_id, reply)
        for session_id, reply in zip(session_ids, replies)
    ]


def _described(room: Room, session_id: str, row: List[Any]) -> Optional[SessionInfo]:
    version, count, created, updated, encoded = row
    if version is None:
        return None
    metadata = metadata_or_none(encoded)
    if metadata is None:
        fault = "the metadata of the session is damaged"
        raise damaged(room.link.location, fault, session_id=session_id)
    return SessionInfo(
        session_id=session_id,
        version=int(version),
        message_count=int(count),
        created_at=iso_time(int(created)),
        updated_at=iso_time(int(updated)),
        metadata=metadata,
    )
