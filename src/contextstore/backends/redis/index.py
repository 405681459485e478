"""List sessions by an index that lies apart from them, and so is never trusted.

A session is in one of some sorted sets, spread over the slots of a cluster. It is put
there before it is made, and moved to its newest change some time after it: what an
index says is looked up before it is given to anybody, and ``verify(repair=True)`` makes
the index anew from the sessions themselves.
"""

from __future__ import annotations

import heapq
import threading
import time
import weakref
from concurrent.futures import Future
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple
from zlib import crc32

from contextstore._hop import OwnThread, settled
from contextstore.backends.redis.link import Link, Request
from contextstore.backends.redis.scripts import ENTRIES, FORGET

BUCKETS = 64
# How long, and for how many sessions, a change may be missing from the index.
_LONGEST = 1.0
_MOST = 1024
_BATCH = 64


class Entry(NamedTuple):
    """Be a session in the index; sorted as the sets are, the newest change comes first.

    Attributes:
        age: when it was changed, negative: milliseconds since 1970.
        session_id: its id.
    """

    age: int
    session_id: str


class Index:
    """Keep the index of a namespace.

    Args:
        link: leads to the servers.
        namespace: what its keys begin with.
    """

    def __init__(self, link: Link, namespace: str) -> None:
        self._link = link
        self._namespace = namespace
        self._lock = threading.RLock()
        self._touched: Dict[str, int] = {}
        self._flushed = 0.0
        self._on_their_way: List[Future[None]] = []

    def renew(self) -> None:
        """Begin anew in a forked child: the touches are those of the parent."""
        self._lock = threading.RLock()
        self._touched = {}
        self._on_their_way = []

    def bucket_of(self, session_id: str) -> bytes:
        """Return the key of the set that a session belongs to."""
        return self.buckets()[crc32(session_id.encode("utf-8")) % BUCKETS]

    def buckets(self) -> List[bytes]:
        """Return the keys of all sets."""
        # The number is the hash tag: the sets lie in slots of their own.
        return [f"{self._namespace}:index:{{{n}}}".encode() for n in range(BUCKETS)]

    async def add(self, session_id: str) -> None:
        """Put a session into the index before it is made."""
        key = self.bucket_of(session_id)
        command = ("ZADD", key, "NX", 0, session_id.encode("utf-8"))
        await self._link.ask(Request(key, command))

    def touch(self, session_id: str, changed: int, *, at_once: bool = False) -> None:
        """Note that a session was changed, and some time tell the servers.

        Args:
            changed: when, in milliseconds since 1970, by the clock of its server.
            at_once: tell them now, as for a new session.
        """
        with self._lock:
            self._touched[session_id] = changed
            left = self._flushed + _LONGEST - time.monotonic()
            if at_once or left <= 0 or len(self._touched) >= _MOST:
                self._post()
            elif len(self._touched) == 1:
                # Perhaps nobody writes after this one, and takes it along.
                _post_later(self, left)

    async def flush(self) -> None:
        """Tell the servers what was changed, before the index is read."""
        with self._lock:
            requests = self._take()
            on_their_way, self._on_their_way = self._on_their_way, []
        for sent in on_their_way:
            await settled(sent)
        if requests:
            await self._link.ask_all(requests)

    def post(self) -> None:
        """Send what was changed on its way, before the connections close."""
        with self._lock:
            self._post()

    def _post(self) -> None:
        waiting = [sent for sent in self._on_their_way if not sent.done()]
        self._on_their_way = waiting + self._link.post(self._take())

    async def drop(self, session_ids: Sequence[str]) -> None:
        """Take sessions out of the index."""
        with self._lock:
            for session_id in session_ids:
                self._touched.pop(session_id, None)
        requests = [
            Request(key, ("ZREM", key, session_id.encode("utf-8")))
            for session_id in session_ids
            for key in [self.bucket_of(session_id)]
        ]
        await self._link.ask_all(requests)

    async def forget(self, entries: Sequence[Entry]) -> None:
        """Take out sessions that were found to be gone, unless they came back."""
        requests: List[Request] = []
        for age, session_id in entries:
            keys = [self.bucket_of(session_id)]
            name = session_id.encode("utf-8")
            requests.append(Request.of_script(FORGET, keys, name, age))
        await self._link.ask_all(requests)

    async def pages(self, after: Optional[Entry]) -> PageReader:
        """Return what reads the index from an entry on."""
        await self.flush()
        return PageReader(self._link, self.buckets(), after)

    def _take(self) -> List[Request]:
        """Return the requests that tell what was touched; call it with the lock."""
        touched, self._touched = self._touched, {}
        self._flushed = time.monotonic()
        by_bucket: Dict[bytes, List[Any]] = {}
        for session_id, changed in touched.items():
            members = by_bucket.setdefault(self.bucket_of(session_id), [])
            members += [-changed, session_id.encode("utf-8")]
        return [
            # LT: a touch that comes late does not undo a later one.
            Request(key, ("ZADD", key, "LT", *members))
            for key, members in by_bucket.items()
        ]


def _post_later(index: Index, seconds: float) -> None:
    """Let an index tell the servers some time, if it is still there then."""
    reference = weakref.ref(index)

    def post() -> None:
        time.sleep(seconds)
        left = reference()
        if left is not None:
            left.post()

    try:
        OwnThread(post, "contextstore-redis-index").start()
    except RuntimeError:
        # The program ends; what is stored is stored, and verify mends the index.
        return


class PageReader:
    """Read the sets side by side, the newest change first.

    Each set is read on from behind the entry that was read last, so that what others
    take out or move meanwhile hides no entry that stays where it is.

    Args:
        buckets: the keys of the sets.
        after: begin after this entry.
    """

    def __init__(
        self, link: Link, buckets: Sequence[bytes], after: Optional[Entry]
    ) -> None:
        self._link = link
        self._read: Dict[bytes, List[Entry]] = {key: [] for key in buckets}
        self._last: Dict[bytes, Optional[Entry]] = dict.fromkeys(buckets, after)
        self._ended: Dict[bytes, bool] = dict.fromkeys(buckets, False)

    async def next(self, count: int) -> List[Entry]:
        """Return the next entries; fewer than asked for only at the end."""
        while True:
            empty = [
                key
                for key, entries in self._read.items()
                if not self._ended[key] and len(entries) < count
            ]
            if not empty:
                return self._merged(count)
            await self._fetch(empty)

    async def _fetch(self, keys: Sequence[bytes]) -> None:
        requests = [
            Request.of_script(ENTRIES, [key], _BATCH, *(self._last[key] or ()))
            for key in keys
        ]
        for key, reply in zip(keys, await self._link.ask_all(requests)):
            found = list(_entries(reply))
            self._ended[key] = len(found) < _BATCH
            self._read[key] += found
            self._last[key] = found[-1] if found else self._last[key]

    def _merged(self, count: int) -> List[Entry]:
        merged = heapq.merge(*self._read.values())
        taken = [entry for entry, _ in zip(merged, range(count))]
        gone = set(taken)
        for key, entries in self._read.items():
            self._read[key] = [entry for entry in entries if entry not in gone]
        return taken


def _entries(reply: Sequence[Any]) -> Iterator[Entry]:
    for name, score in _pairs(reply):
        yield Entry(int(float(score)), name.decode("utf-8"))


def _pairs(reply: Sequence[Any]) -> Iterator[Tuple[bytes, bytes]]:
    return zip(reply[::2], reply[1::2])
