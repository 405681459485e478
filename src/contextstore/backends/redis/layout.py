"""Say how a session lies in a server: the names of its keys, the bytes of a message.

A session is three keys with one hash tag, so that they lie in one slot of a cluster and
one script can change them together. All three are there as soon as it has a message: to
a script over keys of which one is missing, a cluster would say "try again" for as long
as it moves their slot.

- ``...:h``, the head, a hash: ``v`` version, ``b`` the position before the first
  message, ``n`` how many there are, ``p`` the positions of pinned ones, ``c`` and ``u``
  when it was made and changed, ``m`` metadata, ``s`` summaries, ``t`` the token of the
  last change that was no append, ``o`` the version that it began at, which no other
  session of its id has;
- ``...:m``, a list: an element a message;
- ``...:i``, a hash: 16 bytes of digest of an id, and the position of its message.
"""

from __future__ import annotations

import struct
from hashlib import blake2b
from typing import Iterable, Iterator, List, NamedTuple, Sequence, Tuple

from contextstore import messages
from contextstore.backends.place import Place, seal
from contextstore.backends.records import FILLED_NAMES, FILLED_NUMBERS, Record
from contextstore.messages import Message

# Position; high and low half of the time in milliseconds; seal; flags. Then the body.
_HEADER = struct.Struct(">IHIIB")
_AT = struct.Struct(">IHI")
_SEALED = struct.Struct(">IB")
_LENGTH = struct.Struct(">I")
_PINNED = 4


class Keys(NamedTuple):
    """Name the keys of one session, in the order that the scripts take them."""

    head: bytes
    messages: bytes
    ids: bytes

    @classmethod
    def of(cls, namespace: str, session_id: str) -> Keys:
        """Return the keys of a session."""
        tag = f"{{{namespace}:{session_id}}}".encode()
        return cls(tag + b":h", tag + b":m", tag + b":i")


def session_of(namespace: str, key: bytes) -> str:
    """Return the session that a key belongs to; the inverse of ``Keys.of``."""
    return key[len(namespace.encode()) + 2 : -3].decode("utf-8", "replace")


def keys_pattern(namespace: str, name: bytes) -> bytes:
    """Return the pattern that one key of each session fits.

    Args:
        name: the last part of the key, or a pattern of one character for it.
    """
    # A namespace holds nothing that a pattern would read otherwise.
    return f"{{{namespace}:*}}:".encode() + name


def digest(message_id: str) -> bytes:
    """Return what stands for an id in a session: no two have it in common."""
    return blake2b(message_id.encode("utf-8"), digest_size=16).digest()


class Element(NamedTuple):
    """Be one message as a server keeps it.

    Attributes:
        position: its place in the session, from 1 on.
        written: when, in milliseconds since 1970, by the clock of the server.
        record: the message.
    """

    position: int
    written: int
    record: Record


def sealed(place: Place, record: Record) -> bytes:
    """Return seal, flags and body: what a caller knows of an element."""
    flags = FILLED_NUMBERS[record.filled] | (_PINNED if record.pinned else 0)
    return _SEALED.pack(seal(place.base(), flags, record.body), flags) + record.body


def added(place: Place, records: Sequence[Record]) -> List[bytes]:
    """Return what the scripts take for each message that is new."""
    return [digest(record.id) + sealed(place, record) for record in records]


def moved_with_digest(place: Place, element: Element) -> bytes:
    """Return the digest of an id and the element, as the server would write it."""
    high, low = divmod(element.written, 2**32)
    head = _AT.pack(element.position, high, low)
    return digest(element.record.id) + head + sealed(place, element.record)


def placed(place: Place, position: int, record: Record) -> bytes:
    """Return what the script takes for a message that replaces another."""
    return _LENGTH.pack(position) + sealed(place, record)


class Packed(NamedTuple):
    """Be elements that a script put into one text.

    Attributes:
        lengths: that of each, in decimal digits between blanks.
        text: the elements.
    """

    lengths: bytes
    text: bytes

    def split(self) -> Iterator[bytes]:
        """Take them apart."""
        start = 0
        for length in map(int, self.lengths.split()):
            yield self.text[start : start + length]
            start += length


def opened(
    place: Place, found: Iterable[bytes], first: int, count: int
) -> List[Message]:
    """Check and decode the messages from a position on.

    Raises:
        CorruptDataError: one of them is damaged or missing.
    """
    base, unpack, header = place.base(), _HEADER.unpack_from, _HEADER.size
    bodies: List[bytes] = []
    position = first
    # Nothing is called here that need not be: this loop is what a load costs.
    for raw in found:
        if len(raw) < header:
            raise place.missing(position)
        at, _, _, checksum, flags = unpack(raw)
        if at != position:
            raise place.missing(position)
        body = raw[header:]
        if seal(base, flags, body) != checksum:
            raise place.unsealed(position)
        bodies.append(body)
        position += 1
    if len(bodies) != count:
        raise place.missing(position)
    return messages.decode_whole(bodies)


def elements(place: Place, packed: Packed, first: int, count: int) -> List[Element]:
    """Check the elements from a position on, and leave their bodies encoded.

    Raises:
        CorruptDataError: one of them is damaged or missing.
    """
    found = [element_of(place, raw, first + n) for n, raw in enumerate(packed.split())]
    if len(found) != count:
        raise place.missing(first + len(found))
    return found


def element_of(place: Place, raw: bytes, position: int) -> Element:
    """Check one element.

    Raises:
        CorruptDataError: it is damaged, or belongs to another place.
    """
    if len(raw) < _HEADER.size:
        raise place.missing(position)
    at, high, low, checksum, flags = _HEADER.unpack_from(raw)
    if at != position:
        raise place.missing(position)
    body = raw[_HEADER.size :]
    if seal(place.base(), flags, body) != checksum:
        raise place.unsealed(position)
    record = Record(
        messages.decode(body)["id"],
        body,
        FILLED_NAMES[flags & 3],
        bool(flags & _PINNED),
    )
    return Element(position, high * 2**32 + low, record)


def pinned_positions(text: bytes) -> Tuple[int, ...]:
    """Return the positions that a head lists, sorted."""
    return tuple(sorted(map(int, text.split())))
