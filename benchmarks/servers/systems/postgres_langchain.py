"""The PostgresChatMessageHistory of LangChain, on connections of a pool."""

from __future__ import annotations

import uuid
from typing import Any, List

from langchain_core.messages import AIMessage, HumanMessage
from langchain_postgres import PostgresChatMessageHistory
from psycopg_pool import AsyncConnectionPool

from benchmarks.servers.systems.postgres_base import POOL, Message, System

_TABLE = "chat_history"


class LangChain(System):
    def native(self, messages: List[Message]) -> List[Any]:
        kinds = {"user": HumanMessage, "assistant": AIMessage}
        return [kinds[one["role"]](one["content"]) for one in messages]

    async def open(self) -> None:
        self.pool = AsyncConnectionPool(
            self.dsn, min_size=POOL, max_size=POOL, open=False
        )
        await self.pool.open()
        async with self.pool.connection() as connection:
            await PostgresChatMessageHistory.acreate_tables(connection, _TABLE)

    def history(self, session_id: str, connection: Any) -> PostgresChatMessageHistory:
        # It takes nothing but a UUID for the id of a session.
        name = str(uuid.uuid5(uuid.NAMESPACE_URL, session_id))
        return PostgresChatMessageHistory(_TABLE, name, async_connection=connection)

    async def append(self, session_id: str, messages: List[Any]) -> None:
        async with self.pool.connection() as connection:
            await self.history(session_id, connection).aadd_messages(messages)

    async def load(self, session_id: str, last: int) -> List[Any]:
        async with self.pool.connection() as connection:
            found = await self.history(session_id, connection).aget_messages()
        return list(found[-last:])

    async def close(self) -> None:
        await self.pool.close()
