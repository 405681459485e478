"""The calls that a program makes with the real openai client, in their usual order."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, List

from openai import OpenAI

from contextstore import (
    ContextBuilder,
    InMemoryEmbeddingStore,
    SQLiteMemory,
    retrieve_relevant,
)
from tests.docs.openai_server import Service


def test_load_build_complete_and_save_all(
    openai_service: Service, tmp_path: Path
) -> None:
    """Load, add the question, build, ask, add the answer, save the whole history."""
    memory = SQLiteMemory(tmp_path / "chat.db")
    builder = ContextBuilder.from_model("gpt-4")

    async def chat(client: OpenAI, session_id: str, text: str) -> str:
        history = await memory.load_context(session_id)
        history.append({"id": f"u{len(history)}", "role": "user", "content": text})
        result = builder.build(history, max_tokens=4000)
        messages: Any = [
            {"role": m["role"], "content": m["content"]} for m in result.messages
        ]
        response = client.chat.completions.create(model="gpt-4", messages=messages)
        answer = response.choices[0].message.content
        history.append(
            {"id": f"a{len(history)}", "role": "assistant", "content": answer}
        )
        await memory.save_context(session_id, history)
        return str(answer)

    async def twice() -> None:
        with OpenAI() as client:
            assert await chat(client, "s", "hello") == "You said: hello"
            assert await chat(client, "s", "and again") == "You said: and again"

    asyncio.run(twice())
    sent = [message["content"] for message in openai_service.requests[-1]["messages"]]
    assert sent == ["hello", "You said: hello", "and again"]
    kept = memory.sync.load_context("s")
    assert [message["id"] for message in kept] == ["u0", "a1", "u2", "a3"]


def test_the_embeddings_of_the_service_find_messages(openai_service: Service) -> None:
    async def search() -> List[str]:
        with OpenAI() as client:

            def embed_fn(texts: List[str]) -> List[List[float]]:
                response = client.embeddings.create(
                    input=texts, model="text-embedding-3-small"
                )
                return [item.embedding for item in response.data]

            store = InMemoryEmbeddingStore()
            texts = ["The boat leaves at two.", "Ruth is vegetarian."]
            for text, vector in zip(texts, embed_fn(texts)):
                await store.add("s", text, vector, {})
            found = await retrieve_relevant(
                "s", "When does the boat leave?", embed_fn, store, k=1
            )
        return [item.message_id for item in found]

    assert asyncio.run(search()) == ["The boat leaves at two."]
