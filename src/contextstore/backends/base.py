"""Define what a memory backend is: five methods, and the defaults around them."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from datetime import datetime, timedelta
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Dict,
    List,
    Mapping,
    Optional,
    Union,
)

from contextstore._lifecycle import Backend
from contextstore.backends.results import (
    EraseReceipt,
    PruneResult,
    SessionInfo,
    SessionPage,
    TextMatch,
    VerifyReport,
    WriteResult,
)
from contextstore.backends.told import Memory, Told

if TYPE_CHECKING:
    from contextstore.sync import SyncMemory

PruneAge = Union[timedelta, datetime]
"""An age, or a time with a time zone."""


class MemoryBackend(Backend, ABC):
    """Keep the messages of sessions: extend this class to write a backend.

    A backend needs the five abstract methods and nothing else. Where a write knows
    what it did, it may return a WriteResult; None is as valid. The other methods raise
    UnsupportedOperationError in a backend that does not write them; the backends of
    this library have all of them.

    Attributes:
        runs_inline: True for a class whose coroutines never suspend where no event loop
            runs, so that sync callers run them in their own thread. Each class has to
            say it itself.
        prepares_messages: True for a class that validates and stamps messages by
            ``messages.prepare``; SessionStore does it for the others.
    """

    prepares_messages: ClassVar[bool] = False

    @abstractmethod
    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Dict[str, Any]]:
        """Return the messages of a session, oldest first.

        Args:
            k: how many of the newest to return; None for all, 0 for none.

        Returns:
            Copies. An empty list where the session does not exist.
        """

    @abstractmethod
    async def save_context(
        self, session_id: str, context: List[Dict[str, Any]]
    ) -> Optional[WriteResult]:
        """Make these the messages of a session, creating or replacing it."""

    @abstractmethod
    async def append_context(
        self, session_id: str, context: List[Dict[str, Any]]
    ) -> Optional[WriteResult]:
        """Add messages at the end of a session that exists.

        Raises:
            ValueError: there is no such session (SessionNotFoundError in ours).
        """

    @abstractmethod
    async def delete_session(self, session_id: str) -> None:
        """Delete a session and all its messages.

        Raises:
            ValueError: there is no such session (SessionNotFoundError in ours).
        """

    @abstractmethod
    async def delete_interaction(
        self, session_id: str, interaction_id: str
    ) -> Optional[WriteResult]:
        """Delete a message and all messages after it.

        Raises:
            ValueError: there is no such session or message (NotFoundError in ours).
        """

    async def session_info(self, session_id: str) -> SessionInfo:
        """Return version, size, times and metadata of a session.

        Read it before you load, and pass its version as ``expected_version`` when you
        write what depends on what you loaded.

        Raises:
            SessionNotFoundError: there is no such session.
        """
        self._unsupported("session_info")

    async def list_sessions(
        self,
        *,
        limit: int = 50,
        cursor: Optional[str] = None,
        prefix: Optional[str] = None,
        metadata: Optional[Mapping[str, Any]] = None,
    ) -> SessionPage:
        """Return a page of sessions, the newest change first.

        Args:
            limit: how many at most, 1 or more.
            cursor: that of the page before; a session that changed meanwhile may move.
            prefix: only sessions whose id begins with it.
            metadata: only sessions whose metadata has these keys with equal values.
        """
        self._unsupported("list_sessions")

    async def load_page(
        self,
        session_id: str,
        *,
        before: Optional[str] = None,
        after: Optional[str] = None,
        limit: int = 50,
    ) -> List[Dict[str, Any]]:
        """Return a stretch of a session, oldest first, at the cost of the stretch.

        Args:
            before: the id of a message: the newest ones before it.
            after: the id of a message: the oldest ones after it. Without either, the
                newest of all.
            limit: how many at most, 1 or more.

        Raises:
            InteractionNotFoundError: the session has no such message.
        """
        self._unsupported("load_page")

    async def load_pinned(self, session_id: str) -> List[Dict[str, Any]]:
        """Return the system, developer and pinned messages of a session, in order."""
        self._unsupported("load_pinned")

    async def update_interaction(
        self,
        session_id: str,
        interaction_id: str,
        message: Dict[str, Any],
        *,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        """Put another message in the place of a stored one; what follows stays.

        Args:
            message: the new content; it keeps the id, and the timestamp if it has none.

        Raises:
            NotFoundError: there is no such session or message.
            ConflictError: the session has another version.
        """
        self._unsupported("update_interaction")

    async def fork_session(
        self, session_id: str, new_session_id: str, *, at: Optional[str] = None
    ) -> WriteResult:
        """Copy a session under a new id, in one transaction.

        Args:
            at: the id of the last message to copy; None copies all.

        Raises:
            NotFoundError: there is no such session or message.
            ConflictError: the new session exists already.
        """
        self._unsupported("fork_session")

    async def set_metadata(
        self,
        session_id: str,
        metadata: Dict[str, Any],
        *,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        """Give a session metadata, in place of what it had.

        Raises:
            SessionNotFoundError: there is no such session.
            ConflictError: the session has another version.
        """
        self._unsupported("set_metadata")

    async def prune(
        self,
        session_id: Optional[str] = None,
        *,
        older_than: Optional[PruneAge] = None,
        keep_last: Optional[int] = None,
        dry_run: bool = False,
    ) -> PruneResult:
        """Remove old messages, and keep tool calls with their results.

        A message goes when every condition given holds for it. Pinned messages stay.

        Args:
            session_id: the session; None for all.
            older_than: an age, or a time: what the store wrote before it.
            keep_last: what is not among the newest so many of its session.
            dry_run: only tell what would go.

        Raises:
            InvalidInputError: no condition was given.
            SessionNotFoundError: there is no such session.
        """
        self._unsupported("prune")

    async def erase(
        self,
        *,
        session_id: Optional[str] = None,
        where: Optional[Mapping[str, Any]] = None,
    ) -> EraseReceipt:
        """Delete sessions so that nothing of them is left in the files.

        Args:
            session_id: one session.
            where: all sessions whose metadata has these keys with equal values.

        Raises:
            InvalidInputError: neither or both were given, or ``where`` is empty.
        """
        self._unsupported("erase")

    async def search_text(
        self,
        query: str,
        *,
        session_id: Optional[str] = None,
        prefix: Optional[str] = None,
        limit: int = 10,
    ) -> List[TextMatch]:
        """Return the messages that hold all words of a query, the best first.

        Args:
            session_id: only in this session.
            prefix: only in sessions whose id begins with it.
            limit: how many at most, 1 or more.
        """
        self._unsupported("search_text")

    async def load_summaries(self, session_id: str) -> Dict[str, str]:
        """Return the summaries kept beside a session, by a hash of what they stand for.

        A session that is not there has none.
        """
        self._unsupported("load_summaries")

    async def save_summaries(
        self, session_id: str, summaries: Mapping[str, str]
    ) -> None:
        """Keep summaries beside a session, in place of those it had.

        They are no part of it: messages and version stay as they are.

        Raises:
            SessionNotFoundError: there is no such session.
        """
        self._unsupported("save_summaries")

    async def verify(self, *, repair: bool = False) -> VerifyReport:
        """Read everything and tell what is damaged.

        Args:
            repair: mend what can be mended.
        """
        self._unsupported("verify")

    async def backup(self, path: Union[str, os.PathLike[str]]) -> None:
        """Copy the store into a new file while it is in use.

        Raises:
            InvalidInputError: the file exists already.
        """
        self._unsupported("backup")

    @property
    def sync(self: Memory[Told]) -> SyncMemory[Told]:
        """Give the sync face of this object: the same methods without await."""
        # The sync face stands above this room; imported here, it closes no circle.
        from contextstore.sync import SyncMemory  # noqa: PLC0415

        return SyncMemory(self)
