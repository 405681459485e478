"""The SQLiteSession of openai-agents: an object a session, all on one file."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from agents.memory import SQLiteSession

from benchmarks.storage.systems.base import Message, System


class OpenAIAgents(System):
    async def open(self) -> None:
        self.sessions: Dict[str, Any] = {}

    def session(self, session_id: str) -> Any:
        if session_id not in self.sessions:
            self.sessions[session_id] = SQLiteSession(session_id, self.path)
        return self.sessions[session_id]

    async def append(self, session_id: str, messages: List[Message]) -> None:
        await self.session(session_id).add_items(messages)

    async def load(self, session_id: str, last: Optional[int]) -> List[Message]:
        loaded: List[Message] = await self.session(session_id).get_items(last)
        return loaded

    async def close(self) -> None:
        for session in self.sessions.values():
            session.close()
