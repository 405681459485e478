"""Keep what is searched of each session in step with its stored messages."""

from __future__ import annotations

import threading
from collections import OrderedDict
from itertools import count
from typing import (
    Any,
    Callable,
    Dict,
    FrozenSet,
    Iterable,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
    TypeVar,
)

from contextstore._hop import call, reach
from contextstore._lifecycle import overrides, renew_after_fork
from contextstore.backends.base import MemoryBackend
from contextstore.errors import (
    InteractionNotFoundError,
    SessionNotFoundError,
)
from contextstore.messages import Message, text_of
from contextstore.retrieval.documents import (
    Document,
    SessionIndex,
    document_of,
    index_text,
)
from contextstore.retrieval.vector_sums import text_key

__all__ = ["IndexedSession", "SessionIndexes"]

# A document takes about two kilobytes with its postings.
_MOST_DOCUMENTS = 100_000
# An id takes about a sixteenth of that.
_IDS_A_DOCUMENT = 16
_MOST_IDS = 500_000
# Indexing so many messages, or so much text, takes some milliseconds.
_INLINE_MESSAGES = 50
_INLINE_CHARACTERS = 20_000

T = TypeVar("T")


class _Seen(NamedTuple):
    """Say what of a session the index holds.

    Attributes:
        version: the version of the session.
        newest: the id of its newest message, None where it has none.
    """

    version: int
    newest: Optional[str]


