"""List sessions, by what the index says and what the sessions themselves say."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Optional

from contextstore.backends.filters import Filter
from contextstore.backends.redis.index import Entry
from contextstore.backends.redis.reading import infos
from contextstore.backends.redis.room import Room
from contextstore.backends.results import SessionInfo, SessionPage
from contextstore.errors import InvalidInputError

_CURSOR = re.compile(r"(0|-[0-9]{1,18}):(.{1,512})", re.DOTALL)
_FEWEST = 50


async def page(
    room: Room, wanted: Filter, limit: int, cursor: Optional[Entry]
) -> SessionPage:
    """Return a page of sessions, the newest change first."""
    reader = await room.index.pages(cursor)
    found: Dict[str, SessionInfo] = {}
    last: Optional[Entry] = None
    while True:
        asked = max(limit + 1 - len(found), _FEWEST)
        entries = await reader.next(asked)
        fitting = [one for one in entries if _fits(one.session_id, wanted)]
        sessions = await infos(room, [one.session_id for one in fitting])
        gone: List[Entry] = []
        for entry, session in zip(fitting, sessions):
            if session is None:
                gone.append(entry)
            # One that is deleted and made anew meanwhile comes again, as the oldest.
            elif wanted.admits(session.metadata) and entry.session_id not in found:
                if len(found) == limit:
                    return _page(found, last)
                found[entry.session_id] = session
                last = entry
        await room.index.forget(gone)
        if len(entries) < asked:
            return _page(found, None)


def _fits(session_id: str, wanted: Filter) -> bool:
    return session_id.startswith(wanted.prefix or "")


def _page(found: Dict[str, SessionInfo], last: Optional[Entry]) -> SessionPage:
    # The index may be a moment behind what the sessions say themselves.
    sessions = sorted(found.values(), key=lambda one: one.updated_at, reverse=True)
    return SessionPage(sessions, f"{last.age}:{last.session_id}" if last else None)


def parse_cursor(cursor: Any) -> Optional[Entry]:
    """Return what a cursor stands for.

    Raises:
        InvalidInputError: no page gave this cursor.
    """
    if cursor is None:
        return None
    found = _CURSOR.fullmatch(cursor) if isinstance(cursor, str) else None
    if found is None:
        raise InvalidInputError("cursor is none that list_sessions gave", path="cursor")
    return Entry(int(found.group(1)), found.group(2))
