"""Keep messages in a SQLite file: the async face of the engine."""

from __future__ import annotations

import os
import weakref
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Dict, List, Mapping, Optional, Union

from contextstore import messages
from contextstore._hop import call
from contextstore.backends import arguments
from contextstore.backends.ages import Age
from contextstore.backends.base import MemoryBackend, PruneAge
from contextstore.backends.filters import Filter
from contextstore.backends.place import Place
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
from contextstore.backends.sqlite import (
    backup,
    checkup,
    edits,
    erasing,
    listing,
    paging,
    pruning,
    rows,
    searching,
    sessions,
)
from contextstore.backends.sqlite import summaries as summary_rows
from contextstore.backends.sqlite.connections import MEMORY
from contextstore.backends.sqlite.engine import Engine
from contextstore.backends.sqlite.shared import Lease
from contextstore.backends.stamps import Clock, IdFactory, Stamps
from contextstore.errors import InvalidInputError, SessionNotFoundError


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
            what was acknowledged last: about half of the simulated disks had lost
            something (docs/reliability.md). Objects that share a file use the stricter
            of theirs.
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
        # First, so that who pickles the object hears of it, and not of an id_factory.
        self._lease = Lease(absolute_path(path), durability)
        self._stamps = Stamps.of(id_factory, clock)
        weakref.finalize(self, self._lease.drop)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.location!r})"

    @property
    def location(self) -> str:
        """Give the absolute path of the file, or ``:memory:``."""
        return self._lease.location

    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Dict[str, Any]]:
        """Return the messages of a session, oldest first; see MemoryBackend.

        Raises:
            CorruptDataError: a message is damaged or missing.
        """
        place = self._place(session_id)
        k = messages.validate_k(k)
        return await self._engine.readers.fetch(partial(rows.load, place=place, k=k))

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
        return await self._engine.change(
            partial(
                sessions.save,
                place=self._place(session_id),
                incoming=messages.prepare(context),
                stamps=self._stamps,
                expected_version=validate_version(expected_version),
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
        return await self._engine.writer.submit(
            partial(
                sessions.append,
                place=self._place(session_id),
                incoming=messages.prepare(context),
                stamps=self._stamps,
                create=create,
                expected_version=validate_version(expected_version),
            )
        )

    async def delete_session(self, session_id: str) -> None:
        """Delete a session and all its messages.

        Raises:
            SessionNotFoundError: there is no such session.
        """
        place = self._place(session_id)
        await self._engine.change(partial(sessions.delete_session, place=place))

    async def delete_interaction(
        self, session_id: str, interaction_id: str
    ) -> WriteResult:
        """Delete a message and all messages after it.

        Raises:
            SessionNotFoundError: there is no such session.
            InteractionNotFoundError: the session has no such message.
        """
        return await self._engine.change(
            partial(
                sessions.delete_interaction,
                place=self._place(session_id),
                interaction_id=arguments.interaction_id(interaction_id),
            )
        )

    async def session_info(self, session_id: str) -> SessionInfo:
        """Return version, size, times and metadata; see MemoryBackend."""
        place = self._place(session_id)
        return await self._engine.readers.fetch(
            partial(listing.info, session_id=place.session_id)
        )

    async def list_sessions(
        self,
        *,
        limit: int = 50,
        cursor: Optional[str] = None,
        prefix: Optional[str] = None,
        metadata: Optional[Mapping[str, Any]] = None,
    ) -> SessionPage:
        """Return a page of sessions, newest change first; see MemoryBackend.

        It looks at every session that fits the prefix.
        """
        return await self._engine.readers.fetch(
            partial(
                listing.page,
                wanted=Filter.checked(prefix, metadata),
                limit=messages.validate_limit(limit),
                cursor=listing.parse_cursor(cursor),
            )
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
        query = partial(
            paging.load_page,
            place=self._place(session_id),
            before=arguments.optional_id(before, "before"),
            after=arguments.optional_id(after, "after"),
            limit=messages.validate_limit(limit),
        )
        return await self._engine.readers.fetch(query, snapshot=True)

    async def load_pinned(self, session_id: str) -> List[Dict[str, Any]]:
        """Return the pinned messages of a session; see MemoryBackend."""
        query = partial(paging.load_pinned, place=self._place(session_id))
        return await self._engine.readers.fetch(query, snapshot=True)

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
        return await self._engine.change(
            partial(
                edits.update_interaction,
                place=self._place(session_id),
                interaction_id=interaction_id,
                message=prepared,
                expected_version=validate_version(expected_version),
            )
        )

    async def fork_session(
        self, session_id: str, new_session_id: str, *, at: Optional[str] = None
    ) -> WriteResult:
        """Copy a session under a new id; see MemoryBackend."""
        return await self._engine.writer.submit(
            partial(
                edits.fork,
                place=self._place(session_id),
                target=self._place(new_session_id),
                at=arguments.optional_id(at, "at"),
            )
        )

    async def set_metadata(
        self,
        session_id: str,
        metadata: Dict[str, Any],
        *,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        """Give a session metadata; see MemoryBackend."""
        return await self._engine.writer.submit(
            partial(
                edits.set_metadata,
                place=self._place(session_id),
                metadata=messages.copy_object(metadata, "metadata"),
                expected_version=validate_version(expected_version),
            )
        )

    async def prune(
        self,
        session_id: Optional[str] = None,
        *,
        older_than: Optional[PruneAge] = None,
        keep_last: Optional[int] = None,
        dry_run: bool = False,
    ) -> PruneResult:
        """Remove old messages in whole groups; see MemoryBackend."""
        return await self._engine.change(
            partial(
                pruning.prune,
                location=self._lease.location,
                session_id=(
                    messages.validate_session_id(session_id)
                    if session_id is not None
                    else None
                ),
                wanted=Age.of(older_than, keep_last).by(rows.now()),
                dry_run=dry_run,
            )
        )

    async def erase(
        self,
        *,
        session_id: Optional[str] = None,
        where: Optional[Mapping[str, Any]] = None,
    ) -> EraseReceipt:
        """Delete sessions without a trace; see MemoryBackend.

        The file is written anew: writers wait for that. It needs the room of a copy in
        the folder of temporary files (SQLITE_TMPDIR), and that of another for the log.

        Raises:
            SessionNotFoundError: there is no such session, nor a trace of one.
            BusyError: there is none, and what an erase before left could not be purged.
        """
        wanted = arguments.what_to_erase(session_id, where)
        erase = partial(erasing.erase, session_id=session_id, wanted=wanted)
        purge = partial(self._engine.writer.submit_exclusive, erasing.purge_file)
        try:
            erased = await self._engine.change(erase)
        except SessionNotFoundError:
            # A call before may have been cut short when only its traces were left.
            if not await purge():
                raise erasing.traces_left(self._lease.location) from None
            raise
        return EraseReceipt(*erased, await purge())

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

        Raises:
            UnsupportedOperationError: this Python's SQLite was built without FTS5.
        """
        search = searching.Search(
            location=self._lease.location,
            query=query,
            session_id=session_id,
            wanted=Filter.checked(prefix, None),
            limit=messages.validate_limit(limit),
        )
        return await search.run(self._engine)

    async def load_summaries(self, session_id: str) -> Dict[str, str]:
        """Return the summaries kept beside a session; see MemoryBackend."""
        query = partial(summary_rows.load, place=self._place(session_id))
        return await self._engine.readers.fetch(query)

    async def save_summaries(
        self, session_id: str, summaries: Mapping[str, str]
    ) -> None:
        """Keep summaries beside a session; see MemoryBackend."""
        await self._engine.writer.submit(
            partial(
                summary_rows.save,
                place=self._place(session_id),
                summaries=messages.copy_texts(summaries, "summaries"),
            )
        )

    async def verify(self, *, repair: bool = False) -> VerifyReport:
        """Read the whole file and tell what is damaged; see MemoryBackend."""
        check = partial(checkup.verify, location=self._lease.location, repair=repair)
        engine = self._engine
        if repair:
            report = await engine.writer.submit(check)
        else:
            # On a thread of its own: it takes as long as the file is large.
            report = await call(partial(engine.readers.read, check, snapshot=True))
        problems = await engine.writer.submit(
            partial(checkup.text_problems, repair=repair)
        )
        return replace(report, problems=(*report.problems, *problems))

    async def backup(self, path: Union[str, os.PathLike[str]]) -> None:
        """Copy everything into a new file while this one is in use."""
        target = absolute_path(path)
        # On a thread of its own: it takes as long as the file is large.
        copy = partial(backup.backup, target=target)
        readers = self._engine.readers
        await call(lambda: readers.read(copy))

    async def close(self) -> None:
        """Let go of the file; a call after this raises ClosedError."""
        await call(self._lease.release)

    @property
    def _engine(self) -> Engine:
        return self._lease.engine

    def _place(self, session_id: str) -> Place:
        return Place(self._lease.location, messages.validate_session_id(session_id))


def absolute_path(path: Union[str, os.PathLike[str]]) -> str:
    """Return the path of a file as it stays when the working directory changes.

    Raises:
        InvalidInputError: it names no file.
    """
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
