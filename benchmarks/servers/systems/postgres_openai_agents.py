"""The SQLAlchemySession of openai-agents on asyncpg: one engine for all sessions."""

from __future__ import annotations

from typing import Any, Dict, List

from agents.extensions.memory import SQLAlchemySession
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.servers.systems.postgres_base import POOL, Message, System


class OpenAIAgents(System):
    async def open(self) -> None:
        url = self.dsn.replace("postgresql://", "postgresql+asyncpg://")
        self.engine = create_async_engine(url, pool_size=POOL, max_overflow=0)
        self.sessions: Dict[str, Any] = {}
        # The tables are made before many sessions try to at once.
        await self.session("first").get_items(1)

    def session(self, session_id: str) -> Any:
        if session_id not in self.sessions:
            self.sessions[session_id] = SQLAlchemySession(
                session_id, engine=self.engine, create_tables=True
            )
        return self.sessions[session_id]

    async def append(self, session_id: str, messages: List[Message]) -> None:
        await self.session(session_id).add_items(messages)

    async def load(self, session_id: str, last: int) -> List[Message]:
        loaded: List[Message] = await self.session(session_id).get_items(last)
        return loaded

    async def close(self) -> None:
        await self.engine.dispose()
