"""Check the store of vectors in a SQLite file against the one in memory."""

from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
from array import array
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextstore import (
    ClosedError,
    ConfigurationError,
    CorruptDataError,
    InMemoryEmbeddingStore,
    InvalidInputError,
    SQLiteEmbeddingStore,
    SQLiteMemory,
)
from contextstore.backends.sqlite import vector_rows
from contextstore.retrieval import vector_store
from contextstore.retrieval.session_vectors import SessionVectors
from contextstore.retrieval.sqlite import cache
from contextstore.sync import SyncRetrieval
from contextstore.testing import RetrievalBackendConformance
from tests.backends.children import finish, start

Outcome = Tuple[str, Any]


CAPABILITIES = frozenset(
    {"add-many", "delete", "delete-session", "delete-model", "message-ids", "models"}
)


class TestWithoutFile(RetrievalBackendConformance):
    capabilities = CAPABILITIES

    def make(self, tmp_path: Path) -> SQLiteEmbeddingStore:
        return SQLiteEmbeddingStore(":memory:")


class TestWithoutCache(RetrievalBackendConformance):
    capabilities = CAPABILITIES

    def make(self, tmp_path: Path) -> SQLiteEmbeddingStore:
        path = tmp_path / "vectors.db"
        return SQLiteEmbeddingStore(path, durability="relaxed", cache_bytes=0)


class TestBesideMessages(RetrievalBackendConformance):
    """Both on one file: the store leaves the engine to the messages when it closes."""

    capabilities = CAPABILITIES

    @pytest.fixture(autouse=True)
    def messages(self, tmp_path: Path) -> Iterator[None]:
        with SQLiteMemory(tmp_path / "chat.db").sync as memory:
            memory.save_context("s", [{"id": "unknown to the vectors"}])
            yield
            assert len(memory.load_context("s")) == 1

    def make(self, tmp_path: Path) -> SQLiteEmbeddingStore:
        return SQLiteEmbeddingStore(tmp_path / "chat.db", durability="relaxed")


def outcome(call: Callable[[], Any]) -> Outcome:
    """Return what a call gives, or the error that it raises."""
    try:
        return ("gave", call())
    except InvalidInputError as error:
        return (str(error), error.path)


SESSIONS = ("s", "t")
MODELS = (None, "", "other")
components = st.integers(-2, 2).map(float)
vectors = st.lists(components, min_size=2, max_size=3)
ids = st.sampled_from([f"m{index}" for index in range(5)])
items = st.tuples(
    ids, vectors, st.one_of(st.none(), st.fixed_dictionaries({"n": st.integers(0, 2)}))
)
steps = st.one_of(
    st.tuples(st.just("add_many"), st.lists(items, max_size=4)),
    st.tuples(st.just("delete"), st.lists(ids, max_size=2)),
    st.tuples(st.just("delete_session")),
    st.tuples(st.just("delete_model"), st.sampled_from(["", "other"])),
)
histories = st.lists(
    st.tuples(st.sampled_from(SESSIONS), st.sampled_from(MODELS), steps),
    min_size=1,
    max_size=20,
)


def seen(store: SyncRetrieval, query: List[float], k: int) -> List[Outcome]:
    """Return all that a store tells, scores to the bit."""
    backend: Any = store.backend
    told: List[Outcome] = []
    for session_id in SESSIONS:
        told += [
            outcome(partial(store.search, session_id, query, k)),
            outcome(partial(store.message_ids, session_id)),
            outcome(partial(store.has_embedding, session_id, "m0")),
            outcome(partial(metadata, backend, session_id)),
            outcome(partial(scanned, backend, session_id, query, None)),
            outcome(partial(scanned, backend, session_id, query, 2)),
        ]
    told.append(outcome(lambda: store.search_many("s", [query, query], k)))
    told.append(outcome(lambda: store.search_sessions(SESSIONS, query, k)))
    where = {"n": 1}
    told.append(outcome(lambda: drive(backend.search("s", query, k, where=where))))
    return told


def drive(awaitable: Any) -> Any:
    return asyncio.run(_awaited(awaitable))


async def _awaited(awaitable: Any) -> Any:
    return await awaitable


