"""Define what a memory backend is: five methods, and the defaults around them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Dict,
    List,
    NamedTuple,
    Optional,
    Tuple,
    Type,
    TypeVar,
)

if TYPE_CHECKING:
    from contextstore.sync import SyncMemory

Self = TypeVar("Self", bound="MemoryBackend")


class WriteResult(NamedTuple):
    """Say what a write did.

    Attributes:
        ids: the ids of the messages given, in their order, made or given.
        version: the version of the session after the write.
        removed: ids of messages that went, or whose content is another now: whatever
            was derived from them is out of date.
    """

    ids: Tuple[str, ...]
    version: int
    removed: Tuple[str, ...] = ()


class MemoryBackend(ABC):
    """Keep the messages of sessions: extend this class to write a backend.

    A backend needs the five abstract methods and nothing else. Where a write knows
    what it did, it may return a WriteResult; None is as valid.

    Attributes:
        runs_inline: True for a class whose coroutines never suspend where no event loop
            runs, so that sync callers run them in their own thread. It has to be said
            by each class itself; a subclass that does not is taken to await something.
        prepares_messages: True for a class that validates and stamps messages by
            ``messages.prepare``; SessionStore does it for the others.
    """

    runs_inline: ClassVar[bool] = False
    prepares_messages: ClassVar[bool] = False

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "runs_inline" not in cls.__dict__:
            cls.runs_inline = False

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

    async def close(self) -> None:
        """Free what the backend holds; by default it holds nothing."""

    @property
    def sync(self) -> SyncMemory:
        """Give the sync face of this object: the same methods without await."""
        # The sync face stands above this room; imported here, it closes no circle.
        from contextstore.sync import SyncMemory  # noqa: PLC0415

        return SyncMemory(self)

    async def __aenter__(self: Self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: Optional[Type[BaseException]],
        exc: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        await self.close()
