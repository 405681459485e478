"""Seal what is stored: a checksum over session, position and body of each message."""

from __future__ import annotations

from typing import NamedTuple, Optional, Sequence
from zlib import crc32

from contextstore.errors import CorruptDataError

_BITS = 0xFFFFFFFF


class Place(NamedTuple):
    """Say which session of which store is meant, and check what comes from there.

    Attributes:
        location: the file or address, for the texts of errors.
        session_id: the session.
    """

    location: str
    session_id: str

    def base(self) -> int:
        """Return the checksum of the session id, from which those of messages go on."""
        return crc32(self.session_id.encode("utf-8"))

    def check(self, base: int, position: int, checksum: int, body: bytes) -> None:
        """Refuse a message whose checksum is wrong.

        Raises:
            CorruptDataError: naming store, session and position.
        """
        try:
            is_whole = seal(base, position, body) == checksum
        except TypeError:
            # A damaged row may hold values of another type.
            is_whole = False
        if not is_whole:
            raise self.unsealed(position)

    def check_all(
        self,
        positions: Sequence[int],
        checksums: Sequence[int],
        bodies: Sequence[bytes],
    ) -> None:
        """Refuse messages of which one has a wrong checksum, as ``check`` does."""
        base = self.base()
        starts = [base + position & _BITS for position in positions]
        try:
            are_whole = tuple(map(crc32, bodies, starts)) == checksums
        except TypeError:
            are_whole = False
        if not are_whole:
            for position, checksum, body in zip(positions, checksums, bodies):
                self.check(base, position, checksum, body)

    def unsealed(self, position: int) -> CorruptDataError:
        """Return the error for a message whose checksum is wrong."""
        return damaged(
            self.location,
            "the checksum of the message is wrong",
            session_id=self.session_id,
            position=position,
        )

    def missing(self, position: int) -> CorruptDataError:
        """Return the error for a position without a message."""
        return damaged(
            self.location,
            "the message is missing",
            session_id=self.session_id,
            position=position,
        )


def seal(base: int, position: int, body: bytes) -> int:
    """Return the checksum of a message: CRC-32, which finds every flipped bit."""
    # For one body, a CRC is another for every value that it starts from.
    return crc32(body, base + position & _BITS)


def damaged(
    location: str,
    fault: str,
    *,
    session_id: Optional[str] = None,
    position: Optional[int] = None,
) -> CorruptDataError:
    """Return the error for damage, naming store, session and position."""
    where = location
    if session_id is not None:
        where += f", session {session_id!r}"
    if position is not None:
        where += f", position {position}"
    advice = "restore it from a backup"
    if session_id is not None:
        advice += ", or delete the session"
    return CorruptDataError(
        f"{where}: {fault}; nothing was written: {advice}",
        location=location,
        session_id=session_id,
        position=position,
    )
