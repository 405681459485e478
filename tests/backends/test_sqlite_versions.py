"""A stored file of each version of the schema opens, and gives what was put into it.

``contextstore-1.0.1.db`` was written by that release; ``schema-N.db`` by the version of
this library that first had schema N (``python -m tests.backends.test_sqlite_versions``
writes the newest). A new schema adds a file and changes none.
"""

from __future__ import annotations

import shutil
import sqlite3
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest

from contextstore import SQLiteMemory
from contextstore.backends.sqlite.schema import SCHEMA_VERSION

FILES = Path(__file__).parent / "files"

CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Paris"}'},
}
SESSIONS: Dict[str, List[Dict[str, Any]]] = {
    "plain": [
        {"id": "p1", "role": "user", "content": "Hello!"},
        {"id": "p2", "role": "assistant", "content": "Hi there! ü世😀"},
        {"id": "p3", "role": "user", "content": "More", "name": "Ann"},
    ],
    "tools": [
        {"id": "t1", "role": "user", "content": "Weather in Paris?"},
        {"id": "t2", "role": "assistant", "content": None, "tool_calls": [CALL]},
        {"id": "t3", "role": "tool", "tool_call_id": "c1", "content": "18 C"},
        {
            "id": "t4",
            "role": "assistant",
            "content": [{"type": "text", "text": "18 degrees."}],
            "metadata": {"pinned": True},
        },
    ],
    "empty": [],
}


def newest_file() -> Path:
    return FILES / f"schema-{SCHEMA_VERSION}.db"


def pragma(path: Path, name: str) -> Any:
    connection = sqlite3.connect(str(path))
    try:
        (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    finally:
        connection.close()
    return value


def without_times(context: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    return [
        {key: value for key, value in message.items() if key != "timestamp"}
        for message in context
    ]


@pytest.mark.parametrize(
    "stored", sorted(FILES.glob("*.db")), ids=lambda path: path.stem
)
def test_a_file_of_each_version_opens(stored: Path, tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    shutil.copy(stored, path)
    with SQLiteMemory(path).sync as memory:
        for session_id, context in SESSIONS.items():
            loaded = memory.load_context(session_id)
            assert without_times(loaded) == context
            assert all("timestamp" in message for message in loaded)
        assert {info.session_id for info in memory.list_sessions().sessions} == set(
            SESSIONS
        )
        assert memory.load_pinned("tools")[0]["id"] == "t4"
        memory.append_context("empty", [{"role": "user", "content": "again"}])
        assert memory.verify().problems == ()
    assert pragma(path, "journal_mode") == "wal"


def test_there_is_a_file_of_the_newest_schema() -> None:
    assert newest_file().exists()
    assert pragma(newest_file(), "user_version") == SCHEMA_VERSION


def write(path: Path) -> None:
    """Write what the tests expect, with the schema of today."""
    with SQLiteMemory(path).sync as memory:
        for session_id, context in SESSIONS.items():
            memory.save_context(session_id, context)
    connection = sqlite3.connect(str(path))
    # One file is easier to keep than three.
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    Path(f"{path}-lock").unlink()


if __name__ == "__main__":
    if newest_file().exists():
        sys.exit(f"{newest_file()} exists, and stays as it is")
    write(newest_file())
