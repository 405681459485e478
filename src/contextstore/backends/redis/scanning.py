"""Go over all sessions: search their words, prune, erase and verify them.

What goes over all sessions asks the servers for their keys, not the index, so that no
session is left out; it costs as much as there is stored.
"""

from __future__ import annotations

from typing import (
    Any,
    Dict,
    List,
    Optional,
    Sequence,
    Set,
    Tuple,
)

from contextstore.backends.ages import Age
from contextstore.backends.filters import Filter
from contextstore.backends.redis import layout, writing
from contextstore.backends.redis.reading import clocks_of, infos
from contextstore.backends.redis.room import Room
from contextstore.backends.results import (
    EraseReceipt,
    PruneResult,
    TextMatch,
)
from contextstore.backends.texts import BestMatches
from contextstore.errors import SessionNotFoundError

_BATCH = 256


async def all_keys(room: Room, pattern: bytes) -> Set[str]:
    """Return the sessions that have a key of a pattern, asking every server."""
    found: Set[str] = set()
    for node in await room.link.primaries():
        cursor: Any = b"0"
        while True:
            command = ("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
            cursor, keys = await room.link.ask_node(node, command)
            found.update(layout.session_of(room.namespace, key) for key in keys)
            if cursor == b"0":
                break
    return found


async def session_ids(room: Room, wanted: Filter) -> List[str]:
    """Return the ids of all sessions that are meant, sorted."""
    found = await all_keys(room, layout.keys_pattern(room.namespace, b"h"))
    prefix = wanted.prefix or ""
    ids = sorted(one for one in found if one.startswith(prefix))
    if not wanted.metadata:
        return ids
    fitting: List[str] = []
    for first in range(0, len(ids), _BATCH):
        described = await infos(room, ids[first : first + _BATCH])
        fitting += [
            one.session_id for one in described if one and wanted.admits(one.metadata)
        ]
    return fitting


async def prune(
    room: Room, session_id: Optional[str], age: Age, *, dry_run: bool
) -> PruneResult:
    """Remove what is old from one session or all."""
    if session_id is not None:
        ids = [session_id]
    else:
        ids = await session_ids(room, Filter())
    # Together, as a server has one clock, whatever the number of its sessions.
    clocks = await clocks_of(room, ids) if age.needs_clock else [0] * len(ids)
    removed: Dict[str, Tuple[str, ...]] = {}
    for one, now in zip(ids, clocks):
        try:
            gone = await writing.prune_session(room, one, age.by(now), dry_run=dry_run)
        except SessionNotFoundError:
            if session_id is not None:
                raise
            # It was deleted after it was found.
            continue
        if gone:
            removed[one] = gone
    return PruneResult(removed, dry_run)


async def erase(room: Room, session_id: Optional[str], wanted: Filter) -> EraseReceipt:
    """Delete the sessions that are meant."""
    if session_id is not None:
        ids = [session_id]
    else:
        ids = await session_ids(room, wanted)
    erased: List[str] = []
    count = 0
    for one in ids:
        try:
            count += await writing.delete_session(room, one, wanted)
        except SessionNotFoundError:
            if session_id is not None:
                raise
            # It was deleted, or given other metadata, after it was found.
            continue
        erased.append(one)
    # Snapshots and append-only files are the server's: it writes them anew later.
    return EraseReceipt(tuple(erased), count, 0, purged=False)


async def search(
    room: Room,
    words: Sequence[str],
    session_id: Optional[str],
    wanted: Filter,
    limit: int,
) -> List[TextMatch]:
    """Return the messages that hold all words, the best first, by reading them all."""
    if session_id is not None:
        ids = [session_id] if _fits(session_id, wanted) else []
    else:
        ids = await session_ids(room, wanted)
    best = BestMatches(words)
    for one in ids:
        seen = await room.read(one, "last", "")
        if seen is not None:
            for element in room.elements(one, seen):
                best.look_at(one, element.record)
    return best.matches(limit)


def _fits(session_id: str, wanted: Filter) -> bool:
    return session_id.startswith(wanted.prefix or "")
