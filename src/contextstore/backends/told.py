"""Say what the writes of a memory give back, so that what stands above can say it too.

A backend may return None from a write, as in the contract; those of this library always
return a WriteResult. Type checkers learn here which of the two a memory does, and so
what ``SessionStore`` and the sync faces over it return.
"""

from __future__ import annotations

from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Coroutine,
    Dict,
    List,
    Optional,
    Protocol,
)

from contextstore.backends.results import WriteResult

if TYPE_CHECKING:
    from typing import Generic

    # Type checkers know this package by themselves; it need not be installed.
    from typing_extensions import TypeVar

    Told = TypeVar(
        "Told",
        bound=Optional[WriteResult],
        covariant=True,
        default=Optional[WriteResult],
    )

    class Telling(Generic[Told]):
        """Be a class over a memory whose writes give back this."""

else:
    from typing import TypeVar

    Told = TypeVar("Told", bound=Optional[WriteResult], covariant=True)

    class Telling:
        """Be a class over a memory whose writes give back this.

        No Generic where it runs: that one hides the signature of a class on Python 3.8.
        """

        def __class_getitem__(cls, told: Any) -> Any:
            return cls


class Memory(Protocol[Told]):
    """Be a MemoryBackend whose writes give back this."""

    runs_inline: ClassVar[bool]
    prepares_messages: ClassVar[bool]

    def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> Coroutine[Any, Any, List[Dict[str, Any]]]:
        """See MemoryBackend.load_context."""
        ...

    def save_context(
        self, session_id: str, context: List[Dict[str, Any]]
    ) -> Coroutine[Any, Any, Told]:
        """See MemoryBackend.save_context."""
        ...

    def append_context(
        self, session_id: str, context: List[Dict[str, Any]]
    ) -> Coroutine[Any, Any, Told]:
        """See MemoryBackend.append_context."""
        ...

    def delete_session(self, session_id: str) -> Coroutine[Any, Any, None]:
        """See MemoryBackend.delete_session."""
        ...

    def delete_interaction(
        self, session_id: str, interaction_id: str
    ) -> Coroutine[Any, Any, Told]:
        """See MemoryBackend.delete_interaction."""
        ...
