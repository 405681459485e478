"""A file of contextstore 1.0.1 is brought over, and its table stays as it was."""

from __future__ import annotations

import json
import logging
import sqlite3
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

from contextstore import CorruptDataError, SQLiteMemory

Rows = List[Tuple[Any, Any]]
CALLS = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]


def legacy_file(path: Path, rows: Rows) -> Path:
    raw = sqlite3.connect(str(path))
    raw.execute(
        "CREATE TABLE tb_context (id INTEGER PRIMARY KEY AUTOINCREMENT,"
        " session_id TEXT NOT NULL, context_json TEXT)"
    )
    raw.executemany(
        "INSERT INTO tb_context (session_id, context_json) VALUES (?, ?)",
        [(name, json.dumps(c) if isinstance(c, list) else c) for name, c in rows],
    )
    raw.commit()
    raw.close()
    return path


def old_table(path: Path) -> List[Any]:
    raw = sqlite3.connect(str(path))
    found = raw.execute("SELECT * FROM tb_context ORDER BY id").fetchall()
    raw.close()
    return found


def brought_over(path: Path, session_id: str = "s") -> List[Dict[str, Any]]:
    with SQLiteMemory(path).sync as memory:
        return memory.load_context(session_id)


def test_fields_go_back_beside_the_content(tmp_path: Path) -> None:
    stored = [
        {"id": "1", "content": {"data": "hi", "role": "user"}},
        {
            "id": "2",
            "content": {"data": None, "role": "assistant", "tool_calls": CALLS},
        },
        {"id": "3", "content": {"data": "42", "role": "tool", "tool_call_id": "c"}},
        {"id": "4", "content": {"role": "user", "text": "an object"}},
        {"id": "5", "content": {"data": "hi", "role": "user", "mood": "fine"}},
        {"id": "6", "content": {"data": "alone"}, "metadata": {"pinned": True}},
        {"id": "7", "content": {"text": "no role"}, "timestamp": "2023-01-01"},
        {"id": "8", "role": "user", "content": {"data": "as it is"}},
        {"id": "9", "content": {"role": "user"}},
        {"id": "10"},
    ]
    path = legacy_file(tmp_path / "old.db", [("s", stored)])
    before = old_table(path)
    loaded = brought_over(path)
    for message in loaded:
        if message["id"] != "7":
            del message["timestamp"]
    assert loaded == [
        {"id": "1", "role": "user", "content": "hi"},
        {"id": "2", "role": "assistant", "content": None, "tool_calls": CALLS},
        {"id": "3", "role": "tool", "tool_call_id": "c", "content": "42"},
        {"id": "4", "role": "user", "content": {"text": "an object"}},
        {"id": "5", "role": "user", "mood": "fine", "content": "hi"},
        {"id": "6", "content": "alone", "metadata": {"pinned": True}},
        {"id": "7", "content": {"text": "no role"}, "timestamp": "2023-01-01"},
        {"id": "8", "role": "user", "content": {"data": "as it is"}},
        {"id": "9", "role": "user"},
        {"id": "10"},
    ]
    assert old_table(path) == before


def test_it_is_brought_over_once(tmp_path: Path) -> None:
    path = legacy_file(tmp_path / "old.db", [("s", [{"id": "1", "content": {}}])])
    with SQLiteMemory(path).sync as memory:
        memory.append_context("s", [{"id": "2"}])
    assert [message["id"] for message in brought_over(path)] == ["1", "2"]
    with SQLiteMemory(path).sync as memory:
        memory.delete_session("s")
    assert brought_over(path) == []


def test_every_session_is_brought_over(tmp_path: Path) -> None:
    rows: Rows = [("a", [{"id": "1"}]), ("b", [{"id": "1"}, {"id": "2"}])]
    rows += [("empty", []), ("null", None), ("blank", "")]
    path = legacy_file(tmp_path / "old.db", rows)
    with SQLiteMemory(path).sync as memory:
        assert len(memory.load_context("a")) == 1
        assert len(memory.load_context("b")) == 2
        for name in ("empty", "null", "blank"):
            assert memory.load_context(name) == []
            memory.append_context(name, [{"id": "1"}])


def test_an_empty_table_is_no_obstacle(tmp_path: Path) -> None:
    assert brought_over(legacy_file(tmp_path / "old.db", [])) == []


def test_messages_without_an_id_get_one_that_stays(tmp_path: Path) -> None:
    stored = [{"content": {"data": "hi", "role": "user"}}] * 2
    path = legacy_file(tmp_path / "old.db", [("s", stored)])
    first = brought_over(path)
    assert brought_over(path) == first
    assert len({message["id"] for message in first}) == 2


def test_a_repeated_id_is_replaced_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stored = [{"id": "1", "n": 1}, {"id": "1", "n": 2}, {"id": "2"}]
    path = legacy_file(tmp_path / "old.db", [("s", stored)])
    loaded = brought_over(path)
    assert [message.get("n") for message in loaded] == [1, 2, None]
    assert len({message["id"] for message in loaded}) == 3
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "'1'" in caplog.text


def test_of_a_repeated_session_the_first_counts_as_it_did(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows: Rows = [("s", [{"id": "first"}]), ("s", [{"id": "second"}])]
    path = legacy_file(tmp_path / "old.db", rows)
    assert [message["id"] for message in brought_over(path)] == ["first"]
    assert "more than once" in caplog.text


@pytest.mark.parametrize(
    "text",
    [
        "{not json",
        '{"an": "object"}',
        '["no message"]',
        "7",
        '[{"id": 7}]',
        '[{"id": ["unhashable"]}]',
        '[{"content": "lone \\ud800"}]',
        '[{"content": NaN}]',
        "[" * 100_000,
        '"text"',
        "null",
        "{}",
        b"\xff\xfe",
    ],
)
def test_a_row_that_cannot_be_read_stops_it_all(text: Any, tmp_path: Path) -> None:
    path = legacy_file(tmp_path / "old.db", [("good", [{"id": "1"}]), ("bad", text)])
    before = old_table(path)
    for _ in range(2):
        memory = SQLiteMemory(path).sync
        with pytest.raises(CorruptDataError) as caught:
            memory.load_context("good")
        assert caught.value.session_id == "bad"
        memory.close()
    assert old_table(path) == before
    raw = sqlite3.connect(str(path))
    tables = raw.execute("SELECT name FROM sqlite_master WHERE name LIKE 'context%'")
    assert tables.fetchall() == []
    raw.close()
