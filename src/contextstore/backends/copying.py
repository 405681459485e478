"""Copy all sessions from one memory to another, whatever the two are."""

from __future__ import annotations

from typing import (
    Any,
    Awaitable,
    Callable,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
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
_MOST_NAMED = 20


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
    goes on where it was. Those copied are written in the order of their last change in
    the source, so that both list them alike. Versions and times of writing are those of
    the target, and vectors are none of it. What the target has beyond the source stays.
    Nobody else may write these sessions of the target meanwhile.

    Args:
        overwrite: replace sessions of the target whose messages are not the first, or
            all, of the source's, as an earlier copy leaves them.

    Raises:
        ConflictError: the target has such sessions, which were left as they are; those
            before the first of them are copied.
        UnsupportedOperationError: one of the two cannot list or describe sessions.
        CorruptDataError: a session of the source is damaged.
    """
    copied = sessions = size = 0
    ours: Set[str] = set()
    others: List[str] = []
    for number in range(_MOST_PASSES):
        sessions = size = written = 0
        for name in await _oldest_change_first(source):
            info = await _or_none(source, source.session_info(name))
            if info is None:
                continue
            sessions += 1
            size += info.message_count
            if not await _is_equal(source, target, info):
                # What this copy wrote may differ since, where the source changes.
                replaces = not overwrite and name not in ours
                if replaces and await _is_another(source, target, name):
                    others.append(name)
                # What will be refused goes no further, and is only looked through.
                if not others:
                    await _copy(source, target, name)
                    ours.add(name)
                    written += 1
            if progress is not None:
                progress("compare" if number else "copy", sessions)
        if others:
            raise _refusal(others)
        copied += written
        if not written:
            return CopyReport(sessions, size, copied, is_verified=True)
    return CopyReport(sessions, size, copied, is_verified=False)


async def _oldest_change_first(source: MemoryBackend) -> List[str]:
    # A backend whose lists come from an index that a server can lose has this hook.
    every: Any = getattr(source, "every_session_id", None)
    if every is None:
        return (await _listed(source))[::-1]
    changes: List[Tuple[str, str]] = []
    for session_id in await reach(source, every()):
        info = await _or_none(source, source.session_info(session_id))
        if info is not None:
            changes.append((info.updated_at, session_id))
    return [session_id for _, session_id in sorted(changes)]


async def _listed(source: MemoryBackend) -> List[str]:
    names: List[str] = []
    cursor: Optional[str] = None
    while True:
        page = await reach(source, source.list_sessions(limit=_PAGE, cursor=cursor))
        names += [info.session_id for info in page.sessions]
        cursor = page.cursor
        if cursor is None:
            return names


async def _is_another(
    source: MemoryBackend, target: MemoryBackend, session_id: str
) -> bool:
    """Tell whether the target has what is no beginning of the source's history."""
    theirs = await reach(target, target.load_context(session_id))
    ours = await reach(source, source.load_context(session_id))
    return messages.canonical(theirs) != messages.canonical(ours[: len(theirs)])


def _refusal(session_ids: Sequence[str]) -> ConflictError:
    named = ", ".join(map(repr, session_ids[:_MOST_NAMED]))
    more = len(session_ids) - _MOST_NAMED
    return ConflictError(
        f"the target has other sessions of {len(session_ids)} names, which were left "
        f"as they are: {named}{f' and {more} more' if more > 0 else ''}; rename or "
        f"delete those of one of the two, or replace the target's by --overwrite "
        f"(overwrite=True)",
        session_id=session_ids[0],
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


async def _copy(source: MemoryBackend, target: MemoryBackend, name: str) -> None:
    """Copy one session; one that was deleted meanwhile is left out."""
    now = await _or_none(source, source.session_info(name))
    if now is None:
        return
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