def metadata(backend: Any, session_id: str) -> Dict[str, Any]:
    found: Dict[str, Any] = drive(backend.metadata_of(session_id, ["m0", "m1", "no"]))
    return found


def scanned(
    backend: Any, session_id: str, query: List[float], pool: Optional[int]
) -> Optional[List[Tuple[Any, ...]]]:
    scan = drive(backend.scan(session_id, query, 0.7, pool, ["m1"]))
    if scan is None:
        return None
    # The order of the rows is not promised; what belongs together is.
    return sorted(zip(scan.ids, list(scan.cosines), list(scan.centred)))


History = List[Tuple[str, Optional[str], Tuple[Any, ...]]]


@pytest.mark.usefixtures("arithmetic")
@settings(max_examples=40)
@given(history=histories, query=vectors, k=st.integers(0, 6))
def test_it_gives_what_the_one_in_memory_gives(
    history: History, query: List[float], k: int
) -> None:
    expected = InMemoryEmbeddingStore().sync
    with tempfile.TemporaryDirectory() as directory:
        # Two objects with caches of their own, and one with room for nothing.
        stores = [
            SQLiteEmbeddingStore(
                Path(directory) / "v.db", durability="relaxed", cache_bytes=size
            ).sync
            for size in (1 << 20, 1 << 20, 0)
        ]
        for number, step in enumerate(history):
            told = outcome(partial(change, expected, *step))
            assert outcome(partial(change, stores[number % 2], *step)) == told
            for name in (None, "other"):
                for_model = expected if name is None else expected.for_model(name)
                right = seen(for_model, query, k)
                for store in stores:
                    view = store if name is None else store.for_model(name)
                    assert seen(view, query, k) == right
        for store in stores:
            store.close()


def change(
    store: SyncRetrieval,
    session_id: str,
    model: Optional[str],
    step: Tuple[Any, ...],
) -> None:
    name, *arguments = step
    view = store if model is None else store.for_model(model)
    if name == "delete_model":
        view.delete_model(*arguments)
    else:
        getattr(view, name)(session_id, *arguments)


def filled(
    path: Any, count: int, dimension: int = 4, **options: Any
) -> SQLiteEmbeddingStore:
    """Make a store with a session of messages m0, m1 and so on."""
    store = SQLiteEmbeddingStore(path, durability="relaxed", **options)
    store.sync.add_many("s", made(count, dimension))
    return store


def made(count: int, dimension: int = 4, first: int = 0) -> List[Tuple[str, Any, Any]]:
    return [
        (f"m{n}", [float(n % 7), 1.0, *[0.5] * (dimension - 2)], {"n": n})
        for n in range(first, first + count)
    ]


def found(store: SQLiteEmbeddingStore, k: int = 3, session: str = "s") -> List[str]:
    items = store.sync.search(session, [1.0, 0.0, 0.0, 0.0], k)
    return [item.message_id for item in items]


