"""Hold the SQL over vectors: functions of a connection.

``context_vector_sessions`` has one row for each session and model that has vectors, and
``context_vectors`` one row a vector. Triggers (see ``schema``) remove the vectors of a
message together with it, and count in ``changes`` what is more than adding.

Writes run in a transaction. Where a model may be None, every model is meant.
"""

from __future__ import annotations

import secrets
import sqlite3
from contextlib import contextmanager
from typing import Any, Generator, Iterator, List, NamedTuple, Optional, Sequence, Tuple
from zlib import crc32

from contextstore.errors import CorruptDataError

# Where the number of the session stands in a place.
_SHIFT = 32
# What of the column is the checksum; above it stands a number at random.
_CHECKSUM = (1 << 33) - 1
_CHANCE_BITS = 30

StoredVector = Tuple[str, bytes, bytes]
"""A message id, its metadata in JSON, and its vector in little-endian float32."""


class Head(NamedTuple):
    """Be the state of the vectors that one session has of one model.

    Of two states the later one compares greater.

    Attributes:
        number: the key that the vectors carry; never given out twice.
        changes: raised where vectors are removed or replaced.
        added: how many were ever added; no more than these are there.
        dimension: how many components each has.
        newest: what stands as the checksum of the newest one, partly by chance, so
            that it tells states apart that a backup and the file it was made of had.
    """

    number: int
    changes: int
    added: int
    dimension: int
    newest: int = 0

    @property
    def start(self) -> int:
        """Give the place before the first vector."""
        return self.number << _SHIFT


class VectorPlace(NamedTuple):
    """Say which vectors of which file are meant, and check what comes from there.

    Attributes:
        location: the file, for the texts of errors.
        session_id: the session.
        model: the model that made them.
    """

    location: str
    session_id: str
    model: str

    def base(self) -> int:
        """Return the part of the checksums that says where the vectors belong."""
        return crc32(f"{self.session_id}\0{self.model}".encode())

    def check(
        self, base: int, dimension: int, checksum: int, row: StoredVector
    ) -> None:
        """Refuse a vector whose checksum is wrong.

        Raises:
            CorruptDataError: naming file, session and message.
        """
        # A damaged row may hold values of other types.
        message_id, metadata, vector = row
        types = (type(message_id), type(metadata), type(vector), type(checksum))
        sound = types == (str, bytes, bytes, int) and len(vector) == 4 * dimension
        if not sound or _sum(row) + base != checksum & _CHECKSUM:
            raise CorruptDataError(
                f"{self.location}, session {self.session_id!r}, message "
                f"{message_id!r}: the checksum of the vector is wrong; delete this "
                f"vector and embed the message anew",
                location=self.location,
                session_id=self.session_id,
            )


def _sum(row: StoredVector) -> int:
    message_id, metadata, vector = row
    return crc32(vector, crc32(metadata, crc32(message_id.encode("utf-8"))))


def find_head(
    connection: sqlite3.Connection, session_id: str, model: str
) -> Optional[Head]:
    """Return the state of the vectors of a session; None where it has none."""
    row = connection.execute(
        "SELECT number, changes, added, dimension, coalesce((SELECT CAST(checksum"
        " AS INTEGER) FROM context_vectors WHERE place > number << 32"
        " AND place <= (number << 32) + added ORDER BY place DESC LIMIT 1), 0)"
        " FROM context_vector_sessions WHERE session_id = ? AND model = ?",
        (session_id, model),
    ).fetchone()
    return None if row is None else Head(*row)


def extends(connection: sqlite3.Connection, head: Head, other: Head) -> bool:
    """Tell whether a state differs from another only by what was added since.

    A file that was put back to a backup, and written on, may have counted as far again:
    the newest vector of that other state is then not there.
    """
    if head[:2] != other[:2] or head.added < other.added:
        return False
    row = connection.execute(
        "SELECT CAST(checksum AS INTEGER) FROM context_vectors"
        " WHERE place > ? AND place <= ? ORDER BY place DESC LIMIT 1",
        (other.start, other.start + other.added),
    ).fetchone()
    return row is not None and row[0] == other.newest


def dimension_of(connection: sqlite3.Connection, model: str) -> Optional[int]:
    """Return the dimension of all vectors of a model; None where there are none."""
    row = connection.execute(
        "SELECT dimension FROM context_vector_sessions WHERE model = ? LIMIT 1",
        (model,),
    ).fetchone()
    return None if row is None else row[0]


def keep(
    connection: sqlite3.Connection,
    place: VectorPlace,
    dimension: int,
    vectors: Sequence[StoredVector],
) -> None:
    """Add vectors; one whose id is there replaces that and keeps its place."""
    head = find_head(connection, place.session_id, place.model)
    if head is None:
        head = _create(connection, place, dimension)
    base = place.base() + (secrets.randbits(_CHANCE_BITS) << _CHECKSUM.bit_length())
    connection.executemany(
        "INSERT INTO context_vectors"
        " (place, session, message_id, checksum, metadata, vector)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (session, message_id) DO UPDATE SET"
        " checksum = excluded.checksum, metadata = excluded.metadata,"
        " vector = excluded.vector",
        [
            (number, head.number, row[0], _sum(row) + base, row[1], row[2])
            for number, row in enumerate(vectors, start=head.start + head.added + 1)
        ],
    )
    _count(connection, head, len(vectors))


