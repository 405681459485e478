"""This library, as it comes."""

from __future__ import annotations

from typing import List

from benchmarks.servers.systems.postgres_base import POOL, Message, System
from contextstore import PostgresMemory


class Ours(System):
    async def open(self) -> None:
        self.memory = PostgresMemory(self.dsn, pool_size=POOL)

    async def append(self, session_id: str, messages: List[Message]) -> None:
        await self.memory.append_context(session_id, messages, create=True)

    async def load(self, session_id: str, last: int) -> List[Message]:
        return await self.memory.load_context(session_id, last)

    async def close(self) -> None:
        await self.memory.close()
