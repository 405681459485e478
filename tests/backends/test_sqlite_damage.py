"""A damaged file is an error or gives the right messages, and is not written to."""

from __future__ import annotations

import contextlib
import random
import re
import sqlite3
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Type

import pytest

from contextstore import (
    CorruptDataError,
    SchemaVersionError,
    SQLiteMemory,
    StorageError,
)
from contextstore.backends.sqlite.failures import translated
from contextstore.errors import BusyError, ClosedError, UnavailableError

Message = Dict[str, Any]

MESSAGES: List[Message] = [
    {
        "id": f"m{number:03d}",
        "role": "user",
        "content": f"needle {number:03d} " + "hay " * (number * 7),
        "timestamp": "2024-01-01T00:00:00Z",
    }
    for number in range(40)
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Give the bytes of a file with two sessions."""
    path = tmp_path_factory.mktemp("whole") / "chat.db"
    with SQLiteMemory(path).sync as memory:
        memory.save_context("s", MESSAGES)
        memory.save_context("other", MESSAGES[:3])
    return path.read_bytes()


def outcome(
    path: Path, memory_class: Type[SQLiteMemory] = SQLiteMemory
) -> Optional[StorageError]:
    """Load what is in a damaged file: the right messages, or the error."""
    before = path.read_bytes()
    memory = memory_class(path).sync
    try:
        assert memory.load_context("s") == MESSAGES
        return None
    except StorageError as error:
        with pytest.raises(StorageError):
            memory.save_context("s", MESSAGES[:1])
        return error
    finally:
        memory.close()
        assert path.read_bytes() == before


def test_a_whole_file_is_right(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    path.write_bytes(whole)
    assert outcome(path) is None


@pytest.mark.parametrize("size", [1, 15, 16, 99, 100, 512, 4096, 20_000])
@pytest.mark.parametrize("start", [b"", b"SQLite format 3\x00"])
def test_random_bytes_are_an_error(size: int, start: bytes, tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    noise = random.Random(size)
    path.write_bytes((start + bytes(noise.randrange(256) for _ in range(size)))[:size])
    if size < 16 and start:
        path.write_bytes(start[:size])
    assert isinstance(outcome(path), CorruptDataError)


def test_a_text_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("Do not overwrite me.\n" * 500)
    error = outcome(path)
    assert isinstance(error, CorruptDataError)
    assert "delete the session" not in str(error)
    left = {file.name for file in tmp_path.iterdir()}
    assert left == {"notes.txt"}


def test_a_truncated_file_is_an_error(whole: bytes, tmp_path: Path) -> None:
    # Cut to nothing, a file cannot be told from one that was never filled.
    lengths = [1, 16, 50, 99, 100, 101, *range(500, len(whole), len(whole) // 60)]
    lengths += [*range(4096, len(whole), 4096), len(whole) - 1]
    for length in lengths:
        path = tmp_path / f"{length}.db"
        path.write_bytes(whole[:length])
        assert isinstance(outcome(path), CorruptDataError), length


def test_one_flipped_bit_in_any_message_is_an_error(
    whole: bytes, tmp_path: Path
) -> None:
    chance = random.Random(1)
    path = tmp_path / "chat.db"
    for position, message in enumerate(MESSAGES, start=1):
        text = message["content"][:10].encode()
        at = whole.index(text) + chance.randrange(len(text))
        damaged = bytearray(whole)
        damaged[at] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        error = outcome(path)
        assert isinstance(error, CorruptDataError)
        assert (error.location, error.session_id) == (str(path), "s")
        assert error.position == position
        assert "needle" not in str(error)


def test_one_flipped_bit_leaves_the_others_readable(
    whole: bytes, tmp_path: Path
) -> None:
    damaged = bytearray(whole)
    damaged[whole.index(b"needle 010")] ^= 4
    path = tmp_path / "chat.db"
    path.write_bytes(damaged)
    with SQLiteMemory(path).sync as memory:
        assert memory.load_context("s", 29) == MESSAGES[11:]
        for k in (30, 40, None):
            with pytest.raises(CorruptDataError):
                memory.load_context("s", k)
        memory.delete_session("s")
        assert memory.load_context("s") == []


def test_flipped_bits_anywhere_give_no_part_of_a_session(
    whole: bytes, tmp_path: Path
) -> None:
    """A session may vanish as a whole, by its key; no part of one may."""
    chance = random.Random(2)
    path = tmp_path / "chat.db"
    errors = 0
    for _ in range(150):
        damaged = bytearray(whole)
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        with SQLiteMemory(path).sync as memory:
            try:
                assert memory.load_context("s") in (MESSAGES, [])
            except StorageError:
                errors += 1
    assert errors > 20


class GivesNothingForDamage(SQLiteMemory):
    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Message]:
        try:
            return await super().load_context(session_id, k)
        except CorruptDataError:
            return []


def test_a_backend_that_gives_nothing_for_damage_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    path.write_bytes(b"x" * 5000)
    with pytest.raises(AssertionError):
        outcome(path, GivesNothingForDamage)


@pytest.mark.parametrize(
    ("statement", "position"),
    [
        ("DELETE FROM context_messages WHERE position = 7 AND session = 1", 7),
        ("DELETE FROM context_messages WHERE position = 1 AND session = 1", 1),
        ("UPDATE context_messages SET body = 'text' WHERE position = 5", 5),
        ("UPDATE context_messages SET body = NULL WHERE position = 5", None),
        ("UPDATE context_messages SET body = x'7b7d' WHERE position = 9", 9),
        ("UPDATE context_messages SET checksum = 1 WHERE position = 40", 40),
        ("DROP TABLE context_messages", None),
        ("ALTER TABLE context_messages RENAME COLUMN body TO corpus", None),
    ],
)
def test_rows_that_do_not_fit_are_an_error(
    statement: str, position: Optional[int], whole: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "chat.db"
    path.write_bytes(whole)
    raw = sqlite3.connect(str(path), isolation_level=None)
    try:
        raw.execute(statement)
    except sqlite3.IntegrityError:
        # The table itself refuses this damage.
        assert position is None
        return
    finally:
        raw.close()
    error = outcome(path)
    assert isinstance(error, CorruptDataError)
    assert error.position == position


def test_two_messages_that_changed_places_are_an_error(
    whole: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "chat.db"
    path.write_bytes(whole)
    raw = sqlite3.connect(str(path), isolation_level=None)
    for old, new in ((3, 999), (4, 3), (999, 4)):
        raw.execute(
            "UPDATE context_messages SET position = ?"
            " WHERE position = ? AND session = 1",
            (new, old),
        )
    raw.close()
    assert isinstance(outcome(path), CorruptDataError)


class TestOtherFiles:
    @pytest.mark.parametrize(
        ("pragma", "words"),
        [
            ("user_version = 99", "upgrade contextstore"),
            ("application_id = 77", "another program"),
        ],
    )
    def test_what_is_not_for_us_is_refused(
        self, pragma: str, words: str, whole: bytes, tmp_path: Path
    ) -> None:
        path = tmp_path / "chat.db"
        path.write_bytes(whole)
        raw = sqlite3.connect(str(path))
        raw.execute(f"PRAGMA {pragma}")
        raw.close()
        error = outcome(path)
        assert isinstance(error, SchemaVersionError)
        assert error.location == str(path)
        assert words in str(error)

    def test_the_database_of_another_program_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "theirs.db"
        raw = sqlite3.connect(str(path))
        raw.execute("CREATE TABLE theirs (x)")
        raw.execute("PRAGMA user_version = 1")
        raw.close()
        assert isinstance(outcome(path), SchemaVersionError)

    def test_tables_of_ours_that_another_program_made_are_refused(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "theirs.db"
        raw = sqlite3.connect(str(path))
        raw.execute("CREATE TABLE context_messages (x)")
        raw.close()
        assert isinstance(outcome_after_wal(path), CorruptDataError)


NUMBERS = [
    *[("sessions", name) for name in ("pruned", "changes", "created", "changed")],
    *[("messages", name) for name in ("position", "filled", "pinned", "written")],
]
CALLS: Dict[str, Callable[[Any], Any]] = {
    "session_info": lambda memory: memory.session_info("s"),
    "list_sessions": lambda memory: memory.list_sessions(metadata={"a": 1}),
    "load_context": lambda memory: memory.load_context("s"),
    "load_pinned": lambda memory: memory.load_pinned("s"),
    "append_context": lambda memory: memory.append_context("s", [MESSAGES[3]]),
    "save_context": lambda memory: memory.save_context("s", MESSAGES[:2]),
    "update": lambda memory: memory.update_interaction(
        "s", "m002", {"role": "user", "content": "new"}
    ),
    "prune": lambda memory: memory.prune(session_id="s", keep_last=2),
    "set_metadata": lambda memory: memory.set_metadata("s", {"a": 2}),
    "delete_session": lambda memory: memory.delete_session("s"),
}


@pytest.mark.parametrize("value", ["x", b"\xff\xfe", 1.5, 2**62, -5])
@pytest.mark.parametrize(("table", "column"), NUMBERS)
def test_what_is_no_number_where_one_is_due_raises_nothing_else(
    table: str, column: str, value: object, whole: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "chat.db"
    path.write_bytes(whole)
    where = "session_id = 's'" if table == "sessions" else "message_id = 'm002'"
    damage(path, f"UPDATE context_{table} SET {column} = ? WHERE {where}", value)
    before = path.read_bytes()
    for call in CALLS.values():
        path.write_bytes(before)
        memory = SQLiteMemory(path).sync
        # Not all need the number; what they raise says that it is damaged.
        with contextlib.suppress(CorruptDataError):
            call(memory)
        memory.close()


@pytest.mark.parametrize("call", ["session_info", "append_context", "delete_session"])
def test_a_damaged_version_is_an_error(call: str, whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    path.write_bytes(whole)
    damage(path, "UPDATE context_sessions SET changes = ?", "x")
    memory = SQLiteMemory(path).sync
    with pytest.raises(CorruptDataError, match=re.escape(str(path))):
        CALLS[call](memory)
    memory.close()


def damage(path: Path, statement: str, *values: object) -> None:
    connection = sqlite3.connect(str(path))
    with connection:
        connection.execute(statement, values)
    connection.close()


def outcome_after_wal(path: Path) -> Optional[StorageError]:
    """Put the log mode into the header first, which opening does not hold back."""
    raw = sqlite3.connect(str(path))
    raw.execute("PRAGMA journal_mode = WAL")
    raw.close()
    return outcome(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("database disk image is malformed", CorruptDataError),
        ("file is not a database", CorruptDataError),
        ("no such table: context_messages", CorruptDataError),
        ("database is locked", BusyError),
        ("Cannot operate on a closed database.", ClosedError),
        ("database or disk is full", UnavailableError),
        ("disk I/O error", UnavailableError),
        ("attempt to write a readonly database", UnavailableError),
    ],
)
def test_errors_of_sqlite_have_a_name_of_ours(
    text: str, expected: Type[StorageError]
) -> None:
    error = translated(sqlite3.OperationalError(text), "/some/chat.db")
    assert type(error) is expected
    assert error.location == "/some/chat.db"
    assert "/some/chat.db" in str(error)