def of_messages(
    connection: sqlite3.Connection, session_id: str, vectors: Sequence[StoredVector]
) -> List[StoredVector]:
    """Return those of the vectors whose messages are stored in this file."""
    return [
        vector
        for vector in vectors
        if connection.execute(
            "SELECT 1 FROM context_sessions JOIN context_messages ON session = number"
            " WHERE session_id = ? AND message_id = ?",
            (session_id, vector[0]),
        ).fetchone()
    ]


def _create(connection: sqlite3.Connection, place: VectorPlace, dimension: int) -> Head:
    connection.execute(
        "INSERT INTO context_vector_sessions (session_id, model, dimension)"
        " VALUES (?, ?, ?)",
        (place.session_id, place.model, dimension),
    )
    (number,) = connection.execute("SELECT last_insert_rowid()").fetchone()
    return Head(number, changes=0, added=0, dimension=dimension)


def _count(connection: sqlite3.Connection, head: Head, added: int) -> None:
    connection.execute(
        "UPDATE context_vector_sessions SET added = added + ? WHERE number = ?",
        (added, head.number),
    )


def read_blocks(
    connection: sqlite3.Connection,
    place: VectorPlace,
    head: Head,
    after: int,
    rows: int,
) -> Iterator[List[StoredVector]]:
    """Give the vectors of a state, oldest first, so many at a time.

    Args:
        after: how many of those ever added to leave out.

    Raises:
        CorruptDataError: one of them is damaged.
    """
    found = connection.execute(
        "SELECT checksum, message_id, metadata, vector, place FROM context_vectors"
        " WHERE place > ? AND place < ? ORDER BY place",
        (head.start + after, head.start + (1 << _SHIFT)),
    )
    base = place.base()
    while True:
        block = found.fetchmany(rows)
        if not block:
            return
        if block[-1][4] > head.start + head.added:
            raise CorruptDataError(
                f"{place.location}, session {place.session_id!r}: the count of its "
                f"vectors is wrong; delete the vectors of the session and embed anew",
                location=place.location,
                session_id=place.session_id,
            )
        for checksum, *row, _ in block:
            place.check(base, head.dimension, checksum, _stored(row))
        yield [_stored(row[1:4]) for row in block]


def _stored(row: Sequence[Any]) -> StoredVector:
    message_id, metadata, vector = row
    return message_id, metadata, vector


class BadVector(NamedTuple):
    """Be a vector that is damaged.

    Attributes:
        session_id: the session of the vector.
        place: its place in the table.
        fault: what is wrong, in words.
    """

    session_id: str
    place: int
    fault: str


def find_damaged(connection: sqlite3.Connection, location: str) -> Iterator[BadVector]:
    """Read all vectors and give those that are damaged."""
    for session_id, model, *state in connection.execute(
        "SELECT session_id, model, number, changes, added, dimension"
        " FROM context_vector_sessions ORDER BY number"
    ).fetchall():
        head, place = Head(*state), VectorPlace(location, session_id, model)
        base = place.base()
        for checksum, *row, number in connection.execute(
            "SELECT checksum, message_id, metadata, vector, place"
            " FROM context_vectors WHERE session = ? ORDER BY place",
            (head.number,),
        ):
            try:
                place.check(base, head.dimension, checksum, _stored(row))
            except CorruptDataError:
                fault = "the checksum of a vector is wrong"
                yield BadVector(session_id, number, fault)


def remove_place(connection: sqlite3.Connection, place: int) -> None:
    """Remove the vector at a place, whatever it holds."""
    connection.execute("DELETE FROM context_vectors WHERE place = ?", (place,))


def has(connection: sqlite3.Connection, place: VectorPlace, message_id: str) -> bool:
    """Tell whether there is a vector under this id."""
    row = connection.execute(
        "SELECT 1 FROM context_vector_sessions JOIN context_vectors"
        " ON session = number WHERE session_id = ? AND model = ? AND message_id = ?",
        (place.session_id, place.model, message_id),
    ).fetchone()
    return row is not None


def session_ids(connection: sqlite3.Connection, model: str) -> List[str]:
    """Return the ids of all sessions that have a vector of a model, sorted."""
    found = connection.execute(
        "SELECT session_id FROM context_vector_sessions WHERE model = ?"
        " ORDER BY session_id",
        (model,),
    )
    return [session_id for (session_id,) in found]


