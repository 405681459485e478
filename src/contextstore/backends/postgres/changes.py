"""Change a session otherwise than by appending: look, plan, and write in one statement.

The statement writes only where the session is still as it was looked at, and else the
look is repeated. It carries a name of its own, which stays in the row of the session:
who lost his connection amid it looks again, and knows by the name whether it was made.
"""

from __future__ import annotations

from typing import (
    TYPE_CHECKING,
    Any,
    Awaitable,
    Callable,
    Dict,
    Generic,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    TypeVar,
)

from contextstore.backends.filters import Filter
from contextstore.backends.postgres import expiring, rows
from contextstore.backends.postgres.appending import columns
from contextstore.backends.postgres.keys import Place, message_key
from contextstore.backends.postgres.listing import metadata_of
from contextstore.backends.postgres.rows import NOW, State, Stored
from contextstore.backends.postgres.vector_rows import MOMENT, ONE_MORE_REMOVED
from contextstore.backends.results import WriteResult
from contextstore.backends.stamps import time_ordered_id
from contextstore.errors import SessionNotFoundError, UnavailableError

if TYPE_CHECKING:
    from contextstore.backends.postgres.engine import Session

_INSERT = """
    INSERT INTO context_messages (session, message_key, position, written, checksum,
        flags, message_name, body)
    SELECT %(session)s::uuid, key, place, coalesce(since, held.updated),
        checksum # place::bit(32)::integer, flags, name, body
    FROM held{after}, unnest(%(keys)s::uuid[], %(names)s::text[], %(bodies)s::bytea[],
        %(checksums)s::integer[], %(flags)s::smallint[], %(places)s::bigint[],
        %(since)s::bigint[])
        AS given (key, name, body, checksum, flags, place, since)"""
# What goes is counted before anything is inserted, so that it is gone by then.
_REWRITE = f"""
WITH held AS (
    UPDATE context_sessions SET last = %(last)s, pruned = %(pruned)s,
        changes = %(changes)s, change = %(change)s::uuid,
        indexed = least(indexed, %(indexed)s),
        metadata = coalesce(%(metadata)s::bytea, metadata),
        marks = coalesce(%(marks)s::bigint[], marks),
        updated = greatest(updated, {NOW}),
        recent = (greatest(updated, {NOW}) >> 20)::integer
    WHERE session = %(session)s::uuid AND last = %(old_last)s
        AND changes = %(old_changes)s AND change = %(old_change)s::uuid
        AND indexed = %(old_indexed)s AND vectors = %(old_vectors)s
    RETURNING updated
), gone AS (
    DELETE FROM context_messages WHERE session = %(session)s::uuid
        AND position BETWEEN %(first)s AND %(until)s AND EXISTS (SELECT FROM held)
    RETURNING message_key
), vectors AS (
    DELETE FROM context_vectors WHERE session = %(session)s::uuid
        AND message_key IN (SELECT message_key FROM gone)
        AND message_key <> ALL (%(staying)s::uuid[]) RETURNING model
), heads AS (
    UPDATE context_vector_sessions SET removed = {ONE_MORE_REMOVED}
    WHERE session = %(session)s::uuid AND model IN (SELECT model FROM vectors)
), texts AS (
    DELETE FROM context_texts WHERE session = %(session)s::uuid
        AND position BETWEEN %(first)s AND %(until)s AND EXISTS (SELECT FROM held)
), added AS ({_INSERT.format(after=", (SELECT count(*) FROM gone) AS after")})
SELECT 1 FROM held"""
_MAKE = f"""
WITH held AS (
    INSERT INTO context_sessions (session, session_id, last, pruned, changes, created,
        updated, recent, indexed, lifetime, change, metadata, marks)
    VALUES (%(session)s::uuid, %(session_id)s, %(last)s, %(pruned)s,
        {MOMENT}, {NOW}, {NOW},
        ({NOW} >> 20)::integer, %(pruned)s, %(lifetime)s::bigint, %(change)s::uuid,
        %(metadata)s, %(marks)s::bigint[])
    ON CONFLICT (session) DO NOTHING RETURNING last, changes, updated
), added AS ({_INSERT.format(after="")}), summaries AS (
    INSERT INTO context_summaries (session, summaries)
    SELECT %(session)s::uuid, summaries FROM held, context_summaries
    WHERE session = %(source)s::uuid ON CONFLICT (session) DO NOTHING
), vectors AS (
    INSERT INTO context_vectors AS v (session, model, message_key, place, revision,
        checksum, message_name, metadata, vector)
    SELECT %(session)s::uuid, model, message_key, place, revision,
        checksum # %(shift)s::integer, message_name, metadata, vector
    FROM held, context_vectors WHERE session = %(source)s::uuid
        AND message_key = ANY(%(keys)s::uuid[])
    ON CONFLICT (session, model, message_key) DO UPDATE SET
        checksum = excluded.checksum, metadata = excluded.metadata,
        vector = excluded.vector
    RETURNING model
), heads AS (
    INSERT INTO context_vector_sessions AS h (session, model, session_id, dimension,
        revision, removed)
    SELECT %(session)s::uuid, model, %(session_id)s, dimension, revision,
        {MOMENT}
    FROM context_vector_sessions WHERE session = %(source)s::uuid
        AND model IN (SELECT model FROM vectors)
    ON CONFLICT (session, model) DO UPDATE SET removed = excluded.removed,
        revision = greatest(h.revision, excluded.revision)
)
SELECT last + changes FROM held"""
_DELETE = f"""
WITH held AS (
    DELETE FROM context_sessions WHERE session = %(session)s::uuid
        AND last = %(old_last)s AND changes = %(old_changes)s
        AND change = %(old_change)s::uuid AND indexed = %(old_indexed)s
        AND vectors = %(old_vectors)s
    RETURNING session
), gone AS (
    DELETE FROM context_messages WHERE session = %(session)s::uuid
        AND EXISTS (SELECT FROM held) RETURNING message_key
), vectors AS (
    DELETE FROM context_vectors WHERE session = %(session)s::uuid
        AND (%(all_vectors)s OR message_key IN (SELECT message_key FROM gone))
        AND EXISTS (SELECT FROM held) RETURNING model
), heads AS (
    UPDATE context_vector_sessions SET removed = {ONE_MORE_REMOVED}
    WHERE session = %(session)s::uuid AND model IN (SELECT model FROM vectors)
), texts AS (
    DELETE FROM context_texts WHERE session = %(session)s::uuid
        AND EXISTS (SELECT FROM held)
), summaries AS (
    DELETE FROM context_summaries WHERE session = %(session)s::uuid
        AND EXISTS (SELECT FROM held)
)
SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM vectors) FROM held"""
_MOST_TRIES = 100
_ANY = Filter()

