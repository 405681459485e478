"""The sync face has the methods of the async one, and guards every one of them."""

from __future__ import annotations

import asyncio
import gc
import inspect
from typing import Any, Callable, Dict, List, Tuple

import pytest

from contextstore import (
    AsyncContextError,
    InMemoryEmbeddingStore,
    InMemoryMemory,
    MemoryBackend,
    RetrievalBackend,
    SessionStore,
    SessionStoreConfig,
    SQLiteMemory,
    SyncMemory,
    SyncRetrieval,
    SyncSessionStore,
)
from tests.testing.backends import DictBackend, DictRetrieval

PAIRS: List[Tuple[type, type]] = [
    (SQLiteMemory, SyncMemory),
    (InMemoryMemory, SyncMemory),
    (RetrievalBackend, SyncRetrieval),
    (SessionStore, SyncSessionStore),
]
# Public, and no method of the other face.
NOT_CALLS = {
    "sync",
    "memory",
    "retrieval",
    "config",
    "store",
    "backend",
    "of",
    "for_model",
}


def methods(cls: type) -> Dict[str, Callable[..., Any]]:
    return {
        name: member
        for name, member in inspect.getmembers(cls, inspect.isfunction)
        if not name.startswith("_") and name not in NOT_CALLS
    }


@pytest.mark.parametrize(("own", "face"), PAIRS)
def test_both_faces_have_the_same_methods(own: type, face: type) -> None:
    assert set(methods(own)) <= set(methods(face))


@pytest.mark.parametrize(("own", "face"), PAIRS)
def test_both_faces_take_the_same(own: type, face: type) -> None:
    theirs = methods(face)
    for name, method in methods(own).items():
        given, taken = parameters(method), parameters(theirs[name])
        assert [(p.name, p.kind) for p in given] == [(p.name, p.kind) for p in taken]
        for one, other in zip(given, taken):
            # The face may leave more to the caller than a backend has to.
            assert one.default in (other.default, one.empty), (name, one)


def parameters(method: Callable[..., Any]) -> List[inspect.Parameter]:
    return list(inspect.signature(method).parameters.values())


def test_what_is_given_is_driven() -> None:
    for store in (
        SyncSessionStore(InMemoryMemory()),
        SessionStore(InMemoryMemory()).sync,
    ):
        with store as same:
            assert same is store
            store.save_context("s", [{"id": "1"}])
            assert store.load_context("s")[0]["id"] == "1"


# For what a method cannot do without; the guard comes before anything looks at it.
VALUES: Dict[str, Any] = {
    "session_id": "s",
    "context": [],
    "vector": [1.0],
    "query_vector": [1.0],
    "items": [],
    "message_ids": [],
}


def faces() -> List[Any]:
    """Return every face, of ours and of foreign objects."""
    backends: List[MemoryBackend] = [InMemoryMemory(), DictBackend()]
    vectors: List[RetrievalBackend] = [InMemoryEmbeddingStore(), DictRetrieval()]
    config = SessionStoreConfig(embed_fn=lambda texts: [[1.0] for _ in texts])
    found: List[Any] = []
    for backend, vector in zip(backends, vectors):
        store = SyncSessionStore(backend, vector, config)
        found += [backend.sync, vector.sync, store]
    return found


def needed(method: Callable[..., Any]) -> List[Any]:
    return [
        VALUES.get(parameter.name, "1")
        for parameter in parameters(method)
        if parameter.default is parameter.empty
        and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]


def test_every_call_in_a_running_loop_says_what_to_write() -> None:
    async def main() -> None:
        for face in faces():
            for name in methods(type(face)):
                if name == "spawn_background_embedding":
                    continue  # it starts a task in a loop, and waits for nothing
                method = getattr(face, name)
                with pytest.raises(AsyncContextError, match="await"):
                    method(*needed(method))

    asyncio.run(main())
    # A coroutine that was never awaited would warn here.
    gc.collect()


def test_a_thread_beside_a_loop_may_call() -> None:
    memory = DictBackend().sync

    def work() -> int:
        memory.save_context("s", [{"id": "1"}])
        return len(memory.load_context("s"))

    async def main() -> int:
        return await asyncio.get_running_loop().run_in_executor(None, work)

    assert asyncio.run(main()) == 1


def test_a_subclass_of_ours_may_wait_for_something() -> None:
    class Waits(InMemoryMemory):
        async def load_context(self, session_id: str, k: Any = None) -> List[Any]:
            await asyncio.sleep(0)
            return await super().load_context(session_id, k)

    memory = Waits()
    assert Waits.runs_inline is False
    memory.sync.save_context("s", [{"id": "1"}])
    assert len(memory.sync.load_context("s")) == 1
    assert len(SyncSessionStore(memory).load_context("s")) == 1
