"""Search the words of messages: bring the index up to date, then ask it.

An append does not touch the index. A search first puts in what was added since the last
one: of its own session, or of those that changed since the last search over all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Tuple

from contextstore import messages
from contextstore.backends.filters import Filter
from contextstore.backends.postgres.keys import Place, place_seal, seal
from contextstore.backends.postgres.listing import range_of
from contextstore.backends.postgres.rows import ALIVE, NOW
from contextstore.backends.results import TextMatch
from contextstore.backends.texts import split_words, text_of_body, words_of

if TYPE_CHECKING:
    from contextstore.backends.postgres.engine import Engine, Row

# How many messages one statement indexes, and of how many sessions at most.
_BATCH = 2000
_SESSIONS = 500
# Postgres refuses a tsvector beyond 1 MB; of a longer text the first words are found.
_MOST_BYTES = 400_000

_IN_REACH = """
    (%(session)s::uuid IS NULL OR session = %(session)s::uuid)
    AND session_id >= %(first)s AND session_id < %(end)s"""
_BEHIND = f"""
WITH behind AS (
    SELECT session, indexed, changes FROM context_sessions
    WHERE recent >= %(since)s AND last > indexed AND {_IN_REACH}
    ORDER BY recent LIMIT {_SESSIONS}
)
SELECT session::text, indexed, changes, m.position, m.body
FROM behind JOIN LATERAL (
    SELECT position, body FROM context_messages AS m
    WHERE m.session = behind.session AND m.position > behind.indexed
    ORDER BY position LIMIT {_BATCH}
) AS m ON true LIMIT {_BATCH}"""
# Only where the session is as it was read; else the next look sees what came.
_EXTEND = """
WITH held AS (
    UPDATE context_sessions AS s SET indexed = given.until
    FROM unnest(%(sessions)s::uuid[], %(indexed)s::bigint[], %(changes)s::bigint[],
        %(until)s::bigint[]) AS given (session, indexed, changes, until)
    WHERE s.session = given.session AND s.indexed = given.indexed
        AND s.changes = given.changes
    RETURNING s.session
)
INSERT INTO context_texts (session, position, words)
SELECT session, position, to_tsvector('context_words', text)
FROM held JOIN unnest(%(owners)s::uuid[], %(positions)s::bigint[], %(texts)s::text[])
    AS given (session, position, text) USING (session)
ON CONFLICT (session, position) DO UPDATE SET words = excluded.words RETURNING 1"""
_SEARCHED = "SELECT searched FROM context_schema"
_HAVE_SEARCHED = "UPDATE context_schema SET searched = %(since)s RETURNING 1"
_NOW_RECENT = f"SELECT ({NOW} >> 20)::integer"
_SEARCH = f"""
SELECT s.session_id, m.position, m.checksum, m.body, m.message_key::text,
    m.message_name, ts_rank(t.words, query) AS score
FROM plainto_tsquery('context_words', %(words)s) AS query
JOIN context_texts AS t ON t.words @@ query
JOIN (SELECT session, session_id, indexed FROM context_sessions
    WHERE {_IN_REACH} AND {ALIVE}) AS s USING (session)
JOIN context_messages AS m USING (session, position)
WHERE t.position <= s.indexed
ORDER BY score DESC, m.written, s.session_id, m.position LIMIT %(limit)s::bigint"""
_MOST_ROWS = 2**63 - 1


class Search(NamedTuple):
    """Be one search.

    Attributes:
        words: the words of the query.
        session_id: the session to look into; None for all.
        wanted: which sessions to look into.
        limit: how many matches at most.
    """

    words: List[str]
    session_id: Optional[str]
    wanted: Filter
    limit: int

    @classmethod
    def checked(
        cls, query: Any, session_id: Optional[str], prefix: Any, limit: Any
    ) -> Search:
        """Return a search of validated values."""
        if session_id is not None:
            messages.validate_session_id(session_id)
        return cls(
            words_of(messages.validate_text(query, "query")),
            session_id,
            Filter.checked(prefix, None),
            messages.validate_limit(limit),
        )

    async def run(self, engine: Engine) -> List[TextMatch]:
        """Return what fits best, the older message first where two fit as well."""
        reach = self._reach()
        await _catch_up(engine, reach)
        values = {
            **reach,
            "words": " ".join(self.words),
            "limit": min(self.limit, _MOST_ROWS),
        }
        found = await engine.fetch(_SEARCH, values, by_values=True)
        return [_match(engine.location, row) for row in found]

    def _reach(self) -> Dict[str, Any]:
        first, end = range_of(self.wanted)
        key = None
        if self.session_id is not None:
            key = Place.of("", self.session_id).key
        return {"session": key, "first": first, "end": end}


async def _catch_up(engine: Engine, reach: Dict[str, Any]) -> None:
    """Index what was added to the sessions in reach."""
    is_all = reach["session"] is None
    since = (await engine.fetch(_SEARCHED, {}))[0][0] if is_all else 0
    ((now,),) = await engine.fetch(_NOW_RECENT, {})
    while await _extend(engine, {**reach, "since": since}):
        pass
    if is_all and reach["first"] == "" and since < now - 1:
        # One step back: a write of these last minutes may not be committed yet.
        await engine.fetch(_HAVE_SEARCHED, {"since": now - 1})


async def _extend(engine: Engine, values: Dict[str, Any]) -> bool:
    """Index the next batch of messages; False once nothing is left to index."""
    found = await engine.fetch(_BEHIND, values, by_values=True)
    if not found:
        return False
    until: Dict[str, Tuple[int, int, int]] = {}
    for session, indexed, changes, position, _ in found:
        newest = until.get(session, (0, 0, position))[2]
        until[session] = (indexed, changes, max(newest, position))
    await engine.fetch(
        _EXTEND,
        {
            "sessions": list(until),
            "indexed": [state[0] for state in until.values()],
            "changes": [state[1] for state in until.values()],
            "until": [state[2] for state in until.values()],
            "owners": [row[0] for row in found],
            "positions": [row[3] for row in found],
            "texts": [searchable(row[4]) for row in found],
        },
    )
    return True


def searchable(body: bytes) -> str:
    """Return the words of a message, as many as an index of Postgres takes."""
    words = split_words(text_of_body(body))
    text = " ".join(words)
    if len(text) * 4 <= _MOST_BYTES:
        return text
    distinct = " ".join(dict.fromkeys(words)).encode("utf-8")[:_MOST_BYTES]
    return distinct.decode("utf-8", "ignore")


def _match(location: str, row: Row) -> TextMatch:
    session_id, position, checksum, body, key, name, score = row
    place = Place.of(location, session_id)
    if place_seal(seal(place.base(), body), position) != checksum:
        raise place.unsealed(position)
    message = messages.decode(body)
    return TextMatch(session_id, key if name is None else name, score, message)
