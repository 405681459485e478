"""Embed what lacks a vector, derived from what is stored and from nothing else."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import (
    Any,
    Awaitable,
    Callable,
    Dict,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
)

from contextstore._hop import reach, wait
from contextstore.backends.base import MemoryBackend
from contextstore.errors import InvalidInputError
from contextstore.messages import validate_limit, validate_session_id
from contextstore.retrieval.base import RetrievalBackend, ScanningBackend
from contextstore.retrieval.documents import Document, index_text
from contextstore.retrieval.upkeep import (
    SAID_BY,
    Attempt,
    Entry,
    Pace,
    VectorUpkeep,
)
from contextstore.store.indexes import IndexedSession, SessionIndexes

__all__ = [
    "CatchUp",
    "EmbeddingReport",
    "EmbeddingStatus",
    "Progress",
    "entry_of",
    "take_away",
]

Progress = Callable[[int, int], Optional[Awaitable[None]]]
"""Called after each session: how many messages were done, how many were missing. What
it returns is awaited, where that can be."""

_PAGE = 200
_RATE = "per_minute"


@dataclass(frozen=True)
class EmbeddingReport:
    """Say what ``embed_missing`` did.

    Attributes:
        embedded: how many messages got a vector.
        failed: why, for each (session id, message id) that still lacks one.
    """

    embedded: int
    failed: Dict[Tuple[str, str], str]

    def plus(self, other: EmbeddingReport) -> EmbeddingReport:
        """Return this report and a later one as one."""
        return EmbeddingReport(
            self.embedded + other.embedded, {**self.failed, **other.failed}
        )


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
    beside = {"text": document.text}
    if document.name is not None:
        beside[SAID_BY] = document.name
    return Entry(document.message_id, index_text(document), beside, is_stored=True)


async def take_away(
    indexes: SessionIndexes,
    upkeep: VectorUpkeep,
    session_id: str,
    message_ids: Sequence[str],
) -> None:
    """Let index and vectors forget messages that are gone.

    Raises:
        EmbeddingError: the backend failed; the ids are then given as gone again.
    """
    indexes.drop(session_id, message_ids)
    await upkeep.remove(session_id, message_ids)
    indexes.settle(session_id, message_ids)


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
        attempt = await self._embed(session_id, upkeep, retries=0)
        session.tried = state
        if attempt.error is not None:
            raise attempt.error

    async def run(
        self,
        upkeep: VectorUpkeep,
        session_id: Optional[str],
        retries: int,
        per_minute: Optional[int],
        progress: Optional[Progress],
    ) -> EmbeddingReport:
        """Embed what is missing in one session, or in all."""
        _validate(retries, progress)
        report = EmbeddingReport(0, {})
        pace = None if per_minute is None else Pace(validate_limit(per_minute, _RATE))
        for name in await self._sessions(session_id):
            attempt = await self._embed(name, upkeep, retries, progress, pace)
            report = report.plus(_report(name, attempt))
        return report

    async def run_anew(
        self,
        old: RetrievalBackend,
        upkeep: VectorUpkeep,
        retries: int,
        per_minute: Optional[int],
        progress: Optional[Progress],
    ) -> EmbeddingReport:
        """Embed all messages, and all that is embedded without being a message.

        Args:
            old: the vectors so far, which carry the texts of the latter.
        """
        report = await self.run(upkeep, None, retries, per_minute, progress)
        if not isinstance(old, ScanningBackend):
            return report
        for name in await reach(old, old.session_ids()):
            entries = await self._alone(old, name)
            attempt = await upkeep.attempt(name, entries, retries=retries)
            report = report.plus(_report(name, attempt))
        return report

    async def _alone(self, old: ScanningBackend, session_id: str) -> List[Entry]:
        """Return what a session has vectors of under ids that are no messages."""
        stored = {entry.message_id for entry in await self._entries(session_id)}
        ids = await reach(old, old.message_ids(session_id))
        alone = [one for one in ids if one not in stored]
        kept = await reach(old, old.metadata_of(session_id, alone))
        return [
            Entry(one, str(kept[one]["text"]), kept[one])
            for one in alone
            if one in kept and kept[one].get("text")
        ]

    async def status(
        self, upkeep: VectorUpkeep, session_id: Optional[str]
    ) -> EmbeddingStatus:
        """Count what has a vector and what lacks one."""
        total = missing = 0
        failed: Dict[Tuple[str, str], str] = {}
        for name in await self._sessions(session_id):
            entries = await self._entries(name)
            lacking = await upkeep.missing(name, entries)
            total += len(entries)
            missing += len(lacking)
            failed.update(upkeep.failures(name, lacking))
        return EmbeddingStatus(total, missing, failed)

    async def _embed(
        self,
        session_id: str,
        upkeep: VectorUpkeep,
        retries: int,
        progress: Optional[Progress] = None,
        pace: Optional[Pace] = None,
    ) -> Attempt:
        missing = await upkeep.missing(session_id, await self._entries(session_id))
        attempt = await upkeep.attempt(session_id, missing, retries=retries, pace=pace)
        if attempt.done:
            # Others may have deleted messages while their vectors were made, and
            # searches since then have dealt with what they found to be gone.
            session, gone = await self._indexes.current(session_id)
            ids = [entry.message_id for entry in missing]
            late = [*gone, *session.not_stored(ids)]
            await take_away(self._indexes, upkeep, session_id, late)
        if progress is not None and missing:
            answer = progress(attempt.done, len(missing))
            if inspect.isawaitable(answer):
                await wait(answer)
        return attempt

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
        if session_id is None:
            return await self.session_ids()
        return [validate_session_id(session_id)]


def _validate(retries: Any, progress: Any) -> None:
    """Refuse arguments that would fail, or never end, in the midst of the work."""
    if type(retries) is not int or retries < 0:
        raise InvalidInputError("retries has to be an int of 0 or more", path="retries")
    if progress is not None and not callable(progress):
        raise InvalidInputError("progress has to be a function", path="progress")


def _report(session_id: str, attempt: Attempt) -> EmbeddingReport:
    if attempt.error is None:
        return EmbeddingReport(attempt.done, {})
    reason = str(attempt.error)
    ids = attempt.error.message_ids
    return EmbeddingReport(attempt.done, {(session_id, one): reason for one in ids})
