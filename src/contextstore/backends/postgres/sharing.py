"""Let calls of one kind share a statement, and so a round trip and a commit.

While a loop has as many statements on their way as its kind of call is given, calls
that come are queued, and go together as soon as one is done, or takes long. A lone call
never waits. What speaks against one of a batch is found out by that one alone, so that
it hurts no other.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Generic,
    Hashable,
    List,
    Optional,
    Protocol,
    Sequence,
    Set,
    TypeVar,
)

from contextstore.backends.postgres import failures
from contextstore.errors import BusyError

if TYPE_CHECKING:
    from contextstore.backends.postgres.engine import Engine, Session, Work

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
P = TypeVar("P", bound="Piece[Any]")

# Seconds after which what is on its way holds up no other sessions: it waits for the
# lock of a session, or the server is slow.
_PATIENCE = 0.05
# Seconds by which who is queued outwaits his time, as the statement itself knows better
# what was in the way.
_GRACE = 0.1


class Piece(Protocol[R_co]):
    """Be one call, which can be done alone or with others."""

    @property
    def size(self) -> int:
        """Give what it takes of a statement, in the unit of ``Kind.most_size``."""
        ...

    @property
    def shape(self) -> Optional[Hashable]:
        """Give what those that share a statement have in common; None for alone."""
        ...

    @property
    def writes(self) -> Optional[str]:
        """Give the key of the session that it writes, as one call at once may."""
        ...

    async def run(self, session: Session) -> R_co:
        """Do it alone."""
        ...


@dataclass(frozen=True)
class Kind(Generic[P, R]):
    """Say how calls share statements.

    Attributes:
        together: does some in one statement, and answers each; None tells to go alone.
        most: how many share a statement.
        most_size: how large they are together.
        turns: how many statements are on their way at once, but for late ones.
        waits: whether they may wait for locks, and so leave others half of the
            connections.
    """

    together: Callable[[Sequence[P]], Work[Sequence[Optional[R]]]]
    most: int
    most_size: int
    turns: int
    waits: bool


class Waiting(Generic[P, R]):
    """Be a call in the queue, and who waits for its answer; None tells to go alone.

    Attributes:
        piece: the call.
        deadline: until when it may take.
        task: the statement that it is part of; None while it is queued.
    """

    def __init__(self, piece: P, deadline: float) -> None:
        self.piece = piece
        self.deadline = deadline
        self.answer: asyncio.Future[Optional[R]] = (
            asyncio.get_running_loop().create_future()
        )
        self.task: Optional[asyncio.Future[None]] = None

    def succeed(self, result: Optional[R]) -> None:
        """Give the answer to who waits, unless he was cancelled."""
        if not self.answer.done():
            self.answer.set_result(result)

    def fail(self, error: Exception) -> None:
        """Raise an error where it is waited for."""
        if not self.answer.done():
            self.answer.set_exception(error)
            # Who was cancelled meanwhile does not ask for it.
            self.answer.exception()


class Turn:
    """Be a statement on its way, which holds others back until it is done or late.

    Args:
        pieces: the calls that it carries.
        when_late: called when it takes long.
        counts: whether it takes one of the turns. What never waits for one takes none,
            or those that wait would do so for as long as such calls come.

    Attributes:
        keys: the sessions that it writes.
        size: how many calls it carries.
        counts: as given.
        is_late: whether it took long already.
    """

    def __init__(
        self,
        pieces: Sequence[Piece[Any]],
        when_late: Callable[[], None],
        *,
        counts: bool,
    ) -> None:
        self.keys = {piece.writes for piece in pieces}
        self.size = len(pieces)
        self.counts = counts
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


class Lane(Generic[P, R]):
    """Send the calls of one kind that come from one event loop."""

    def __init__(self, engine: Engine, kind: Kind[P, R]) -> None:
        self._engine = engine
        self._kind = kind
        pool_size = engine.pool_size
        self._most_turns = (pool_size + 1) // 2 if kind.waits else pool_size
        self._turns: Set[Turn] = set()
        # Who gave up stays in it until the next batch is taken.
        self._queue: List[Waiting[P, R]] = []
        # A loop holds its tasks weakly.
        self._tasks: Set[asyncio.Future[None]] = set()

    async def do(self, piece: P) -> R:
        """Do a call, alone or with others."""
        deadline = self._engine.deadline()
        if self._has_to_wait(piece):
            answer = await self._queued(Waiting(piece, deadline))
            if answer is not None:
                return answer
        turn = self._begin([piece], counts=piece.shape is not None)
        try:
            result: R = await self._engine.do(piece.run, deadline)
            return result
        finally:
            self._end(turn)

    def _has_to_wait(self, piece: P) -> bool:
        """Tell whether a call is queued: for a turn, or for those of its session."""
        key = piece.writes
        if self._is_busy(key):
            return True
        if not self._is_full():
            return False
        shares = piece.shape is not None
        return shares or (key is not None and self._is_queued(key))

    async def _queued(self, waiting: Waiting[P, R]) -> Optional[R]:
        self._queue.append(waiting)
        seconds = max(waiting.deadline - time.monotonic(), 0.0) + _GRACE
        loop = asyncio.get_running_loop()
        expiry = loop.call_later(seconds, self._expire, waiting)
        try:
            return await waiting.answer
        except asyncio.CancelledError:
            waiting.answer.cancel()
            if waiting.task is not None and waiting.piece.writes is not None:
                # It is on its way: who cancels hears so when the outcome is certain.
                await asyncio.wait([waiting.task])
            raise
        finally:
            expiry.cancel()

    def _expire(self, waiting: Waiting[P, R]) -> None:
        """Raise an error where somebody waited for as long as his call may take."""
        location = self._engine.location
        if waiting.task is not None:
            # Others of its statement came later, and may take longer.
            waiting.fail(failures.unavailable(location, "no answer in time"))
            return
        waiting.fail(
            BusyError(
                f"{location}: calls before this one took all of its time; nothing of "
                f"it was sent: try again, or raise pool_size",
                location=location,
            )
        )

    def _is_full(self) -> bool:
        """Tell whether what comes has to wait: for what is quick, or connections."""
        turns = [turn for turn in self._turns if turn.counts]
        quick = sum(not turn.is_late for turn in turns)
        return quick >= self._kind.turns or len(turns) >= self._most_turns

    def _is_busy(self, key: Optional[str]) -> bool:
        """Tell whether a session is being written, so that others would wait for it."""
        return key is not None and any(key in turn.keys for turn in self._turns)

    def _is_queued(self, key: str) -> bool:
        return any(waiting.piece.writes == key for waiting in self._queue)

    def _begin(self, pieces: Sequence[P], *, counts: bool) -> Turn:
        turn = Turn(pieces, self._send, counts=counts)
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
            turn = self._begin([waiting.piece for waiting in batch], counts=True)
            task = asyncio.ensure_future(self._run(batch))
            self._tasks.add(task)
            # A callback, as a task that is cancelled before it begins runs nothing. It
            # comes after those who wait were woken: what they call next goes together.
            task.add_done_callback(partial(self._ended, batch, turn))
            for waiting in batch:
                waiting.task = task

    def _ended(
        self, batch: List[Waiting[P, R]], turn: Turn, task: asyncio.Future[None]
    ) -> None:
        self._tasks.discard(task)
        for waiting in batch:
            # Where the task was cancelled nobody was answered.
            waiting.answer.cancel()
        self._end(turn)

    def _fair_share(self) -> int:
        """Return how many may go together, so that all turns carry about as many.

        Where one takes all, the client has nothing to do until it is back.
        """
        quick = (turn for turn in self._turns if turn.counts and not turn.is_late)
        together = len(self._queue) + sum(turn.size for turn in quick)
        share = -(-together // min(self._kind.turns, self._most_turns))
        return min(share, self._kind.most)

    def _next_batch(self) -> List[Waiting[P, R]]:
        """Take the oldest that can go, and what may go with it."""
        most = self._fair_share()
        batch: List[Waiting[P, R]] = []
        rest: List[Waiting[P, R]] = []
        seen: Set[str] = set()
        size = 0
        for number, waiting in enumerate(self._queue):
            if len(batch) >= most:
                rest += self._queue[number:]
                break
            if waiting.answer.done():
                continue
            piece = waiting.piece
            key = piece.writes
            # None overtakes an older one of its session.
            may = key not in seen and not self._is_busy(key)
            if key is not None:
                seen.add(key)
            if batch:
                may = may and piece.shape == batch[0].piece.shape
                may = may and size + piece.size <= self._kind.most_size
            if may:
                batch.append(waiting)
                size += piece.size
                most = most if piece.shape is not None else 1
            else:
                rest.append(waiting)
        self._queue = rest
        return batch

    async def _run(self, batch: List[Waiting[P, R]]) -> None:
        deadline = max(waiting.deadline for waiting in batch)
        try:
            answers = await self._engine.do(self._work(batch), deadline)
        except Exception as error:
            for waiting in batch:
                waiting.fail(error)
        else:
            for waiting, answer in zip(batch, answers):
                waiting.succeed(answer)

    def _work(self, batch: List[Waiting[P, R]]) -> Work[Sequence[Optional[R]]]:
        pieces = [waiting.piece for waiting in batch]
        if pieces[0].shape is not None:
            return self._kind.together(pieces)

        async def alone(session: Session) -> Sequence[Optional[R]]:
            return [await pieces[0].run(session)]

        return alone


class Lanes(Generic[P, R]):
    """Give each event loop a lane."""

    def __init__(self, engine: Engine, kind: Kind[P, R]) -> None:
        self._engine = engine
        self._kind = kind
        self._lanes: Dict[asyncio.AbstractEventLoop, Lane[P, R]] = {}

    def here(self) -> Lane[P, R]:
        """Return the lane of the running loop."""
        loop = asyncio.get_running_loop()
        lane = self._lanes.get(loop)
        if lane is None:
            for ended in [one for one in list(self._lanes) if one.is_closed()]:
                self._lanes.pop(ended, None)
            lane = self._lanes.setdefault(loop, Lane(self._engine, self._kind))
        return lane
