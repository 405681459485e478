"""Keep messages in Redis or Valkey: the async face of the scripts."""

from __future__ import annotations

import re
import weakref
from datetime import timedelta
from typing import Any, ClassVar, Dict, List, Mapping, Optional

from contextstore import messages
from contextstore._hop import call
from contextstore._lifecycle import renew_after_fork
from contextstore.backends import arguments
from contextstore.backends.ages import Age
from contextstore.backends.base import MemoryBackend, PruneAge
from contextstore.backends.filters import Filter
from contextstore.backends.records import refuse_other_id, validate_version
from contextstore.backends.redis import checkup, listing, reading, scanning, writing
from contextstore.backends.redis.address import Address
from contextstore.backends.redis.link import Link
from contextstore.backends.redis.nodes import Confirmation
from contextstore.backends.redis.room import Room
from contextstore.backends.results import (
    EraseReceipt,
    PruneResult,
    SessionInfo,
    SessionPage,
    TextMatch,
    VerifyReport,
    WriteResult,
)
from contextstore.backends.stamps import Clock, IdFactory, Stamps
from contextstore.backends.texts import words_of
from contextstore.errors import ConfigurationError

# A colon ends it in a key: with one inside, the sessions of "a:b" would be some of "a".
_NAMESPACE = re.compile(r"[A-Za-z0-9._/-]{1,64}")