class TestKeeping:
    def test_what_is_kept_is_there_after_closing(self, tmp_path: Path) -> None:
        path = tmp_path / "vectors.db"
        with filled(path, 30).sync as store:
            before = store.search("s", [3.0, 1.0, 2.0, 0.1], 30)
        with SQLiteEmbeddingStore(path).sync as store:
            assert store.search("s", [3.0, 1.0, 2.0, 0.1], 30) == before
            with pytest.raises(InvalidInputError, match="has 2 components"):
                store.add("t", "m0", [1.0, 2.0])

    def test_metadata_comes_back_equal(self, tmp_path: Path) -> None:
        odd = {"z": 1, "a": [None, True, 1.5, {"\U0001f980": -0.0}], "big": 2**70}
        with SQLiteEmbeddingStore(tmp_path / "v.db").sync as store:
            store.add("s", "m0", [1.0], odd)
            (item,) = store.search("s", [1.0], 1)
        assert repr(item.metadata) == repr(odd)

    def test_a_closed_store_says_so(self, tmp_path: Path) -> None:
        store = filled(tmp_path / "v.db", 3)
        view = store.for_model("other")
        view.sync.close()
        assert found(store, 1) == ["m2"]
        store.sync.close()
        store.sync.close()
        for one in (store, view):
            with pytest.raises(ClosedError):
                one.sync.search("s", [1.0], 1)
            with pytest.raises(ClosedError):
                one.sync.add("s", "m1", [1.0])

    def test_a_view_outlives_the_store_it_came_from(self, tmp_path: Path) -> None:
        view = filled(tmp_path / "v.db", 3).for_model("")
        gc.collect()
        assert found(view, 1) == ["m2"]

    def test_the_file_is_private(self, tmp_path: Path) -> None:
        filled(tmp_path / "v.db", 1).sync.close()
        assert (tmp_path / "v.db").stat().st_mode & 0o777 == 0o600

    @pytest.mark.parametrize(
        "options", [{"durability": "none"}, {"cache_bytes": -1}, {"cache_bytes": True}]
    )
    def test_options_are_checked(self, tmp_path: Path, options: Any) -> None:
        with pytest.raises(ConfigurationError):
            SQLiteEmbeddingStore(tmp_path / "v.db", **options)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("bad", ["", 3, None, "a\0b"])
    def test_ids_are_validated(self, tmp_path: Path, bad: Any) -> None:
        with SQLiteEmbeddingStore(tmp_path / "v.db").sync as store:
            backend: Any = store.backend
            for call in (
                lambda: store.add(bad, "a", [1.0]),
                lambda: store.add("s", bad, [1.0]),
                lambda: store.search(bad, [1.0], 1),
                lambda: store.has_embedding(bad, "a"),
                lambda: store.has_embedding("s", bad),
                lambda: store.delete(bad, ["a"]),
                lambda: store.delete("s", [bad]),
                lambda: store.delete_session(bad),
                lambda: store.message_ids(bad),
                lambda: drive(backend.metadata_of("s", [bad])),
                lambda: drive(backend.scan(bad, [1.0], 0.5)),
            ):
                with pytest.raises(InvalidInputError):
                    call()

    @pytest.mark.parametrize("name", [None, 3, "\ud800"])
    def test_a_model_is_named_by_a_text(self, name: Any) -> None:
        for store in (InMemoryEmbeddingStore(), SQLiteEmbeddingStore(":memory:")):
            with pytest.raises(InvalidInputError):
                store.for_model(name)
            with pytest.raises(InvalidInputError):
                store.sync.delete_model(name)


class TestModels:
    @pytest.fixture(params=["memory", "file"])
    def store(self, request: pytest.FixtureRequest, tmp_path: Path) -> Any:
        if request.param == "memory":
            return InMemoryEmbeddingStore().sync
        return SQLiteEmbeddingStore(tmp_path / "v.db", durability="relaxed").sync

    def test_they_never_mix(self, store: SyncRetrieval) -> None:
        one, two = store.for_model("one"), store.for_model("two")
        one.add("s", "m0", [1.0, 0.0])
        two.add("s", "m0", [0.0, 1.0, 0.0])
        two.add("s", "m1", [1.0, 0.0, 0.0])
        assert [item.message_id for item in one.search("s", [1.0, 0.0], 9)] == ["m0"]
        with pytest.raises(InvalidInputError):
            two.search("s", [1.0, 0.0], 9)
        assert two.message_ids("s") == ["m0", "m1"]
        assert store.message_ids("s") == []
        assert store.search("s", [1.0] * 9, 9) == []
        assert store.for_model("one").has_embedding("s", "m0")

    def test_a_view_deletes_its_own(self, store: SyncRetrieval) -> None:
        views = [store.for_model(name) for name in ("", "one", "two")]
        for view in views:
            view.add_many("s", made(3))
        views[1].delete("s", ["m0"])
        views[2].delete_session("s")
        assert [view.message_ids("s") for view in views] == [
            ["m0", "m1", "m2"],
            ["m1", "m2"],
            [],
        ]

    def test_the_store_deletes_from_all(self, store: SyncRetrieval) -> None:
        views = [store.for_model(name) for name in ("", "one")]
        for view in views:
            view.add_many("s", made(3))
            view.add_many("t", made(2))
        store.delete("s", ["m0"])
        assert [view.message_ids("s") for view in views] == [["m1", "m2"]] * 2
        store.delete_session("s")
        assert [view.message_ids("s") for view in views] == [[], []]
        views[0].delete_model("one")
        store.delete_model("never there")
        assert [view.message_ids("t") for view in views] == [["m0", "m1"], []]
        # What holds nothing may be filled with another dimension.
        views[1].add("t", "m0", [1.0])


