"""Keep messages in a SQLite file: the async face of the engine."""

from __future__ import annotations

import os
import weakref
from functools import partial
from typing import Any, ClassVar, Dict, List, Optional, Union

from contextstore import messages
from contextstore._hop import call
from contextstore.backends.base import MemoryBackend, WriteResult
from contextstore.backends.sqlite import sessions
from contextstore.backends.sqlite.connections import MEMORY
from contextstore.backends.sqlite.sessions import Place
from contextstore.backends.sqlite.shared import Lease
from contextstore.backends.stamps import Clock, IdFactory, Stamps
from contextstore.errors import ConfigurationError, InvalidInputError


class SQLiteMemory(MemoryBackend):
    """Keep messages in a SQLite file, safe for many threads, loops and processes.

    When a write returns, it is on the disk: a crash or a power cut does not lose it,
    and a batch is stored whole or not at all. The file is made at the first use,
    readable by its owner alone. An object that is dropped closes itself.

    Args:
        path: the file, made absolute at once and never taken for a URI; ``:memory:``
            keeps everything in this object.
        durability: ``full`` means that an acknowledged write is on the disk. With
            ``relaxed`` it survives a crash of the process, but a power cut can lose
            what was acknowledged last: of 804 simulated disks, 537 had lost something.
            Objects that share a file use the stricter of theirs.
        id_factory: gives ids where a message has none; time-ordered UUIDs by default.
        clock: gives timestamps where a message has none; UTC ISO 8601 by default.
    """

    runs_inline: ClassVar[bool] = True
    prepares_messages: ClassVar[bool] = True

    def __init__(
        self,
        path: Union[str, os.PathLike[str]],
        *,
        durability: str = "full",
        id_factory: Optional[IdFactory] = None,
        clock: Optional[Clock] = None,
    ) -> None:
        if durability not in ("full", "relaxed"):
            raise ConfigurationError(
                f"durability is {durability!r}; choose 'full' or 'relaxed'"
            )
        self._stamps = Stamps.of(id_factory, clock)
        self._lease = Lease(_absolute(path), durability)
        self._release = weakref.finalize(self, self._lease.release)

    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Dict[str, Any]]:
        """Return the messages of a session, oldest first; see MemoryBackend.

        Raises:
            CorruptDataError: a message is damaged or missing.
        """
        place = self._place(session_id)
        k = messages.validate_k(k)
        return await self._lease.engine.readers.fetch(
            partial(sessions.load, place=place, k=k)
        )

    async def save_context(
        self,
        session_id: str,
        context: List[Dict[str, Any]],
        *,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        """Make these the messages of a session, creating or replacing it.

        Only what differs from the stored history is written.

        Args:
            expected_version: the version the session must have; 0 if it must not exist.

        Raises:
            ConflictError: it has another version.
            CorruptDataError: what is stored is damaged, and was left as it is.
        """
        return await self._lease.engine.writer.submit(
            partial(
                sessions.save,
                place=self._place(session_id),
                incoming=messages.prepare(context),
                stamps=self._stamps,
                expected_version=expected_version,
            )
        )

    async def append_context(
        self,
        session_id: str,
        context: List[Dict[str, Any]],
        *,
        create: bool = False,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        """Add messages at the end of a session, in one transaction.

        Repeating an append is safe: a message that is stored with the same id and
        content is left out.

        Args:
            create: make the session where it does not exist.
            expected_version: the version the session must have; 0 if it must not exist.

        Raises:
            SessionNotFoundError: there is no such session, and ``create`` is False.
            ConflictError: an id is stored with other content, or the version differs.
        """
        return await self._lease.engine.writer.submit(
            partial(
                sessions.append,
                place=self._place(session_id),
                incoming=messages.prepare(context),
                stamps=self._stamps,
                create=create,
                expected_version=expected_version,
            )
        )

    async def delete_session(self, session_id: str) -> None:
        """Delete a session and all its messages.

        Raises:
            SessionNotFoundError: there is no such session.
        """
        place = self._place(session_id)
        await self._lease.engine.writer.submit(
            partial(sessions.delete_session, place=place)
        )

    async def delete_interaction(
        self, session_id: str, interaction_id: str
    ) -> WriteResult:
        """Delete a message and all messages after it.

        Raises:
            SessionNotFoundError: there is no such session.
            InteractionNotFoundError: the session has no such message.
        """
        interaction_id = messages.validate_message_id(interaction_id, "interaction_id")
        return await self._lease.engine.writer.submit(
            partial(
                sessions.delete_interaction,
                place=self._place(session_id),
                interaction_id=interaction_id,
            )
        )

    async def close(self) -> None:
        """Let go of the file; a call after this raises ClosedError."""
        await call(self._release)

    def _place(self, session_id: str) -> Place:
        return Place(self._lease.location, messages.validate_session_id(session_id))


def _absolute(path: Union[str, os.PathLike[str]]) -> str:
    location: Any = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(location, str) or not location:
        raise InvalidInputError(
            f"path is {path!r}; pass the name of a file, or {MEMORY!r}", path="path"
        )
    if location == MEMORY:
        return location
    if "\0" in location:
        raise InvalidInputError("path holds a NUL character", path="path")
    # Not resolved: the error texts name the file as the caller knows it.
    return os.path.abspath(location)  # noqa: PTH100
