"""Read everything and tell what is damaged; mend what can be made from the messages."""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional, Set

from contextstore.backends.filters import Filter, metadata_or_none
from contextstore.backends.redis import layout
from contextstore.backends.redis.index import Entry
from contextstore.backends.redis.layout import Element
from contextstore.backends.redis.link import Request
from contextstore.backends.redis.room import Change, Room
from contextstore.backends.redis.scanning import all_keys, session_ids
from contextstore.backends.results import Problem, VerifyReport
from contextstore.errors import CorruptDataError

_BATCH = 1000


async def verify(room: Room, *, repair: bool) -> VerifyReport:
    """Check every session, and the index of sessions."""
    ids = await session_ids(room, Filter())
    problems = await _without_head(room, set(ids))
    count = 0
    for session_id in ids:
        checked = await _look(room, session_id)
        if checked is None:
            continue
        count += len(checked.elements)
        problems += await _judged(room, session_id, checked, repair=repair)
    problems += await _index_problems(room, set(ids), repair=repair)
    return VerifyReport(len(ids), count, tuple(problems))


class _Checked(NamedTuple):
    """Be what was found of one session."""

    version: int
    base: int
    elements: List[Element]
    faults: List[Problem]
    is_derived_wrong: bool
    strays: List[bytes]


async def _look(room: Room, session_id: str) -> Optional[_Checked]:
    keys = room.keys(session_id)
    head, raw, ids = await room.link.ask_all(
        [
            Request(keys.head, ("HMGET", keys.head, "v", "b", "n", "p", "m")),
            Request(keys.messages, ("LRANGE", keys.messages, 0, -1)),
            Request(keys.ids, ("HGETALL", keys.ids)),
        ]
    )
    version, base, length, pinned, metadata = head
    if version is None:
        return None
    faults: List[Problem] = []
    if metadata_or_none(metadata) is None:
        faults.append(_problem("session", "its metadata is damaged", session_id))
    elements = _sound(room, session_id, int(base), raw, faults)
    if len(raw) < int(length):
        missing = int(base) + len(raw) + 1
        faults.append(
            _problem("missing", "the message is missing", session_id, missing)
        )
    known: Dict[bytes, bytes] = dict(zip(ids[::2], ids[1::2]))
    wanted = {layout.digest(one.record.id): b"%d" % one.position for one in elements}
    marked = [one.position for one in elements if one.record.pinned]
    is_derived_wrong = (
        known != wanted
        or list(layout.pinned_positions(pinned or b"")) != marked
        or len(raw) > int(length)
    )
    strays = sorted(known.keys() - wanted.keys())
    return _Checked(int(version), int(base), elements, faults, is_derived_wrong, strays)


def _sound(
    room: Room, session_id: str, base: int, raw: List[bytes], faults: List[Problem]
) -> List[Element]:
    """Return the elements that are whole; the others become faults."""
    place = room.place(session_id)
    elements: List[Element] = []
    for position, one in enumerate(raw, start=base + 1):
        try:
            elements.append(layout.element_of(place, one, position))
        except (CorruptDataError, ValueError, KeyError):
            detail = "the message is damaged, or not in its place"
            faults.append(_problem("message", detail, session_id, position))
    return elements


async def _judged(
    room: Room, session_id: str, checked: _Checked, *, repair: bool
) -> List[Problem]:
    problems = checked.faults
    if not problems and checked.is_derived_wrong:
        mended = repair and await _mend(room, session_id, checked)
        detail = "what is derived from its messages does not fit them"
        problems.append(Problem("session", detail, session_id, None, mended))
    return problems


async def _mend(room: Room, session_id: str, checked: _Checked) -> bool:
    """Write the elements anew, each in its place, and with them what is derived."""
    change = Change(
        checked.version + 1,
        checked.base,
        [one.position for one in checked.elements if one.record.pinned],
        trim=(len(checked.elements), 0),
        strays=checked.strays,
        front=checked.elements,
        mends=True,
    )
    return await room.change(session_id, checked.version, change) is not None


async def _without_head(room: Room, ids: Set[str]) -> List[Problem]:
    pattern = layout.keys_pattern(room.namespace, b"[mi]")
    return [
        _problem("session", "the server lost a key of the session", session_id)
        for session_id in sorted(await all_keys(room, pattern))
        if session_id not in ids
    ]


async def _index_problems(room: Room, ids: Set[str], *, repair: bool) -> List[Problem]:
    """Compare the index with the sessions; what it has too much is no problem."""
    reader = await room.index.pages(None)
    entries: List[Entry] = []
    while True:
        found = await reader.next(_BATCH)
        entries += found
        if len(found) < _BATCH:
            break
    missing = sorted(ids - {one.session_id for one in entries})
    if repair:
        await room.index.forget([one for one in entries if one.session_id not in ids])
        for session_id in missing:
            await room.index.add(session_id)
    return [
        Problem("index", "the index lacks the session", one, None, repair)
        for one in missing
    ]


def _problem(
    kind: str, detail: str, session_id: str, position: Optional[int] = None
) -> Problem:
    return Problem(kind, detail, session_id, position)
