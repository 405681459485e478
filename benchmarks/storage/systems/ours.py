"""This library, in both faces."""

from __future__ import annotations

from typing import Any, List, Optional

from benchmarks.storage.systems.base import Message, System
from contextstore import SQLiteMemory


class Ours(System):
    def open_memory(self) -> SQLiteMemory:
        return SQLiteMemory(self.path, durability=self.durability)

    async def open(self) -> None:
        self.memory = self.open_memory()

    async def append(self, session_id: str, messages: List[Message]) -> None:
        await self.memory.append_context(session_id, messages, create=True)

    async def load(self, session_id: str, last: Optional[int]) -> List[Message]:
        return await self.memory.load_context(session_id, last)

    async def save(self, session_id: str, messages: List[Message]) -> None:
        await self.memory.save_context(session_id, messages)

    async def close(self) -> None:
        await self.memory.close()


class OursSync(Ours):
    is_blocking = True

    def open(self) -> Any:
        self.face = self.open_memory().sync

    def append(self, session_id: str, messages: List[Message]) -> Any:
        self.face.append_context(session_id, messages, create=True)

    def load(self, session_id: str, last: Optional[int]) -> Any:
        return self.face.load_context(session_id, last)

    def save(self, session_id: str, messages: List[Message]) -> Any:
        self.face.save_context(session_id, messages)

    def close(self) -> Any:
        self.face.close()
