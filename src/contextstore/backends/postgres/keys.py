"""Name sessions and messages by keys of 16 bytes, and seal what is stored.

Ids are texts of up to 512 characters that would stand in every row and index. A key is
as long as a UUID and is compared as fast as two integers.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import NamedTuple, Optional
from zlib import crc32

from contextstore.backends import place
from contextstore.errors import BusyError, CorruptDataError

# With a version of RFC 9562, 1 to 8. A derived key has 15 there, so that nobody can
# choose an id that is the key of another.
_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_DERIVED = "f"


def session_key(session_id: str) -> str:
    """Return the key of a session: the first half of the SHA-256 of its id."""
    return sha256(session_id.encode("utf-8")).hexdigest()[:32]


def message_key(message_id: str) -> str:
    """Return the key of a message: its id where that is a UUID, else of its SHA-256."""
    if is_own_key(message_id):
        return message_id
    digest = sha256(message_id.encode("utf-8")).hexdigest()[:32]
    return digest[:12] + _DERIVED + digest[13:]


def is_own_key(message_id: str) -> bool:
    """Tell whether an id is the text that Postgres gives for its key.

    The ids that the store makes are, so that they need not be stored beside the key.
    """
    return _UUID.fullmatch(message_id) is not None


def message_name(message_id: str) -> Optional[str]:
    """Return what is stored beside the key to know the id by; None for nothing."""
    return None if is_own_key(message_id) else message_id


def signed(value: int) -> int:
    """Return 32 bits as a signed int, as a column holds them."""
    return value - (1 << 32) if value & 0x80000000 else value


class Place(NamedTuple):
    """Say which session of which database is meant, and check what comes from there.

    Attributes:
        location: the database, for the texts of errors.
        session_id: the session.
        key: what its rows carry.
    """

    location: str
    session_id: str
    key: str

    @classmethod
    def of(cls, location: str, session_id: str) -> Place:
        """Return the place of a session."""
        return cls(location, session_id, session_key(session_id))

    def base(self) -> int:
        """Return the part of the checksums that says which session is meant."""
        return crc32(self.session_id.encode("utf-8"))

    def signed_base(self) -> int:
        """Return the same as a signed 32-bit int, as a column holds it."""
        return signed(self.base())

    def overtaken(self) -> BusyError:
        """Return the error for a session that others change all the time."""
        return BusyError(
            f"{self.location}: others changed session {self.session_id!r} all the "
            f"time; try again",
            location=self.location,
            session_id=self.session_id,
        )

    def unsealed(self, position: int) -> CorruptDataError:
        """Return the error for a message whose checksum is wrong."""
        return place.Place(self.location, self.session_id).unsealed(position)

    def missing(self, position: int) -> CorruptDataError:
        """Return the error for a position without a message."""
        return place.Place(self.location, self.session_id).missing(position)


def seal(base: int, body: bytes) -> int:
    """Return the checksum of a message but for its position, as a signed 32-bit int.

    The statement that stores the message knows the position first, and mixes it in by
    exclusive or; ``place_seal`` does the same here.
    """
    return signed(base ^ crc32(body))


def place_seal(sealed: int, position: int) -> int:
    """Mix the position into a checksum."""
    return sealed ^ signed(position & 0xFFFFFFFF)
