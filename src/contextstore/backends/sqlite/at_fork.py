"""Let no thread be inside SQLite when the process is forked.

A forked child has one thread, and a copy of all memory. A mutex of SQLite that another
thread of the parent held at that instant, such as the one around its memory, stays
locked in the child for good. And what SQLite has noted of the locks that a process has
on a file, the child takes for its own, which it does not have
(https://sqlite.org/howtocorrupt.html, section 2.6). So a fork waits for the threads
that are inside, holds back who comes, and has all files closed; the next use opens
them. Nothing waits without end here, as a fork may come at any point: from within a
call, from a signal handler, with locks held that those inside wait for.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any, Callable, List, Set, TypeVar

T = TypeVar("T")

# How long a fork waits for the threads that are inside, in seconds.
FORK_SECONDS = 5.0
# How long if one before waited for them in vain.
_LONG_SECONDS = 0.1
_PAUSE = 0.0005


class Visit:
    """Be the stay of a thread inside SQLite, from ``begin`` to ``leave``.

    Nobody inside waits for a lock of someone who is not: a fork may hold that one back.

    Args:
        engine: stands for what the thread is about to use.

    Attributes:
        is_long: whether a fork has waited for its end in vain; others hardly do then.
    """

    __slots__ = ("engine", "is_long", "thread")

    def __init__(self, engine: object) -> None:
        self.engine = engine
        self.thread = threading.get_ident()
        self.is_long = False

    def begin(self) -> None:
        """Go inside; while another thread forks, wait for that."""
        _visits.add(self)
        if _forking:
            self._wait_for_forks()

    def _wait_for_forks(self) -> None:
        deadline = time.monotonic() + 4 * FORK_SECONDS
        # The fork itself waits for those who are inside already, or it is their own.
        while _forking and not self._is_within() and time.monotonic() < deadline:
            leave(self)
            time.sleep(_PAUSE)
            _visits.add(self)

    def _is_within(self) -> bool:
        mine = [visit for visit in tuple(_visits) if visit.thread == self.thread]
        return len(mine) > 1 or self.thread in _forking


# Each is one step for the interpreter: no lock is needed, and no interrupt (Ctrl-C)
# comes in between.
_visits: Set[Visit] = set()
leave = _visits.discard


def inside(engine: object, work: Callable[..., T], *arguments: Any) -> T:
    """Do something that uses SQLite."""
    visit = Visit(engine)
    try:
        visit.begin()
        return work(*arguments)
    finally:
        leave(visit)


# The threads that fork, or wait for their turn; once more for a fork within a fork, as
# a signal handler does it.
_forking: List[int] = []
_turn = threading.RLock()


def hold_back() -> bool:
    """Have all threads but this one leave, and keep them out until ``let_in``.

    Returns:
        Whether it is this thread's turn to fork; some may still be inside then.
    """
    me = threading.get_ident()
    _forking.append(me)
    if not _turn.acquire(timeout=FORK_SECONDS):
        _forking.remove(me)
        return False
    begun = time.monotonic()
    others = _of_others()
    while time.monotonic() - begun < max(map(_patience, others), default=0):
        time.sleep(_PAUSE)
        others = _of_others()
    for visit in others:
        visit.is_long = True
    return True


def _of_others() -> List[Visit]:
    # Who waits for its turn to fork is in no call of SQLite.
    return [visit for visit in tuple(_visits) if visit.thread not in _forking]


def _patience(visit: Visit) -> float:
    return _LONG_SECONDS if visit.is_long else FORK_SECONDS


def engines_in_use() -> Set[object]:
    """Return what threads are inside of, this one too."""
    return {visit.engine for visit in tuple(_visits)}


def let_in() -> None:
    """Let the other threads go on, after a fork or what should have been one."""
    me = threading.get_ident()
    if me in _forking:
        _forking.remove(me)
        # It was not acquired where an interrupt came before that.
        with suppress(RuntimeError):
            _turn.release()


def forget_parent() -> None:
    """Begin anew in a forked child, with the visits of the one thread it has."""
    global _turn
    me = threading.get_ident()
    _turn = threading.RLock()
    _forking.clear()
    _visits.intersection_update([one for one in _visits if one.thread == me])
