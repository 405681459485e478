"""A file of another program is refused, and it and its folder stay as they were."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, Dict, List

import pytest

from contextstore import SchemaVersionError, SQLiteEmbeddingStore, SQLiteMemory
from contextstore.__main__ import main

MAKES: List[str] = [
    "CREATE TABLE customers (name)",
    "CREATE VIEW customers AS SELECT 1 AS name",
    "CREATE TABLE customers (name); CREATE TABLE tb_context (x)",
    "CREATE TABLE customers (name); PRAGMA journal_mode = WAL",
    "PRAGMA user_version = 7",
    "PRAGMA application_id = 7; CREATE TABLE customers (name)",
]


def made(path: Path, script: str) -> Path:
    other = sqlite3.connect(str(path))
    other.executescript(script)
    other.close()
    return path


def contents(folder: Path) -> Dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize("script", MAKES)
def test_a_file_of_another_program_is_refused(script: str, tmp_path: Path) -> None:
    path = made(tmp_path / "crm.db", script)
    before = contents(tmp_path)
    memory, vectors = SQLiteMemory(path), SQLiteEmbeddingStore(path)
    calls: List[Any] = [
        lambda: memory.sync.load_context("s"),
        lambda: memory.sync.save_context("s", []),
        lambda: memory.sync.verify(repair=True),
        lambda: vectors.sync.message_ids("s"),
    ]
    for call in calls:
        with pytest.raises(SchemaVersionError, match="another program") as caught:
            call()
        assert caught.value.location == str(path)
        assert ("customers" in str(caught.value)) is ("customers" in script)
    memory.sync.close()
    vectors.sync.close()
    assert contents(tmp_path) == before


def test_of_many_tables_some_are_named(tmp_path: Path) -> None:
    script = ";".join(f"CREATE TABLE t{number} (x)" for number in range(9))
    memory = SQLiteMemory(made(tmp_path / "crm.db", script)).sync
    with pytest.raises(SchemaVersionError, match=r"table t0, t1, t2, \.\.\.\)"):
        memory.load_context("s")


@pytest.mark.parametrize(
    "script",
    [
        "",
        "VACUUM",
        "CREATE TABLE tb_context (id INTEGER PRIMARY KEY AUTOINCREMENT,"
        " session_id TEXT NOT NULL, context_json TEXT); ANALYZE",
    ],
)
def test_a_file_without_other_tables_is_taken(script: str, tmp_path: Path) -> None:
    with SQLiteMemory(made(tmp_path / "chat.db", script)).sync as memory:
        memory.save_context("s", [{"id": "1"}])
        assert len(memory.load_context("s")) == 1


def test_tables_beside_ours_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    with SQLiteMemory(path).sync as memory:
        memory.save_context("s", [{"id": "1"}])
    made(path, "CREATE TABLE customers (name)")
    with SQLiteMemory(path).sync as memory:
        assert len(memory.load_context("s")) == 1


@pytest.mark.parametrize(
    "script",
    ["", "VACUUM", "CREATE TABLE tb_context (session_id, context_json)", *MAKES],
)
def test_a_check_writes_to_no_file_that_is_not_ours(
    script: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = made(tmp_path / "crm.db", script)
    path.touch()
    before = contents(tmp_path)
    for store in (str(path), f"sqlite:///{path}"):
        assert main(["verify", store]) == 2
        assert str(path) in capsys.readouterr().err
    assert contents(tmp_path) == before


def test_a_file_with_vectors_alone_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "vectors.db"
    with SQLiteEmbeddingStore(path).sync as vectors:
        vectors.add("s", "1", [1.0, 2.0], {})
    assert main(["verify", str(path)]) == 0
