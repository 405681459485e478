"""Let appends to many sessions share a statement, and so a round trip and a commit.

While an append of a loop is on its way, those that come are queued, and go together as
soon as it is done, or takes long, and is of other sessions. A lone append never waits.
What speaks against one of a batch is found out by that one alone, so that it hurts no
other.
"""

from __future__ import annotations

import asyncio
from typing import (
    TYPE_CHECKING,
    AbstractSet,
    Any,
    Callable,
    Dict,
    List,
    NamedTuple,
    Optional,
    Set,
)

from contextstore.backends.postgres import failures
from contextstore.backends.postgres.rows import NOW
from contextstore.backends.results import WriteResult
from contextstore.backends.stamps import time_ordered_id

if TYPE_CHECKING:
    from contextstore.backends.postgres.appending import Append
    from contextstore.backends.postgres.engine import Engine, Session

_MOST = 64
_MOST_BYTES = 16 << 20
# Seconds after which what is on its way holds up no other sessions: it waits for the
# lock of a session, or the server is slow.
_PATIENCE = 0.05

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


class Turn:
    """Be what is on its way, and hold others back until it is done or late.

    Args:
        keys: the sessions that it appends to.
        when_late: called when it takes long.

    Attributes:
        is_late: whether it took long already.
    """

    def __init__(self, keys: AbstractSet[str], when_late: Callable[[], None]) -> None:
        self.keys = keys
        self.is_late = False
        self._when_late = when_late
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_PATIENCE, self._be_late)

    def end(self) -> None:
        """Be done."""
        self._timer.cancel()

    def _be_late(self) -> None:
        self.is_late = True
        self._when_late()


class Lane:
    """Send the appends of one event loop."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # What waits for locks leaves connections to the loads.
        self._most_turns = (engine.pool_size + 1) // 2
        self._turns: Set[Turn] = set()
        self._queue: List[Waiting] = []
        # A loop holds its tasks weakly.
        self._tasks: Set[asyncio.Future[None]] = set()

    async def append(self, append: Append) -> WriteResult:
        """Append, alone or with others."""
        key = append.place.key
        if append.may_share and (self._is_full() or self._is_busy(key)):
            answer = await self._queued(append)
            if answer is not None:
                return answer
        turn = self._begin({key})
        try:
            return await self._engine.do(append.run)
        finally:
            self._end(turn)

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

    def _is_full(self) -> bool:
        """Tell whether what comes has to wait: for what is quick, or for connections.

        One at once: with two each carries less, and 32 tasks appended a fifth less.
        """
        is_quick = any(not turn.is_late for turn in self._turns)
        return is_quick or len(self._turns) >= self._most_turns

    def _is_busy(self, key: str) -> bool:
        """Tell whether an append to a session is on its way, and others would wait."""
        return any(key in turn.keys for turn in self._turns)

    def _begin(self, keys: AbstractSet[str]) -> Turn:
        turn = Turn(keys, self._send)
        self._turns.add(turn)
        return turn

    def _end(self, turn: Turn) -> None:
        turn.end()
        self._turns.discard(turn)
        self._send()

    def _send(self) -> None:
        """Send what is queued, if there is room."""
        while self._queue and not self._is_full():
            batch = self._next_batch()
            if not batch:
                return
            turn = self._begin({waiting.append.place.key for waiting in batch})
            task = asyncio.ensure_future(self._run(batch, turn))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _next_batch(self) -> List[Waiting]:
        """Take the oldest that can go, and what may go with it, one a session."""
        batch: List[Waiting] = []
        rest: List[Waiting] = []
        seen: Set[str] = set()
        size = 0
        for waiting in self._queue:
            append = waiting.append
            key = append.place.key
            # None overtakes an older one of its session.
            may = key not in seen and not self._is_busy(key)
            seen.add(key)
            if batch:
                may = may and append.create == batch[0].append.create
                may = may and len(batch) < _MOST
                may = may and size + append.size <= _MOST_BYTES
            if may:
                batch.append(waiting)
                size += append.size
            else:
                rest.append(waiting)
        self._queue = rest
        return batch

    async def _run(self, batch: List[Waiting], turn: Turn) -> None:
        shared = Shared([waiting.append for waiting in batch])
        try:
            answers = await self._engine.do(shared.run)
        except Exception as error:
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
            self._end(turn)


def _fail(waiting: Waiting, error: Exception) -> None:
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