def message_ids(connection: sqlite3.Connection, place: VectorPlace) -> List[str]:
    """Return the ids that have a vector, oldest first."""
    # The index has it all: sorting its rows is cheaper than reading the vectors.
    found = connection.execute(
        "SELECT message_id FROM context_vector_sessions JOIN context_vectors"
        " INDEXED BY context_vectors_id ON session = number"
        " WHERE session_id = ? AND model = ? ORDER BY place",
        (place.session_id, place.model),
    )
    return [message_id for (message_id,) in found]


def read_some(
    connection: sqlite3.Connection, place: VectorPlace, wanted: Sequence[str]
) -> Iterator[StoredVector]:
    """Give those of the vectors asked for that are there.

    Raises:
        CorruptDataError: one of them is damaged.
    """
    base = place.base()
    for message_id in wanted:
        row = connection.execute(
            "SELECT dimension, checksum, message_id, metadata, vector"
            " FROM context_vector_sessions JOIN context_vectors ON session = number"
            " WHERE session_id = ? AND model = ? AND message_id = ?",
            (place.session_id, place.model, message_id),
        ).fetchone()
        if row is not None:
            stored = _stored(row[2:])
            place.check(base, row[0], row[1], stored)
            yield stored


def discard(
    connection: sqlite3.Connection,
    session_id: str,
    model: Optional[str],
    message_ids: Sequence[str],
) -> None:
    """Remove the vectors under some ids, which need not be there."""
    connection.executemany(
        "DELETE FROM context_vectors WHERE message_id = ?1 AND session IN ("
        " SELECT number FROM context_vector_sessions"
        " WHERE session_id = ?2 AND (?3 IS NULL OR model = ?3))",
        [(message_id, session_id, model) for message_id in message_ids],
    )


def discard_session(
    connection: sqlite3.Connection, session_id: str, model: Optional[str]
) -> int:
    """Remove all vectors of a session, and return how many there were."""
    return connection.execute(
        "DELETE FROM context_vectors WHERE session IN ("
        " SELECT number FROM context_vector_sessions"
        " WHERE session_id = ?1 AND (?2 IS NULL OR model = ?2))",
        (session_id, model),
    ).rowcount


def discard_model(connection: sqlite3.Connection, model: str) -> None:
    """Remove all vectors of a model."""
    connection.execute(
        "DELETE FROM context_vectors WHERE session IN ("
        " SELECT number FROM context_vector_sessions WHERE model = ?)",
        (model,),
    )


@contextmanager
def staying(
    connection: sqlite3.Connection, session_id: str, message_ids: Sequence[str]
) -> Generator[None, None, None]:
    """Let the vectors of some messages stay while these are deleted.

    It is for messages that are then written again as they were.
    """
    has_vectors = connection.execute(
        "SELECT 1 FROM context_vector_sessions WHERE session_id = ?", (session_id,)
    ).fetchone()
    if not has_vectors:
        yield
        return
    connection.executemany(
        "INSERT INTO context_messages_rewritten VALUES (?)",
        [(message_id,) for message_id in message_ids],
    )
    yield
    connection.execute("DELETE FROM context_messages_rewritten")


def copy(
    connection: sqlite3.Connection,
    location: str,
    source: str,
    target: str,
    target_number: int,
) -> None:
    """Give the messages of one session the vectors that they have in another.

    Vectors that stand under the ids of these messages are replaced.

    Args:
        target_number: the key of the messages that are to get vectors.
    """
    found = connection.execute(
        "SELECT number, model, dimension, added FROM context_vector_sessions AS s"
        " WHERE session_id = ? AND EXISTS (SELECT 1 FROM context_vectors AS v"
        " WHERE v.session = s.number AND message_id IN"
        " (SELECT message_id FROM context_messages WHERE session = ?)) ORDER BY number",
        (source, target_number),
    ).fetchall()
    for number, model, dimension, added in found:
        old = VectorPlace(location, source, model)
        new = VectorPlace(location, target, model)
        connection.execute(
            "DELETE FROM context_vectors WHERE session = (SELECT number"
            " FROM context_vector_sessions WHERE session_id = ? AND model = ?)"
            " AND message_id IN"
            " (SELECT message_id FROM context_messages WHERE session = ?)",
            (target, model, target_number),
        )
        head = find_head(connection, target, model)
        if head is None:
            head = _create(connection, new, dimension)
        # A checksum is a sum so that SQL can change where it belongs: one that was
        # wrong stays wrong.
        connection.execute(
            "INSERT INTO context_vectors"
            " (place, session, message_id, checksum, metadata, vector)"
            " SELECT place + ?, ?, message_id, checksum + ?, metadata, vector"
            " FROM context_vectors WHERE session = ? AND message_id IN"
            " (SELECT message_id FROM context_messages WHERE session = ?)"
            " ORDER BY place",
            (
                head.start + head.added - (number << _SHIFT),
                head.number,
                new.base() - old.base(),
                number,
                target_number,
            ),
        )
        _count(connection, head, added)