class RedisMemory(MemoryBackend):
    """Keep messages in Redis or Valkey, safe for many threads, loops and processes.

    Every write is one script in one slot: stored whole or not at all. What a returned
    write promises beyond that is up to the server, and to ``replicas`` and ``fsync``:
    without them a server that dies can lose what it acknowledged last.

    A call rides out the failover of a server: it is sent again until ``deadline``,
    which is safe as every script recognises what it did before.

    Args:
        url: ``redis://host:6379/0``, ``rediss://`` for TLS,
            ``redis+cluster://host1:7000,host2:7000`` or
            ``redis+sentinel://host1:26379,host2:26379/master``; ``valkey`` is the same.
            Options of redis-py may follow a question mark.
        replicas: how many replicas have to have a write before it returns (WAIT).
        if_fewer: ``raise`` an error while fewer are connected, as after a failover that
            nobody repaired yet; or ``accept`` as few as there are, even none.
        fsync: let the write be on the disk of the server, and of those replicas, before
            it returns (WAITAOF: Valkey or Redis 7.2, with ``appendonly yes``).
        confirm_within: seconds that one attempt waits for both; after ``deadline`` the
            write raises UnavailableError, and may be stored.
        ttl: how long a session lives after a change by this object; by default a new
            session lives for ever, and one that has to expire keeps its time.
        timeout: seconds that one attempt may take.
        deadline: seconds after which a call gives up; more than a failover takes.
        namespace: what the keys begin with: letters, digits and ``. _ / -``. Objects of
            different namespaces see nothing of each other.
        id_factory: gives ids where a message has none; time-ordered UUIDs by default.
        clock: gives timestamps where a message has none; UTC ISO 8601 by default.

    Raises:
        ConfigurationError: the address or an option cannot be taken.
        MissingDependencyError: redis-py is not installed.
    """

    runs_inline: ClassVar[bool] = True
    prepares_messages: ClassVar[bool] = True

    def __init__(
        self,
        url: str,
        *,
        replicas: int = 0,
        if_fewer: str = "raise",
        fsync: bool = False,
        confirm_within: float = 1.0,
        ttl: Optional[timedelta] = None,
        timeout: float = 5.0,
        deadline: float = 15.0,
        namespace: str = "cs",
        id_factory: Optional[IdFactory] = None,
        clock: Optional[Clock] = None,
    ) -> None:
        confirmation = _confirmation(replicas, if_fewer, fsync, confirm_within, timeout)
        if not _NAMESPACE.fullmatch(str(namespace)):
            raise ConfigurationError(
                "namespace has 1 to 64 letters, digits and . _ / - of ASCII"
            )
        address = Address.of(url)
        link = Link(address, confirmation, timeout=timeout, deadline=deadline)
        stamps = Stamps.of(id_factory, clock)
        self._room = Room(link, namespace, stamps, _milliseconds(ttl))
        renew_after_fork(self)
        weakref.finalize(self, link.close)

    @property
    def location(self) -> str:
        """Give the address, without its password."""
        return self._room.link.location

    def renew(self) -> None:
        """Begin anew in a forked child, with connections of its own."""
        self._room.index.renew()
        self._room.link.renew()

    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Dict[str, Any]]:
        """Return the messages of a session, oldest first, in one round trip.

        Raises:
            CorruptDataError: a message is damaged or missing.
        """
        session_id = messages.validate_session_id(session_id)
        return await reading.load(self._room, session_id, messages.validate_k(k))

    async def save_context(
        self,
        session_id: str,
        context: List[Dict[str, Any]],
        *,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        """Make these the messages of a session, creating or replacing it.

        It reads the session, and writes only what differs.

        Args:
            expected_version: the version the session must have; 0 if it must not exist.

        Raises:
            ConflictError: it has another version.
            CorruptDataError: what is stored is damaged, and was left as it is.
        """
        return await writing.save(
            self._room,
            messages.validate_session_id(session_id),
            messages.prepare(context),
            expected_version=validate_version(expected_version),
        )

    async def append_context(
        self,
        session_id: str,
        context: List[Dict[str, Any]],
        *,
        create: bool = False,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        """Add messages at the end of a session, in one round trip.

        Repeating an append is safe: a message that is stored with the same id and
        content is left out.

        Args:
            create: make the session where it does not exist.
            expected_version: the version the session must have; 0 if it must not exist.

        Raises:
            SessionNotFoundError: there is no such session, and ``create`` is False.
            ConflictError: an id is stored with other content, or the version differs.
        """
        return await writing.append(
            self._room,
            messages.validate_session_id(session_id),
            messages.prepare(context),
            create=create,
            expected_version=validate_version(expected_version),
        )

    async def delete_session(self, session_id: str) -> None:
        """Delete a session and all its messages.

        Raises:
            SessionNotFoundError: there is no such session.
        """
        session_id = messages.validate_session_id(session_id)
        await writing.delete_session(self._room, session_id)

    async def delete_interaction(
        self, session_id: str, interaction_id: str
    ) -> WriteResult:
        """Delete a message and all messages after it.

        Raises:
            SessionNotFoundError: there is no such session.
            InteractionNotFoundError: the session has no such message.
        """
        return await writing.delete_interaction(
            self._room,
            messages.validate_session_id(session_id),
            arguments.interaction_id(interaction_id),
        )

    async def session_info(self, session_id: str) -> SessionInfo:
        """Return version, size, times and metadata; see MemoryBackend."""
        session_id = messages.validate_session_id(session_id)
        return await reading.info(self._room, session_id)

    async def list_sessions(
        self,
        *,
        limit: int = 50,
        cursor: Optional[str] = None,
        prefix: Optional[str] = None,
        metadata: Optional[Mapping[str, Any]] = None,
    ) -> SessionPage:
        """Return a page of sessions, newest change first; see MemoryBackend.

        The order is that of an index, which may be a second behind; with a prefix or
        metadata it looks at as many sessions as it takes to fill the page.
        """
        return await listing.page(
            self._room,
            Filter.checked(prefix, metadata),
            messages.validate_limit(limit),
            listing.parse_cursor(cursor),
        )

    async def load_page(
        self,
        session_id: str,
        *,
        before: Optional[str] = None,
        after: Optional[str] = None,
        limit: int = 50,
    ) -> List[Dict[str, Any]]:
        """Return a stretch of a session, oldest first; see MemoryBackend."""
        arguments.refuse_two_cursors(before, after)
        return await reading.load_page(
            self._room,
            messages.validate_session_id(session_id),
            arguments.optional_id(before, "before"),
            arguments.optional_id(after, "after"),
            messages.validate_limit(limit),
        )

    async def load_pinned(self, session_id: str) -> List[Dict[str, Any]]:
        """Return the pinned messages of a session; see MemoryBackend."""
        session_id = messages.validate_session_id(session_id)
        return await reading.load_pinned(self._room, session_id)

    async def update_interaction(
        self,
        session_id: str,
        interaction_id: str,
        message: Dict[str, Any],
        *,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        """Put another message in the place of a stored one; see MemoryBackend."""
        interaction_id = arguments.interaction_id(interaction_id)
        prepared = messages.prepare_message(message)
        refuse_other_id(prepared, interaction_id)
        return await writing.update_interaction(
            self._room,
            messages.validate_session_id(session_id),
            interaction_id,
            prepared,
            expected_version=validate_version(expected_version),
        )

    async def fork_session(
        self, session_id: str, new_session_id: str, *, at: Optional[str] = None
    ) -> WriteResult:
        """Copy a session under a new id; see MemoryBackend."""
        return await writing.fork(
            self._room,
            messages.validate_session_id(session_id),
            messages.validate_session_id(new_session_id),
            arguments.optional_id(at, "at"),
        )

    async def set_metadata(
        self,
        session_id: str,
        metadata: Dict[str, Any],
        *,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        """Give a session metadata; see MemoryBackend."""
        return await writing.set_metadata(
            self._room,
            messages.validate_session_id(session_id),
            messages.copy_object(metadata, "metadata"),
            expected_version=validate_version(expected_version),
        )

    async def prune(
        self,
        session_id: Optional[str] = None,
        *,
        older_than: Optional[PruneAge] = None,
        keep_last: Optional[int] = None,
        dry_run: bool = False,
    ) -> PruneResult:
        """Remove old messages in whole groups; see MemoryBackend.

        Each session by itself: an error leaves those before it pruned.
        """
        if session_id is not None:
            messages.validate_session_id(session_id)
        age = Age.of(older_than, keep_last)
        return await scanning.prune(self._room, session_id, age, dry_run=dry_run)

    async def erase(
        self,
        *,
        session_id: Optional[str] = None,
        where: Optional[Mapping[str, Any]] = None,
    ) -> EraseReceipt:
        """Delete sessions; see MemoryBackend.

        The receipt says ``purged=False``: nothing is left in the server, but its
        append-only file and snapshots hold it until the server writes them anew
        (``BGREWRITEAOF``, ``BGSAVE``).
        """
        wanted = arguments.what_to_erase(session_id, where)
        return await scanning.erase(self._room, session_id, wanted)

    async def search_text(
        self,
        query: str,
        *,
        session_id: Optional[str] = None,
        prefix: Optional[str] = None,
        limit: int = 10,
    ) -> List[TextMatch]:
        """Return the messages that hold all words of a query; see MemoryBackend.

        There is no index of words: it reads every message of the sessions that are
        meant. Give a session, or a prefix of few sessions. Words are compared without
        accents and capitals, and not by their stems.
        """
        words = words_of(messages.validate_text(query, "query"))
        if session_id is not None:
            messages.validate_session_id(session_id)
        return await scanning.search(
            self._room,
            words,
            session_id,
            Filter.checked(prefix, None),
            messages.validate_limit(limit),
        )

    async def load_summaries(self, session_id: str) -> Dict[str, str]:
        """Return the summaries kept beside a session; see MemoryBackend."""
        session_id = messages.validate_session_id(session_id)
        return await reading.load_summaries(self._room, session_id)

    async def save_summaries(
        self, session_id: str, summaries: Mapping[str, str]
    ) -> None:
        """Keep summaries beside a session; see MemoryBackend."""
        await writing.save_summaries(
            self._room,
            messages.validate_session_id(session_id),
            messages.copy_texts(summaries, "summaries"),
        )

    async def verify(self, *, repair: bool = False) -> VerifyReport:
        """Read everything and tell what is damaged; see MemoryBackend."""
        return await checkup.verify(self._room, repair=repair)

    async def every_session_id(self) -> List[str]:
        """Return the ids of all sessions, sorted, by asking every server for its keys.

        Unlike ``list_sessions`` it needs no index, which a server can lose.
        """
        return await scanning.session_ids(self._room, Filter())

    async def close(self) -> None:
        """Close the connections; a call after this raises ClosedError."""
        self._room.index.post()
        await call(self._room.link.close)


def _confirmation(
    replicas: object, if_fewer: str, fsync: bool, seconds: float, timeout: float
) -> Confirmation:
    if not isinstance(replicas, int) or replicas is True or replicas < 0:
        raise ConfigurationError("replicas has to be a non-negative int")
    if not 0 < seconds < timeout:
        raise ConfigurationError(
            "confirm_within has to be more than 0 and less than timeout"
        )
    if if_fewer not in ("raise", "accept"):
        raise ConfigurationError("if_fewer is 'raise' or 'accept'")
    return Confirmation(int(replicas), fsync, seconds, if_fewer == "accept")


def _milliseconds(ttl: Any) -> Optional[int]:
    if ttl is None:
        return None
    if not isinstance(ttl, timedelta) or ttl < timedelta(milliseconds=1):
        raise ConfigurationError("ttl has to be a timedelta of a millisecond or more")
    return int(ttl / timedelta(milliseconds=1))
