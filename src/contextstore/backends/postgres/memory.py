"""Keep messages in Postgres: the methods of the backend, each a piece of work."""

from __future__ import annotations

import os
from datetime import timedelta
from functools import partial
from typing import Any, ClassVar, Dict, List, Mapping, Optional, Tuple, Union

from contextstore import messages
from contextstore.backends import arguments
from contextstore.backends.ages import Age, Old
from contextstore.backends.base import MemoryBackend, PruneAge
from contextstore.backends.filters import Filter
from contextstore.backends.postgres import (
    appending_together,
    checkup,
    expiring,
    listing,
    loading,
    plans,
    rows,
    vector_rows,
)
from contextstore.backends.postgres import (
    summaries as summary_rows,
)
from contextstore.backends.postgres.appending import Append
from contextstore.backends.postgres.changes import Changing, Deleting
from contextstore.backends.postgres.engine import Engine, Options, Session
from contextstore.backends.postgres.keys import Place, message_key
from contextstore.backends.postgres.rows import State
from contextstore.backends.postgres.searching import Search
from contextstore.backends.records import refuse_other_id, validate_version
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
from contextstore.errors import (
    ConfigurationError,
    InteractionNotFoundError,
    SessionNotFoundError,
    UnsupportedOperationError,
)


class PostgresMemory(MemoryBackend):
    """Keep messages in Postgres, safe for many machines, loops and threads.

    An append is one statement in one round trip, whatever the number of messages, and
    so is a load. Tables are made at the first use. What is cut off by a lost
    connection, a restart or a failover is repeated until ``timeout`` has passed, which
    is safe: ids are given out before anything is sent. Needs the extra ``postgres``.

    Args:
        dsn: an address such as ``postgresql://user@host/database``, or any connection
            string of libpq. Of several hosts the one that can be written is taken.
        timeout: seconds that a statement may take, with all its repeats.
        pool_size: how many connections each event loop may open.
        prepare_threshold: after how many times a connection prepares a statement. None
            for never, as a pgbouncer before 1.21 in transaction mode needs it.
        expire_after: how long sessions that this object makes outlive their newest
            write; None for ever.
        partitions: into how many parts each table is split when the tables are made.
        id_factory: gives ids where a message has none; time-ordered UUIDs by default.
        clock: gives timestamps where a message has none; UTC ISO 8601 by default.
    """

    prepares_messages: ClassVar[bool] = True

    def __init__(
        self,
        dsn: str,
        *,
        timeout: float = 30.0,
        pool_size: int = 10,
        prepare_threshold: Optional[int] = 5,
        expire_after: Optional[timedelta] = None,
        partitions: int = 16,
        id_factory: Optional[IdFactory] = None,
        clock: Optional[Clock] = None,
    ) -> None:
        options = Options.checked(dsn, timeout, pool_size, prepare_threshold)
        # First, so that who pickles the object hears of it, and not of an id_factory.
        self._engine = Engine(options, partitions)
        self._appends = appending_together.lanes(self._engine)
        self._loads = loading.lanes(self._engine)
        self._lifetime = _milliseconds(expire_after)
        self._stamps = Stamps.of(id_factory, clock)

    @property
    def location(self) -> str:
        """Give hosts and name of the database, without user and password."""
        return self._engine.location

    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Dict[str, Any]]:
        """Return the messages of a session, oldest first; see MemoryBackend.

        Raises:
            CorruptDataError: a message is damaged or missing.
        """
        place = self._place(session_id)
        return await loading.load(self._loads, place, messages.validate_k(k))

    async def save_context(
        self,
        session_id: str,
        context: List[Dict[str, Any]],
        *,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        """Make these the messages of a session, creating or replacing it.

        Only what differs from the stored history is written, in one statement.

        Args:
            expected_version: the version the session must have; 0 if it must not exist.

        Raises:
            ConflictError: it has another version.
            CorruptDataError: what is stored is damaged, and was left as it is.
        """
        place = self._place(session_id)
        plan = plans.save(
            place,
            messages.prepare(context),
            self._stamps,
            expected_version=validate_version(expected_version),
            lifetime=self._lifetime,
        )
        return await self._engine.do(Changing(place, rows.load_all, plan).run)

    async def append_context(
        self,
        session_id: str,
        context: List[Dict[str, Any]],
        *,
        create: bool = False,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        """Add messages at the end of a session, in one statement.

        Repeating an append is safe: a message that is stored with the same id and
        content is left out.

        Args:
            create: make the session where it does not exist.
            expected_version: the version the session must have; 0 if it must not exist.

        Raises:
            SessionNotFoundError: there is no such session, and ``create`` is False.
            ConflictError: an id is stored with other content, or the version differs.
        """
        append = Append(
            self._place(session_id),
            messages.prepare(context),
            self._stamps,
            create=create,
            expected_version=validate_version(expected_version),
            lifetime=self._lifetime,
        )
        return await self._appends.here().do(append)

    async def delete_session(self, session_id: str) -> None:
        """Delete a session and all its messages.

        Raises:
            SessionNotFoundError: there is no such session.
        """
        deleting = Deleting(self._place(session_id), all_vectors=False)
        await self._engine.do(deleting.run)

    async def delete_interaction(
        self, session_id: str, interaction_id: str
    ) -> WriteResult:
        """Delete a message and all messages after it.

        Raises:
            SessionNotFoundError: there is no such session.
            InteractionNotFoundError: the session has no such message.
        """
        place = self._place(session_id)
        interaction_id = arguments.interaction_id(interaction_id)
        look = partial(rows.load_ids_from, key=message_key(interaction_id))
        plan = plans.rewind(place, interaction_id)
        return await self._engine.do(Changing(place, look, plan).run)

    async def session_info(self, session_id: str) -> SessionInfo:
        """Return version, size, times and metadata; see MemoryBackend."""
        return await listing.info(self._engine, self._place(session_id))

    async def list_sessions(
        self,
        *,
        limit: int = 50,
        cursor: Optional[str] = None,
        prefix: Optional[str] = None,
        metadata: Optional[Mapping[str, Any]] = None,
    ) -> SessionPage:
        """Return a page of sessions, newest change first; see MemoryBackend.

        Without a prefix and metadata it reads the sessions of the newest quarter of an
        hour that the page needs, whatever the number of all.
        """
        return await listing.page(
            self._engine,
            Filter.checked(prefix, metadata),
            messages.validate_limit(limit),
            listing.Cursor.parse(cursor),
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
        place = self._place(session_id)
        if after is None:
            cursor = arguments.optional_id(before, "before")
        else:
            cursor = arguments.interaction_id(after, "after")
        found = await rows.load_page(
            self._engine,
            place,
            cursor,
            messages.validate_limit(limit),
            after=after is not None,
        )
        if found is None:
            raise InteractionNotFoundError.of(session_id, str(cursor))
        return found

    async def load_pinned(self, session_id: str) -> List[Dict[str, Any]]:
        """Return the pinned messages of a session; see MemoryBackend."""
        return await rows.load_pinned(self._engine, self._place(session_id))

    async def update_interaction(
        self,
        session_id: str,
        interaction_id: str,
        message: Dict[str, Any],
        *,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        """Put another message in the place of a stored one; see MemoryBackend."""
        place = self._place(session_id)
        interaction_id = arguments.interaction_id(interaction_id)
        prepared = messages.prepare_message(message)
        refuse_other_id(prepared, interaction_id)
        look = partial(rows.load_some, keys=[message_key(interaction_id)])
        expected = validate_version(expected_version)
        plan = plans.update(place, interaction_id, prepared, expected_version=expected)
        return await self._engine.do(Changing(place, look, plan).run)

    async def fork_session(
        self, session_id: str, new_session_id: str, *, at: Optional[str] = None
    ) -> WriteResult:
        """Copy a session under a new id; see MemoryBackend."""
        place, target = self._place(session_id), self._place(new_session_id)
        at = arguments.optional_id(at, "at")

        async def look(
            session: Session, target: Place
        ) -> Tuple[Optional[State], Optional[plans.Source]]:
            state, metadata, marks = await rows.load_metadata(session, place)
            _, stored = await rows.load_all(session, place)
            source = state and plans.Source(state, stored, metadata, marks)
            return await rows.find_state(session, target), source

        plan = plans.fork(place, target, at)
        return await self._engine.do(Changing(target, look, plan).run)

    async def set_metadata(
        self,
        session_id: str,
        metadata: Dict[str, Any],
        *,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        """Give a session metadata; see MemoryBackend."""
        place = self._place(session_id)
        copied = messages.copy_object(metadata, "metadata")
        expected = validate_version(expected_version)

        async def look(session: Session, place: Place) -> Tuple[Optional[State], bytes]:
            state, stored, _ = await rows.load_metadata(session, place)
            return state, stored

        plan = plans.set_metadata(place, copied, expected_version=expected)
        return await self._engine.do(Changing(place, look, plan).run)

    async def prune(
        self,
        session_id: Optional[str] = None,
        *,
        older_than: Optional[PruneAge] = None,
        keep_last: Optional[int] = None,
        dry_run: bool = False,
    ) -> PruneResult:
        """Remove old messages in whole groups; see MemoryBackend.

        Each session is pruned by itself: a call that fails amid many has pruned some.
        """
        if session_id is not None:
            messages.validate_session_id(session_id)
        age = Age.of(older_than, keep_last)
        now = await rows.clock(self._engine) if age.needs_clock else 0
        wanted = age.by(now)
        names = [session_id] if session_id is not None else await self._all_ids()
        removed: Dict[str, Tuple[str, ...]] = {}
        for name in names:
            try:
                gone = await self._prune(self._place(name), wanted, dry_run=dry_run)
            except SessionNotFoundError:
                if session_id is not None:
                    raise
                # It was deleted after it was found.
                continue
            if gone:
                removed[name] = gone
        return PruneResult(removed, dry_run)

    async def erase(
        self,
        *,
        session_id: Optional[str] = None,
        where: Optional[Mapping[str, Any]] = None,
    ) -> EraseReceipt:
        """Delete sessions with all that belongs to them; see MemoryBackend.

        ``purged`` is always False: a server overwrites deleted rows in its own time
        (VACUUM), and keeps them in its log and its backups for as long as these stay.
        """
        wanted = arguments.what_to_erase(session_id, where)
        if session_id is not None:
            names = [session_id]
        else:
            names = await listing.ids(self._engine, wanted)
        erased: List[str] = []
        message_count = vector_count = 0
        for name in names:
            place = self._place(name)
            deleting = Deleting(place, all_vectors=True, wanted=wanted)
            try:
                counts = await self._engine.do(deleting.run)
            except SessionNotFoundError:
                if session_id is not None:
                    raise
                # It was deleted, or given other metadata, after it was found.
                continue
            erased.append(name)
            message_count += counts[0]
            vector_count += counts[1]
        return EraseReceipt(tuple(erased), message_count, vector_count, purged=False)

    async def search_text(
        self,
        query: str,
        *,
        session_id: Optional[str] = None,
        prefix: Optional[str] = None,
        limit: int = 10,
    ) -> List[TextMatch]:
        """Return the messages that hold all words of a query; see MemoryBackend.

        The first search, and one after many appends, first indexes what is new.
        """
        search = Search.checked(query, session_id, prefix, limit)
        return await search.run(self._engine)

    async def load_summaries(self, session_id: str) -> Dict[str, str]:
        """Return the summaries kept beside a session; see MemoryBackend."""
        return await summary_rows.load(self._engine, self._place(session_id))

    async def save_summaries(
        self, session_id: str, summaries: Mapping[str, str]
    ) -> None:
        """Keep summaries beside a session; see MemoryBackend."""
        copied = messages.copy_texts(summaries, "summaries")
        await summary_rows.save(self._engine, self._place(session_id), copied)

    async def verify(self, *, repair: bool = False) -> VerifyReport:
        """Read the whole database and tell what is damaged; see MemoryBackend."""
        return await checkup.verify(self._engine, repair=repair)

    async def backup(self, path: Union[str, os.PathLike[str]]) -> None:
        """Raise UnsupportedOperationError: a server is backed up by its own tools."""
        raise UnsupportedOperationError(
            "PostgresMemory has no backup(); use pg_dump, or pg_basebackup with an "
            "archive of the log, on the server"
        )

    async def messages_table(self) -> int:
        """Return the number that the database has for the table of the messages.

        Objects on one database have different ones where their ``search_path`` leads
        them to different tables.
        """
        return await vector_rows.messages_table(self._engine)

    async def sweep(self) -> int:
        """Delete the rows of expired sessions, and return how many sessions these were.

        Nobody sees an expired session; sweeping gives its space back. Call it now and
        then, from any machine.
        """
        return await expiring.sweep(self._engine)

    async def close(self) -> None:
        """Close the connections; a call after this raises ClosedError."""
        self._engine.close()

    async def _prune(
        self, place: Place, wanted: Old, *, dry_run: bool
    ) -> Tuple[str, ...]:
        plan = plans.prune(place, wanted)
        if not dry_run:
            written = await self._engine.do(Changing(place, rows.load_all, plan).run)
            return written.removed
        state, stored = await self._engine.do(partial(rows.load_all, place=place))
        return plan(state, stored).result.removed

    async def _all_ids(self) -> List[str]:
        return await listing.ids(self._engine, Filter())

    def _place(self, session_id: str) -> Place:
        name = messages.validate_session_id(session_id)
        return Place.of(self._engine.location, name)


def _milliseconds(age: Optional[timedelta]) -> Optional[int]:
    if age is None:
        return None
    if age <= timedelta(0):
        raise ConfigurationError("expire_after has to be a timedelta above 0")
    return age // timedelta(milliseconds=1)
