"""Keep messages in one memory, and the newest of them in a faster one beside it.

What the cache holds is served only where the record says, in the same call, that the
session still has the version that it was cached for. A record that keeps what it
acknowledged gives a version to no two states, so an old entry can be useless but not
wrong, whatever became of the cache meanwhile. A record that goes back, as after the
restore of a backup or a failover that loses writes, counts on from an older state, and
may give a version again: the cache has to be emptied then.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import (
    Any,
    Awaitable,
    ClassVar,
    Dict,
    List,
    Mapping,
    Optional,
    Sequence,
    TypeVar,
    Union,
    cast,
)

from contextstore import messages
from contextstore._hop import reach
from contextstore._lifecycle import overrides
from contextstore.backends import arguments
from contextstore.backends.base import MemoryBackend, PruneAge
from contextstore.backends.results import (
    EraseReceipt,
    PruneResult,
    SessionInfo,
    SessionPage,
    TextMatch,
    VerifyReport,
    WriteResult,
)
from contextstore.backends.tiered.blocks import Block, newest
from contextstore.backends.tiered.cache import Cache
from contextstore.backends.told import Memory, Telling, Told
from contextstore.backends.writes import with_options
from contextstore.errors import (
    ConfigurationError,
    SessionNotFoundError,
    UnsupportedOperationError,
)
from contextstore.messages import Message

T = TypeVar("T")

_PAGE = 200


class TieredMemory(MemoryBackend, Telling[Told]):
    """Keep messages in a record, and the newest ones in a cache as well.

    Every write goes to the record first and alone decides. A load of up to ``window``
    messages asks the record for the version of the session, which is one small row, and
    takes the messages from the cache if they are of that version. A cache that is down
    slows loads, and fails nothing.

    Empty the cache after a restore of the record from a backup, or a failover of it
    that may lose writes: it then gives versions again that the cache may hold.

    Both are given and stay open; close them yourself. Give a RedisMemory that serves as
    the cache a short ``deadline``, such as 0.25 seconds, a ``ttl``, and a namespace of
    its own.

    Args:
        record: what counts, such as a PostgresMemory.
        cache: holds copies, such as a RedisMemory.
        window: how many of the newest messages of a session to keep there.
        retry_after: seconds for which a cache that failed is left alone.

    Attributes:
        cache_hits: how many loads the cache served.

    Raises:
        ConfigurationError: the record does not tell versions, or both are the same.
    """

    runs_inline: ClassVar[bool] = True
    prepares_messages: ClassVar[bool] = True

    def __init__(
        self,
        record: Memory[Told],
        cache: MemoryBackend,
        *,
        window: int = 50,
        retry_after: float = 5.0,
    ) -> None:
        self._record = cast(MemoryBackend, record)
        tells = overrides(self._record, MemoryBackend, "session_info")
        if not tells or not record.prepares_messages:
            raise ConfigurationError(
                "the record has to have session_info and to prepare messages; take one "
                "of this library"
            )
        if self._record is cache:
            raise ConfigurationError("the record cannot be its own cache")
        self._cache = Cache(cache, retry_after)
        self._window = messages.validate_limit(window, "window")
        self.cache_hits: int = 0

    @property
    def cache_failures(self) -> int:
        """Give how often the cache could not be asked."""
        return self._cache.failures

    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Dict[str, Any]]:
        """Return the messages of a session, oldest first; see MemoryBackend.

        All messages, or more than the window, come from the record.
        """
        messages.validate_session_id(session_id)
        k = messages.validate_k(k)
        if not k or k > self._window:
            return await self._of_record(self._record.load_context(session_id, k))
        version = await self._version(session_id)
        if version is None:
            return []
        cached = await self._cache.tried(
            session_id, lambda cache: cache.load_context(session_id, k)
        )
        found = newest(cached or [], version, k)
        if found is not None:
            self.cache_hits += 1
            return found
        return (await self._fill(session_id, version))[-k:]

    async def save_context(
        self,
        session_id: str,
        context: Sequence[Mapping[str, Any]],
        *,
        expected_version: Optional[int] = None,
    ) -> Told:
        """Make these the messages of a session; see MemoryBackend."""
        save = with_options(
            self._record.save_context, expected_version=expected_version
        )
        return cast(Told, await self._of_record(save(session_id, context)))

    async def append_context(
        self,
        session_id: str,
        context: Sequence[Mapping[str, Any]],
        *,
        create: bool = False,
        expected_version: Optional[int] = None,
    ) -> Told:
        """Add messages at the end of a session, in the record and then in the cache.

        Where the record filled in an id or timestamp, they are read back from it for
        the cache.
        """
        # What is stored is what is cached, whatever the caller does to it meanwhile.
        prepared = messages.prepare(context)
        append = with_options(
            self._record.append_context,
            create=create,
            expected_version=expected_version,
        )
        written = await self._of_record(append(session_id, prepared))
        if (
            written is not None
            and written.before is not None
            and not self._cache.is_down
        ):
            await self._add(session_id, prepared, written, written.before)
        return cast(Told, written)

    async def delete_session(self, session_id: str) -> None:
        """Delete a session from the record, and then from the cache."""
        await self._of_record(self._record.delete_session(session_id))
        await self._cache.tried(
            session_id, lambda cache: cache.delete_session(session_id)
        )

    async def delete_interaction(self, session_id: str, interaction_id: str) -> Told:
        """Delete a message and all messages after it."""
        deleting = self._record.delete_interaction(session_id, interaction_id)
        return cast(Told, await self._of_record(deleting))

    async def session_info(self, session_id: str) -> SessionInfo:
        """Return version, size, times and metadata; see MemoryBackend."""
        return await self._of_record(self._record.session_info(session_id))

    async def list_sessions(
        self,
        *,
        limit: int = 50,
        cursor: Optional[str] = None,
        prefix: Optional[str] = None,
        metadata: Optional[Mapping[str, Any]] = None,
    ) -> SessionPage:
        """Return a page of sessions, newest change first; see MemoryBackend."""
        return await self._of_record(
            self._record.list_sessions(
                limit=limit, cursor=cursor, prefix=prefix, metadata=metadata
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
        """Return a stretch of a session from the record; see MemoryBackend."""
        return await self._of_record(
            self._record.load_page(session_id, before=before, after=after, limit=limit)
        )

    async def load_pinned(self, session_id: str) -> List[Dict[str, Any]]:
        """Return the pinned messages of a session; see MemoryBackend."""
        return await self._of_record(self._record.load_pinned(session_id))

    async def update_interaction(
        self,
        session_id: str,
        interaction_id: str,
        message: Dict[str, Any],
        *,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        """Put another message in the place of a stored one; see MemoryBackend."""
        return await self._of_record(
            self._record.update_interaction(
                session_id,
                interaction_id,
                message,
                expected_version=expected_version,
            )
        )

    async def fork_session(
        self, session_id: str, new_session_id: str, *, at: Optional[str] = None
    ) -> WriteResult:
        """Copy a session under a new id; see MemoryBackend."""
        return await self._of_record(
            self._record.fork_session(session_id, new_session_id, at=at)
        )

    async def set_metadata(
        self,
        session_id: str,
        metadata: Dict[str, Any],
        *,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        """Give a session metadata; see MemoryBackend."""
        return await self._of_record(
            self._record.set_metadata(
                session_id, metadata, expected_version=expected_version
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
        return await self._of_record(
            self._record.prune(
                session_id,
                older_than=older_than,
                keep_last=keep_last,
                dry_run=dry_run,
            )
        )

    async def erase(
        self,
        *,
        session_id: Optional[str] = None,
        where: Optional[Mapping[str, Any]] = None,
    ) -> EraseReceipt:
        """Delete sessions without a trace, here and there; see MemoryBackend.

        Cut short, it leaves no copy of what is gone from the record. The receipt says
        ``purged=False`` where the cache could not be reached, or says so itself, as
        Redis does, which keeps snapshots.
        """
        arguments.what_to_erase(session_id, where)
        ids = [session_id] if session_id else await self._ids_of(where)
        with self._cache.keeping_out(ids):
            # First, as nothing tells what a record erased that fails half way.
            was_purged = await self._cache.erase(ids, always=False)
            try:
                receipt = await self._of_record(
                    self._record.erase(session_id=session_id, where=where)
                )
            except GeneratorExit:
                # Nothing can be waited for any more.
                raise
            except BaseException:
                await self._cache.erase(ids, always=True)
                raise
            # And again, as loads of other objects may have put copies back.
            both = dict.fromkeys([*ids, *receipt.session_ids])
            is_purged = await self._cache.erase(list(both), always=True)
        return replace(receipt, purged=receipt.purged and was_purged and is_purged)

    async def search_text(
        self,
        query: str,
        *,
        session_id: Optional[str] = None,
        prefix: Optional[str] = None,
        limit: int = 10,
    ) -> List[TextMatch]:
        """Return the messages that hold all words of a query; see MemoryBackend."""
        return await self._of_record(
            self._record.search_text(
                query, session_id=session_id, prefix=prefix, limit=limit
            )
        )

    async def load_summaries(self, session_id: str) -> Dict[str, str]:
        """Return the summaries kept beside a session; see MemoryBackend."""
        return await self._of_record(self._record.load_summaries(session_id))

    async def save_summaries(
        self, session_id: str, summaries: Mapping[str, str]
    ) -> None:
        """Keep summaries beside a session; see MemoryBackend."""
        await self._of_record(self._record.save_summaries(session_id, summaries))

    async def verify(self, *, repair: bool = False) -> VerifyReport:
        """Read everything in the record; the cache only holds copies."""
        return await self._of_record(self._record.verify(repair=repair))

    async def backup(self, path: Union[str, os.PathLike[str]]) -> None:
        """Copy the record into a new file; see MemoryBackend."""
        await self._of_record(self._record.backup(path))

    async def _of_record(self, asked: Awaitable[T]) -> T:
        return await reach(self._record, asked)

    async def _version(self, session_id: str) -> Optional[int]:
        try:
            return (await self.session_info(session_id)).version
        except SessionNotFoundError:
            return None

    async def _ids_of(self, where: Optional[Mapping[str, Any]]) -> List[str]:
        """Return the ids of the sessions that are meant, as far as the record tells."""
        ids: List[str] = []
        cursor: Optional[str] = None
        while True:
            try:
                page = await self.list_sessions(
                    limit=_PAGE, cursor=cursor, metadata=where
                )
            except UnsupportedOperationError:
                return []
            ids += [one.session_id for one in page.sessions]
            cursor = page.cursor
            if cursor is None:
                return ids

    async def _fill(self, session_id: str, version: int) -> List[Message]:
        """Load from the record, and put into the cache what belongs to one version."""
        loaded = await self._of_record(
            self._record.load_context(session_id, self._window)
        )
        if (
            loaded
            and not self._cache.is_down
            and not self._cache.keeps_out(session_id)
            and await self._version(session_id) == version
        ):
            block = Block(None, version, len(loaded) < self._window)
            copies = block.copies(loaded)
            await self._cache.tried(
                session_id, lambda cache: cache.save_context(session_id, copies)
            )
            if (
                self._cache.keeps_out(session_id)
                or await self._version(session_id) != version
            ):
                # An erase meanwhile came before the copy, and would leave it there.
                await self._cache.tried(
                    session_id, lambda cache: cache.delete_session(session_id)
                )
        return loaded

    async def _add(
        self,
        session_id: str,
        context: Sequence[Message],
        written: WriteResult,
        before: int,
    ) -> None:
        """Put what an append added into the cache, if it was all that was given."""
        count = written.version - before
        if not 0 < count == len(context) <= self._window:
            return
        stored: Sequence[Message] = context
        if not all("id" in one and "timestamp" in one for one in context):
            stored = await self._of_record(self._record.load_context(session_id, count))
            if tuple(one["id"] for one in stored) != written.ids:
                return
        copies = Block(before, written.version, is_whole=False).copies(stored)
        added = await self._cache.tried(
            session_id, lambda cache: cache.append_context(session_id, copies)
        )
        if added is not None and written.version // self._window > (
            before // self._window
        ):
            await self._cache.tried(
                session_id,
                lambda cache: cache.prune(session_id, keep_last=self._window),
            )
