"""Define every error that the library raises.

One class for each thing that a caller would do differently::

    ContextStoreError
    ├── NotFoundError (ValueError)             it is not there
    │   ├── SessionNotFoundError
    │   └── InteractionNotFoundError
    ├── InvalidInputError (ValueError)         the call is wrong: mend the input
    ├── ConfigurationError (ValueError)        the object is set up wrong
    ├── ContextOverflowError (ValueError)      the prompt cannot fit the budget
    ├── UnsupportedOperationError (NotImplementedError)  this backend cannot do it
    ├── MissingDependencyError (ImportError)   install the extra it names
    ├── StorageError                           the store could not do its work
    │   ├── BusyError                          try again later
    │   ├── ClosedError                        the object was closed
    │   ├── ConflictError (ValueError)         somebody else wrote first: load again
    │   ├── CorruptDataError                   what is stored is damaged
    │   ├── SchemaVersionError                 a newer library, or another program
    │   └── UnavailableError                   disk full, no permission, no server
    ├── EmbeddingError                         the embedding function failed
    └── AsyncContextError (RuntimeError)       sync call inside a running event loop

Every error can be pickled, and no error carries the text of a message.
"""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

__all__ = [
    "AsyncContextError",
    "BusyError",
    "ClosedError",
    "ConfigurationError",
    "ConflictError",
    "ContextOverflowError",
    "ContextStoreError",
    "CorruptDataError",
    "EmbeddingError",
    "InteractionNotFoundError",
    "InvalidInputError",
    "MissingDependencyError",
    "NotFoundError",
    "SchemaVersionError",
    "SessionNotFoundError",
    "StorageError",
    "UnavailableError",
    "UnsupportedOperationError",
]


class ContextStoreError(Exception):
    """Be the base of every error of this library."""


class NotFoundError(ContextStoreError, ValueError):
    """Say that a session or a message is not in the store.

    Attributes:
        session_id: the session that was asked for, where known.
    """

    def __init__(self, message: str, *, session_id: Optional[str] = None) -> None:
        super().__init__(message)
        self.session_id = session_id


class SessionNotFoundError(NotFoundError):
    """Say that there is no such session."""

    @classmethod
    def of(cls, session_id: str) -> SessionNotFoundError:
        """Return the error for a session that is not in the store."""
        return cls(
            f"there is no session {session_id!r}; save_context creates one, and so "
            f"does append_context with create=True",
            session_id=session_id,
        )


class InteractionNotFoundError(NotFoundError):
    """Say that the session has no such message.

    Attributes:
        interaction_id: the message id that was asked for, where known.
    """

    def __init__(
        self,
        message: str,
        *,
        session_id: Optional[str] = None,
        interaction_id: Optional[str] = None,
    ) -> None:
        super().__init__(message, session_id=session_id)
        self.interaction_id = interaction_id

    @classmethod
    def of(cls, session_id: str, interaction_id: str) -> InteractionNotFoundError:
        """Return the error for a message that is not in its session."""
        return cls(
            f"session {session_id!r} has no message with the id {interaction_id!r}",
            session_id=session_id,
            interaction_id=interaction_id,
        )


class InvalidInputError(ContextStoreError, ValueError):
    """Say that an argument cannot be taken; nothing was written.

    Attributes:
        path: where the fault is, such as ``context[3].id``; None for a whole call.
    """

    def __init__(self, message: str, *, path: Optional[str] = None) -> None:
        super().__init__(message)
        self.path = path


class ConfigurationError(ContextStoreError, ValueError):
    """Say that an object lacks or contradicts a part that the call needs.

    So it is where a server refuses what the object was given: user, password, or the
    certificates to trust. Waiting does not help.
    """


class ContextOverflowError(ContextStoreError, ValueError):
    """Say that what must be kept does not fit the token budget.

    Attributes:
        max_tokens: the budget.
        needed: the tokens that would be needed, where known.
        message_ids: the messages that do not fit.
    """

    def __init__(
        self,
        message: str,
        *,
        max_tokens: Optional[int] = None,
        needed: Optional[int] = None,
        message_ids: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.max_tokens = max_tokens
        self.needed = needed
        self.message_ids: Tuple[str, ...] = tuple(message_ids)


class UnsupportedOperationError(ContextStoreError, NotImplementedError):
    """Say that this backend does not offer the operation."""


class MissingDependencyError(ContextStoreError, ImportError):
    """Say that an optional package is not installed.

    Attributes:
        extra: the extra of this library that brings it.
    """

    def __init__(self, message: str, *, extra: Optional[str] = None) -> None:
        super().__init__(message)
        self.extra = extra


class StorageError(ContextStoreError):
    """Say that the store could not do its work.

    Attributes:
        location: the file or address of the store, where known.
        session_id: the session that was being read or written, where known.
    """

    def __init__(
        self,
        message: str,
        *,
        location: Optional[str] = None,
        session_id: Optional[str] = None,
    ) -> None:
        super().__init__(message)
        self.location = location
        self.session_id = session_id


class BusyError(StorageError):
    """Say that the store stayed locked for longer than the time allowed."""


class ClosedError(StorageError):
    """Say that the object was closed before this call."""


class ConflictError(StorageError, ValueError):
    """Say that the stored state is not the one that the caller expected.

    Attributes:
        current_version: the version of the session now, where known.
    """

    def __init__(
        self,
        message: str,
        *,
        location: Optional[str] = None,
        session_id: Optional[str] = None,
        current_version: Optional[int] = None,
    ) -> None:
        super().__init__(message, location=location, session_id=session_id)
        self.current_version = current_version


class CorruptDataError(StorageError):
    """Say that stored data is damaged; it is neither returned nor overwritten.

    Attributes:
        position: the place in the session of the damaged message, where known.
    """

    def __init__(
        self,
        message: str,
        *,
        location: Optional[str] = None,
        session_id: Optional[str] = None,
        position: Optional[int] = None,
    ) -> None:
        super().__init__(message, location=location, session_id=session_id)
        self.position = position


class SchemaVersionError(StorageError):
    """Say that a newer version of the library, or another program, wrote the store."""


class UnavailableError(StorageError):
    """Say that the store cannot be reached or written: disk, permission, server."""


class EmbeddingError(ContextStoreError):
    """Say that messages could not be embedded; the messages themselves are kept.

    Attributes:
        session_id: the session of the messages, where known.
        message_ids: the messages without a vector.
    """

    def __init__(
        self,
        message: str,
        *,
        session_id: Optional[str] = None,
        message_ids: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.session_id = session_id
        self.message_ids: Tuple[str, ...] = tuple(message_ids)


class AsyncContextError(ContextStoreError, RuntimeError):
    """Say that the sync face was called where an event loop is running."""
