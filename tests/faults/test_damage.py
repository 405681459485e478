"""Damage gives the right messages or an error, and the tool sees where it does not."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path
from typing import Any, Dict, List

import pytest

from contextstore import CorruptDataError, SQLiteMemory
from contextstore.testing.faults import damage
from contextstore.testing.faults.damage import Sound, examine_files, run_damage

OURS = "contextstore:SQLiteMemory"
MESSAGES: List[Dict[str, Any]] = [
    {"id": f"{number}", "timestamp": "2024"} for number in range(1, 41)
]


def test_damage_is_an_error_or_gives_the_right_messages(tmp_path: Path) -> None:
    lines: List[str] = []
    report = run_damage(OURS, tmp_path, files=60, seed=2, progress=lines.append)
    assert report.findings == []
    assert report.counts["files"] == 60
    assert report.counts["errors"] > 20
    assert lines == ["60 of 60 damaged files"]


@pytest.mark.parametrize(
    ("mutant", "kind"),
    [("EmptyForDamage", "silent"), ("SkipsDamage", "wrong"), ("Mends", "written")],
)
def test_a_backend_that_hides_damage_is_caught(
    mutant: str, kind: str, tmp_path: Path
) -> None:
    report = run_damage(f"tests.faults.mutants:{mutant}", tmp_path, files=30)
    assert report.count(kind) > 0


def test_an_error_that_is_not_of_the_library_is_told(tmp_path: Path) -> None:
    report = run_damage("tests.faults.mutants:RaisesAnything", tmp_path, files=5)
    assert report.count("error") > 0
    assert report.count("verify") > 0


def test_what_the_damages_do() -> None:
    for change in set(damage.DAMAGES):
        chance = random.Random(1)
        results = set()
        for _ in range(5):
            data = bytearray(range(1, 251)) * 40
            assert change(chance, data)
            results.add(bytes(data))
        assert len(results) > 1, change


@pytest.fixture(name="sound")
def fixture_sound(tmp_path: Path) -> Sound:
    """Give a file whose session b stands between two others in every index."""
    path = tmp_path / "sound.db"
    with SQLiteMemory(path).sync as memory:
        for session_id in "abc":
            memory.save_context(session_id, [])
        for number in range(0, 40, 2):
            for session_id in "abc":
                memory.append_context(session_id, MESSAGES[number : number + 2])
    whole = path.read_bytes()
    return Sound({"": whole}, whole, dict.fromkeys("abc", MESSAGES))


def entry_of(whole: bytes, path: Path, session: int, position: int) -> int:
    """Return where the index keeps the session of a message's entry."""
    path.write_bytes(whole)
    raw = sqlite3.connect(str(path))
    (row,) = raw.execute(
        "SELECT row FROM context_messages WHERE session = ? AND position = ?",
        (session, position),
    ).fetchone()
    raw.close()
    # A record of three integers of one byte (https://sqlite.org/fileformat2.html).
    assert row < 128
    entry = bytes([4, 1, 1, 1, session, position, row])
    assert whole.count(entry) == 1
    return whole.index(entry) + 4


# SQLite reads on where the number became smaller: then the entry is found, and right.
@pytest.mark.parametrize(
    ("session", "other", "errors"),
    [(2, 3, 1), (2, 66, 1), (2, 0, 0), (3, 66, 1), (3, 2, 0), (3, 130, 0)],
)
def test_the_end_of_a_session_does_not_vanish_with_an_index_entry(
    session: int, other: int, errors: int, sound: Sound, tmp_path: Path
) -> None:
    damaged = bytearray(sound.closed)
    damaged[entry_of(sound.closed, tmp_path / "raw.db", session, 40)] = other
    report = examine_files(OURS, tmp_path / "x", sound, {"": bytes(damaged)}, "end")
    assert report.findings == []
    assert report.counts["errors"] == errors