T = TypeVar("T")


class Change(NamedTuple):
    """Say what is to be written, and what the caller then hears.

    Attributes:
        result: the answer; the version of a new session is known when it is made.
        statement: None where nothing has to be written.
        values: what stands in the statement.
    """

    result: WriteResult
    statement: Optional[str] = None
    values: Dict[str, Any] = {}  # noqa: RUF012 - never changed


def rewriting(
    place: Place,
    state: State,
    result: WriteResult,
    *,
    last: int,
    first: int,
    until: int,
    added: Sequence[Stored] = (),
    **options: Any,
) -> Change:
    """Return the change that deletes a stretch of a session and puts messages in.

    Args:
        last: the position of the newest message afterwards.
        first: the first position of the stretch.
        until: the last one; before ``first`` where nothing is deleted.
        added: what is put in; ``written`` is 0 for what is written now.
        options: other columns of the session, and ``staying``, the ids of messages
            whose vectors stay as they are put in again unchanged.
    """
    staying = options.pop("staying", ())
    values = {
        "pruned": state.pruned,
        "indexed": first - 1,
        "metadata": None,
        "marks": None,
        **options,
        **_added(place, added),
        "last": last,
        "changes": result.version - last,
        "first": first,
        "until": until,
        "staying": [message_key(message_id) for message_id in staying],
        "old_last": state.last,
        "old_changes": state.changes,
        "old_change": state.change,
        "old_indexed": state.indexed,
        "old_vectors": state.vectors,
    }
    return Change(result, _REWRITE, values)


def making(
    place: Place,
    result: WriteResult,
    added: Sequence[Stored],
    *,
    lifetime: Optional[int],
    source: Optional[Place] = None,
    pruned: int = 0,
    metadata: bytes = b"{}",
    marks: Sequence[int] = (),
) -> Change:
    """Return the change that makes a session.

    Args:
        source: the session that it is a copy of, with summaries and vectors.
    """
    values = {
        **_added(place, added),
        "session_id": place.session_id,
        "last": pruned + len(added),
        "pruned": pruned,
        "lifetime": lifetime,
        "metadata": metadata,
        "marks": list(marks),
        "source": source and source.key,
        "shift": place.signed_base() ^ source.signed_base() if source else 0,
    }
    return Change(result, _MAKE, values)


