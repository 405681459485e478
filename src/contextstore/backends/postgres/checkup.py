"""Read everything and tell what is damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Tuple

from contextstore import messages
from contextstore.backends.filters import metadata_or_none
from contextstore.backends.postgres.keys import (
    Place,
    message_key,
    place_seal,
    seal,
    session_key,
)
from contextstore.backends.results import Problem, VerifyReport

if TYPE_CHECKING:
    from contextstore.backends.postgres.engine import Engine, Row

_SESSIONS = """
SELECT session::text, session_id, last, pruned, indexed, metadata FROM context_sessions
WHERE session > %(after)s::uuid ORDER BY session LIMIT %(limit)s"""
_MESSAGES = """
SELECT position, checksum, body, message_key::text FROM context_messages
WHERE session = %(session)s::uuid AND position > %(after)s
ORDER BY position LIMIT %(limit)s"""
_ORPHANS = """
SELECT m.session::text, count(*) FROM context_messages AS m
WHERE NOT EXISTS (SELECT FROM context_sessions AS s WHERE s.session = m.session)
GROUP BY m.session"""
_DELETE_ORPHANS = """
WITH gone AS (
    DELETE FROM context_messages WHERE session = %(session)s::uuid AND NOT EXISTS (
        SELECT FROM context_sessions WHERE session = %(session)s::uuid)
)
SELECT 1"""
_STRAY_TEXTS = """
SELECT t.session::text, count(*) FROM context_texts AS t
JOIN context_sessions AS s USING (session)
WHERE t.position <= s.indexed AND NOT EXISTS (
    SELECT FROM context_messages AS m
    WHERE m.session = t.session AND m.position = t.position)
GROUP BY t.session"""
_FORGET_TEXTS = """
WITH held AS (
    UPDATE context_sessions SET indexed = pruned WHERE session = %(session)s::uuid
), gone AS (
    DELETE FROM context_texts WHERE session = %(session)s::uuid
), again AS (
    UPDATE context_schema SET searched = 0
)
SELECT 1"""
_BATCH = 1000
_NO_KEY = "00000000-0000-0000-0000-000000000000"


async def verify(engine: Engine, *, repair: bool) -> VerifyReport:
    """Read every session and message; a write meanwhile may be seen half."""
    session_count = message_count = 0
    problems: List[Problem] = []
    after = _NO_KEY
    while True:
        found = await engine.fetch(_SESSIONS, {"after": after, "limit": _BATCH})
        for row in found:
            session_count += 1
            count, wrong = await _session(engine, row)
            message_count += count
            problems += wrong
        if len(found) < _BATCH:
            break
        after = found[-1][0]
    problems += await _orphans(engine, repair=repair)
    problems += await _index(engine, repair=repair)
    return VerifyReport(session_count, message_count, tuple(problems))


async def _session(engine: Engine, row: Row) -> Tuple[int, List[Problem]]:
    """Return how many messages a session has, and what is wrong with it."""
    key, session_id, last, pruned, _, metadata = row
    problems: List[Problem] = []
    if session_key(session_id) != key.replace("-", ""):
        problems.append(Problem("session", "its key is another's", session_id))
    if metadata_or_none(metadata) is None:
        problems.append(Problem("session", "its metadata is damaged", session_id))
    place = Place(engine.location, session_id, key)
    count, expected = 0, pruned + 1
    while True:
        values: Dict[str, Any] = {
            "session": key,
            "after": expected - 1 if count else -1,
            "limit": _BATCH,
        }
        found = await engine.fetch(_MESSAGES, values)
        for message in found:
            problems += _message(place, message, expected, last)
            expected = message[0] + 1
            count += 1
        if len(found) < _BATCH:
            break
    problems += _missing(place, expected, last + 1)
    return count, problems


def _message(place: Place, row: Row, expected: int, last: int) -> Iterator[Problem]:
    position, checksum, body, key = row
    yield from _missing(place, expected, position)
    if position < expected or position > last:
        detail = "it stands where its session has no messages"
        yield Problem("message", detail, place.session_id, position)
    if place_seal(seal(place.base(), body), position) != checksum:
        detail = "its checksum is wrong"
        yield Problem("message", detail, place.session_id, position)
    elif not _is_key_of(body, key):
        detail = "its key is not that of its id"
        yield Problem("message", detail, place.session_id, position)


def _is_key_of(body: bytes, key: str) -> bool:
    own = message_key(str(messages.decode(body).get("id")))
    return own.replace("-", "") == key.replace("-", "")


def _missing(place: Place, first: int, end: int) -> Iterator[Problem]:
    if first < end:
        detail = f"{end - first} messages are missing from here on"
        yield Problem("missing", detail, place.session_id, first)


async def _orphans(engine: Engine, *, repair: bool) -> List[Problem]:
    found = await engine.fetch(_ORPHANS, {})
    if repair:
        for key, _ in found:
            await engine.fetch(_DELETE_ORPHANS, {"session": key})
    return [
        Problem("orphan", f"{count} messages of no session ({key})", repaired=repair)
        for key, count in found
    ]


async def _index(engine: Engine, *, repair: bool) -> List[Problem]:
    found = await engine.fetch(_STRAY_TEXTS, {})
    if repair:
        for key, _ in found:
            await engine.fetch(_FORGET_TEXTS, {"session": key})
    return [
        Problem("index", f"it holds {count} messages that are gone", repaired=repair)
        for _, count in found
    ]
