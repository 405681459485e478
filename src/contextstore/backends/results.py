"""Hold what backends give back, apart from messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, NamedTuple, Optional, Tuple


class WriteResult(NamedTuple):
    """Say what a write did.

    Attributes:
        ids: the ids of the messages given, in their order, made or given.
        version: the version of the session after the write.
        removed: ids of messages that went, or whose content is another now: whatever
            was derived from them is out of date.
        before: the version of the session before an append, as the backends of this
            library tell it: they raise it by one for each message that was added. None
            where the backend does not tell, and for other writes.
    """

    ids: Tuple[str, ...]
    version: int
    removed: Tuple[str, ...] = ()
    before: Optional[int] = None


@dataclass(frozen=True)
class SessionInfo:
    """Describe a session.

    Attributes:
        session_id: its id.
        version: raised by every change; pass it as ``expected_version``.
        message_count: how many messages it has.
        created_at: when it was made, UTC in ISO 8601, by the clock of the store.
        updated_at: when it was last changed, likewise.
        metadata: what ``set_metadata`` gave it.
    """

    session_id: str
    version: int
    message_count: int
    created_at: str
    updated_at: str
    metadata: Dict[str, Any] = field(default_factory=dict)


class SessionPage(NamedTuple):
    """Be one page of a list of sessions.

    Attributes:
        sessions: the sessions, newest change first.
        cursor: asks for the next page; None where there is none.
    """

    sessions: List[SessionInfo]
    cursor: Optional[str]


class TextMatch(NamedTuple):
    """Be one message that holds the words that were searched.

    Attributes:
        session_id: where it is.
        message_id: its id.
        score: the larger, the better it fits; comparable within one search only.
        message: the message.
    """

    session_id: str
    message_id: str
    score: float
    message: Dict[str, Any]


@dataclass(frozen=True)
class PruneResult:
    """Say what a prune removed, or would remove.

    Attributes:
        removed: the ids of the messages by session, oldest first.
        dry_run: True where nothing was changed.
    """

    removed: Dict[str, Tuple[str, ...]]
    dry_run: bool = False

    @property
    def message_count(self) -> int:
        """Count the messages over all sessions."""
        return sum(map(len, self.removed.values()))


@dataclass(frozen=True)
class EraseReceipt:
    """Say what was erased.

    Attributes:
        session_ids: the sessions that are gone.
        message_count: how many messages they had.
        vector_count: how many vectors, where the backend keeps vectors too.
        purged: True where nothing of it is left in the files of the store; False where
            traces may be. A file of SQLite has some where another program kept its log
            from being emptied, or it could not be written anew, for damage or want of
            room. A server always may, in its log, its snapshots and its backups, and
            what a cache beside it says of itself counts as well.
    """

    session_ids: Tuple[str, ...]
    message_count: int
    vector_count: int
    purged: bool


@dataclass(frozen=True)
class Problem:
    """Be one thing that ``verify`` found wrong.

    Attributes:
        kind: what is wrong: a ``file``, ``message``, ``session``, ``index`` or
            ``vector``, a message that is ``missing``, or one that is an ``orphan``.
        detail: what exactly, in words.
        session_id: the session it concerns, where known.
        position: the place of the message in it, where known.
        repaired: whether it was mended.
    """

    kind: str
    detail: str
    session_id: Optional[str] = None
    position: Optional[int] = None
    repaired: bool = False


@dataclass(frozen=True)
class VerifyReport:
    """Say what ``verify`` looked at and what it found.

    Attributes:
        session_count: how many sessions were read.
        message_count: how many messages were read.
        problems: what is wrong; empty for a sound store.
    """

    session_count: int
    message_count: int
    problems: Tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Tell whether nothing is wrong, or everything was mended."""
        return all(problem.repaired for problem in self.problems)
