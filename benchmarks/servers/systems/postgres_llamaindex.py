"""The PostgresChatStore of LlamaIndex: an array of JSON a session."""

from __future__ import annotations

from typing import Any, List

from llama_index.core.llms import ChatMessage
from llama_index.storage.chat_store.postgres import PostgresChatStore

from benchmarks.servers.systems.postgres_base import Message, System


class LlamaIndex(System):
    def native(self, messages: List[Message]) -> List[Any]:
        return [
            ChatMessage(role=one["role"], content=one["content"]) for one in messages
        ]

    async def open(self) -> None:
        self.store = PostgresChatStore.from_uri(uri=self.dsn)

    async def append(self, session_id: str, messages: List[Any]) -> None:
        for message in messages:
            await self.store.async_add_message(session_id, message)

    async def load(self, session_id: str, last: int) -> List[Any]:
        found = await self.store.aget_messages(session_id)
        return list(found[-last:])
