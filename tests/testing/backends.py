"""Plain backends: the skeletons of the contract, filled in with a dict."""

from __future__ import annotations

import copy
import math
from typing import Any, Dict, List, Optional, Sequence, Tuple

from contextstore import MemoryBackend, RetrievalBackend, RetrievedItem

Message = Dict[str, Any]


class DictBackend(MemoryBackend):
    """The five methods of the contract, over a dict; it keeps what it is given."""

    def __init__(self) -> None:
        self.sessions: Dict[str, List[Message]] = {}

    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Message]:
        stored = self.sessions.get(session_id, [])
        if k is not None:
            stored = stored[max(0, len(stored) - k) :]
        return copy.deepcopy(stored)

    async def save_context(self, session_id: str, context: List[Message]) -> None:
        self.sessions[session_id] = copy.deepcopy(context)

    async def append_context(self, session_id: str, context: List[Message]) -> None:
        self._existing(session_id).extend(copy.deepcopy(context))

    async def delete_session(self, session_id: str) -> None:
        self._existing(session_id)
        del self.sessions[session_id]

    async def delete_interaction(self, session_id: str, interaction_id: str) -> None:
        stored = self._existing(session_id)
        ids = [message.get("id") for message in stored]
        if interaction_id not in ids:
            raise ValueError(f"no message {interaction_id!r}")
        del stored[ids.index(interaction_id) :]

    def _existing(self, session_id: str) -> List[Message]:
        if session_id not in self.sessions:
            raise ValueError(f"no session {session_id!r}")
        return self.sessions[session_id]


Kept = Tuple[List[float], Dict[str, Any]]


class DictRetrieval(RetrievalBackend):
    """The three methods of the contract, over a dict."""

    def __init__(self) -> None:
        self.sessions: Dict[str, Dict[str, Kept]] = {}

    async def add(
        self,
        session_id: str,
        message_id: str,
        vector: Sequence[float],
        metadata: Optional[Dict[str, Any]],
    ) -> None:
        kept = (list(vector), copy.deepcopy(metadata or {}))
        self.sessions.setdefault(session_id, {})[message_id] = kept

    async def search(
        self, session_id: str, query_vector: Sequence[float], k: int
    ) -> List[RetrievedItem]:
        kept = self.sessions.get(session_id, {})
        found = [
            RetrievedItem(
                message_id, cosine(query_vector, vector), copy.deepcopy(metadata)
            )
            for message_id, (vector, metadata) in kept.items()
        ]
        return sorted(found, key=lambda item: -item.score)[:k]

    async def has_embedding(self, session_id: str, message_id: str) -> bool:
        return message_id in self.sessions.get(session_id, {})


class DeletingDictRetrieval(DictRetrieval):
    """The same with the methods beyond the contract."""

    async def add_many(self, session_id: str, items: Sequence[Any]) -> None:
        for message_id, vector, metadata in items:
            await self.add(session_id, message_id, vector, metadata)

    async def delete(self, session_id: str, message_ids: Sequence[str]) -> None:
        for message_id in message_ids:
            self.sessions.get(session_id, {}).pop(message_id, None)

    async def delete_session(self, session_id: str) -> None:
        self.sessions.pop(session_id, None)


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    product = sum(a * b for a, b in zip(one, other))
    return product / (math.hypot(*one) * math.hypot(*other))
