"""contextstore 1.0.1: a JSON array a session."""

from __future__ import annotations

from typing import List, Optional

from benchmarks.storage.systems.base import Message, System
from contextstore import SQLiteMemory


class ContextStore1(System):
    async def open(self) -> None:
        self.memory = SQLiteMemory(self.path)

    async def append(self, session_id: str, messages: List[Message]) -> None:
        try:
            await self.memory.append_context(session_id, messages)
        except ValueError:
            await self.memory.save_context(session_id, messages)

    async def load(self, session_id: str, last: Optional[int]) -> List[Message]:
        loaded: List[Message] = await self.memory.load_context(session_id, last)
        return loaded

    async def save(self, session_id: str, messages: List[Message]) -> None:
        await self.memory.save_context(session_id, messages)

    async def close(self) -> None:
        pass
