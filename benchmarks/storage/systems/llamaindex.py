"""The SQL chat store of LlamaIndex, which its Memory keeps messages in."""

from __future__ import annotations

from typing import Any, List, Optional

from llama_index.core.llms import ChatMessage
from llama_index.core.storage.chat_store.sql import SQLAlchemyChatStore

from benchmarks.storage.systems.base import Message, System

# Its one statement a batch has five values a message, and SQLite takes 32,766.
_MOST_TOGETHER = 5_000


class LlamaIndex(System):
    def native(self, messages: List[Message]) -> Any:
        return [
            ChatMessage(role=message["role"], content=message["content"])
            for message in messages
        ]

    async def open(self) -> None:
        self.store = SQLAlchemyChatStore(
            "messages", async_database_uri=f"sqlite+aiosqlite:///{self.path}"
        )

    async def append(self, session_id: str, messages: Any) -> None:
        for start in range(0, len(messages), _MOST_TOGETHER):
            part = messages[start : start + _MOST_TOGETHER]
            await self.store.add_messages(session_id, part)

    async def load(self, session_id: str, last: Optional[int]) -> Any:
        if last is None:
            return await self.store.get_messages(session_id)
        # Its limit counts from the oldest: the newest need the number of all.
        stored = await self.store.count_messages(session_id)
        return await self.store.get_messages(
            session_id, limit=last, offset=max(0, stored - last)
        )

    async def close(self) -> None:
        await self.store._async_engine.dispose()
