"""Let appends to many sessions share a statement, and so a round trip and a commit.

While an append of a loop is on its way, those that come are queued, and go together as
soon as it is done. A lone append never waits. What speaks against one of a
batch is found out by that one alone, so that it hurts no other.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Set

from contextstore.backends.postgres import failures
from contextstore.backends.postgres.rows import NOW
from contextstore.backends.results import WriteResult
from contextstore.backends.stamps import time_ordered_id
from contextstore.errors import StorageError

if TYPE_CHECKING:
    from contextstore.backends.postgres.appending import Append
    from contextstore.backends.postgres.engine import Engine, Session

# With two at once each carries less: 32 tasks then appended a fifth less in all.
_AT_ONCE = 1
_MOST = 64

_ALIVE = f"(s.lifetime IS NULL OR s.updated + s.lifetime > {NOW})"
_WANTED = """
    unnest(%(sessions)s::uuid[], %(names)s::text[], %(counts)s::bigint[],
        %(lifetimes)s::bigint[]) AS wanted (session, name, count, lifetime)"""
# Rows are locked in one order, so that two programs do not wait for each other.
_RAISE = f"""
locked AS (
    SELECT s.session FROM context_sessions AS s
    WHERE s.session = ANY(%(sessions)s::uuid[]) AND {_ALIVE}
    ORDER BY s.session FOR UPDATE
), held AS (
    UPDATE context_sessions AS s SET last = s.last + wanted.count,
        updated = greatest(s.updated, {NOW}),
        recent = (greatest(s.updated, {NOW}) >> 20)::integer
    FROM {_WANTED}
    WHERE s.session = wanted.session AND {_ALIVE}
        AND s.session = ANY(ARRAY(SELECT session FROM locked))
    RETURNING s.session, s.last, s.changes, s.updated
)"""
_RAISE_OR_MAKE = f"""
held AS (
    INSERT INTO context_sessions AS s (session, session_id, last, pruned, changes,
        created, updated, recent, indexed, lifetime, change, metadata, marks)
    SELECT session, name, count, 0,
        (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, {NOW}, {NOW},
        ({NOW} >> 20)::integer, 0, lifetime, %(change)s::uuid, '{{}}', '{{}}'
    FROM {_WANTED} ORDER BY session
    ON CONFLICT (session) DO UPDATE SET last = s.last + excluded.last,
        updated = greatest(s.updated, {NOW}),
        recent = (greatest(s.updated, {NOW}) >> 20)::integer
    WHERE {_ALIVE}
    RETURNING s.session, s.last, s.changes, s.updated
)"""
# ``before_end`` counts from the end of a batch of one session: 0 for its last message.
_APPEND = """
WITH {held}, added AS (
    INSERT INTO context_messages (session, message_key, position, written, checksum,
        flags, message_name, body)
    SELECT held.session, key, held.last - before_end, held.updated,
        checksum # (held.last - before_end)::bit(32)::integer, flags, given.name, body
    FROM held JOIN unnest(%(owners)s::uuid[], %(before_end)s::bigint[],
        %(keys)s::uuid[], %(message_names)s::text[], %(bodies)s::bytea[],
        %(checksums)s::integer[], %(flags)s::smallint[])
        AS given (owner, before_end, key, name, body, checksum, flags)
        ON given.owner = held.session
)
SELECT replace(session::text, '-', ''), last, changes FROM held"""
_TO_EXISTING = _APPEND.format(held=_RAISE)
_TO_ANY = _APPEND.format(held=_RAISE_OR_MAKE)


class Waiting(NamedTuple):
    """Be an append in the queue, and who waits for it; None tells to go alone."""

    append: Append
    answer: asyncio.Future[Optional[WriteResult]]


class Lane:
    """Send the appends of one event loop."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._under_way = 0
        self._queue: List[Waiting] = []
        # A loop holds its tasks weakly.
        self._tasks: Set[asyncio.Future[None]] = set()

    async def append(self, append: Append) -> WriteResult:
        """Append, alone or with others."""
        if append.may_share and self._under_way >= _AT_ONCE:
            answer = await self._queued(append)
            if answer is not None:
                return answer
        self._under_way += 1
        try:
            return await self._engine.do(append.run)
        finally:
            self._under_way -= 1
            self._send()

    async def _queued(self, append: Append) -> Optional[WriteResult]:
        answer = asyncio.get_running_loop().create_future()
        waiting = Waiting(append, answer)
        self._queue.append(waiting)
        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            if waiting in self._queue:
                self._queue.remove(waiting)
            elif not answer.done():
                # It is on its way: who cancels hears so when the outcome is certain.
                await asyncio.wait([answer])
            raise

    def _send(self) -> None:
        """Send what is queued, if there is room."""
        while self._queue and self._under_way < _AT_ONCE:
            batch = self._next_batch()
            self._under_way += 1
            task = asyncio.ensure_future(self._run(batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _next_batch(self) -> List[Waiting]:
        """Take the oldest, and what may go with it: one append a session."""
        creates = self._queue[0].append.create
        batch: Dict[str, Waiting] = {}
        rest: List[Waiting] = []
        for waiting in self._queue:
            key = waiting.append.place.key
            fits = waiting.append.create == creates and key not in batch
            if fits and len(batch) < _MOST:
                batch[key] = waiting
            else:
                rest.append(waiting)
        self._queue = rest
        return list(batch.values())

    async def _run(self, batch: List[Waiting]) -> None:
        shared = Shared([waiting.append for waiting in batch])
        try:
            answers = await self._engine.do(shared.run)
        except StorageError as error:
            for waiting in batch:
                _fail(waiting, error)
        except BaseException:
            for waiting in batch:
                waiting.answer.cancel()
            raise
        else:
            for waiting in batch:
                if not waiting.answer.done():
                    waiting.answer.set_result(answers.get(waiting.append.place.key))
        finally:
            self._under_way -= 1
            self._send()


def _fail(waiting: Waiting, error: StorageError) -> None:
    if not waiting.answer.done():
        waiting.answer.set_exception(error)
        # Who was cancelled meanwhile does not ask for it.
        waiting.answer.exception()


class Shared:
    """Be the appends of a batch, each to a session of its own."""

    def __init__(self, appends: List[Append]) -> None:
        self._appends = appends
        self._was_sent = False

    async def run(self, session: Session) -> Dict[str, WriteResult]:
        """Append, and return what was appended by the key of its session."""
        if self._was_sent:
            for append in self._appends:
                append.was_sent = True
        self._was_sent = True
        creates = self._appends[0].create
        try:
            found = await session.fetch(
                _TO_ANY if creates else _TO_EXISTING, self._values()
            )
        except failures.driver().errors.UniqueViolation:
            # One of them repeats something: each finds out for itself.
            return {}
        versions = {key: last + changes for key, last, changes in found}
        return {
            append.place.key: append.answered(versions[append.place.key])
            for append in self._appends
            if append.place.key in versions
        }

    def _values(self) -> Dict[str, Any]:
        lists: Dict[str, List[Any]] = {
            name: []
            for name in (
                *("sessions", "names", "counts", "lifetimes", "owners", "before_end"),
                *("keys", "message_names", "bodies", "checksums", "flags"),
            )
        }
        for append in self._appends:
            columns = append.columns()
            count = len(columns["keys"])
            lists["sessions"].append(append.place.key)
            lists["names"].append(append.place.session_id)
            lists["counts"].append(count)
            lists["lifetimes"].append(append.lifetime)
            lists["owners"] += [append.place.key] * count
            lists["before_end"] += range(count - 1, -1, -1)
            lists["message_names"] += columns["names"]
            for name in ("keys", "bodies", "checksums", "flags"):
                lists[name] += columns[name]
        return {**lists, "change": time_ordered_id()}


class Lanes:
    """Give each event loop a lane."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lanes: Dict[asyncio.AbstractEventLoop, Lane] = {}

    def here(self) -> Lane:
        """Return the lane of the running loop."""
        loop = asyncio.get_running_loop()
        lane = self._lanes.get(loop)
        if lane is None:
            for ended in [one for one in list(self._lanes) if one.is_closed()]:
                self._lanes.pop(ended, None)
            lane = self._lanes.setdefault(loop, Lane(self._engine))
        return lane