def _added(place: Place, added: Sequence[Stored]) -> Dict[str, Any]:
    return {
        **columns(place, [one.record for one in added]),
        "places": [one.position for one in added],
        "since": [one.written or None for one in added],
    }


class Changing(Generic[T]):
    """Be one change of a session, which survives a lost connection.

    Args:
        place: the session that changes.
        look: returns its state, and what the plan needs beside it.
        plan: works out from these what is to be written.
    """

    def __init__(
        self,
        place: Place,
        look: Callable[[Session, Place], Awaitable[Tuple[Optional[State], T]]],
        plan: Callable[[Optional[State], T], Change],
    ) -> None:
        self._place = place
        self._look = look
        self._plan = plan
        # What was sent and not heard of, by its name, and the state it was to change.
        self._sent: Dict[str, Change] = {}
        self._seen: Optional[State] = None

    async def run(self, session: Session) -> WriteResult:
        """Make the change, or find out that it was made."""
        for _ in range(_MOST_TRIES):
            state, found = await self._look(session, self._place)
            settled = self._settled(state)
            if settled is not None:
                return settled
            change = self._plan(state, found)
            if change.statement is None:
                return change.result
            written = await self._write(session, state, change)
            if written is not None:
                return written
            if state is None:
                await expiring.discard(session, self._place)
        raise self._place.overtaken()

    async def _write(
        self, session: Session, state: Optional[State], change: Change
    ) -> Optional[WriteResult]:
        """Write a change; None where another came first."""
        name = time_ordered_id()
        values = {**change.values, "session": self._place.key, "change": name}
        self._sent[name], self._seen = change, state
        found = await session.fetch(str(change.statement), values)
        del self._sent[name]
        if not found:
            return None
        if change.statement is _MAKE:
            return change.result._replace(version=found[0][0])
        return change.result

    def _settled(self, state: Optional[State]) -> Optional[WriteResult]:
        """Return the answer to a change that was made unheard; None for none.

        Raises:
            UnavailableError: others changed the session since, so nobody can tell.
        """
        if not self._sent:
            return None
        if state is not None and state.change in self._sent:
            change = self._sent[state.change]
            version = change.values["last"] + state.changes
            return change.result._replace(version=version)
        if (state and state.change) == (self._seen and self._seen.change):
            return None
        raise UnavailableError(
            f"{self._place.location}: the connection broke amid a change of session "
            f"{self._place.session_id!r}, which others changed since: load it again to "
            f"see what is there",
            location=self._place.location,
            session_id=self._place.session_id,
        )


class Deleting:
    """Be the deletion of one session, which survives a lost connection.

    Repeated, it ends the session that it saw before its answer was lost, whatever
    others wrote into that; one that was made anew since is not what the caller meant.

    Args:
        place: the session.
        all_vectors: whether vectors go that belong to no stored message, too.
        wanted: what its metadata has to be like when it is deleted.
    """

    def __init__(
        self, place: Place, *, all_vectors: bool, wanted: Filter = _ANY
    ) -> None:
        self._place = place
        self._all_vectors = all_vectors
        self._wanted = wanted
        self._sent: Optional[State] = None

    async def run(self, session: Session) -> Tuple[int, int]:
        """Delete it, and return how many messages and vectors it had.

        Raises:
            SessionNotFoundError: there is no such session, or it is not one of those
                that are wanted.
        """
        for _ in range(_MOST_TRIES):
            state, metadata, _ = await rows.load_metadata(session, self._place)
            sent = self._sent
            if sent and (state is None or state.created != sent.created):
                # Gone by the deletion whose answer was lost, or by another one.
                return sent.last - sent.pruned, 0
            if state is None or not self._wants(metadata):
                raise SessionNotFoundError.of(self._place.session_id)
            self._sent = state
            values = {
                "session": self._place.key,
                "old_last": state.last,
                "old_changes": state.changes,
                "old_change": state.change,
                "old_indexed": state.indexed,
                "old_vectors": state.vectors,
                "all_vectors": self._all_vectors,
            }
            found = await session.fetch(_DELETE, values)
            if found:
                return found[0][0], found[0][1]
            # What an answer says now settles nothing of one that was lost before.
            self._sent = sent
        raise self._place.overtaken()

    def _wants(self, metadata: bytes) -> bool:
        # Damaged metadata keeps nobody from deleting the session by its id.
        return not self._wanted.metadata or self._wanted.admits(
            metadata_of(self._place, metadata)
        )
