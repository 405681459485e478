"""verify finds what a load cannot see, and mends what can be mended."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest

from contextstore import CorruptDataError, SQLiteMemory
from contextstore.backends.results import Problem, VerifyReport
from contextstore.sync import SyncMemory

Found = List[Tuple[str, Any, Any]]

MESSAGES: List[Dict[str, Any]] = [
    {
        "id": f"m{number}",
        "role": "system" if number == 1 else "user",
        "content": f"needle{number} " * 20,
        "timestamp": "t",
    }
    for number in range(1, 31)
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a file with two sessions and a text index."""
    file = tmp_path / "chat.db"
    with SQLiteMemory(file).sync as memory:
        memory.save_context("session-one", MESSAGES)
        memory.save_context("session-two", MESSAGES[:3])
        assert len(memory.search_text("needle2")) == 2
    return file


@pytest.fixture
def memory(path: Path) -> Iterator[SyncMemory]:
    with SQLiteMemory(path).sync as face:
        yield face


def raw(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(str(path), isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def problems(report: VerifyReport) -> Found:
    return [(one.kind, one.session_id, one.position) for one in report.problems]


def test_a_sound_file(memory: SyncMemory) -> None:
    report = memory.verify()
    assert (report.session_count, report.message_count) == (2, 33)
    assert report.problems == ()


@pytest.mark.parametrize("repair", [False, True])
def test_a_damaged_message_is_reported_and_not_mended(
    memory: SyncMemory, path: Path, repair: bool
) -> None:
    raw(path, "UPDATE context_messages SET body = x'7b7d' WHERE position = 7")
    report = memory.verify(repair=repair)
    assert problems(report) == [("message", "session-one", 7)]
    assert not report.ok
    with pytest.raises(CorruptDataError):
        memory.load_context("session-one")
    assert len(memory.load_context("session-two")) == 3


def test_a_missing_message_is_reported(memory: SyncMemory, path: Path) -> None:
    raw(
        path,
        "DELETE FROM context_messages WHERE session = 1 AND position IN (4, 5, 9)",
    )
    for repair in (False, True):
        report = memory.verify(repair=repair)
        kinds = {(one.kind, one.session_id) for one in report.problems}
        assert ("missing", "session-one") in kinds
        assert not report.ok


def test_a_missing_first_message_is_reported(memory: SyncMemory, path: Path) -> None:
    raw(path, "DELETE FROM context_messages WHERE session = 2 AND position = 1")
    report = memory.verify()
    assert ("missing", "session-two", 1) in problems(report)


def test_a_flipped_bit_in_the_key_of_a_session_is_found_and_mended(
    path: Path, memory: SyncMemory
) -> None:
    # One bit: 'o' (0x6f) becomes 'g' (0x67).
    raw(
        path,
        "UPDATE context_sessions SET session_id = 'session-gne'"
        " WHERE session_id = 'session-one'",
    )
    assert memory.load_context("session-one") == []
    report = memory.verify()
    assert ("session", "session-gne") in [
        (one.kind, one.session_id) for one in report.problems
    ]
    assert not report.ok
    memory.verify(repair=True)
    assert memory.load_context("session-one") == MESSAGES
    assert memory.verify().problems == ()


def test_messages_without_a_session_are_given_one(
    path: Path, memory: SyncMemory
) -> None:
    raw(path, "DELETE FROM context_sessions WHERE session_id = 'session-one'")
    assert memory.load_context("session-one") == []
    (problem,) = memory.verify().problems
    assert (problem.kind, problem.session_id, problem.repaired) == (
        "orphan",
        None,
        False,
    )
    (problem,) = memory.verify(repair=True).problems
    assert problem.repaired
    assert problem.session_id is not None
    assert memory.load_context(problem.session_id) == MESSAGES
    assert memory.verify().problems == ()
    memory.append_context(problem.session_id, [{"id": "new"}])


def test_what_a_message_is_found_by_is_mended(path: Path, memory: SyncMemory) -> None:
    raw(
        path,
        "UPDATE context_messages SET id_key = 5 WHERE session = 1 AND position = 3",
        "UPDATE context_messages SET message_id = 'x' WHERE session = 1"
        " AND position = 4",
        "UPDATE context_messages SET pinned = 0 WHERE session = 1 AND position = 1",
    )
    report = memory.verify()
    assert problems(report) == [
        ("index", "session-one", position) for position in (1, 3, 4)
    ]
    assert not report.ok
    repaired = memory.verify(repair=True)
    assert repaired.ok
    assert len(repaired.problems) == 3
    assert memory.verify().problems == ()
    assert len(memory.load_pinned("session-one")) == 1
    memory.delete_interaction("session-one", "m3")
    assert memory.load_context("session-one") == MESSAGES[:2]


def flipped(path: Path, needle: bytes, offset: int = 0, bit: int = 1) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(needle) + offset] ^= bit
    path.write_bytes(content)


def test_an_index_of_sqlite_that_differs_is_made_anew(
    path: Path, memory: SyncMemory
) -> None:
    memory.close()
    # Rows that the index lacks: as after a write to the table alone.
    raw(
        path,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_master SET sql = replace(sql, '(session, id_key)',"
        " '(session, id_key DESC)') WHERE name = 'context_messages_id'",
    )
    with SQLiteMemory(path).sync as again:
        report = again.verify()
        assert {one.kind for one in report.problems} == {"index"}
        assert not report.ok
        assert again.verify(repair=True).ok
        assert again.verify().problems == ()
        again.delete_interaction("session-one", "m3")
        assert len(again.load_context("session-one")) == 2


def test_a_damaged_page_is_reported(path: Path) -> None:
    content = bytearray(path.read_bytes())
    at = content.index(b"needle15 ")
    page = at // 4096 * 4096
    content[page : page + 4096] = bytes(4096)
    path.write_bytes(content)
    with SQLiteMemory(path).sync as memory:
        for repair in (False, True):
            try:
                report = memory.verify(repair=repair)
            except CorruptDataError:
                continue
            assert not report.ok
            assert "file" in {one.kind for one in report.problems}
        with pytest.raises(CorruptDataError):
            memory.load_context("session-one")


def test_no_report_shows_what_was_said(path: Path, memory: SyncMemory) -> None:
    raw(path, "UPDATE context_messages SET checksum = 1 WHERE position < 20")
    report = memory.verify()
    assert len(report.problems) >= 19
    assert "needle" not in str(report)


def test_a_report_is_fine_when_all_is_mended() -> None:
    mended = Problem("index", "x", repaired=True)
    left = Problem("message", "x")
    assert VerifyReport(1, 1, ()).ok
    assert VerifyReport(1, 1, (mended,)).ok
    assert not VerifyReport(1, 1, (mended, left)).ok


def test_verify_does_not_change_a_file(path: Path) -> None:
    flipped(path, b"needle15 ")
    before = path.read_bytes()
    with SQLiteMemory(path).sync as memory:
        assert not memory.verify().ok
    assert path.read_bytes() == before


@pytest.mark.parametrize("damage", ["'{\"a'", "'[1]'", "x'ff'", "7"])
def test_damaged_metadata_is_an_error_wherever_it_is_read(
    path: Path, memory: SyncMemory, damage: str
) -> None:
    memory.set_metadata("session-one", {"tenant": "a"})
    raw(path, f"UPDATE context_sessions SET metadata = {damage} WHERE number = 1")
    reads: List[Callable[[], object]] = [
        lambda: memory.session_info("session-one"),
        memory.list_sessions,
        lambda: memory.list_sessions(metadata={"tenant": "a"}),
        lambda: memory.erase(where={"tenant": "a"}),
    ]
    for read in reads:
        with pytest.raises(CorruptDataError) as caught:
            read()
        assert caught.value.session_id == "session-one"
        assert str(path) in str(caught.value)
    assert memory.load_context("session-one") == MESSAGES
    for repair in (False, True):
        report = memory.verify(repair=repair)
        assert problems(report) == [("session", "session-one", None)]
        assert not report.ok
    memory.set_metadata("session-one", {"tenant": "b"})
    assert memory.session_info("session-one").metadata == {"tenant": "b"}
    assert memory.verify().ok
