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


class _Look(NamedTuple):
    """Say when a look at what is stored was taken, in the numbers of a session.

    Of two looks that overlap nobody knows which is the later one.

    Attributes:
        begun: what is stored by then shows in it.
        ended: what it shows was stored by then.
    """

    begun: int
    ended: int


class IndexedSession:
    """Be the searchable part of one session; hold ``lock`` while using ``index``.

    Attributes:
        index: the documents of the messages that have a text, oldest first, and after
            them those of vectors that belong to no message, by their ids.
        seen: the state of the session that the index holds; None where unknown.
        tried: the state at which all that lacked a vector was tried.
        weight: what the session counts for where indexes, or ids, are bounded.
        gone: ids of messages that left it, whose vectors may still be there.
        doubtful: ids of messages of which it takes another look to tell.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.index = SessionIndex()
        self.seen: Optional[_Seen] = None
        self.tried: Optional[_Seen] = None
        self.weight = 0
        self.gone: FrozenSet[str] = frozenset()
        self.doubtful: FrozenSet[str] = frozenset()
        self._moments = count(1)
        self._held = _Look(0, 0)
        self._count = 0
        self._strays: Dict[str, Document] = {}
        # Since when they are known to be stored.
        self._expected: Dict[str, int] = {}
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
        self._expected.update(dict.fromkeys(message_ids, self.moment()))

    def rest(self) -> IndexedSession:
        """Return what is left to know of the session when its index is let go of.

        Without the ids that it had, nobody would notice which of them are gone when it
        is next searched, and the vectors of these would pass for what is no message.
        """
        rest = IndexedSession()
        with self.lock:
            rest.gone = self.gone
            rest._strays = dict(self._strays)
            ids = [document.message_id for document in self.documents]
            rest.expect([*ids, *self._expected])
        rest.weight = len(rest._expected) + len(rest.gone)
        rest.weight += len(rest._strays) * _IDS_A_DOCUMENT
        return rest

    def replace(self, messages: Sequence[Message], look: _Look) -> None:
        """Hold these messages, and note the ids of those that are gone.

        What was stored since the look began may be missing there, and is there all the
        same: it is expected as before. What another look found meanwhile is doubtful.
        """
        found = [document.message_id for document in self.documents]
        self._expected = {**dict.fromkeys(found, self._held.ended), **self._expected}
        documents = _documents(messages)
        self.index.update(documents)
        self._count = len(documents)
        self._add_strays()
        self.doubtful = self.doubtful.union(found)
        self._decide(look.begun)

    def _decide(self, moment: int) -> None:
        """Note which of the messages that were expected by a moment are gone."""
        lacking = {
            one: since
            for one, since in self._expected.items()
            if not self._is_message(one)
        }
        gone = {one for one, since in lacking.items() if since <= moment}
        self._expected = {one: lacking[one] for one in lacking.keys() - gone}
        self.doubtful = self.doubtful.intersection(self._expected)
        self.gone = frozenset(
            one for one in self.gone | gone if not self._is_message(one)
        )

    def _is_message(self, message_id: str) -> bool:
        row = self.index.row_of(message_id)
        return row is not None and row < self._count

    def moment(self) -> int:
        """Return a number for a moment, higher for each later one."""
        return next(self._moments)

    def hold(
        self, messages: Sequence[Message], seen: Optional[_Seen], look: _Look
    ) -> None:
        """Take the lock, and hold these messages, if no later look was first."""
        with self.lock:
            if look.begun > self._held.begun:
                self.replace(messages, look)
                self.seen, self._held = seen, look

    def follow(
        self, messages: Sequence[Message], before: _Seen, after: _Seen, look: _Look
    ) -> bool:
        """Take the lock, and hold what was appended since a state, if it is at that."""
        with self.lock:
            if self.seen is not before or look.begun < self._held.begun:
                return False
            self.extend(messages, look)
            self.seen, self._held = after, look
            return True

    def confirm(self, seen: _Seen, moment: int) -> None:
        """Take the lock, and note that a state that is held was that of a moment."""
        with self.lock:
            if self.seen is seen and self._expected:
                self._decide(moment)

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

    def extend(self, messages: Sequence[Message], look: _Look) -> None:
        """Hold messages that were appended."""
        documents = _documents(messages)
        self.index.update(documents, self._count)
        self._count += len(documents)
        self._add_strays()
        self._decide(look.begun)

    def add_strays(self, documents: Sequence[Document]) -> None:
        """Hold what was embedded under ids that are no messages."""
        for document in documents:
            self._strays[document.message_id] = document
        self._add_strays()

    def drop_strays(self, message_ids: Sequence[str]) -> None:
        """Forget what belongs to no message any more."""
        for message_id in message_ids:
            self._expected.pop(message_id, None)
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
        await self._bring_up_to_date(session_id, session)
        while session.doubtful:
            await self._bring_up_to_date(session_id, session)
        self._weigh(session_id, session)
        return session, tuple(session.gone)

    async def _bring_up_to_date(self, session_id: str, session: IndexedSession) -> None:
        begun = session.moment()
        version = await self._version(session_id)
        seen = session.seen
        if seen is not None and version is not None:
            if seen.version == version:
                session.confirm(seen, begun)
                return
            if await self._follow_appends(session_id, session, seen, version, begun):
                return
        messages = await reach(self._memory, self._memory.load_context(session_id))
        look = _Look(begun, session.moment())
        seen = None if version is None else _Seen(version, _newest(messages))
        await _aside(messages, session.hold, messages, seen, look)

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
        begun: int,
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
        look = _Look(begun, session.moment())
        return await _aside(messages, session.follow, messages, seen, after, look)


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
