"""Copy all sessions from one memory to another, whatever the two are."""

from __future__ import annotations

from typing import AsyncIterator, Awaitable, Callable, NamedTuple, Optional, TypeVar

from contextstore import messages
from contextstore._hop import reach
from contextstore.backends.base import MemoryBackend
from contextstore.backends.results import SessionInfo
from contextstore.errors import SessionNotFoundError

T = TypeVar("T")
Progress = Callable[[str, int], None]
"""Is told what is being done, ``copy`` or ``compare``, and for how many sessions."""

_PAGE = 200
# Each pass repairs what changed behind the one before it; a source at rest takes two.
_MOST_PASSES = 5


class CopyReport(NamedTuple):
    """Say what a copy did.

    Attributes:
        session_count: how many sessions the source has.
        message_count: how many messages.
        copied: how many sessions were written, some of them more than once.
        is_verified: whether a last pass found every session equal in both; False where
            the source kept changing.
    """

    session_count: int
    message_count: int
    copied: int
    is_verified: bool


async def copy_sessions(
    source: MemoryBackend, target: MemoryBackend, progress: Optional[Progress] = None
) -> CopyReport:
    """Copy messages, metadata and summaries of all sessions, and compare them after.

    Sessions that are equal already are left alone, so that a copy that was cut short
    goes on where it was. Versions and times of writing are those of the target. What
    the target has beyond the source stays.

    Raises:
        UnsupportedOperationError: one of the two cannot list or describe sessions.
        CorruptDataError: a session of the source is damaged.
    """
    copied = sessions = size = 0
    for number in range(_MOST_PASSES):
        sessions = size = written = 0
        async for info in _sessions(source):
            sessions += 1
            size += info.message_count
            if not await _is_equal(source, target, info):
                await _copy(source, target, info)
                written += 1
            if progress is not None:
                progress("compare" if number else "copy", sessions)
        copied += written
        if not written:
            return CopyReport(sessions, size, copied, is_verified=True)
    return CopyReport(sessions, size, copied, is_verified=False)


async def _sessions(source: MemoryBackend) -> AsyncIterator[SessionInfo]:
    cursor: Optional[str] = None
    while True:
        page = await reach(source, source.list_sessions(limit=_PAGE, cursor=cursor))
        for info in page.sessions:
            yield info
        cursor = page.cursor
        if cursor is None:
            return


async def _is_equal(
    source: MemoryBackend, target: MemoryBackend, info: SessionInfo
) -> bool:
    there = await _or_none(target, target.session_info(info.session_id))
    if there is None or there.message_count != info.message_count:
        return False
    if messages.canonical(there.metadata) != messages.canonical(info.metadata):
        return False
    for method in ("load_context", "load_summaries"):
        ours = await reach(source, getattr(source, method)(info.session_id))
        theirs = await reach(target, getattr(target, method)(info.session_id))
        if messages.canonical(ours) != messages.canonical(theirs):
            return False
    return True


async def _copy(
    source: MemoryBackend, target: MemoryBackend, info: SessionInfo
) -> None:
    """Copy one session; one that was deleted meanwhile is left out."""
    now = await _or_none(source, source.session_info(info.session_id))
    if now is None:
        return
    name = info.session_id
    stored = await reach(source, source.load_context(name))
    await reach(target, target.save_context(name, stored))
    await reach(target, target.set_metadata(name, now.metadata))
    summaries = await reach(source, source.load_summaries(name))
    await reach(target, target.save_summaries(name, summaries))


async def _or_none(owner: MemoryBackend, asked: Awaitable[T]) -> Optional[T]:
    try:
        return await reach(owner, asked)
    except SessionNotFoundError:
        return None
