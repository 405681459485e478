"""Keep the vectors of the sessions used last in memory, bounded in bytes."""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from typing import Dict, Iterator, List, Optional, Tuple

from contextstore import messages
from contextstore._lifecycle import renew_after_fork
from contextstore.backends.sqlite import vector_rows
from contextstore.backends.sqlite.vector_rows import Head, StoredVector, VectorPlace
from contextstore.backends.sqlite.watch import FileVersion
from contextstore.retrieval.session_vectors import SessionVectors
from contextstore.retrieval.vectors import from_bytes

__all__ = ["CachedSession", "VectorCache", "loaded_blocks", "size_of"]

# What a vector takes in memory beside its components, its id and its metadata: the
# objects that hold them, measured with CPython 3.8 and 3.13.
_ROW_BYTES = 500
# How many components are read from the file at once: 8 MiB of them.
_BLOCK_NUMBERS = 2 << 20


def size_of(head: Head) -> int:
    """Estimate the bytes that the vectors of a session will take in memory."""
    return head.added * (4 * head.dimension + _ROW_BYTES)


def loaded_blocks(
    connection: sqlite3.Connection, place: VectorPlace, head: Head
) -> Iterator[SessionVectors]:
    """Give the vectors of a session, oldest first, in blocks that can be searched.

    Raises:
        CorruptDataError: one of them is damaged.
    """
    rows = _rows_at_once(head.dimension)
    for block in vector_rows.read_blocks(connection, place, head, 0, rows):
        vectors = SessionVectors(head.dimension)
        _extend(vectors, block)
        yield vectors


def _rows_at_once(dimension: int) -> int:
    return max(1, _BLOCK_NUMBERS // dimension)


def _extend(vectors: SessionVectors, block: List[StoredVector]) -> int:
    """Add stored vectors, and return the bytes of what is kept beside them."""
    vectors.extend(
        [message_id for message_id, _, _ in block],
        from_bytes(b"".join(vector for _, _, vector in block)),
        [messages.decode(metadata) for _, metadata, _ in block],
    )
    texts = sum(len(message_id) + len(metadata) for message_id, metadata, _ in block)
    return texts + _ROW_BYTES * len(block)


class CachedSession:
    """Be the vectors of one session and model as they were at some state of the file.

    Hold the lock while you use one.

    Attributes:
        head: the state that the vectors are of; None where none are held.
        in_file: a version of the file, and the state that the session had there.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.head: Optional[Head] = None
        self.in_file: Tuple[Optional[FileVersion], Optional[Head]] = (None, None)
        self.vectors = SessionVectors(1)
        self._beside = 0

    @property
    def nbytes(self) -> int:
        """Give the bytes of memory that it takes, as far as they can be told."""
        return self.vectors.nbytes + self._beside

    def is_at(self, head: Head) -> bool:
        """Tell whether it is of this very state of the file."""
        return self.head == head

    def is_between(self, head: Head, newest: Optional[Head]) -> bool:
        """Tell whether it is of a later state of the file, but of none to come.

        Others read on while a caller held on to an earlier state. A file that was put
        back to an older backup has no such later state.
        """
        if self.head is None or newest is None:
            return False
        return head < self.head <= newest

    def lacks(self, connection: sqlite3.Connection, head: Head) -> Optional[int]:
        """Count what has to be read to be as new; None if that is everything."""
        if self.head is None or not vector_rows.extends(connection, head, self.head):
            return None
        return head.added - self.head.added

    def bring_to(
        self,
        connection: sqlite3.Connection,
        place: VectorPlace,
        head: Head,
        lacking: Optional[int],
    ) -> None:
        """Read what was added, or everything where something was removed or replaced.

        Args:
            lacking: what ``lacks`` said.

        Raises:
            CorruptDataError: a vector is damaged; nothing is held then.
        """
        if lacking is None:
            self._empty(head.dimension)
        after = 0 if lacking is None else head.added - lacking
        self.head = None
        rows = _rows_at_once(head.dimension)
        try:
            for block in vector_rows.read_blocks(connection, place, head, after, rows):
                self._beside += _extend(self.vectors, block)
        except BaseException:
            self._empty(head.dimension)
            raise
        self.head = head

    def _empty(self, dimension: int) -> None:
        self.vectors, self._beside = SessionVectors(dimension), 0


Key = Tuple[str, str]
"""Model and session id."""


class VectorCache:
    """Hold sessions until they take more than so many bytes; least recently used go.

    Args:
        limit: the bytes; what takes more alone is not held.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Hold nothing, in a forked child too, where a lock may be held for ever."""
        self._lock = threading.Lock()
        self._sessions: OrderedDict[Key, CachedSession] = OrderedDict()
        # What each was found to take, and all together.
        self._sizes: Dict[Key, int] = {}
        self.nbytes = 0

    def at(self, key: Key) -> CachedSession:
        """Return a session, as the one used last; one that was not held is empty."""
        session = self.held(key)
        if session is None:
            with self._lock:
                session = self._sessions.setdefault(key, CachedSession())
        return session

    def held(self, key: Key) -> Optional[CachedSession]:
        """Return a session, as the one used last, where it is held."""
        with self._lock:
            session = self._sessions.get(key)
            if session is not None:
                self._sessions.move_to_end(key)
            return session

    def settle(self, key: Key, session: CachedSession) -> None:
        """Count a session that has grown, and let go of what is then too much."""
        with self._lock:
            if self._sessions.get(key) is not session:
                return
            size = session.nbytes
            self.nbytes += size - self._sizes.get(key, 0)
            self._sizes[key] = size
            while self.nbytes > self.limit:
                oldest, _ = self._sessions.popitem(last=False)
                self.nbytes -= self._sizes.pop(oldest, 0)

    def drop(self, key: Key) -> None:
        """Let go of a session."""
        with self._lock:
            if self._sessions.pop(key, None) is not None:
                self.nbytes -= self._sizes.pop(key, 0)