class TestCache:
    def test_what_was_added_is_read_alone(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = filled(tmp_path / "v.db", 20)
        read: List[int] = []
        blocks = vector_rows.read_blocks

        def noting(*arguments: Any) -> Any:
            for block in blocks(*arguments):
                read.append(len(block))
                yield block

        monkeypatch.setattr(vector_rows, "read_blocks", noting)
        found(store)
        found(store)
        assert read == [20]
        with SQLiteEmbeddingStore(tmp_path / "v.db").sync as other:
            other.add_many("s", made(3, first=20))
            assert found(store, 99) == found(
                SQLiteEmbeddingStore(tmp_path / "v.db"), 99
            )
            assert read == [20, 3, 23]
            other.add("t", "m0", [1.0] * 4)
            found(store)
            assert read == [20, 3, 23]
            other.delete("s", ["m5"])
            assert "m5" not in found(store, 99)
            other.add("s", "m6", [-1.0, 0.0, 0.0, 0.0])
            assert found(store, 99)[-1] == "m6"
            assert read == [20, 3, 23, 22, 22]

    @pytest.mark.parametrize("removes", [False, True])
    @pytest.mark.parametrize("sessions", [1, 2])
    def test_a_file_put_back_to_a_backup_is_read_anew(
        self, tmp_path: Path, removes: bool, sessions: int
    ) -> None:
        def names() -> List[str]:
            asked = ["s", "t"][:sessions]
            items = store.sync.search_sessions(asked, [1.0, 0.5, 0.25, 0.125], 99)
            return sorted(f"{item.session_id}/{item.message_id}" for item in items)

        path = tmp_path / "v.db"
        store = filled(path, 5)
        store.sync.add_many("t", made(2))
        before = names()
        backup = sqlite3.connect(str(tmp_path / "backup.db"))
        live = sqlite3.connect(str(path))
        live.backup(backup)
        store.sync.add_many("s", made(3, first=5))
        if removes:
            store.sync.delete("s", ["m1"])
        assert names() != before
        backup.backup(live)
        backup.close()
        live.close()
        assert names() == before
        store.sync.add_many("s", made(1, first=9))
        assert names() == sorted([*before, "s/m9"])

    @pytest.mark.parametrize("lost", ["+c", "-a", "-a +a", "+c -c"])
    @pytest.mark.parametrize("instead", ["+d", "-b", "+d +c", "-b +d", "+d -d"])
    def test_a_backup_that_was_written_on_is_read_anew(
        self, tmp_path: Path, lost: str, instead: str
    ) -> None:
        store = SQLiteEmbeddingStore(tmp_path / "v.db", durability="relaxed")

        def write(changes: str) -> None:
            for one in changes.split():
                if one[0] == "+":
                    store.sync.add("s", one[1:], [1.0, 0.0, 0.0, 0.0])
                else:
                    store.sync.delete("s", [one[1:]])

        write("+a +b")
        live, aside = (sqlite3.connect(str(tmp_path / n)) for n in ("v.db", "a.db"))
        live.backup(aside)
        write(lost)
        found(store)
        aside.backup(live)
        write(instead)
        assert found(store, 9) == store.sync.message_ids("s")
        live.close()
        aside.close()

    def test_a_vector_that_came_again_does_not_hide_another_before_it(
        self, tmp_path: Path
    ) -> None:
        store = filled(tmp_path / "v.db", 2)
        live, aside = (sqlite3.connect(str(tmp_path / n)) for n in ("v.db", "a.db"))
        live.backup(aside)
        store.sync.add_many("s", made(2, first=5))
        found(store)
        aside.backup(live)
        store.sync.add_many("s", made(1, first=8) + made(1, first=6))
        assert sorted(found(store, 9)) == ["m0", "m1", "m6", "m8"]
        store.sync.add_many("s", made(1, first=9))
        assert sorted(found(store, 9)) == ["m0", "m1", "m6", "m8", "m9"]
        live.close()
        aside.close()

    def test_who_holds_on_to_an_earlier_state_does_not_read_all_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = filled(tmp_path / "v.db", 5)
        found(store)
        earlier, read = store._read_head("s"), vector_rows.read_blocks
        lengths: List[int] = []

        def noting(*arguments: Any) -> Any:
            for block in read(*arguments):
                lengths.append(len(block))
                yield block

        store.sync.add_many("s", made(3, first=5))
        found(store)
        monkeypatch.setattr(vector_rows, "read_blocks", noting)
        monkeypatch.setattr(store, "_heads", lambda *arguments: [("s", earlier)])
        assert len(store.sync.search_sessions(["nobody", "s"], [1.0] * 4, 99)) == 8
        assert lengths == []

    def test_it_is_bounded_in_bytes(self, tmp_path: Path) -> None:
        limit = 200_000
        store = filled(tmp_path / "v.db", 1, cache_bytes=limit)
        for number in range(12):
            store.sync.add_many(f"s{number}", made(60, 4))
        for number in (*range(12), *range(12)):
            assert len(found(store, 99, f"s{number}")) == 60
            assert store._cache.nbytes <= limit
        held = [key[1] for key in store._cache._sessions]
        assert 3 < len(held) < 12
        # The one used last stays.
        assert held[-1] == "s11"
        found(store, 1, held[0])
        found(store, 1, "s0")
        assert (("", held[0]) in store._cache._sessions) is True
        assert (("", held[1]) in store._cache._sessions) is False
        sizes = [one.nbytes for one in store._cache._sessions.values()]
        assert store._cache.nbytes == sum(sizes)

    def test_what_was_let_go_while_in_use_is_not_counted(self) -> None:
        held = cache.VectorCache(10_000)
        session = held.at(("", "s"))
        session.vectors.extend(["m0"], array("f", [1.0]), [{}])
        held.settle(("", "s"), session)
        assert held.nbytes == session.nbytes > 0
        held.drop(("", "s"))
        held.drop(("", "s"))
        held.settle(("", "s"), session)
        assert held.nbytes == 0
        assert held.held(("", "s")) is None
        assert held.at(("", "s")) is not session

    def test_a_session_that_went_is_let_go(self, tmp_path: Path) -> None:
        store = filled(tmp_path / "v.db", 50)
        found(store)
        assert store._cache.nbytes > 50 * 500
        with SQLiteEmbeddingStore(tmp_path / "v.db").sync as other:
            other.delete_session("s")
        assert found(store) == []
        assert store._cache.nbytes == 0
        store.sync.add("s", "m0", [1.0])

    def test_what_fits_not_is_searched_in_blocks(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cache, "_BLOCK_NUMBERS", 7 * 4)
        whole = filled(tmp_path / "v.db", 40)
        whole.sync.add_many("t", made(40, first=100))
        blocks = SQLiteEmbeddingStore(tmp_path / "v.db", cache_bytes=30_000)
        query = [2.0, 1.0, 0.5, 0.25]
        for k in (1, 5, 80):
            for sessions in (["s"], ["s", "t"], ["t", "s"], ["nobody"]):
                expected = whole.sync.search_sessions(sessions, query, k)
                assert blocks.sync.search_sessions(sessions, query, k) == expected
                if k == 1:
                    # What is held already is searched as it is.
                    blocks.sync.search("s", query, 1)
        assert blocks._cache.nbytes <= 30_000
        assert scanned(blocks, "s", query, None) == scanned(whole, "s", query, None)

    def test_the_state_of_a_session_is_read_once_a_commit(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: List[str] = []
        find_head = vector_rows.find_head

        def counted(connection: Any, session_id: str, model: str) -> Any:
            asked.append(session_id)
            return find_head(connection, session_id, model)

        store = filled(tmp_path / "v.db", 5)
        found(store)
        found(store)
        monkeypatch.setattr(vector_rows, "find_head", counted)
        for _ in range(3):
            found(store)
            drive(store.metadata_of("s", ["m1"]))
        assert asked == []
        with SQLiteEmbeddingStore(tmp_path / "v.db").sync as other:
            # Another session is none of this one's business, but the file has changed.
            other.add("t", "m0", [1.0] * 4)
            asked.clear()
            assert found(store, 1) == found(store, 1)
            assert asked == ["s"]
            other.delete("s", ["m4"])
            assert found(store, 1) == ["m3"]
            assert drive(store.metadata_of("s", ["m4"])) == {}

    def test_a_forked_child_has_locks_of_its_own(self, tmp_path: Path) -> None:
        store = filled(tmp_path / "v.db", 5)
        found(store)
        with store._cache._lock:
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    store.sync.search_sessions(["nobody", "s"], [1.0] * 4, 1)
                    code = 0 if found(store, 1) == ["m4"] else 2
                finally:
                    os._exit(code)
            assert os.waitpid(child, 0)[1] == 0
        assert found(store, 1) == ["m4"]


WRITE = """
import sys
from contextstore import SQLiteEmbeddingStore
store = SQLiteEmbeddingStore(sys.argv[1]).sync
for line in sys.stdin:
    name, *rest = line.split()
    if name == "add":
        store.add("s", rest[0], [float(x) for x in rest[1:]])
    else:
        store.delete("s", rest)
    print("done", flush=True)
"""


class TestManyAtOnce:
    def test_another_process_is_followed(self, tmp_path: Path) -> None:
        store = filled(tmp_path / "v.db", 3, 2)
        child = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", WRITE, str(tmp_path / "v.db")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            universal_newlines=True,
        )
        assert child.stdin is not None
        assert child.stdout is not None

        def tell(line: str) -> List[str]:
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write(line + "\n")
            child.stdin.flush()
            assert child.stdout.readline() == "done\n"
            found = store.sync.search("s", [1.0, 0.0], 9)
            return [item.message_id for item in found]

        assert tell("add x 1 0") == ["x", "m2", "m1", "m0"]
        assert tell("delete m2 m0") == ["x", "m1"]
        assert tell("add x -1 0") == ["m1", "x"]
        assert tell("delete x m1") == []
        child.stdin.close()
        child.stdout.close()
        assert child.wait() == 0

    def test_four_processes_lose_nothing(self, tmp_path: Path) -> None:
        code = (
            "import sys\n"
            "from contextstore import SQLiteEmbeddingStore\n"
            "store = SQLiteEmbeddingStore(sys.argv[1]).sync\n"
            "for n in range(20):\n"
            "    store.add('s', sys.argv[2] + str(n), [float(n), 1.0])\n"
            "    store.search('s', [1.0, 1.0], 3)\n"
        )
        children = [start(code, tmp_path / "v.db", name) for name in "abcd"]
        assert finish(children) == [(0, "")] * 4
        kept = SQLiteEmbeddingStore(tmp_path / "v.db").sync.message_ids("s")
        assert len(kept) == 80
        for name in "abcd":
            own = [one for one in kept if one.startswith(name)]
            assert own == [f"{name}{n}" for n in range(20)]

    @pytest.mark.parametrize("path", ["file", ":memory:"])
    def test_threads_and_loops_may_share_a_store(
        self, tmp_path: Path, path: str
    ) -> None:
        where = path if path == ":memory:" else tmp_path / "v.db"
        store = SQLiteEmbeddingStore(where, durability="relaxed")
        errors: List[BaseException] = []

        async def use(name: str) -> None:
            for index in range(20):
                await store.add("s", f"{name}-{index}", [1.0, float(index)])
                await store.search("s", [1.0, 1.0], 3)
                await store.scan("s", [1.0, 1.0], 0.5)
                if index % 2:
                    await store.delete("s", [f"{name}-{index}"])

        def work(name: str) -> None:
            try:
                asyncio.run(use(name))
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(str(n),)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert len(store.sync.search("s", [1.0, 0.0], 99)) == 40

    def test_what_is_at_hand_is_searched_where_the_caller_is(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = filled(tmp_path / "v.db", 50)
        threads: List[bool] = []
        search = SessionVectors.search

        def noting(*arguments: Any) -> Any:
            threads.append(threading.current_thread() is threading.main_thread())
            return search(*arguments)

        monkeypatch.setattr(SessionVectors, "search", noting)
        query = [1.0, 0.0, 0.0, 0.0]

        async def use() -> None:
            await store.search("s", query, 1)
            await store.search("s", query, 1)
            assert threads == [False, True]
            await store.add("s", "new", query)
            await store.search("s", query, 1)
            assert threads == [False, True, True]
            await store.delete("s", ["new"])
            await store.search("s", query, 1)
            assert threads == [False, True, True, False]
            monkeypatch.setattr(vector_store, "_INLINE_NUMBERS", 10)
            await store.search("s", query, 1)
            await store.search_sessions(["s", "t"], query, 1)
            assert threads == [False, True, True, False, False, False]
            monkeypatch.undo()
            scan = await store.scan("s", query, 0.5)
            assert scan is not None
            lock = store._cache.at(("", "s")).lock
            with lock:
                waiting = asyncio.ensure_future(store.search("s", query, 1))
                await asyncio.sleep(0.01)
                assert not waiting.done()
            assert len(await waiting) == 1

        asyncio.run(use())
        big = SQLiteEmbeddingStore(tmp_path / "v.db", cache_bytes=0)
        assert asyncio.run(_awaited(big.search("s", query, 1)))


class TestDamage:
    @pytest.mark.parametrize(
        "statement",
        [
            "vector = zeroblob(16)",
            "vector = zeroblob(12)",
            "vector = 'text'",
            "metadata = '{}'",
            "metadata = CAST('{\"n\":9}' AS BLOB)",
            "message_id = 'other'",
            "message_id = x'ff'",
            "checksum = checksum + 1",
        ],
    )
    def test_it_is_an_error_and_can_be_deleted(
        self, tmp_path: Path, statement: str
    ) -> None:
        filled(tmp_path / "v.db", 5).sync.close()
        change_file(
            tmp_path / "v.db",
            f"UPDATE context_vectors SET {statement} WHERE message_id = 'm3'",
        )
        store = SQLiteEmbeddingStore(tmp_path / "v.db").sync
        with pytest.raises(CorruptDataError, match="checksum"):
            store.search("s", [1.0] * 4, 1)
        with pytest.raises(CorruptDataError, match="embed") as caught:
            store.search("s", [1.0] * 4, 1)
        assert caught.value.session_id == "s"
        assert caught.value.location == str(tmp_path / "v.db")
        backend: Any = store.backend
        if not statement.startswith("message_id"):
            with pytest.raises(CorruptDataError):
                drive(backend.metadata_of("s", ["m3"]))
            store.delete("s", ["m3"])
            assert len(store.search("s", [1.0] * 4, 9)) == 4
        store.delete_session("s")
        assert store.search("s", [1.0] * 4, 1) == []

    def test_a_vector_in_a_wrong_session_is_seen(self, tmp_path: Path) -> None:
        filled(tmp_path / "v.db", 5).sync.close()
        change_file(
            tmp_path / "v.db", "UPDATE context_vector_sessions SET session_id = 't'"
        )
        store = SQLiteEmbeddingStore(tmp_path / "v.db").sync
        with store, pytest.raises(CorruptDataError):
            store.search("t", [1.0] * 4, 1)
        change_file(
            tmp_path / "v.db",
            "UPDATE context_vector_sessions SET session_id = 's', dimension = 3",
        )
        store = SQLiteEmbeddingStore(tmp_path / "v.db").sync
        with store, pytest.raises(CorruptDataError):
            store.search("s", [1.0] * 3, 1)

    @pytest.mark.parametrize("cache_bytes", [0, 1 << 20])
    def test_a_count_that_would_hide_some_is_seen(
        self, tmp_path: Path, cache_bytes: int
    ) -> None:
        filled(tmp_path / "v.db", 5).sync.close()
        change_file(tmp_path / "v.db", "UPDATE context_vector_sessions SET added = 3")
        store = SQLiteEmbeddingStore(tmp_path / "v.db", cache_bytes=cache_bytes).sync
        with pytest.raises(CorruptDataError, match="count"):
            store.search("s", [1.0] * 4, 1)
        # Nor does anything take the place of what is there.
        with pytest.raises(CorruptDataError):
            store.add("s", "new", [1.0] * 4)
        assert store.message_ids("s") == ["m0", "m1", "m2", "m3", "m4"]
        store.delete_session("s")
        store.add("s", "new", [1.0])
        assert store.message_ids("s") == ["new"]


def change_file(path: Path, statement: str) -> None:
    connection = sqlite3.connect(str(path))
    connection.execute(statement)
    connection.commit()
    connection.close()
