"""Let calls of one kind share a statement, and so a round trip and a commit.

While a loop has as many statements on their way as its kind of call is given, calls
that come are queued, and go together as soon as one is done, or takes long. A lone call
never waits. What speaks against one of a batch is found out by that one alone, so that
it hurts no other.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
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

if TYPE_CHECKING:
    from contextstore.backends.postgres.engine import Engine, Session, Work

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
P = TypeVar("P", bound="Piece[Any]")

# Seconds after which what is on its way holds up no other sessions: it waits for the
# lock of a session, or the server is slow.
_PATIENCE = 0.05


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

    Attributes:
        keys: the sessions that it writes.
        size: how many calls it carries.
        is_late: whether it took long already.
    """

    def __init__(
        self, pieces: Sequence[Piece[Any]], when_late: Callable[[], None]
    ) -> None:
        self.keys = {piece.writes for piece in pieces}
        self.size = len(pieces)
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
        self._queue: List[Waiting[P, R]] = []
        # A loop holds its tasks weakly.
        self._tasks: Set[asyncio.Future[None]] = set()

    async def do(self, piece: P) -> R:
        """Do a call, alone or with others."""
        shares = piece.shape is not None
        deadline = self._engine.deadline()
        if shares and (self._is_full() or self._is_busy(piece.writes)):
            answer = await self._queued(Waiting(piece, deadline))
            if answer is not None:
                return answer
        turn = self._begin([piece])
        try:
            result: R = await self._engine.do(piece.run, deadline)
            return result
        finally:
            self._end(turn)

    async def _queued(self, waiting: Waiting[P, R]) -> Optional[R]:
        self._queue.append(waiting)
        try:
            return await waiting.answer
        except asyncio.CancelledError:
            if waiting.task is None:
                self._queue.remove(waiting)
            elif waiting.piece.writes is not None:
                # It is on its way: who cancels hears so when the outcome is certain.
                await asyncio.wait([waiting.task])
            raise

    def _is_full(self) -> bool:
        """Tell whether what comes has to wait: for what is quick, or connections."""
        quick = sum(not turn.is_late for turn in self._turns)
        return quick >= self._kind.turns or len(self._turns) >= self._most_turns

    def _is_busy(self, key: Optional[str]) -> bool:
        """Tell whether a session is being written, so that others would wait for it."""
        return key is not None and any(key in turn.keys for turn in self._turns)

    def _begin(self, pieces: Sequence[P]) -> Turn:
        turn = Turn(pieces, self._send)
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
            pieces = [waiting.piece for waiting in batch]
            turn = self._begin(pieces)
            task = asyncio.ensure_future(self._run(batch, pieces, turn))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            for waiting in batch:
                waiting.task = task

    def _fair_share(self) -> int:
        """Return how many may go together, so that all turns carry about as many.

        Where one takes all, the client has nothing to do until it is back.
        """
        carried = sum(turn.size for turn in self._turns if not turn.is_late)
        share = -(-(len(self._queue) + carried) // self._kind.turns)
        return min(share, self._kind.most)

    def _next_batch(self) -> List[Waiting[P, R]]:
        """Take the oldest that can go, and what may go with it."""
        most = self._fair_share()
        batch: List[Waiting[P, R]] = []
        rest: List[Waiting[P, R]] = []
        seen: Set[str] = set()
        size = 0
        for waiting in self._queue:
            piece = waiting.piece
            key = piece.writes
            # None overtakes an older one of its session.
            may = key not in seen and not self._is_busy(key)
            if key is not None:
                seen.add(key)
            if batch:
                may = may and piece.shape == batch[0].piece.shape
                may = may and len(batch) < most
                may = may and size + piece.size <= self._kind.most_size
            if may:
                batch.append(waiting)
                size += piece.size
            else:
                rest.append(waiting)
        self._queue = rest
        return batch

    async def _run(
        self, batch: List[Waiting[P, R]], pieces: Sequence[P], turn: Turn
    ) -> None:
        deadline = max(waiting.deadline for waiting in batch)
        try:
            answers = await self._engine.do(self._kind.together(pieces), deadline)
        except Exception as error:
            for waiting in batch:
                waiting.fail(error)
        except BaseException:
            for waiting in batch:
                waiting.answer.cancel()
            raise
        else:
            for waiting, answer in zip(batch, answers):
                waiting.succeed(answer)
        finally:
            # After those who wait were woken: what they call next goes together.
            asyncio.get_running_loop().call_soon(self._end, turn)


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
