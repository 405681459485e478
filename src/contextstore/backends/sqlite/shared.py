"""Share one engine among all objects of a process that use one file."""

from __future__ import annotations

import os
import threading
import time
from typing import Dict, Optional

from contextstore import _hop
from contextstore._lifecycle import OfThisProcess
from contextstore.backends.sqlite import at_fork
from contextstore.backends.sqlite.connections import MEMORY
from contextstore.backends.sqlite.engine import Engine
from contextstore.errors import ClosedError, ConfigurationError


class Lease(OfThisProcess):
    """Be one object's share in the engine of a file; the last to leave closes it.

    Nothing is opened before the first use, so that an object made at module level can
    be used from any thread, loop and forked process.

    Args:
        location: the absolute path, or ``:memory:`` for an engine of its own.
        durability: ``full`` or ``relaxed``; the engine takes the stricter.

    Raises:
        ConfigurationError: there is no such durability.
    """

    def __init__(self, location: str, durability: str) -> None:
        if durability not in ("full", "relaxed"):
            raise ConfigurationError(
                f"durability is {durability!r}; choose 'full' or 'relaxed'"
            )
        self.location = location
        self._durability = durability
        self._engine: Optional[Engine] = None
        # Why it was released; "" while it was not.
        self._released = ""

    @property
    def engine(self) -> Engine:
        """Give the engine, which is found or made at the first use.

        Raises:
            ClosedError: the lease was released.
        """
        if self._engine is None:
            with _registry_lock:
                if self._released:
                    raise ClosedError(
                        f"this object on {self.location} {self._released}",
                        location=self.location,
                    )
                if self._engine is None:
                    engine = _join(self.location)
                    engine.require_durability(self._durability)
                    self._engine = engine
        return self._engine

    def release(self) -> None:
        """Leave the engine, and close it if nobody else is left."""
        if self._engine is not None:
            self._engine.writer.refuse_from_within()
        engine = self._left("was closed; make a new one")
        if engine is not None:
            engine.close()

    def drop(self) -> None:
        """Release for an object that was collected, on whatever thread that happens.

        Who still has the object when that happens is a thread that outlives the end of
        the program.

        A thread of ours may be at work for this very engine, and must not wait for
        itself. Any other thread at work holds the object that it works for.
        """
        engine = self._left(
            "was closed as the program ends; stop the threads that use it before that"
        )
        if engine is None:
            return
        if _hop.on_own_thread():
            _hop.OwnThread(engine.close, "contextstore-close").start()
        else:
            engine.close()

    def _left(self, why: str) -> Optional[Engine]:
        """Leave the engine, and return it if nobody else is left."""
        with _registry_lock:
            self._released = self._released or why
            engine, self._engine = self._engine, None
            return engine if engine is not None and _leave(engine) else None


_engines: Dict[str, Engine] = {}
_users: Dict[Engine, int] = {}
# Re-entrant: the garbage collector may drop, and so release, an object at any point.
# For the same reason nobody waits for anything else while holding it.
_registry_lock = threading.RLock()


def _join(location: str) -> Engine:
    key = location if location == MEMORY else os.path.realpath(location)
    engine = None if key == MEMORY else _engines.get(key)
    if engine is None:
        engine = Engine(key)
        if key != MEMORY:
            _engines[key] = engine
    _users[engine] = _users.get(engine, 0) + 1
    return engine


def _leave(engine: Engine) -> bool:
    """Count one user less, and tell whether it was the last."""
    _users[engine] -= 1
    if _users[engine]:
        return False
    del _users[engine]
    _engines.pop(engine.location, None)
    return True


def _before_fork() -> None:
    """Close all files that no thread is inside of."""
    if not at_fork.hold_back():
        return
    deadline = time.monotonic() + at_fork.FORK_SECONDS
    in_use = at_fork.engines_in_use()
    for engine in list(_users):
        if not engine.is_used(in_use):
            engine.disconnect(lambda: time.monotonic() > deadline)


def _forget_parent() -> None:
    global _registry_lock
    _registry_lock = threading.RLock()
    in_use = at_fork.engines_in_use()
    at_fork.forget_parent()
    for engine in list(_users):
        engine.forget_parent(was_in_use=engine.is_used(in_use))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=at_fork.let_in,
        after_in_child=_forget_parent,
    )
