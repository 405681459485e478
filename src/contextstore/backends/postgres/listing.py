"""List sessions and describe them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Tuple

from contextstore.backends.filters import Filter, marks_of, metadata_or_none
from contextstore.backends.place import damaged
from contextstore.backends.postgres.keys import Place
from contextstore.backends.postgres.rows import ALIVE
from contextstore.backends.results import SessionInfo, SessionPage
from contextstore.backends.stamps import iso_time
from contextstore.errors import InvalidInputError, SessionNotFoundError

if TYPE_CHECKING:
    from contextstore.backends.postgres.engine import Engine, Row

# At most 18 digits: Postgres counts to 2**63.
_CURSOR = re.compile(r"([0-9]{1,18})-([0-9a-f]{32})")
_DESCRIBED = """
    session_id, last, pruned, changes, created, updated, metadata, session::text"""
_INFO = f"""
SELECT {_DESCRIBED} FROM context_sessions
WHERE session = %(session)s::uuid AND {ALIVE}"""
_WANTED = f"""
    session_id >= %(first)s AND session_id < %(end)s
    AND marks @> %(marks)s::bigint[] AND {ALIVE}"""
# Sorted by the coarse time first, which an index has; within it by the exact one.
_PAGE = f"""
SELECT {_DESCRIBED} FROM context_sessions
WHERE recent <= (%(updated)s::bigint >> 20)
    AND (updated, session) < (%(updated)s::bigint, %(cursor)s::uuid) AND {_WANTED}
ORDER BY recent DESC, updated DESC, session DESC LIMIT %(limit)s::bigint"""
_IDS = f"""
SELECT session_id, metadata FROM context_sessions
WHERE session_id > %(after)s AND {_WANTED}
ORDER BY session_id LIMIT %(limit)s::bigint"""
_BATCH = 1000
_NO_KEY = "0" * 32
_END_OF_TIME = 2**50
_LAST = "\U0010ffff"


class Cursor(NamedTuple):
    """Say after which session the next page begins."""

    updated: int = _END_OF_TIME
    key: str = _NO_KEY

    @classmethod
    def parse(cls, cursor: Any) -> Cursor:
        """Return what a cursor stands for.

        Raises:
            InvalidInputError: no page gave this cursor.
        """
        if cursor is None:
            return cls()
        found = _CURSOR.fullmatch(cursor) if isinstance(cursor, str) else None
        if found is None:
            raise InvalidInputError(
                "cursor is none that list_sessions gave", path="cursor"
            )
        return cls(int(found.group(1)), found.group(2))

    def __str__(self) -> str:
        return f"{self.updated}-{self.key}"


async def info(engine: Engine, place: Place) -> SessionInfo:
    """Describe one session."""
    found = await engine.fetch(_INFO, {"session": place.key})
    if not found:
        raise SessionNotFoundError.of(place.session_id)
    return _described(engine.location, found[0])


async def page(
    engine: Engine, wanted: Filter, limit: int, cursor: Cursor
) -> SessionPage:
    """Return a page of sessions, the newest change first."""
    sessions: List[SessionInfo] = []
    end = cursor
    while True:
        asked = min(limit - len(sessions), _BATCH) + 1
        values = {
            **_values(wanted),
            "updated": end.updated,
            "cursor": end.key,
            "limit": asked,
        }
        found = await engine.fetch(_PAGE, values, by_values=True)
        for row in found:
            if len(sessions) == limit:
                return SessionPage(sessions, str(end))
            end = Cursor(row[5], row[7].replace("-", ""))
            one = _described(engine.location, row)
            if wanted.admits(one.metadata):
                sessions.append(one)
        if len(found) < asked:
            return SessionPage(sessions, None)


async def ids(engine: Engine, wanted: Filter) -> List[str]:
    """Return the ids of all sessions that are meant, sorted."""
    names: List[str] = []
    after = ""
    while True:
        values = {**_values(wanted), "after": after, "limit": _BATCH}
        found = await engine.fetch(_IDS, values, by_values=True)
        for name, encoded in found:
            place = Place.of(engine.location, name)
            if not wanted.metadata or wanted.admits(metadata_of(place, encoded)):
                names.append(name)
        if len(found) < _BATCH:
            return names
        after = found[-1][0]


def range_of(wanted: Filter) -> Tuple[str, str]:
    """Return the first id that fits the prefix, and one after the last.

    No id has a NUL, which Postgres cannot take either: the range is then empty.
    """
    if "\0" in (wanted.prefix or ""):
        return _LAST, _LAST
    return wanted.range()


def metadata_of(place: Place, encoded: bytes) -> Dict[str, Any]:
    """Return the metadata of a session.

    Raises:
        CorruptDataError: it is damaged.
    """
    metadata = metadata_or_none(encoded)
    if metadata is None:
        raise damaged(
            place.location,
            "the metadata of the session is damaged",
            session_id=place.session_id,
        )
    return metadata


def _values(wanted: Filter) -> Dict[str, Any]:
    first, end = range_of(wanted)
    return {"first": first, "end": end, "marks": marks_of(wanted.metadata or {})}


def _described(location: str, row: Row) -> SessionInfo:
    session_id, last, pruned, changes, created, updated, metadata, _ = row
    return SessionInfo(
        session_id=session_id,
        version=last + changes,
        message_count=last - pruned,
        created_at=iso_time(created),
        updated_at=iso_time(updated),
        metadata=metadata_of(Place.of(location, session_id), metadata),
    )
