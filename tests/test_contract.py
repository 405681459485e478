"""The calls of the contract, in its order, with what they have to give.

Each test makes the calls of one program of the README that the library promises to
keep, first as it stands there, then through the sync face. What needs a network or a
model is a stand-in of the same interface.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Dict, List, Optional
from uuid import uuid4

import pytest

import contextstore
from contextstore import (
    ContextBuilder,
    InMemoryEmbeddingStore,
    InMemoryMemory,
    MemoryBackend,
    RetrievalBackend,
    RetrievedItem,
    SessionStore,
    SessionStoreConfig,
    SQLiteMemory,
    retrieve_relevant,
    tokenizer_from_name,
)

GREETINGS = [
    {"role": "user", "content": "Hello!"},
    {"role": "assistant", "content": "Hi there!"},
]


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let chat.db be a file of the test."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plain(history: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """Leave out what the store fills in."""
    for message in history:
        assert isinstance(message.pop("id"), str)
        assert isinstance(message.pop("timestamp"), str)
    return history


def hashed(texts: List[str]) -> List[List[float]]:
    vectors: List[List[float]] = []
    for text in texts:
        h = hashlib.sha256(text.lower().encode()).digest()
        vec = [b / 255.0 for b in h]
        vectors.append(vec + [0.0] * (768 - 32))
    return vectors


class TestQuickStart:
    def test_sqlite(self, directory: Path) -> None:
        async def main() -> List[Dict[str, Any]]:
            memory = SQLiteMemory("chat.db")
            await memory.save_context("session-1", GREETINGS)
            return await memory.load_context("session-1")

        assert plain(asyncio.run(main())) == GREETINGS
        assert (directory / "chat.db").is_file()
        assert plain(SQLiteMemory("chat.db").sync.load_context("session-1"))

    def test_in_memory(self) -> None:
        async def main() -> List[Dict[str, Any]]:
            memory = InMemoryMemory()
            await memory.save_context("session-1", GREETINGS[:1])
            return await memory.load_context("session-1")

        assert plain(asyncio.run(main())) == GREETINGS[:1]

    @pytest.mark.parametrize("make", [lambda: SQLiteMemory("c.db"), InMemoryMemory])
    def test_through_the_sync_face(self, make: Callable[[], MemoryBackend]) -> None:
        memory = make().sync
        memory.save_context("session-1", GREETINGS)
        assert plain(memory.load_context("session-1")) == GREETINGS


class TestBuilding:
    MESSAGES = (
        {
            "id": "1",
            "role": "user",
            "content": "Hello!",
            "timestamp": "2024-01-01T00:00:00Z",
        },
        {
            "id": "2",
            "role": "assistant",
            "content": "Hi!",
            "timestamp": "2024-01-01T00:01:00Z",
        },
    )

    def many(self) -> List[Dict[str, Any]]:
        return [
            {**self.MESSAGES[number % 2], "id": str(number), "content": "word " * 40}
            for number in range(200)
        ]

    def test_what_fits_is_kept(self) -> None:
        builder = ContextBuilder.from_model("gpt-4")
        result = builder.build(list(self.MESSAGES), max_tokens=4000)
        assert result.messages == list(self.MESSAGES)
        assert 0 < result.total_tokens <= 4000
        assert result.approximate in (True, False)
        assert result.strategy_used == "truncate_oldest"

    @pytest.mark.parametrize("strategy", ["truncate_oldest", "recent_only"])
    def test_the_oldest_go(self, strategy: str) -> None:
        builder = ContextBuilder.from_model("gpt-4")
        messages = self.many()
        result = builder.build(messages, max_tokens=4000, strategy=strategy)
        assert result.strategy_used == strategy
        assert 0 < len(result.messages) < len(messages)
        assert result.messages == messages[-len(result.messages) :]
        assert result.total_tokens <= 4000
        dropped = result.metadata["dropped_ids"]
        assert dropped == [m["id"] for m in messages[: -len(result.messages)]]

    def test_the_oldest_are_summarised(self) -> None:
        builder = ContextBuilder.from_model("gpt-4")
        seen: List[int] = []

        def summarizer(msgs: List[Dict[str, Any]]) -> str:
            seen.append(len(msgs))
            return "Summary: ..."

        result = builder.build(
            self.many(),
            max_tokens=4000,
            strategy="summarize_oldest",
            strategy_opts={"summarizer": summarizer, "chunk_size": 5},
        )
        assert result.strategy_used == "summarize_oldest"
        assert seen
        assert any("Summary: ..." in str(m["content"]) for m in result.messages)
        assert result.total_tokens <= 4000

    def test_filters(self) -> None:
        builder = ContextBuilder()
        result = builder.build(
            list(self.MESSAGES),
            4000,
            pre_filter=lambda m: m["role"] == "user",
            post_filter=lambda m: m["id"] == "1",
        )
        assert [m["id"] for m in result.messages] == ["1"]

    def test_tokenizers(self) -> None:
        assert tokenizer_from_name("gpt-4") is not None
        fallback = tokenizer_from_name("fallback")
        result = ContextBuilder(tokenizer=fallback).build(list(self.MESSAGES), 4000)
        assert result.approximate is True


class Completions:
    """Speak as ``OpenAI().chat.completions`` does."""

    def __init__(self) -> None:
        self.asked: List[Any] = []

    def create(self, *, model: str, messages: List[Dict[str, Any]]) -> Any:
        self.asked.append((model, messages))
        message = SimpleNamespace(content=f"answer {len(self.asked)}")
        return SimpleNamespace(choices=[SimpleNamespace(message=message)])


def test_the_chat_with_openai() -> None:
    completions = Completions()
    client = SimpleNamespace(chat=SimpleNamespace(completions=completions))
    memory = SQLiteMemory("chat.db")
    builder = ContextBuilder.from_model("gpt-4")

    async def chat(session_id: str, user_message: str) -> Any:
        history = await memory.load_context(session_id)
        history.append(
            {
                "id": str(uuid4()),
                "role": "user",
                "content": user_message,
                "timestamp": datetime.now().isoformat(),  # noqa: DTZ005 - as it stands
            }
        )
        result = builder.build(history, max_tokens=4000)
        response = client.chat.completions.create(
            model="gpt-4",
            messages=[
                {"role": m["role"], "content": m["content"]} for m in result.messages
            ],
        )
        assistant_msg = {
            "id": str(uuid4()),
            "role": "assistant",
            "content": response.choices[0].message.content,
            "timestamp": datetime.now().isoformat(),  # noqa: DTZ005 - as it stands
        }
        history.append(assistant_msg)
        await memory.save_context(session_id, history)
        return assistant_msg["content"]

    assert asyncio.run(chat("s", "first")) == "answer 1"
    assert asyncio.run(chat("s", "second")) == "answer 2"
    assert [m["content"] for m in completions.asked[1][1]] == [
        "first",
        "answer 1",
        "second",
    ]
    assert len(memory.sync.load_context("s")) == 4


class RedisBackend(MemoryBackend):
    """The skeleton of the contract, its bodies filled in with a dict."""

    def __init__(self) -> None:
        self.kept: Dict[str, List[Dict[str, Any]]] = {}

    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Dict[str, Any]]:
        kept = self.kept.get(session_id, [])
        return list(kept) if k is None else kept[max(0, len(kept) - k) :]

    async def save_context(
        self, session_id: str, context: List[Dict[str, Any]]
    ) -> None:
        self.kept[session_id] = list(context)

    async def append_context(
        self, session_id: str, context: List[Dict[str, Any]]
    ) -> None:
        if session_id not in self.kept:
            raise ValueError(session_id)
        self.kept[session_id] += context

    async def delete_session(self, session_id: str) -> None:
        if self.kept.pop(session_id, None) is None:
            raise ValueError(session_id)

    async def delete_interaction(self, session_id: str, interaction_id: str) -> None:
        ids = [message["id"] for message in self.kept.get(session_id, [])]
        del self.kept[session_id][ids.index(interaction_id) :]


@pytest.mark.parametrize(
    "make", [RedisBackend, InMemoryMemory, lambda: SQLiteMemory("chat.db")]
)
def test_the_five_methods(make: Callable[[], MemoryBackend]) -> None:
    """What the table of methods says, in both faces and under a SessionStore."""
    backend = make()
    messages = [{"id": str(n), "role": "user", "content": str(n)} for n in range(4)]

    def ids(history: List[Dict[str, Any]]) -> List[str]:
        return [message["id"] for message in history]

    async def main(store: Any) -> None:
        assert await store.load_context("s") == []
        with pytest.raises(ValueError):
            await store.append_context("s", messages)
        await store.save_context("s", messages[:2])
        await store.append_context("s", messages[2:])
        assert ids(await store.load_context("s")) == ["0", "1", "2", "3"]
        assert ids(await store.load_context("s", k=2)) == ["2", "3"]
        await store.delete_interaction("s", "1")
        assert ids(await store.load_context("s")) == ["0"]
        with pytest.raises(ValueError):
            await store.delete_interaction("s", "1")
        await store.save_context("s", messages[3:])
        assert ids(await store.load_context("s")) == ["3"]
        await store.delete_session("s")
        with pytest.raises(ValueError):
            await store.delete_session("s")

    asyncio.run(main(backend))
    asyncio.run(main(SessionStore(backend)))
    for face in (backend.sync, SessionStore(backend).sync):
        face.save_context("s", messages)
        face.delete_interaction("s", "2")
        assert ids(face.load_context("s", 1)) == ["1"]
        face.delete_session("s")
        with pytest.raises(ValueError):
            face.append_context("s", messages)


class TestEmbeddingFunctions:
    """The three options of the contract, each under retrieve_relevant."""

    def test_sentence_transformers(self) -> None:
        numpy = pytest.importorskip("numpy")

        class SentenceTransformer:
            def encode(self, texts: List[str]) -> Any:
                return numpy.array(hashed(texts), dtype="float32")

        model = SentenceTransformer()

        def embed_fn(texts: List[str]) -> Any:
            return model.encode(texts).tolist()

        self.check(embed_fn)

    def test_openai(self) -> None:
        def create(*, input: List[str], model: str) -> Any:
            assert model == "text-embedding-3-small"
            data = [SimpleNamespace(embedding=vector) for vector in hashed(input)]
            return SimpleNamespace(data=data)

        client = SimpleNamespace(embeddings=SimpleNamespace(create=create))

        def embed_fn(texts: List[str]) -> List[List[float]]:
            response = client.embeddings.create(
                input=texts, model="text-embedding-3-small"
            )
            return [e.embedding for e in response.data]

        self.check(embed_fn)

    def test_hashes(self) -> None:
        self.check(hashed)

    def check(self, embed_fn: Any) -> None:
        async def main() -> List[RetrievedItem]:
            store = InMemoryEmbeddingStore()
            first, second = {"text": "Hello!"}, {"text": "How are you?"}
            await store.add("session-1", "msg-1", embed_fn(["Hello!"])[0], first)
            await store.add("session-1", "msg-2", embed_fn(["How are you?"])[0], second)
            assert await store.has_embedding("session-1", "msg-1")
            return await retrieve_relevant("session-1", "hello!", embed_fn, store, k=5)

        results = asyncio.run(main())
        assert [item.message_id for item in results] == ["msg-1", "msg-2"]
        assert results[0].score == pytest.approx(1.0)
        assert results[0].metadata.get("text") == "Hello!"
        assert f"{results[1].score:.3f}" < "1.000"


class TestSessionStore:
    MESSAGES = (
        {"id": "1", "role": "user", "content": "What is Python?"},
        {"id": "2", "role": "assistant", "content": "Python is a language."},
        {"id": "3", "role": "user", "content": "What is the capital of France?"},
        {"id": "4", "role": "assistant", "content": "Paris."},
    )

    def test_the_unified_workflow(self) -> None:
        async def main() -> None:
            memory = SQLiteMemory("chat.db")
            retrieval = InMemoryEmbeddingStore()
            config = SessionStoreConfig(auto_embed=True, embed_fn=hashed)
            store = SessionStore(memory, retrieval, config)
            await store.save_context("session-1", list(self.MESSAGES))
            relevant = await store.retrieve_relevant("session-1", "paris.", k=3)
            assert len(relevant) == 3
            assert relevant[0].message_id == "4"
            assert relevant[0].metadata.get("text") == "Paris."
            store.spawn_background_embedding("session-1", "msg-5", "Some text to embed")
            await store.wait_for_embeddings()
            assert await retrieval.has_embedding("session-1", "msg-5")

        asyncio.run(main())

    def test_through_the_sync_face(self) -> None:
        retrieval = InMemoryEmbeddingStore()
        config = SessionStoreConfig(auto_embed=True, embed_fn=hashed)
        store = SessionStore(SQLiteMemory("chat.db"), retrieval, config).sync
        store.save_context("session-1", list(self.MESSAGES))
        assert store.retrieve_relevant("session-1", "paris.", k=3)[0].message_id == "4"
        store.spawn_background_embedding("session-1", "msg-5", "Some text to embed")
        store.wait_for_embeddings()
        assert retrieval.sync.has_embedding("session-1", "msg-5")


REQUIRED = inspect.Parameter.empty

SIGNATURES: Dict[Any, Dict[str, Any]] = {
    MemoryBackend.load_context: {"session_id": REQUIRED, "k": None},
    MemoryBackend.save_context: {"session_id": REQUIRED, "context": REQUIRED},
    MemoryBackend.append_context: {"session_id": REQUIRED, "context": REQUIRED},
    MemoryBackend.delete_session: {"session_id": REQUIRED},
    MemoryBackend.delete_interaction: {
        "session_id": REQUIRED,
        "interaction_id": REQUIRED,
    },
    ContextBuilder.__init__: {
        "tokenizer": None,
        "default_strategy": "truncate_oldest",
    },
    ContextBuilder.build: {
        "messages": REQUIRED,
        "max_tokens": REQUIRED,
        "strategy": None,
        "strategy_opts": None,
        "pre_filter": None,
        "post_filter": None,
    },
    SessionStore.__init__: {"memory": REQUIRED, "retrieval": None, "config": None},
    SessionStore.load_context: {"session_id": REQUIRED, "k": None},
    SessionStore.save_context: {"session_id": REQUIRED, "context": REQUIRED},
    SessionStore.append_context: {"session_id": REQUIRED, "context": REQUIRED},
    SessionStore.delete_session: {"session_id": REQUIRED},
    SessionStore.delete_interaction: {
        "session_id": REQUIRED,
        "interaction_id": REQUIRED,
    },
    SessionStore.add_message_embedding: {
        "session_id": REQUIRED,
        "message_id": REQUIRED,
        "text": REQUIRED,
        "metadata": None,
    },
    SessionStore.spawn_background_embedding: {
        "session_id": REQUIRED,
        "message_id": REQUIRED,
        "text": REQUIRED,
        "metadata": None,
    },
    SessionStore.retrieve_relevant: {
        "session_id": REQUIRED,
        "query": REQUIRED,
        "k": 5,
    },
    SessionStore.wait_for_embeddings: {},
    RetrievalBackend.add: {
        "session_id": REQUIRED,
        "message_id": REQUIRED,
        "vector": REQUIRED,
        "metadata": REQUIRED,
    },
    RetrievalBackend.search: {
        "session_id": REQUIRED,
        "query_vector": REQUIRED,
        "k": REQUIRED,
    },
    RetrievalBackend.has_embedding: {"session_id": REQUIRED, "message_id": REQUIRED},
}


@pytest.mark.parametrize("method", SIGNATURES, ids=lambda m: m.__qualname__)
def test_signatures(method: Callable[..., Any]) -> None:
    """Positional parameters are those of the contract; more are keyword-only."""
    taken = {
        name: parameter.default
        for name, parameter in inspect.signature(method).parameters.items()
        if name != "self" and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    }
    assert taken == SIGNATURES[method]
    assert list(taken) == list(SIGNATURES[method])


def test_what_is_async_and_what_is_not() -> None:
    now = {"spawn_background_embedding", "__init__", "build"}
    for method in SIGNATURES:
        expected = method.__name__ not in now
        assert inspect.iscoroutinefunction(method) is expected, method


def test_the_names_of_the_contract() -> None:
    names = (
        "ContextBuilder InMemoryEmbeddingStore InMemoryMemory MemoryBackend"
        " RetrievalBackend SQLiteMemory SessionStore SessionStoreConfig"
        " retrieve_relevant tokenizer_from_name"
    )
    assert set(names.split()) <= set(contextstore.__all__)


def test_the_result_of_building() -> None:
    result = ContextBuilder().build([], 100)
    assert isinstance(result.messages, list)
    assert isinstance(result.total_tokens, int)
    assert isinstance(result.approximate, bool)
    assert isinstance(result.strategy_used, str)
    assert isinstance(result.metadata, dict)
