"""Know the mean of vectors that a backend keeps without giving them back."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Iterable, List, Optional, Sequence, Set

from contextstore._lifecycle import renew_after_fork
from contextstore.retrieval.dense import common_part, shifted_query
from contextstore.retrieval.vectors import floats_of, grid_query, unit_vectors

__all__ = ["VectorSum", "VectorSums"]

_MOST_SESSIONS = 1_000


class VectorSum:
    """Be the sum of the vectors of a session.

    Attributes:
        ids: the messages whose vectors were counted in.
    """

    def __init__(self) -> None:
        self.ids: Set[str] = set()
        self._total: List[float] = []

    def add(self, message_id: str, vector: Sequence[float]) -> None:
        """Count in the vector of a message that was not counted yet."""
        unit = unit_vectors([floats_of(vector)])
        if len(unit) != len(self._total):
            # Another dimension is another model: what was counted is void.
            self._total, self.ids = [0.0] * len(unit), set()
        # On the grid sums are exact, so that the order does not matter.
        self._total = [a + b for a, b in zip(self._total, unit)]
        self.ids.add(message_id)

    def shifted(self, query: Sequence[float], share: float) -> Optional[List[float]]:
        """Return a query with a share of the mean taken out; None without a mean."""
        if not self.ids or len(query) != len(self._total):
            return None
        asked = grid_query(query)
        if not asked.scale:
            # A query without direction would ask for what is far from the mean.
            return None
        mean = common_part(self._total, len(self.ids), share)
        return shifted_query(asked, mean).tolist()


class VectorSums:
    """Hold the sums of the sessions whose every vector was added by this object.

    What was there before, and what is left after one was removed, cannot be summed: the
    backend gives no vector back. Then there is no sum. What another object replaces
    under the same ids is not noticed: let one object write a session.
    """

    def __init__(self) -> None:
        self._sums: OrderedDict[str, VectorSum] = OrderedDict()
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Begin with a free lock in a forked child, where nobody gives it back."""
        self._lock = threading.Lock()

    def add(self, session_id: str, message_id: str, vector: Sequence[float]) -> None:
        """Count in a vector; one that replaces another makes the sum unknown."""
        with self._lock:
            known = self._sums.setdefault(session_id, VectorSum())
            if message_id in known.ids:
                known = self._sums[session_id] = VectorSum()
            known.add(message_id, vector)
            self._sums.move_to_end(session_id)
            if len(self._sums) > _MOST_SESSIONS:
                self._sums.popitem(last=False)

    def drop(self, session_id: str, message_ids: Iterable[str]) -> None:
        """Forget the sum of a session where the vector of one of these was in it."""
        with self._lock:
            known = self._sums.get(session_id)
            if known and not known.ids.isdisjoint(message_ids):
                del self._sums[session_id]

    def drop_session(self, session_id: str) -> None:
        """Forget the sum of a session that is gone."""
        with self._lock:
            self._sums.pop(session_id, None)

    def of(self, session_id: str, message_ids: Iterable[str]) -> Optional[VectorSum]:
        """Return the sum of a session, None where it is not of these very messages."""
        with self._lock:
            known = self._sums.get(session_id)
            return known if known and known.ids == set(message_ids) else None
