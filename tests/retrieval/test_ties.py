"""Equal scores are ranked by the messages, whatever order their vectors came in."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence, Tuple

import pytest

from contextstore import (
    InMemoryEmbeddingStore,
    InMemoryMemory,
    PgVectorStore,
    RetrievalBackend,
    RetrievalWeights,
    SessionStoreConfig,
    SQLiteEmbeddingStore,
    SyncSessionStore,
)
from contextstore.embedders import HashingEmbedder
from contextstore.retrieval.documents import Document, SessionIndex
from tests.servers.shared import database_of
from tests.testing.backends import DeletingDictRetrieval

Make = Callable[[Path], RetrievalBackend]

EMBED = HashingEmbedder(64)
COUNT = 40
# Every other message says the same.
TEXTS = {
    f"m{at}": "the boat is red" if at % 2 else f"word{at} and boat{at % 6}"
    for at in range(COUNT)
}


def in_memory(directory: Path) -> RetrievalBackend:
    return InMemoryEmbeddingStore()


def in_sqlite(directory: Path) -> RetrievalBackend:
    return SQLiteEmbeddingStore(directory / "vectors.db")


def in_sqlite_without_cache(directory: Path) -> RetrievalBackend:
    return SQLiteEmbeddingStore(directory / "vectors.db", cache_bytes=0)


def in_postgres(directory: Path) -> RetrievalBackend:
    return PgVectorStore(database_of(directory), partitions=4)


def foreign(directory: Path) -> RetrievalBackend:
    return DeletingDictRetrieval()


OURS: Sequence[Make] = (in_memory, in_sqlite, in_sqlite_without_cache, in_postgres)


def store_of(retrieval: RetrievalBackend, **weights: Any) -> SyncSessionStore:
    config = SessionStoreConfig(
        auto_embed=True, embed_fn=EMBED, weights=RetrievalWeights(**weights)
    )
    return SyncSessionStore(InMemoryMemory(), retrieval, config)


def filled(
    retrieval: RetrievalBackend, order: Sequence[str], **weights: Any
) -> SyncSessionStore:
    """Return a store whose vectors were added in an order, some of them twice."""
    view = retrieval.for_model(EMBED.name).sync
    for name in [*order[:7], *order]:
        view.add("s", name, EMBED([TEXTS[name]])[0], {"text": TEXTS[name]})
        if name in order[:3]:
            view.delete("s", [name])
    store = store_of(retrieval, **weights)
    store.save_context(
        "s",
        [{"id": one, "role": "user", "content": text} for one, text in TEXTS.items()],
    )
    return store


def orders() -> List[List[str]]:
    names, chance = list(TEXTS), random.Random(5)
    return [names, names[::-1], chance.sample(names, len(names))]


def ranked(store: SyncSessionStore, **options: Any) -> List[Tuple[str, float]]:
    found = store.retrieve_relevant("s", "the red boat", 11, **options)
    return [(item.message_id, item.score) for item in found]


@pytest.mark.usefixtures("arithmetic")
@pytest.mark.parametrize("make", [*OURS, foreign])
class TestMessages:
    def test_the_older_message_comes_first_by_cosine(
        self, make: Make, tmp_path: Path
    ) -> None:
        expected = [name for at, name in enumerate(TEXTS) if at % 2][:11]
        for number, order in enumerate(orders()):
            directory = tmp_path / str(number)
            directory.mkdir()
            found = ranked(filled(make(directory), order), mode="dense")
            assert [name for name, _ in found] == expected

    @pytest.mark.parametrize("weights", [{}, {"full_scan": 10, "pool": 5}])
    def test_the_rule_gives_the_same(
        self, make: Make, weights: Dict[str, int], tmp_path: Path
    ) -> None:
        found: List[Any] = []
        for number, order in enumerate(orders()):
            directory = tmp_path / str(number)
            directory.mkdir()
            found.append(ranked(filled(make(directory), order, **weights)))
        assert found[0] == found[1] == found[2]

    def test_an_edited_message_keeps_its_place(
        self, make: Make, tmp_path: Path
    ) -> None:
        store = filled(make(tmp_path), list(TEXTS))
        before = ranked(store, mode="dense")
        store.update_interaction("s", "m3", {"role": "user", "content": "elsewhere"})
        assert "m3" not in dict(ranked(store, mode="dense"))
        back = {"role": "user", "content": TEXTS["m3"]}
        store.update_interaction("s", "m3", back)
        assert ranked(store, mode="dense") == before


@pytest.mark.parametrize("make", OURS)
@pytest.mark.parametrize("mode", ["hybrid", "dense"])
def test_what_is_no_message_goes_by_its_id(
    make: Make, mode: str, tmp_path: Path
) -> None:
    found: List[Any] = []
    for number, order in enumerate(orders()):
        directory = tmp_path / str(number)
        directory.mkdir()
        retrieval = make(directory)
        store = store_of(retrieval)
        for name in order:
            store.add_message_embedding("s", name, TEXTS[name])
        store.add_message_embedding("s", "gone", "the boat was sold")
        retrieval.for_model(EMBED.name).sync.delete("s", ["gone"])
        found.append(ranked(store, mode=mode))
        # Another object learns of them from the vectors alone.
        found.append(ranked(store_of(retrieval), mode=mode))
    assert all(one == found[0] for one in found)


def test_scores_are_brought_into_the_order_of_the_index() -> None:
    index = SessionIndex()
    for name in ("a", "b", "c", "d"):
        index.append(Document(name, name))
    aligned = index.aligned(("d", "x", "a", "c"))
    assert list(aligned.rows) == [0, 2, 3]
    assert list(aligned.places) == [2, 3, 0]
    assert aligned.place_of == {0: 2, 2: 3, 3: 0}
    assert not index.aligned(("b", "a", "c", "d")).is_same
    assert index.aligned(("a", "b", "c", "d")).is_same
