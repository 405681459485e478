"""Check what a backend of three methods gets, and the plain search by meaning."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any, Dict, List, Optional, Sequence, Tuple

import pytest

from contextstore import _hop
from contextstore.errors import (
    EmbeddingError,
    InvalidInputError,
    UnsupportedOperationError,
)
from contextstore.retrieval import (
    InMemoryEmbeddingStore,
    RetrievalBackend,
    RetrievedItem,
    retrieve_relevant,
)


class ListBackend(RetrievalBackend):
    """Keep vectors in a list, as a third party would, and suspend for real."""

    def __init__(self) -> None:
        self.rows: List[Tuple[str, str, Sequence[float], Dict[str, Any]]] = []

    async def add(
        self,
        session_id: str,
        message_id: str,
        vector: Sequence[float],
        metadata: Optional[Dict[str, Any]],
    ) -> None:
        """Keep a row."""
        await asyncio.sleep(0)
        self.rows.append((session_id, message_id, vector, metadata or {}))

    async def search(
        self, session_id: str, query_vector: Sequence[float], k: int
    ) -> List[RetrievedItem]:
        """Rank by scalar product."""
        await asyncio.sleep(0)
        items = [
            RetrievedItem(row[1], sum(map(float.__mul__, row[2], query_vector)), row[3])
            for row in self.rows
            if row[0] == session_id
        ]
        return sorted(items, key=lambda item: -item.score)[:k]

    async def has_embedding(self, session_id: str, message_id: str) -> bool:
        """Look for a row."""
        await asyncio.sleep(0)
        return any(row[:2] == (session_id, message_id) for row in self.rows)


def embed_fn(texts: List[str]) -> List[List[float]]:
    """Embed a text as two of its letters."""
    return [[float(text.count("a")), float(text.count("b"))] for text in texts]


@pytest.mark.parametrize("make", [ListBackend, InMemoryEmbeddingStore])
@pytest.mark.parametrize("face", [asyncio.run, _hop.drive])
def test_a_query_finds_the_nearest_message(make: Any, face: Any) -> None:
    store = make()

    async def fill() -> None:
        await store.add("s", "m1", embed_fn(["aab"])[0], {"text": "aab"})
        await store.add("s", "m2", embed_fn(["abbb"])[0], {"text": "abbb"})

    asyncio.run(fill())
    items = face(retrieve_relevant("s", "bbb", embed_fn, store, k=1))
    assert [(item.message_id, item.metadata) for item in items] == [
        ("m2", {"text": "abbb"})
    ]
    assert len(face(retrieve_relevant("s", "b", embed_fn, store))) == 2


def test_the_signatures_are_those_of_the_contract() -> None:
    def names(function: Any) -> List[str]:
        return list(inspect.signature(function).parameters)

    add = ["self", "session_id", "message_id", "vector", "metadata"]
    assert names(RetrievalBackend.add) == add
    assert names(RetrievalBackend.search) == ["self", "session_id", "query_vector", "k"]
    assert names(RetrievalBackend.has_embedding) == ["self", "session_id", "message_id"]
    assert RetrievalBackend.__abstractmethods__ == {"add", "search", "has_embedding"}
    relevant = inspect.signature(retrieve_relevant).parameters
    assert list(relevant) == ["session_id", "query", "embed_fn", "store", "k"]
    assert relevant["k"].default == 5


def test_nothing_is_embedded_for_nothing() -> None:
    def never(_: List[str]) -> List[List[float]]:
        raise AssertionError

    store = InMemoryEmbeddingStore()
    assert _hop.drive(retrieve_relevant("s", "x", never, store, k=0)) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"session_id": ""},
        {"query": b"bytes"},
        {"query": None},
        {"k": -1},
        {"k": True},
        {"k": None},
    ],
)
def test_arguments_are_validated(changed: Dict[str, Any]) -> None:
    arguments: Dict[str, Any] = {
        "session_id": "s",
        "query": "b",
        "embed_fn": embed_fn,
        "store": InMemoryEmbeddingStore(),
        "k": 5,
    }
    arguments.update(changed)
    with pytest.raises(InvalidInputError):
        _hop.drive(retrieve_relevant(**arguments))


def test_a_failing_function_is_an_embedding_error() -> None:
    def failing(_: List[str]) -> List[List[float]]:
        raise OSError

    with pytest.raises(EmbeddingError):
        _hop.drive(retrieve_relevant("s", "b", failing, InMemoryEmbeddingStore()))


def test_what_a_backend_lacks_is_said() -> None:
    store = ListBackend()
    for call in (
        store.add_many("s", []),
        store.delete("s", ["a"]),
        store.delete_session("s"),
    ):
        with pytest.raises(UnsupportedOperationError, match="ListBackend has no"):
            asyncio.run(call)


def test_a_subclass_does_not_inherit_the_promise_to_run_inline() -> None:
    class Slower(InMemoryEmbeddingStore):
        pass

    class Careful(InMemoryEmbeddingStore):
        runs_inline = True

    assert InMemoryEmbeddingStore.runs_inline
    assert not RetrievalBackend.runs_inline
    assert not ListBackend.runs_inline
    assert not Slower.runs_inline
    assert Careful.runs_inline


def test_a_backend_closes_at_the_end_of_a_block() -> None:
    class Closing(ListBackend):
        closed = False

        async def close(self) -> None:
            self.closed = True

    async def main() -> Closing:
        async with Closing() as store:
            assert not store.closed
        async with ListBackend() as plain:
            assert plain.rows == []
        return store

    assert asyncio.run(main()).closed


def test_any_backend_searches_several_queries_and_sessions() -> None:
    store = ListBackend()

    async def main() -> None:
        await store.add("s", "m1", [1.0, 0.0], {})
        await store.add("s", "m2", [0.5, 0.0], {})
        await store.add("t", "m3", [0.7, 0.7], {})
        many = await store.search_many("s", [[1.0, 0.0], [-1.0, 0.0]], 1)
        assert [[item.message_id for item in found] for found in many] == [
            ["m1"],
            ["m2"],
        ]
        found = await store.search_sessions(["t", "s", "s"], [1.0, 0.0], 2)
        assert [(item.session_id, item.message_id) for item in found] == [
            ("s", "m1"),
            ("t", "m3"),
        ]
        assert await store.search_sessions([], [1.0, 0.0], 2) == []

    asyncio.run(main())
