"""Remember which vectors are dead where a backend cannot remove them."""

from __future__ import annotations

from typing import Dict, Iterable, Set


class Tombstones:
    """Tell the living vectors of a backend from those of deleted messages.

    It lasts as long as this process: a backend that outlives it needs a ``delete``.
    """

    def __init__(self) -> None:
        self._dead: Dict[str, Set[str]] = {}
        self._alive_since_clearing: Dict[str, Set[str]] = {}

    def bury(self, session_id: str, message_ids: Iterable[str]) -> None:
        """Mark messages of a session as dead."""
        ids = set(message_ids)
        self._dead.setdefault(session_id, set()).update(ids)
        self._alive_since_clearing.get(session_id, set()).difference_update(ids)

    def bury_session(self, session_id: str) -> None:
        """Mark everything that the session has so far as dead."""
        self._dead.pop(session_id, None)
        self._alive_since_clearing[session_id] = set()

    def lift(self, session_id: str, message_ids: Iterable[str]) -> None:
        """Forget marks of messages whose vectors are gone."""
        dead = self._dead.get(session_id, set())
        dead.difference_update(message_ids)
        if not dead:
            self._dead.pop(session_id, None)

    def lift_session(self, session_id: str) -> None:
        """Forget all marks of a session whose vectors are gone."""
        self._dead.pop(session_id, None)
        self._alive_since_clearing.pop(session_id, None)

    def revive(self, session_id: str, message_id: str) -> None:
        """Mark a message as alive: its vector was added anew."""
        self._dead.get(session_id, set()).discard(message_id)
        if session_id in self._alive_since_clearing:
            self._alive_since_clearing[session_id].add(message_id)

    def is_dead(self, session_id: str, message_id: str) -> bool:
        """Tell whether the vector of this message belongs to a deleted one."""
        if message_id in self._dead.get(session_id, ()):
            return True
        alive = self._alive_since_clearing.get(session_id)
        return alive is not None and message_id not in alive
