"""A power cut loses nothing that was acknowledged, and the tool sees where it does."""

from __future__ import annotations

import random
from pathlib import Path
from typing import List

import pytest

from contextstore import SQLiteMemory, UnsupportedOperationError
from contextstore.errors import StorageError
from contextstore.testing.faults.power import Disk, choices, record, run_power_cuts
from contextstore.testing.faults.recorder import Event, Recorder

OURS = "contextstore:SQLiteMemory"


def test_what_was_acknowledged_outlives_a_power_cut(tmp_path: Path) -> None:
    lines: List[str] = []
    report = run_power_cuts(OURS, tmp_path, images=150, seed=4, progress=lines.append)
    assert report.findings == []
    assert report.counts["images"] > 100
    assert report.counts["images lost"] == 0
    assert report.counts["syncs"] > 5
    assert lines == ["150 of 150 images"]


def test_a_backend_that_does_not_sync_what_it_acknowledged_is_caught(
    tmp_path: Path,
) -> None:
    report = run_power_cuts("tests.faults.mutants:relaxed", tmp_path, images=60)
    assert report.counts["images lost"] > 0


def test_a_backend_without_transactions_is_caught(tmp_path: Path) -> None:
    report = run_power_cuts("tests.faults.mutants:NoTransaction", tmp_path, images=120)
    assert report.count("wrong") > 0


def test_the_trace_holds_what_a_commit_takes(tmp_path: Path) -> None:
    trace = record(OURS, tmp_path, seed=1, steps=3)
    assert {event.kind for event in trace} >= {"open", "write", "sync", "delete", "ack"}
    # What is acknowledged was synced after its last write to the log.
    log = [e for e in trace if e.name == "chat.db-wal" or e.kind == "ack"]
    first = next(n for n, event in enumerate(log) if event.kind == "ack")
    assert log[first - 1].kind == "sync"
    assert next(e.number for e in log if e.kind == "sync") == 1
    assert len([event for event in trace if event.kind == "ack"]) == 9


def test_a_file_whose_making_was_cut_short_is_made_anew(tmp_path: Path) -> None:
    disk = Disk()
    trace = record(OURS, tmp_path, seed=1, steps=3)
    made = next(
        number
        for number, event in enumerate(trace)
        if event.kind == "write" and event.name == "chat.db"
    )
    for event in trace[: made + 1]:
        disk.follow(event)
    event = trace[made]
    place = disk.pending.index(event)
    # The first sector did not get to the disk, the others did.
    later = event._replace(number=512, data=event.data[512:])
    (tmp_path / "image").mkdir()
    for name, data in disk.image({place: later}).items():
        (tmp_path / "image" / name).write_bytes(data)
    assert (tmp_path / "image" / "chat.db").read_bytes()[:512] == bytes(512)
    with SQLiteMemory(tmp_path / "image" / "chat.db").sync as memory:
        memory.save_context("s", [{"id": "1"}])
        assert [message["id"] for message in memory.load_context("s")] == ["1"]
        assert memory.verify().ok


def test_a_child_that_fails_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nothing was recorded"):
        record("tests.faults.mutants:none", tmp_path, seed=1, steps=3)


def test_without_a_shared_library_nothing_can_be_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sqlite3.sqlite_version", "0.0")
    with pytest.raises(UnsupportedOperationError, match="shared library"):
        Recorder()


def write(name: str, inode: int, offset: int, data: bytes) -> Event:
    return Event("write", name, inode, offset, data)


class TestDisk:
    def test_what_was_synced_is_there(self) -> None:
        disk = Disk()
        disk.follow(Event("open", "f", 1))
        disk.follow(write("f", 1, 2, b"ab"))
        disk.follow(Event("sync", "f", 1, 1))
        disk.follow(write("f", 1, 3, b"cd"))
        disk.follow(Event("ack", "s", 0, 0))
        assert disk.image({}) == {"f": b"\0\0ab"}
        assert disk.image(dict(enumerate(disk.pending))) == {"f": b"\0\0acd"}
        assert disk.image({}) == {"f": b"\0\0ab"}
        assert disk.acknowledged == {"s": 1}

    def test_a_file_whose_directory_was_not_synced_may_be_lost(self) -> None:
        disk = Disk()
        disk.follow(Event("open", "f", 1))
        disk.follow(write("f", 1, 0, b"ab"))
        disk.follow(Event("sync", "f", 1, 0))
        assert disk.image({}) == {}
        assert disk.image({0: disk.pending[0]}) == {"f": b"ab"}

    def test_a_deleted_file_may_come_back(self) -> None:
        disk = Disk()
        for event in (
            Event("open", "f", 1),
            write("f", 1, 0, b"old"),
            Event("sync", "f", 1, 1),
            Event("delete", "f", 1),
            Event("open", "f", 2),
            write("f", 2, 0, b"new"),
        ):
            disk.follow(event)
        assert disk.image({}) == {"f": b"old"}
        assert disk.image(dict(enumerate(disk.pending))) == {"f": b"new"}
        assert disk.image({0: disk.pending[0]}) == {}
        disk.follow(Event("sync", "f", 2, 1))
        assert disk.image({}) == {"f": b"new"}

    def test_a_deletion_that_syncs_the_directory_stays(self) -> None:
        disk = Disk()
        disk.follow(Event("open", "f", 1))
        disk.follow(Event("sync", "f", 1, 1))
        disk.follow(Event("delete", "f", 1, 1))
        assert disk.image({}) == {}

    def test_a_file_that_was_cut_may_be_long_again(self) -> None:
        disk = Disk()
        disk.follow(Event("open", "f", 1))
        disk.follow(write("f", 1, 0, b"long"))
        disk.follow(Event("sync", "f", 1, 1))
        disk.follow(Event("truncate", "f", 1, 1))
        assert disk.image({}) == {"f": b"long"}
        assert disk.image({0: disk.pending[0]}) == {"f": b"l"}


class TestChoices:
    def test_few_changes_are_tried_in_every_subset(self) -> None:
        pending = [write("f", 1, n, b"x") for n in range(3)]
        found = list(choices(pending, random.Random(1), 8))
        assert len({tuple(kept) for kept in found}) == 8

    def test_many_are_tried_by_chance_and_torn_at_sectors(self) -> None:
        pending = [write("f", 1, 24 + 4096 * n, b"x" * 4096) for n in range(20)]
        found = list(choices(pending, random.Random(1), 50))
        assert len(found) == 50
        parts = [event for kept in found for event in kept.values()]
        torn = [event for event in parts if len(event.data) < 4096]
        assert len(torn) > 10
        for event in torn:
            end = event.number + len(event.data)
            assert event.number % 512 == 0 or end % 512 == 0

    def test_what_has_no_sectors_is_not_torn(self) -> None:
        pending = [Event("delete", "f", n) for n in range(9)]
        for kept in choices(pending, random.Random(1), 50):
            assert all(event in pending for event in kept.values())
