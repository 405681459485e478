"""Read and change one session by the scripts: what every operation stands on."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import Any, List, NamedTuple, NoReturn, Optional, Sequence, Tuple

from contextstore.backends.place import Place, damaged
from contextstore.backends.records import Record
from contextstore.backends.redis import layout
from contextstore.backends.redis.index import Index
from contextstore.backends.redis.layout import Element, Keys, Packed
from contextstore.backends.redis.link import Answer, Link, Request
from contextstore.backends.redis.scripts import CHANGE, READ, Script
from contextstore.backends.stamps import Stamps
from contextstore.errors import BusyError, UnavailableError


class Snapshot(NamedTuple):
    """Be what one read saw of a session.

    Attributes:
        version: the version of the session.
        base: the position before its first message.
        size: how many messages it has.
        pinned: the positions of the pinned ones.
        first: the position of the first message that was asked for; -1 where the id
            that was asked for is not there.
        length: how many were asked for, and so have to be there.
        packed: the elements.
    """

    version: int
    base: int
    size: int
    pinned: Tuple[int, ...]
    first: int
    length: int
    packed: Packed

    @property
    def last(self) -> int:
        """Give the position of the newest message."""
        return self.base + self.size


@dataclass
class Change:
    """Say what a script changes in a session that is still as it was read.

    Attributes:
        version: the new version.
        base: the new position before the first message.
        pinned: the new positions of pinned messages.
        trim: how many messages go at the beginning, and at the end.
        forgotten: ids that are not there any more.
        strays: digests that stand for no message.
        front: elements to put before the first, with their positions.
        placed: elements to put in the place of others.
        added: records to add at the end.
        metadata: the new metadata, encoded; None leaves it.
        summaries: the summaries of a new session, encoded; None for none.
        mends: whether its keys may be such as do not fit each other.
    """

    version: int
    base: int
    pinned: Sequence[int]
    trim: Tuple[int, int] = (0, 0)
    forgotten: Sequence[str] = ()
    strays: Sequence[bytes] = ()
    front: Sequence[Element] = ()
    placed: Sequence[Tuple[int, Record]] = ()
    added: Sequence[Record] = ()
    metadata: Optional[bytes] = None
    summaries: Optional[bytes] = None
    mends: bool = False
    token: bytes = field(default_factory=lambda: os.urandom(8))

    def arguments(self, place: Place, before: Optional[int], ttl: Any) -> List[Any]:
        """Return the arguments of the script; see ``change.lua``."""
        return [
            "" if before is None else before,
            self.token,
            self.version,
            self.base,
            " ".join(map(str, self.pinned)),
            self.metadata or "",
            ttl,
            self.summaries or "",
            *self.trim,
            len(self.forgotten) + len(self.strays),
            len(self.front),
            len(self.placed),
            "1" if self.mends else "",
            *map(layout.digest, self.forgotten),
            *self.strays,
            *(layout.moved_with_digest(place, one) for one in reversed(self.front)),
            *(layout.placed(place, at, record) for at, record in self.placed),
            *layout.added(place, self.added),
        ]


class Room:
    """Hold what all operations need.

    Args:
        link: leads to the servers.
        namespace: what the keys begin with.
        stamps: fills in ids and timestamps.
        ttl: milliseconds that a session lives after its last change; None for ever.
    """

    def __init__(
        self, link: Link, namespace: str, stamps: Stamps, ttl: Optional[int]
    ) -> None:
        self.link = link
        self.namespace = namespace
        self.stamps = stamps
        self.index = Index(link, namespace)
        self.ttl = "" if ttl is None else str(ttl)
        # A repeat has to write again what is then waited for.
        self.confirm = "1" if link.confirmation.is_asked_for else ""

    def place(self, session_id: str) -> Place:
        """Return what checks the messages of a session."""
        return Place(self.link.location, session_id)

    def keys(self, session_id: str) -> Keys:
        """Return the keys of a session."""
        return Keys.of(self.namespace, session_id)

    async def run(
        self,
        script: Script,
        session_id: str,
        *arguments: Any,
        until: Optional[float] = None,
    ) -> Answer:
        """Run a script over a session.

        Args:
            until: when to give up, where the call began before this.

        Raises:
            CorruptDataError: the server lost one of its keys.
        """
        request = Request.of_script(script, self.keys(session_id), *arguments)
        answer = await self.link.ask(request, until)
        if answer.value == b"headless":
            self.headless(session_id)
        return answer

    async def read(
        self, session_id: str, *what: Any, until: Optional[float] = None
    ) -> Optional[Snapshot]:
        """Return a stretch of a session, or None where there is no such session.

        Args:
            what: the arguments of ``read.lua``.
            until: when to give up, where the call began before this.

        Raises:
            CorruptDataError: the server lost one of the keys.
        """
        answer = await self.run(READ, session_id, *what, until=until)
        return snapshot(answer.value)

    def elements(self, session_id: str, seen: Snapshot) -> List[Element]:
        """Check the elements that a read gave."""
        place = self.place(session_id)
        return layout.elements(place, seen.packed, seen.first, seen.length)

    async def change(
        self, session_id: str, before: Optional[int], change: Change
    ) -> Optional[Answer]:
        """Carry out a change; None where the session is not as it was read.

        Args:
            before: the version that was read; None where there was no session.

        Raises:
            UnavailableError: an answer was lost, and the session was changed since, so
                that nothing tells whether this change was made before that one.
        """
        if before is None:
            # First of all: a session that is in no index would be hard to find.
            await self.index.add(session_id)
        arguments = change.arguments(self.place(session_id), before, self.ttl)
        answer = await self.run(CHANGE, session_id, *arguments)
        said, *details = answer.value.split()
        if said == b"stale" and answer.doubt:
            raise UnavailableError(
                f"{self.link.location}: an answer was lost, and session "
                f"{session_id!r} was changed by others since; this change may have "
                f"been stored before theirs or not: look, and repeat it if it was not",
                location=self.link.location,
                session_id=session_id,
            )
        if said == b"stale":
            return None
        self.index.touch(session_id, int(details[1]), at_once=before is None)
        return answer

    def patience(self, session_id: str) -> Patience:
        """Return what ends a write that others are always ahead of."""
        return Patience(session_id, self.link.location, self.link.give_up_at())

    def headless(self, session_id: str) -> NoReturn:
        """Raise the error for a session of which a key is gone."""
        raise damaged(
            self.link.location,
            "the server lost a key of the session (its maxmemory-policy has to be "
            "noeviction)",
            session_id=session_id,
        )


def snapshot(reply: Any) -> Optional[Snapshot]:
    """Return what ``read.lua`` gave; None where there is no session."""
    if reply == b"missing":
        return None
    line, text = reply
    numbers, pinned, lengths = line.split(b"|")
    version, base, size, first, length = map(int, numbers.split())
    return Snapshot(
        version,
        base,
        size,
        layout.pinned_positions(pinned),
        first,
        length,
        Packed(lengths, text),
    )


class Patience:
    """Count the time of a write that reads first and finds the session changed."""

    def __init__(self, session_id: str, location: str, until: float) -> None:
        self._session_id = session_id
        self._location = location
        self._until = until

    def check(self) -> None:
        """End the attempts.

        Raises:
            BusyError: others changed the session all the time.
        """
        if time.monotonic() >= self._until:
            raise BusyError(
                f"{self._location}: session {self._session_id!r} changed at every "
                f"attempt; try again",
                location=self._location,
                session_id=self._session_id,
            )


def new_version() -> int:
    """Return the version of a new session, which none of its id had before.

    A chance of 2**-40 a version stands for a record of all sessions that are gone.
    """
    return int.from_bytes(os.urandom(5), "big") + 1
