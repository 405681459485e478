"""Know the mean of vectors that a backend keeps without giving them back."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Dict, Iterable, List, Mapping, Optional, Sequence

from contextstore._lifecycle import renew_after_fork
from contextstore.retrieval.dense import common_part, shifted_query
from contextstore.retrieval.vectors import floats_of, grid_query, unit_vectors

__all__ = ["VectorSum", "VectorSums", "text_key"]

_MOST_SESSIONS = 1_000


def text_key(text: str) -> int:
    """Return what stands for a text in this process; the text itself takes more."""
    return hash(text)


@dataclass(frozen=True)
class VectorSum:
    """Be the sum of the vectors of a session.

    Attributes:
        count: how many were counted in.
        total: their sum.
    """

    count: int
    total: Sequence[float]

    def shifted(self, query: Sequence[float], share: float) -> Optional[List[float]]:
        """Return a query with a share of the mean taken out; None without a mean."""
        if not self.count or len(query) != len(self.total):
            return None
        asked = grid_query(query)
        if not asked.scale:
            # A query without direction would ask for what is far from the mean.
            return None
        mean = common_part(self.total, self.count, share)
        return shifted_query(asked, mean).tolist()


class _Counted:
    """Be what was counted of a session so far.

    Attributes:
        texts: the messages, and what stands for the text that was embedded of each.
        total: the sum of their vectors; never changed, only replaced.
    """

    def __init__(self) -> None:
        self.texts: Dict[str, int] = {}
        self.total: Sequence[float] = ()

    def add(self, message_id: str, text: str, vector: Sequence[float]) -> None:
        """Count in the vector of a message that was not counted yet."""
        unit = unit_vectors([floats_of(vector)])
        if len(unit) != len(self.total):
            # Another dimension is another model: what was counted is void.
            self.total, self.texts = [0.0] * len(unit), {}
        # On the grid sums are exact, so that the order does not matter.
        self.total = [a + b for a, b in zip(self.total, unit)]
        self.texts[message_id] = text_key(text)


class VectorSums:
    """Hold the sums of the sessions whose every vector was added by this object.

    What was there before, and what is left after one was removed, cannot be summed: the
    backend gives no vector back. Then there is no sum, and neither where a message has
    another text by now: whoever changed it has replaced its vector.
    """

    def __init__(self) -> None:
        self._sums: OrderedDict[str, _Counted] = OrderedDict()
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Begin with a free lock in a forked child, where nobody gives it back."""
        self._lock = threading.Lock()

    def add(
        self, session_id: str, message_id: str, text: str, vector: Sequence[float]
    ) -> None:
        """Count in a vector; one that replaces another makes the sum unknown."""
        with self._lock:
            known = self._sums.setdefault(session_id, _Counted())
            if message_id in known.texts:
                known = self._sums[session_id] = _Counted()
            known.add(message_id, text, vector)
            self._sums.move_to_end(session_id)
            if len(self._sums) > _MOST_SESSIONS:
                self._sums.popitem(last=False)

    def drop(self, session_id: str, message_ids: Iterable[str]) -> None:
        """Forget the sum of a session where the vector of one of these was in it."""
        with self._lock:
            known = self._sums.get(session_id)
            if known and not known.texts.keys().isdisjoint(message_ids):
                del self._sums[session_id]

    def drop_session(self, session_id: str) -> None:
        """Forget the sum of a session that is gone."""
        with self._lock:
            self._sums.pop(session_id, None)

    def of(self, session_id: str, texts: Mapping[str, int]) -> Optional[VectorSum]:
        """Return the sum of a session as it is now.

        Args:
            texts: the messages of the session, and ``text_key`` of what is indexed of
                each. Where the vectors are not those of these very texts, there is no
                sum.
        """
        with self._lock:
            known = self._sums.get(session_id)
            if known is None or known.texts != texts:
                return None
            return VectorSum(len(known.texts), known.total)
