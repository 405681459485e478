"""The text index is derived: it follows every change and stands in nobody's way."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import pytest

from contextstore import BusyError, SQLiteMemory, UnsupportedOperationError
from contextstore.backends.sqlite import text_index
from contextstore.sync import SyncMemory


def said(*texts: str, first: int = 1) -> List[Dict[str, Any]]:
    return [
        {"id": f"m{number}", "role": "user", "content": text}
        for number, text in enumerate(texts, start=first)
    ]


def found(memory: SyncMemory, query: str, **options: Any) -> List[str]:
    return sorted(one.message_id for one in memory.search_text(query, **options))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chat.db"


@pytest.fixture
def memory(path: Path) -> Iterator[SyncMemory]:
    with SQLiteMemory(path).sync as face:
        yield face


def raw(path: Path, *statements: str) -> List[Any]:
    """Run statements beside the library, and return what the last one gives."""
    connection = sqlite3.connect(str(path), isolation_level=None)
    try:
        rows: List[Any] = []
        for statement in statements:
            rows = connection.execute(statement).fetchall()
        return rows
    finally:
        connection.close()


def indexed(path: Path) -> int:
    ((newest,),) = raw(path, "SELECT newest FROM context_text_state")
    return int(newest)


def test_an_append_does_not_touch_it(memory: SyncMemory, path: Path) -> None:
    memory.save_context("s", said("alpha"))
    assert raw(path, "SELECT * FROM context_text_state") == []
    assert found(memory, "alpha") == ["m1"]
    assert indexed(path) == 1
    memory.append_context("s", said("alpha", first=2))
    assert indexed(path) == 1
    assert found(memory, "alpha") == ["m1", "m2"]
    assert indexed(path) == 2


def test_a_rewind_takes_words_out_at_once(memory: SyncMemory, path: Path) -> None:
    memory.save_context("s", said("alpha", "beta", "gamma"))
    assert found(memory, "gamma") == ["m3"]
    memory.delete_interaction("s", "m2")
    assert raw(path, "SELECT count(*) FROM context_text") == [(1,)]
    assert indexed(path) == 1


def test_a_row_number_that_is_reused_is_indexed_anew(
    memory: SyncMemory, path: Path
) -> None:
    memory.save_context("s", said("alpha", "beta"))
    assert found(memory, "beta") == ["m2"]
    memory.delete_interaction("s", "m2")
    memory.append_context("s", said("gamma", first=3))
    assert raw(path, "SELECT max(row) FROM context_messages") == [(2,)]
    assert found(memory, "gamma") == ["m3"]
    assert found(memory, "beta") == []
    memory.delete_session("s")
    memory.save_context("t", said("delta"))
    assert raw(path, "SELECT max(row) FROM context_messages") == [(1,)]
    assert found(memory, "delta") == ["m1"]
    assert found(memory, "alpha") == []


def test_a_row_in_the_middle_goes_and_the_rest_stays(memory: SyncMemory) -> None:
    memory.save_context("s", said("alpha", "beta"))
    memory.save_context("t", said("alpha", "delta"))
    assert found(memory, "alpha") == ["m1", "m1"]
    memory.delete_session("s")
    memory.append_context("t", said("beta", first=3))
    assert found(memory, "beta") == ["m3"]
    assert found(memory, "alpha") == ["m1"]
    assert memory.verify().problems == ()


def test_an_edit_before_and_after_indexing(memory: SyncMemory) -> None:
    memory.save_context("s", said("alpha", "beta"))
    memory.update_interaction("s", "m1", {"content": "gamma"})
    assert found(memory, "gamma") == ["m1"]
    memory.update_interaction("s", "m1", {"content": "delta"})
    memory.append_context("s", said("alpha", first=3))
    memory.update_interaction("s", "m3", {"content": "omega"})
    assert found(memory, "gamma") == found(memory, "alpha") == []
    assert (found(memory, "delta"), found(memory, "omega")) == (["m1"], ["m3"])
    assert memory.verify().problems == ()


def test_a_pruned_message_is_not_found_and_a_pinned_one_is(memory: SyncMemory) -> None:
    system = {"id": "m0", "role": "system", "content": "alpha rules"}
    memory.save_context("s", [system, *said("alpha one", "alpha two", "alpha three")])
    assert len(found(memory, "alpha")) == 4
    memory.prune("s", keep_last=1)
    assert found(memory, "alpha") == ["m0", "m3"]
    assert memory.verify().problems == ()


def test_a_fork_is_searched_too(memory: SyncMemory) -> None:
    memory.save_context("s", said("alpha"))
    assert found(memory, "alpha") == ["m1"]
    memory.fork_session("s", "t")
    assert found(memory, "alpha", session_id="t") == ["m1"]


def test_it_is_made_in_batches(
    memory: SyncMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_index, "_BATCH", 3)
    memory.save_context("s", said(*["alpha"] * 10))
    assert len(found(memory, "alpha", limit=99)) == 10
    memory.append_context("s", said(*["alpha"] * 6, first=11))
    assert len(found(memory, "alpha", limit=99)) == 16


def test_the_name_of_a_speaker_is_found(memory: SyncMemory) -> None:
    memory.save_context("s", [{"id": "m1", "name": "Ada", "content": "engines"}])
    assert found(memory, "ada engines") == ["m1"]


def test_what_has_no_text_is_no_obstacle(memory: SyncMemory) -> None:
    context: List[Dict[str, Any]] = [{"id": "m1"}, {"id": "m2", "content": [1, None]}]
    memory.save_context("s", [*context, *said("alpha", first=3)])
    assert found(memory, "alpha") == ["m3"]


def test_word_forms_and_accents_meet(memory: SyncMemory) -> None:
    memory.save_context("s", said("Les cafés", "he was running", "ÜBER"))
    assert found(memory, "cafe") == ["m1"]
    assert found(memory, "runs") == ["m2"]
    assert found(memory, "über") == ["m3"]


# What can be wrong with the tables that FTS5 keeps for itself.
DAMAGES: Dict[str, List[str]] = {
    "data lost": ["DELETE FROM context_text_data"],
    "data overwritten": ["UPDATE context_text_data SET block = x'00112233445566'"],
    "data truncated": ["UPDATE context_text_data SET block = substr(block, 1, 3)"],
    "index lost": ["DELETE FROM context_text_idx"],
    "content lost": ["DELETE FROM context_text_content"],
    "sizes lost": ["DELETE FROM context_text_docsize"],
    "table of data gone": ["DROP TABLE context_text_data"],
    "table of settings gone": ["DROP TABLE context_text_config"],
    "table of content gone": ["DROP TABLE context_text_content"],
    "the whole gone": ["DROP TABLE context_text"],
    "version of the future": [
        "UPDATE context_text_config SET v = 99 WHERE k = 'version'"
    ],
}


@pytest.fixture(params=DAMAGES)
def damaged(request: pytest.FixtureRequest, path: Path) -> Path:
    """Give a file whose text index is damaged."""
    with SQLiteMemory(path).sync as memory:
        memory.save_context("s", said("alpha one", "alpha two", "alpha three"))
        memory.save_context("t", said("alpha four"))
        assert len(found(memory, "alpha")) == 4
    raw(path, *DAMAGES[request.param])
    return path


CHANGES: List[Callable[[SyncMemory], Any]] = [
    lambda memory: memory.append_context("s", said("alpha five", first=4)),
    lambda memory: memory.delete_interaction("s", "m2"),
    lambda memory: memory.save_context("s", said("alpha six")),
    lambda memory: memory.update_interaction("s", "m2", {"content": "alpha seven"}),
    lambda memory: memory.prune("s", keep_last=1),
    lambda memory: memory.delete_session("s"),
    lambda memory: memory.erase(session_id="s"),
    lambda memory: memory.fork_session("s", "u"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_damage_stands_in_the_way_of_no_change(
    damaged: Path, change: Callable[[SyncMemory], Any]
) -> None:
    with SQLiteMemory(damaged).sync as memory:
        change(memory)
        expected = [m["id"] for m in memory.load_context("s")]
        kept = memory.load_context("t")
    assert [m["id"] for m in kept] == ["m1"]
    with SQLiteMemory(damaged).sync as memory:
        assert [m["id"] for m in memory.load_context("s")] == expected
        # The damage may lie where no search looks: repair finds it everywhere.
        memory.verify(repair=True)
        assert found(memory, "alpha", session_id="s") == sorted(expected)
        assert found(memory, "alpha", session_id="t") == ["m1"]
        assert memory.verify().problems == ()


def test_a_search_over_damage_makes_it_anew_or_is_right(damaged: Path) -> None:
    with SQLiteMemory(damaged).sync as memory:
        memory.append_context("s", said("alpha five", first=4))
        first = found(memory, "alpha", session_id="s")
        # What lost its rows without a trace is found by verify alone.
        assert set(first) <= {"m1", "m2", "m3", "m4"}
        memory.verify(repair=True)
        assert found(memory, "alpha", session_id="s") == ["m1", "m2", "m3", "m4"]


def test_an_index_of_dead_messages_is_seen(memory: SyncMemory, path: Path) -> None:
    memory.save_context("s", said("alpha", "beta"))
    assert found(memory, "beta") == ["m2"]
    raw(path, "INSERT INTO context_text (rowid, text) VALUES (77, 'ghost')")
    (problem,) = memory.verify().problems
    assert (problem.kind, problem.repaired) == ("index", False)
    assert "1 messages that are gone" in problem.detail
    (problem,) = memory.verify(repair=True).problems
    assert problem.repaired
    assert memory.verify().problems == ()
    assert found(memory, "beta") == ["m2"]


def test_a_damaged_message_does_not_stop_a_search_for_others(
    memory: SyncMemory, path: Path
) -> None:
    memory.save_context("s", said("alpha", "beta"))
    raw(path, "UPDATE context_messages SET body = x'ff' WHERE position = 1")
    assert found(memory, "beta") == ["m2"]


def test_without_fts5_it_says_so(
    memory: SyncMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.save_context("s", said("alpha"))

    class Without:
        """A connection to a SQLite that was built without FTS5."""

        def __init__(self, connection: sqlite3.Connection) -> None:
            self.connection = connection

        def execute(self, statement: str, *values: Any) -> Any:
            return self.connection.execute(statement.replace("fts5", "fts99"), *values)

    def extend(connection: Any) -> bool:
        return original(Without(connection))  # type: ignore[arg-type]

    original = text_index.extend
    monkeypatch.setattr(text_index, "extend", extend)
    with pytest.raises(UnsupportedOperationError, match="FTS5"):
        memory.search_text("alpha")
    assert len(memory.load_context("s")) == 1


class TestErasing:
    """An erased word is in no file of the store."""

    def check(self, path: Path, *words: str) -> None:
        for file in path.parent.iterdir():
            content = file.read_bytes().lower()
            for word in words:
                assert word.encode() not in content, (file.name, word)

    @pytest.mark.parametrize("indexed_first", [False, True])
    def test_nothing_is_left(self, path: Path, indexed_first: bool) -> None:
        with SQLiteMemory(path).sync as memory:
            secret = [
                {
                    "id": f"secretid{n}",
                    "content": f"topsecret{n} " * 40,
                    "name": "agent",
                }
                for n in range(60)
            ]
            memory.save_context("hiddensession", secret)
            memory.set_metadata("hiddensession", {"owner": "hiddenowner"})
            memory.save_context("s", said(*(f"public{n}" for n in range(60))))
            if indexed_first:
                assert len(found(memory, "topsecret7")) == 1
                memory.update_interaction(
                    "hiddensession", "secretid7", {"content": "topsecretnew"}
                )
            receipt = memory.erase(session_id="hiddensession")
            assert receipt.purged
            self.check(path, "topsecret", "hiddensession", "secretid", "hiddenowner")
            assert len(memory.load_context("s")) == 60
            assert found(memory, "public7") == ["m8"]
        self.check(path, "topsecret", "hiddensession", "secretid", "hiddenowner")

    def test_nothing_is_left_in_the_unused_space_of_pages(self, tmp_path: Path) -> None:
        # SQLite leaves copies there when it moves rows, at some lengths of the rows.
        for length in range(40):
            path = tmp_path / str(length) / "chat.db"
            path.parent.mkdir()
            with SQLiteMemory(path).sync as memory:
                secret: List[Dict[str, Any]] = [
                    {
                        "id": f"secretid{n}",
                        "content": f"topsecret{n} " * 40 + "." * length,
                    }
                    for n in range(60)
                ]
                memory.save_context("hidden", secret)
                memory.save_context("s", said(*(f"public{n}" for n in range(60))))
                assert len(found(memory, "topsecret7")) == 1
                memory.update_interaction("hidden", "secretid7", {"content": "new"})
                memory.erase(session_id="hidden")
                self.check(path, "topsecret", "secretid")

    def test_a_file_that_cannot_be_written_anew_is_told_of(self, path: Path) -> None:
        with SQLiteMemory(path).sync as memory:
            memory.save_context("hidden", said("topsecret words"))
            memory.save_context("s", said(*(f"public{n} " * 40 for n in range(300))))
        content = bytearray(path.read_bytes())
        # A page of messages of the other session: what stands there cannot be read.
        content[content.rindex(b"public250") // 4096 * 4096] = 0xFF
        path.write_bytes(content)
        with SQLiteMemory(path).sync as memory:
            receipt = memory.erase(session_id="hidden")
            assert (receipt.session_ids, receipt.purged) == (("hidden",), False)
            self.check(path, "topsecret")
            with pytest.raises(BusyError, match="traces"):
                memory.erase(session_id="hidden")

    def test_nothing_is_left_in_an_index_marked_for_rebuilding(
        self, path: Path
    ) -> None:
        with SQLiteMemory(path).sync as memory:
            memory.save_context("hidden", said("topsecret words"))
            memory.save_context("s", said("public"))
            assert found(memory, "topsecret") == ["m1"]
            raw(path, "DELETE FROM context_text_state")
            assert memory.erase(session_id="hidden").purged
            self.check(path, "topsecret", "hidden")
            assert found(memory, "public") == ["m1"]

    def test_nothing_is_left_in_a_damaged_index(self, damaged: Path) -> None:
        with SQLiteMemory(damaged).sync as memory:
            assert memory.erase(session_id="s").purged
            self.check(damaged, "alpha one", "alpha two", "alpha three")
            assert len(memory.load_context("t")) == 1
            memory.verify(repair=True)
            assert found(memory, "four") == ["m1"]

    def test_nothing_is_left_in_the_table_of_1_0_1(self, path: Path) -> None:
        raw(
            path,
            "CREATE TABLE tb_context (id INTEGER PRIMARY KEY, session_id TEXT,"
            " context_json TEXT)",
            "INSERT INTO tb_context (session_id, context_json) VALUES"
            """ ('hidden', '[{"id": "1", "content": {"data": "topsecret"}}]'),"""
            """ ('s', '[{"id": "1", "content": {"data": "public"}}]')""",
        )
        with SQLiteMemory(path).sync as memory:
            assert memory.load_context("hidden")[0]["content"] == "topsecret"
            assert memory.erase(session_id="hidden").purged
            self.check(path, "topsecret", "hidden")
        assert raw(path, "SELECT session_id FROM tb_context") == [("s",)]

    def test_what_was_edited_or_rewound_before_is_not_left_either(
        self, path: Path
    ) -> None:
        with SQLiteMemory(path).sync as memory:
            memory.save_context("hidden", said("topsecret one", "topsecret two"))
            assert len(found(memory, "topsecret")) == 2
            memory.delete_interaction("hidden", "m2")
            memory.save_context("hidden", said("harmless"))
            memory.erase(session_id="hidden")
            self.check(path, "topsecret")

    def test_a_reader_that_holds_it_up_is_told(self, path: Path) -> None:
        with SQLiteMemory(path).sync as memory:
            memory.save_context("hidden", said("topsecret"))
            reader = sqlite3.connect(str(path), isolation_level=None)
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM context_messages").fetchone()
            assert isinstance(memory.backend, SQLiteMemory)
            connection = memory.backend._lease.engine.writer.connection
            assert connection is not None
            connection.execute("PRAGMA busy_timeout = 50")
            assert memory.erase(session_id="hidden").purged is False
            reader.close()
            memory.save_context("other", [])
            assert memory.erase(session_id="other").purged
            self.check(path, "topsecret")
