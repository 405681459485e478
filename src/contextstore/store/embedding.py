"""Embed what lacks a vector, derived from what is stored and from nothing else."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from contextstore._hop import reach, sleep
from contextstore.backends.base import MemoryBackend
from contextstore.errors import EmbeddingError
from contextstore.retrieval.documents import Document, index_text
from contextstore.retrieval.upkeep import Entry, VectorUpkeep
from contextstore.store.indexes import IndexedSession, SessionIndexes

__all__ = [
    "CatchUp",
    "EmbeddingReport",
    "EmbeddingStatus",
    "Progress",
    "entry_of",
]

Progress = Callable[[int, int], None]
"""Called after each session: how many messages were done, how many were missing."""

_PAGE = 200


@dataclass(frozen=True)
class EmbeddingReport:
    """Say what ``embed_missing`` did.

    Attributes:
        embedded: how many messages got a vector.
        failed: why, for each (session id, message id) that still lacks one.
    """

    embedded: int
    failed: Dict[Tuple[str, str], str]


@dataclass(frozen=True)
class EmbeddingStatus:
    """Say how far the embedding of one session, or of all, is.

    Attributes:
        total: messages with a text.
        missing: how many of them lack a vector of their text.
        failed: why the last try failed, for each (session id, message id) that still
            lacks a vector.
    """

    total: int
    missing: int
    failed: Dict[Tuple[str, str], str]


def entry_of(document: Document) -> Entry:
    """Return what is embedded of a message: its text, with the name before it."""
    return Entry(document.message_id, index_text(document), {"text": document.text})


class CatchUp:
    """Find the messages without a vector and embed them.

    Args:
        memory: lists the sessions.
        indexes: knows the texts of their messages.
    """

    def __init__(self, memory: MemoryBackend, indexes: SessionIndexes) -> None:
        self._memory = memory
        self._indexes = indexes

    async def on_use(
        self, session_id: str, session: IndexedSession, upkeep: VectorUpkeep
    ) -> None:
        """Embed what a session lacks, once for each state that it is in.

        Raises:
            EmbeddingError: naming the messages that stay without a vector.
        """
        state = session.seen
        if state is not None and session.tried == state:
            return
        try:
            await self._embed(session_id, upkeep, retries=0)
        except EmbeddingError:
            session.tried = state
            raise
        session.tried = state

    async def run(
        self,
        upkeep: VectorUpkeep,
        session_id: Optional[str],
        retries: int,
        per_minute: Optional[int],
        progress: Optional[Progress],
    ) -> EmbeddingReport:
        """Embed what is missing in one session, or in all."""
        embedded = 0
        failed: Dict[Tuple[str, str], str] = {}
        for name in await self._sessions(session_id):
            started = time.monotonic()
            try:
                count, missing = await self._embed(name, upkeep, retries), 0
            except EmbeddingError as error:
                failed.update({(name, one): str(error) for one in error.message_ids})
        return EmbeddingReport(embedded, failed)

    async def status(
        self, upkeep: VectorUpkeep, session_id: Optional[str]
    ) -> EmbeddingStatus:
        """Count what has a vector and what lacks one."""
        total = missing = 0
        for name in await self._sessions(session_id):
            entries = await self._entries(name)
            total += len(entries)
            missing += len(await upkeep.missing(name, entries))
        return EmbeddingStatus(total, missing, self._failures(session_id))

    async def _embed(
        self,
        session_id: str,
        upkeep: VectorUpkeep,
        retries: int,
        progress: Optional[Progress] = None,
    ) -> int:
        missing = await upkeep.missing(session_id, await self._entries(session_id))
        for key in [key for key in self._failed if key[0] == session_id]:
            del self._failed[key]
        try:
            count = await upkeep.add(session_id, missing, retries=retries)
        except EmbeddingError as error:
            for message_id in error.message_ids:
                self._failed[session_id, message_id] = str(error)
            raise
        if progress is not None and missing:
            progress(count, len(missing))
        return count

    async def _entries(self, session_id: str) -> List[Entry]:
        session, _ = await self._indexes.current(session_id)
        with session.lock:
            return [entry_of(document) for document in session.documents]

    async def session_ids(
        self,
        where: Optional[Mapping[str, Any]] = None,
        prefix: Optional[str] = None,
    ) -> List[str]:
        """Return the ids of the sessions that are meant, in their order."""
        names: List[str] = []
        cursor: Optional[str] = None
        while True:
            page = await reach(
                self._memory,
                self._memory.list_sessions(
                    limit=_PAGE, cursor=cursor, prefix=prefix, metadata=where
                ),
            )
            names += [info.session_id for info in page.sessions]
            cursor = page.cursor
            if cursor is None:
                return sorted(set(names))

    async def _sessions(self, session_id: Optional[str]) -> List[str]:
        return await self.session_ids() if session_id is None else [session_id]

    def _failures(self, session_id: Optional[str]) -> Dict[Tuple[str, str], str]:
        return {
            key: reason
            for key, reason in self._failed.items()
            if session_id in (None, key[0])
        }