@pytest.mark.parametrize("left", [20, 60, 110])
def test_no_session_ends_where_its_index_was_cut(
    left: int, sound: Sound, tmp_path: Path
) -> None:
    path = tmp_path / "chat.db"
    path.write_bytes(sound.closed)
    raw = sqlite3.connect(str(path))
    (root,) = raw.execute(
        "SELECT rootpage FROM sqlite_master WHERE name = 'context_messages_position'"
    ).fetchone()
    raw.close()
    damaged = bytearray(sound.closed)
    count = slice(4096 * (root - 1) + 3, 4096 * (root - 1) + 5)
    assert int.from_bytes(damaged[count], "big") == 120
    damaged[count] = left.to_bytes(2, "big")
    report = examine_files(OURS, tmp_path / "x", sound, {"": bytes(damaged)}, "cut")
    assert report.findings == []
    assert report.counts["errors"] == 1


@pytest.mark.parametrize("kind", [0, 13])
def test_a_position_of_another_type_is_an_error(
    kind: int, sound: Sound, tmp_path: Path
) -> None:
    damaged = bytearray(sound.closed)
    damaged[entry_of(sound.closed, tmp_path / "raw.db", 2, 40) - 2] = kind
    report = examine_files(OURS, tmp_path / "x", sound, {"": bytes(damaged)}, "type")
    assert report.findings == []
    assert report.counts["errors"] == 1


def test_a_session_whose_index_is_zeroed_is_not_empty(
    sound: Sound, tmp_path: Path
) -> None:
    path = tmp_path / "chat.db"
    path.write_bytes(sound.closed)
    raw = sqlite3.connect(str(path), isolation_level=None)
    raw.execute("PRAGMA writable_schema = ON")
    raw.execute(
        "INSERT INTO context_sessions (session_id, changes, created, changed)"
        " VALUES ('empty', 1, 1, 1)"
    )
    (root,) = raw.execute(
        "SELECT rootpage FROM sqlite_master WHERE name = 'context_messages_position'"
    ).fetchone()
    raw.close()
    damaged = bytearray(path.read_bytes())
    # A leaf without entries: what a file that was cut within the page reads as.
    page = slice(4096 * (root - 1), 4096 * (root - 1) + 8)
    damaged[page] = bytes([10, 0, 0, 0, 0, 16, 0, 0])
    path.write_bytes(damaged)
    with SQLiteMemory(path).sync as memory:
        assert memory.load_context("empty") == []
        assert memory.load_context("none") == []
        assert memory.load_context("b", 0) == []
        for k in (None, 1, 20):
            with pytest.raises(CorruptDataError) as caught:
                memory.load_context("b", k)
            assert caught.value.position == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE context_sessions SET session_id = 77 WHERE session_id = 'b'",
        "UPDATE context_sessions SET session_id = x'62' WHERE session_id = 'b'",
        "UPDATE context_sessions SET pruned = 'x' WHERE session_id = 'b'",
        "UPDATE context_messages SET position = 'x' WHERE position = 3",
        "UPDATE context_messages SET position = x'00' WHERE session = 2",
    ],
)
def test_verify_tells_of_values_of_another_type(
    statement: str, sound: Sound, tmp_path: Path
) -> None:
    path = tmp_path / "chat.db"
    path.write_bytes(sound.closed)
    raw = sqlite3.connect(str(path), isolation_level=None)
    try:
        raw.execute(statement)
    except sqlite3.IntegrityError:
        raw.execute(statement + " AND position = 40")
    raw.close()
    with SQLiteMemory(path).sync as memory:
        assert not memory.verify().ok
        assert not memory.verify(repair=True).ok


def test_a_damaged_state_of_the_text_index_is_no_index(
    sound: Sound, tmp_path: Path
) -> None:
    path = tmp_path / "chat.db"
    path.write_bytes(sound.closed)
    raw = sqlite3.connect(str(path), isolation_level=None)
    raw.execute("INSERT INTO context_text_state VALUES ('x')")
    raw.close()
    with SQLiteMemory(path).sync as memory:
        assert memory.verify().ok
        memory.append_context("a", [{"id": "new", "content": "needle"}])
        assert [match.message_id for match in memory.search_text("needle")] == ["new"]
