"""Copy all sessions from one memory to another, whatever the two are."""

from __future__ import annotations

from typing import (
    Any,
    AsyncIterator,
    Awaitable,
    Callable,
    NamedTuple,
    Optional,
    Set,
    TypeVar,
)

from contextstore import messages
from contextstore._hop import reach
from contextstore.backends.base import MemoryBackend
from contextstore.backends.results import SessionInfo
from contextstore.errors import ConflictError, SessionNotFoundError

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
    source: MemoryBackend,
    target: MemoryBackend,
    progress: Optional[Progress] = None,
    *,
    overwrite: bool = False,
) -> CopyReport:
    """Copy messages, metadata and summaries of all sessions, and compare them after.

    Sessions that are equal already are left alone, so that a copy that was cut short
    goes on where it was. Versions and times of writing are those of the target. What
    the target has beyond the source stays. Nobody else may write these sessions of the
    target meanwhile.

    Args:
        overwrite: replace sessions of the target whose messages are not the first, or
            all, of the source's, as an earlier copy leaves them.

    Raises:
        ConflictError: the target has such a session, which was left as it is; those
            before it are copied.
        UnsupportedOperationError: one of the two cannot list or describe sessions.
        CorruptDataError: a session of the source is damaged.
    """
    copied = sessions = size = 0
    ours: Set[str] = set()
    for number in range(_MOST_PASSES):
        sessions = size = written = 0
        async for info in _sessions(source):
            sessions += 1
            size += info.message_count
            if not await _is_equal(source, target, info):
                # What this copy wrote may differ since, where the source changes.
                if not overwrite and info.session_id not in ours:
                    await _refuse_other(source, target, info.session_id)
                await _copy(source, target, info)
                ours.add(info.session_id)
                written += 1
            if progress is not None:
                progress("compare" if number else "copy", sessions)
        copied += written
        if not written:
            return CopyReport(sessions, size, copied, is_verified=True)
    return CopyReport(sessions, size, copied, is_verified=False)


async def _sessions(source: MemoryBackend) -> AsyncIterator[SessionInfo]:
    # A backend whose lists come from an index that a server can lose has this hook.
    every: Any = getattr(source, "every_session_id", None)
    if every is None:
        async for listed in _listed(source):
            yield listed
        return
    for session_id in await reach(source, every()):
        info = await _or_none(source, source.session_info(session_id))
        if info is not None:
            yield info


async def _listed(source: MemoryBackend) -> AsyncIterator[SessionInfo]:
    cursor: Optional[str] = None
    while True:
        page = await reach(source, source.list_sessions(limit=_PAGE, cursor=cursor))
        for info in page.sessions:
            yield info
        cursor = page.cursor
        if cursor is None:
            return


async def _refuse_other(
    source: MemoryBackend, target: MemoryBackend, session_id: str
) -> None:
    """Refuse to replace what is no beginning of the history of the source.

    Raises:
        ConflictError: naming the session.
    """
    theirs = await reach(target, target.load_context(session_id))
    ours = await reach(source, source.load_context(session_id))
    if messages.canonical(theirs) != messages.canonical(ours[: len(theirs)]):
        raise ConflictError(
            f"the target has another session {session_id!r}, which was left as it is: "
            f"rename or delete one of the two, or replace it by --overwrite "
            f"(overwrite=True)",
            session_id=session_id,
        )


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
