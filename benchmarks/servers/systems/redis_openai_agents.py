"""The RedisSession of openai-agents: an object a session, all on one client."""

from __future__ import annotations

from typing import Any, Dict, List

import redis.asyncio
from agents.extensions.memory.redis_session import RedisSession

from benchmarks.servers.systems.postgres_base import Message, System


class OpenAIAgents(System):
    async def open(self) -> None:
        self.client = redis.asyncio.Redis.from_url(self.dsn)
        self.sessions: Dict[str, Any] = {}

    def session(self, session_id: str) -> Any:
        if session_id not in self.sessions:
            made = RedisSession(session_id, redis_client=self.client)
            self.sessions[session_id] = made
        return self.sessions[session_id]

    async def append(self, session_id: str, messages: List[Message]) -> None:
        await self.session(session_id).add_items(messages)

    async def load(self, session_id: str, last: int) -> List[Message]:
        loaded: List[Message] = await self.session(session_id).get_items(last)
        return loaded

    async def close(self) -> None:
        await self.client.aclose()
