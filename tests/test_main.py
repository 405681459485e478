"""The commands that need no extra: python -m contextstore."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import List

import pytest

import contextstore
from contextstore import SQLiteMemory
from contextstore import __main__ as commands
from contextstore.__main__ import main


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "chat %41?.db"
    with SQLiteMemory(file).sync as memory:
        memory.save_context("s", [{"id": "1", "content": "secret"}, {"id": "2"}])
    return file


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_doctor_tells_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor") == 0
    printed = capsys.readouterr().out
    for expected in (contextstore.__version__, sqlite3.sqlite_version, "FTS5"):
        assert expected in printed


def test_doctor_tells_of_every_extra(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor") == 0
    printed = capsys.readouterr().out
    extras = set(metadata.metadata("contextstore").get_all("Provides-Extra") or ())
    for extra in extras - {"all", "test", "dev"}:
        assert f"(extra {extra!r})" in printed
    for package in ("numpy", "sentence-transformers"):
        assert package in printed


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run("--version")
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"contextstore {contextstore.__version__}\n"


@pytest.mark.parametrize(("version", "told"), [((3, 51, 2), True), ((3, 51, 3), False)])
def test_doctor_tells_of_the_race(
    version: object,
    told: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    assert run("doctor") == 0
    assert ("WAL-reset" in capsys.readouterr().out) is told


def test_verify_says_that_all_is_well(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("verify", path) == 0
    assert capsys.readouterr().out == "1 sessions, 2 messages, 0 problems\n"


def test_verify_tells_what_is_wrong(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = sqlite3.connect(str(path))
    raw.execute("UPDATE context_messages SET checksum = 1 WHERE position = 1")
    raw.execute("UPDATE context_messages SET id_key = 1 WHERE position = 2")
    raw.commit()
    raw.close()
    assert run("verify", path) == 1
    printed = capsys.readouterr().out
    assert "message: session 's' position 1" in printed
    assert "index: session 's' position 2" in printed
    assert "secret" not in printed
    assert run("verify", "--repair", path) == 1
    assert "[mended]" in capsys.readouterr().out
    assert run("verify", path) == 1
    assert "1 problems" in capsys.readouterr().out


def test_backup_makes_a_copy(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "copy.db"
    assert run("backup", path, target) == 0
    assert str(target) in capsys.readouterr().out
    with SQLiteMemory(target).sync as memory:
        assert len(memory.load_context("s")) == 2
    assert run("backup", path, target) == 2
    assert "exists already" in capsys.readouterr().err


def test_an_address_will_do(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", f"sqlite:///{path.parent}/chat%20%2541%3F.db") == 0
    assert "2 messages" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["verify", "backup"])
def test_a_file_that_is_not_there_is_not_made(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "mistyped.db"
    extra: List[object] = [tmp_path / "copy.db"] if command == "backup" else []
    for store in (missing, f"sqlite:///{missing}"):
        assert run(command, store, *extra) == 2
        assert "mistyped.db" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_error_is_told_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("not a database" * 100)
    assert run("verify", tmp_path / "notes.txt") == 2
    printed = capsys.readouterr().err
    assert printed.startswith("contextstore: ")
    assert "not a SQLite file" in printed


@pytest.mark.parametrize("arguments", [[], ["unknown"], ["verify"], ["backup", "x"]])
def test_a_wrong_call_tells_how(
    arguments: List[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: python -m contextstore" in capsys.readouterr().err


def test_it_runs_as_a_module(path: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", "contextstore", "verify", str(path)]
    assert b"2 messages" in subprocess.check_output(command)


def test_a_backup_goes_to_the_file_of_an_address(path: Path, tmp_path: Path) -> None:
    assert run("backup", path, f"sqlite:///{tmp_path}/copy%20a.db") == 0
    with SQLiteMemory(tmp_path / "copy a.db").sync as memory:
        assert len(memory.load_context("s")) == 2


@pytest.mark.parametrize("target", ["redis://:secret@h:6379", "sqlite:c.db", "memory:"])
def test_a_backup_goes_to_a_file_alone(
    target: str,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(path.parent)
    assert run("backup", path, target) == 2
    printed = capsys.readouterr().err
    assert "names no file" in printed
    assert "secret" not in printed
    assert {file.name for file in path.parent.iterdir()} <= {
        path.name,
        f"{path.name}-lock",
    }


def test_a_store_is_not_copied_into_itself(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(path.parent)
    (path.parent / "link.db").symlink_to(path)
    address = f"sqlite:///{path.parent}/chat%20%2541%3F.db"
    for target in (path, f"./{path.name}", "link.db", address):
        assert run("copy", path, target) == 2
        assert "source and the target" in capsys.readouterr().err
    server = "redis://:secret@nowhere:6379"
    assert run("copy", server, server) == 2
    assert "secret" not in capsys.readouterr().err


def test_an_interrupt_is_told_by_the_status_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(store: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "_opened", interrupted)
    for command in (["verify", path], ["copy", path, "other.db"]):
        assert run(*command) == 130
    assert capsys.readouterr() == ("", "")


def test_a_reader_that_leaves_is_no_fault() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(
            [sys.executable, "-W", "error", "-m", "contextstore", "doctor"],
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, b"")