class IndexedSession:
    """Be the searchable part of one session; hold ``lock`` while using ``index``.

    Attributes:
        index: the documents of the messages that have a text, oldest first, and after
            them those of vectors that belong to no message, by their ids.
        seen: the state of the session that the index holds; None where unknown.
        tried: the state at which all that lacked a vector was tried.
        weight: what the session counts for where indexes, or ids, are bounded.
        gone: ids of messages that left it, whose vectors may still be there.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.index = SessionIndex()
        self.seen: Optional[_Seen] = None
        self.tried: Optional[_Seen] = None
        self.weight = 0
        self.gone: FrozenSet[str] = frozenset()
        self._reads = count(1)
        self._applied = 0
        self._count = 0
        self._strays: Dict[str, Document] = {}
        self._expected: Set[str] = set()
        self._all_known: Tuple[Tuple[str, ...], int] = ((), 0)
        self._all_scanned: Tuple[Tuple[str, ...], int] = ((), 0)
        self._texts: Tuple[int, Dict[str, int]] = (0, {})

    @property
    def documents(self) -> List[Document]:
        """Give the documents of the messages."""
        return self.index.documents[: self._count]

    @property
    def size(self) -> int:
        """Count what is held, and one more, so that an empty session counts too."""
        return len(self.index) + len(self._expected) // _IDS_A_DOCUMENT + 1

    def expect(self, message_ids: Iterable[str]) -> None:
        """Note messages that were stored and embedded, but not indexed yet."""
        self._expected.update(message_ids)

    def rest(self) -> IndexedSession:
        """Return what is left to know of the session when its index is let go of.

        Without the ids that it had, nobody would notice which of them are gone when it
        is next searched, and the vectors of these would pass for what is no message.
        """
        rest = IndexedSession()
        with self.lock:
            rest.gone = self.gone
            rest._strays = dict(self._strays)
            rest._expected = {document.message_id for document in self.documents}
            rest._expected |= self._expected
        rest.weight = len(rest._expected) + len(rest.gone)
        rest.weight += len(rest._strays) * _IDS_A_DOCUMENT
        return rest

    def replace(self, messages: Sequence[Message]) -> None:
        """Hold these messages, and note the ids of those that are gone."""
        before = {document.message_id for document in self.documents}
        before |= self._expected
        self._expected.clear()
        documents = _documents(messages)
        self.index.update(documents)
        self._count = len(documents)
        now = {document.message_id for document in documents}
        self._add_strays()
        self.gone = (self.gone | before) - now

    def begin_read(self) -> int:
        """Return a number for a look at what is stored, higher for each later one."""
        return next(self._reads)

    def hold(
        self, messages: Sequence[Message], seen: Optional[_Seen], read: int
    ) -> None:
        """Take the lock, and hold these messages, if no later look was first."""
        with self.lock:
            if read > self._applied:
                self.replace(messages)
                self.seen, self._applied = seen, read

    def follow(
        self, messages: Sequence[Message], before: _Seen, after: _Seen, read: int
    ) -> bool:
        """Take the lock, and hold what was appended since a state, if it is at that."""
        with self.lock:
            if self.seen is not before or read < self._applied:
                return False
            self.extend(messages)
            self.seen, self._applied = after, read
            return True

    def text_of(self, message_id: str) -> Optional[str]:
        """Return the text that is indexed under an id."""
        row = self.index.row_of(message_id)
        return None if row is None else self.index.documents[row].text

    def not_stored(self, message_ids: Iterable[str]) -> List[str]:
        """Return those ids that belong to no message with a text."""
        with self.lock:
            stored = {document.message_id for document in self.documents}
        return [one for one in message_ids if one not in stored]

    def settle(self, message_ids: Iterable[str]) -> None:
        """Note that vectors of messages that left are gone as well."""
        with self.lock:
            self.gone = self.gone.difference(message_ids)

    def extend(self, messages: Sequence[Message]) -> None:
        """Hold messages that were appended, which all that were expected are."""
        self._expected.clear()
        documents = _documents(messages)
        self.index.update(documents, self._count)
        self._count += len(documents)
        self.gone = self.gone.difference(one.message_id for one in documents)
        self._add_strays()

    def add_strays(self, documents: Sequence[Document]) -> None:
        """Hold what was embedded under ids that are no messages."""
        for document in documents:
            self._strays[document.message_id] = document
        self._add_strays()

    def drop_strays(self, message_ids: Sequence[str]) -> None:
        """Forget what belongs to no message any more."""
        self._expected.difference_update(message_ids)
        for message_id in message_ids:
            self._strays.pop(message_id, None)
        self._add_strays()

    def texts(self) -> Dict[str, int]:
        """Return ``text_key`` of what is indexed of each message.

        The last answer is kept, and never changed.
        """
        version, texts = self._texts
        if version != self.index.version:
            texts = {one.message_id: _key_of(one) for one in self.index.documents}
            self._texts = (self.index.version, texts)
        return texts

    def strays_beside(self, ids: Tuple[str, ...]) -> List[str]:
        """Return what is held without being a message, and is not among these ids."""
        checked, version = self._all_scanned
        if not self._strays or (checked is ids and version == self.index.version):
            return []
        scanned = set(ids)
        beside = [one for one in self._strays if one not in scanned]
        if not beside:
            self._all_scanned = (ids, self.index.version)
        return beside

    def unknown(self, ids: Tuple[str, ...]) -> List[str]:
        """Return those ids that the index does not hold.

        A store gives the same object for the ids of a session as long as they are the
        same, so that most often nothing has to be looked up.
        """
        known, version = self._all_known
        if known is ids and version == self.index.version:
            return []
        missing = [one for one in ids if self.index.row_of(one) is None]
        if not missing:
            self._all_known = (ids, self.index.version)
        return missing

    def place_of(self, message_id: str) -> Tuple[int, str]:
        """Return what sorts messages by age, and after them, by id, what is none."""
        row = self.index.row_of(message_id)
        if row is None or row >= self._count:
            return self._count, message_id
        return row, ""

    def _add_strays(self) -> None:
        # Not in the order of adding, which may be any where several are embedded.
        strays = [self._strays[one] for one in sorted(self._strays)]
        self.index.update(
            [one for one in strays if self.place_of(one.message_id)[1]], self._count
        )


def _key_of(document: Document) -> int:
    return text_key(index_text(document))


def _documents(messages: Sequence[Message]) -> List[Document]:
    documents = [document_of(message) for message in messages if "id" in message]
    return [document for document in documents if document.text]


class SessionIndexes:
    """Hold the indexes of the sessions that were searched last, and the ids of others.

    Args:
        memory: where the messages are.
    """

    def __init__(self, memory: MemoryBackend) -> None:
        self._memory = memory
        self.renew()
        renew_after_fork(self)
        self._has_versions = overrides(
            memory, MemoryBackend, "session_info", "load_page"
        )

    def renew(self) -> None:
        """Begin anew, in a forked child too, where a lock may be held for ever."""
        self._lock = threading.Lock()
        self._sessions: OrderedDict[str, IndexedSession] = OrderedDict()
        self._weight = 0
        # What is known of those whose index was let go of.
        self._rests: OrderedDict[str, IndexedSession] = OrderedDict()
        self._ids = 0

    async def current(self, session_id: str) -> Tuple[IndexedSession, Tuple[str, ...]]:
        """Return the index of a session, up to date, and the ids that left it.

        These are given again and again, until ``settle`` is told that they are dealt
        with: who is given them may fail, or be cancelled.
        """
        session = self.known(session_id)
        read = session.begin_read()
        version = await self._version(session_id)
        seen = session.seen
        if seen is not None and version is not None:
            if seen.version == version:
                return session, tuple(session.gone)
            if await self._follow_appends(session_id, session, seen, version, read):
                self._weigh(session_id, session)
                return session, tuple(session.gone)
        messages = await reach(self._memory, self._memory.load_context(session_id))
        seen = None if version is None else _Seen(version, _newest(messages))
        await _aside(messages, session.hold, messages, seen, read)
        self._weigh(session_id, session)
        return session, tuple(session.gone)

    def known(self, session_id: str) -> IndexedSession:
        """Return the index of a session as it is."""
        with self._lock:
            session = self._sessions.get(session_id) or self._taken_up(session_id)
            self._sessions.move_to_end(session_id)
        self._weigh(session_id, session)
        return session

    def _taken_up(self, session_id: str) -> IndexedSession:
        """Hold a session, with what is left of it; call it with the lock."""
        session = self._rests.pop(session_id, None) or IndexedSession()
        self._ids -= session.weight
        session.weight = 0
        self._sessions[session_id] = session
        return session

    def _weigh(self, session_id: str, session: IndexedSession) -> None:
        """Count what a session takes now, and let go of those used longest ago."""
        with self._lock:
            if self._sessions.get(session_id) is not session:
                return
            weight = session.size
            self._weight += weight - session.weight
            session.weight = weight
            while self._weight > _MOST_DOCUMENTS and len(self._sessions) > 1:
                self._let_go(*self._sessions.popitem(last=False))

    def _let_go(self, session_id: str, session: IndexedSession) -> None:
        """Keep of a session what takes little room; call it with the lock."""
        self._weight -= session.weight
        rest = session.rest()
        if rest.weight:
            self._rests[session_id] = rest
            self._ids += rest.weight
        while self._ids > _MOST_IDS:
            _, oldest = self._rests.popitem(last=False)
            self._ids -= oldest.weight

    def expect(self, session_id: str, message_ids: Iterable[str]) -> None:
        """Note messages whose vectors have to go if they are found to be gone."""
        session = self.known(session_id)
        with session.lock:
            session.expect(message_ids)

    async def is_at(self, session_id: str, version: int) -> bool:
        """Tell whether a session still has a version, as far as its memory knows."""
        return await self._version(session_id) in (None, version)

    def note(self, session_id: str, message_id: str, text: str) -> None:
        """Hold what was embedded under an id, in case it is that of no message."""
        session = self.known(session_id)
        with session.lock:
            session.add_strays([Document(message_id, text)])

    def drop(self, session_id: str, message_ids: Sequence[str]) -> None:
        """Forget what was embedded under ids whose vectors are taken away."""
        session = self.known(session_id)
        with session.lock:
            session.drop_strays(message_ids)

    def settle(self, session_id: str, message_ids: Iterable[str]) -> None:
        """Note that the vectors of messages that left a session are gone as well."""
        self.known(session_id).settle(message_ids)

    def forget(self, session_id: str) -> None:
        """Let go of the index of a session that was deleted."""
        with self._lock:
            session = self._sessions.pop(session_id, None)
            self._weight -= 0 if session is None else session.weight
            rest = self._rests.pop(session_id, None)
            self._ids -= 0 if rest is None else rest.weight

    async def _version(self, session_id: str) -> Optional[int]:
        if not self._has_versions:
            return None
        try:
            info = await reach(self._memory, self._memory.session_info(session_id))
        except SessionNotFoundError:
            return 0
        return info.version

    async def _follow_appends(
        self,
        session_id: str,
        session: IndexedSession,
        seen: _Seen,
        version: int,
        read: int,
    ) -> bool:
        """Take in what was appended; False where more than that happened.

        An append raises the version by what it adds and any other change by at least
        one more, so the versions tell.
        """
        added = version - seen.version
        if seen.newest is None or added < 1:
            return False
        try:
            messages = await reach(
                self._memory,
                self._memory.load_page(session_id, after=seen.newest, limit=added),
            )
        except InteractionNotFoundError:
            return False
        if len(messages) != added or await self._version(session_id) != version:
            # An edit and a later append look like one append.
            return False
        after = _Seen(version, _newest(messages))
        return await _aside(messages, session.follow, messages, seen, after, read)


async def _aside(
    messages: Sequence[Message], work: Callable[..., T], *arguments: Any
) -> T:
    """Do work over messages, away from the event loop where it takes long."""
    texts = [len(text_of(message)) for message in messages[: _INLINE_MESSAGES + 1]]
    if len(texts) <= _INLINE_MESSAGES and sum(texts) <= _INLINE_CHARACTERS:
        return work(*arguments)
    return await call(work, *arguments)


def _newest(messages: Sequence[Message]) -> Optional[str]:
    return messages[-1].get("id") if messages else None
