"""Keep messages in this process: for tests, and for chats that need not outlive it."""

from __future__ import annotations

import threading
from typing import Any, ClassVar, Dict, List, Optional

from contextstore import messages
from contextstore.backends.base import MemoryBackend, WriteResult
from contextstore.backends.records import (
    Record,
    check_version,
    plan_append,
    plan_save,
)
from contextstore.backends.stamps import Clock, IdFactory, Stamps
from contextstore.errors import (
    ClosedError,
    InteractionNotFoundError,
    SessionNotFoundError,
)


class _Session:
    """Be one session: its records in order, where each id stands, its version."""

    def __init__(self) -> None:
        self.records: List[Record] = []
        self.places: Dict[str, int] = {}
        self.version = 0

    def find(self, message_id: str) -> Optional[Record]:
        place = self.places.get(message_id)
        return None if place is None else self.records[place]

    def replace_from(self, kept: int, added: List[Record]) -> List[Record]:
        """Put records in place of those from ``kept`` on, and return what goes."""
        gone = self.records[kept:]
        del self.records[kept:]
        for record in gone:
            del self.places[record.id]
        for place, record in enumerate(added, start=kept):
            self.places[record.id] = place
        self.records.extend(added)
        return gone


class InMemoryMemory(MemoryBackend):
    """Keep messages in this process, safe to use from any thread and any loop.

    Messages are kept encoded, as the other backends keep them: what comes out is a copy
    equal to what went in.

    Args:
        id_factory: gives ids where a message has none; time-ordered UUIDs by default.
        clock: gives timestamps where a message has none; UTC ISO 8601 by default.
    """

    runs_inline: ClassVar[bool] = True
    prepares_messages: ClassVar[bool] = True

    def __init__(
        self,
        *,
        id_factory: Optional[IdFactory] = None,
        clock: Optional[Clock] = None,
    ) -> None:
        self._stamps = Stamps.of(id_factory, clock)
        self._lock = threading.Lock()
        self._sessions: Dict[str, _Session] = {}
        self._closed = False

    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Dict[str, Any]]:
        """Return the messages of a session, oldest first; see MemoryBackend."""
        session_id = messages.validate_session_id(session_id)
        k = messages.validate_k(k)
        with self._lock:
            self._refuse_closed()
            session = self._sessions.get(session_id)
            stored = [] if session is None else session.records
            records = stored[max(0, len(stored) - k) :] if k is not None else stored[:]
        return [messages.decode(record.body) for record in records]

    async def save_context(
        self,
        session_id: str,
        context: List[Dict[str, Any]],
        *,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        """Make these the messages of a session, creating or replacing it.

        Args:
            expected_version: the version the session must have; 0 if it must not exist.

        Raises:
            ConflictError: it has another version.
        """
        session_id = messages.validate_session_id(session_id)
        incoming = messages.prepare(context)
        with self._lock:
            self._refuse_closed()
            session = self._sessions.get(session_id) or _Session()
            check_version(session_id, expected_version, session.version)
            plan = plan_save(incoming, session.records, self._stamps)
            changes = plan.kept < len(session.records) or bool(plan.added)
            if changes or session.version == 0:
                session.replace_from(plan.kept, plan.added)
                session.version += 1
            self._sessions[session_id] = session
            return WriteResult(plan.ids, session.version, plan.removed)

    async def append_context(
        self,
        session_id: str,
        context: List[Dict[str, Any]],
        *,
        create: bool = False,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        """Add messages at the end of a session.

        Repeating an append is safe: a message that is stored with the same id and
        content is left out.

        Args:
            create: make the session where it does not exist.
            expected_version: the version the session must have; 0 if it must not exist.

        Raises:
            SessionNotFoundError: there is no such session, and ``create`` is False.
            ConflictError: an id is stored with other content, or the version differs.
        """
        session_id = messages.validate_session_id(session_id)
        incoming = messages.prepare(context)
        with self._lock:
            self._refuse_closed()
            session = _Session() if create else self._existing(session_id)
            session = self._sessions.get(session_id, session)
            check_version(session_id, expected_version, session.version)
            plan = plan_append(session_id, incoming, session.find, self._stamps)
            if plan.added or session.version == 0:
                session.replace_from(len(session.records), plan.added)
                session.version += 1
            self._sessions[session_id] = session
            return WriteResult(plan.ids, session.version)

    async def delete_session(self, session_id: str) -> None:
        """Delete a session and all its messages.

        Raises:
            SessionNotFoundError: there is no such session.
        """
        session_id = messages.validate_session_id(session_id)
        with self._lock:
            self._refuse_closed()
            self._existing(session_id)
            del self._sessions[session_id]

    async def delete_interaction(
        self, session_id: str, interaction_id: str
    ) -> WriteResult:
        """Delete a message and all messages after it.

        Raises:
            SessionNotFoundError: there is no such session.
            InteractionNotFoundError: the session has no such message.
        """
        session_id = messages.validate_session_id(session_id)
        interaction_id = messages.validate_message_id(interaction_id, "interaction_id")
        with self._lock:
            self._refuse_closed()
            session = self._existing(session_id)
            place = session.places.get(interaction_id)
            if place is None:
                raise InteractionNotFoundError.of(session_id, interaction_id)
            gone = session.replace_from(place, [])
            session.version += 1
            removed = tuple(record.id for record in gone)
            return WriteResult((), session.version, removed)

    async def close(self) -> None:
        """Forget everything; a call after this raises ClosedError."""
        with self._lock:
            self._closed = True
            self._sessions.clear()

    def _existing(self, session_id: str) -> _Session:
        session = self._sessions.get(session_id)
        if session is None:
            raise SessionNotFoundError.of(session_id)
        return session

    def _refuse_closed(self) -> None:
        if self._closed:
            raise ClosedError("this InMemoryMemory was closed; make a new one")
