"""The RedisChatMessageHistory of LangChain: an object a session; it only loads all."""

from __future__ import annotations

import asyncio
from typing import Any, Dict, List

from langchain_community.chat_message_histories import RedisChatMessageHistory
from langchain_core.messages import AIMessage, HumanMessage

from benchmarks.servers.systems.postgres_base import Message, System


class LangChain(System):
    def native(self, messages: List[Message]) -> List[Any]:
        kinds = {"user": HumanMessage, "assistant": AIMessage}
        return [kinds[one["role"]](content=one["content"]) for one in messages]

    async def open(self) -> None:
        self.sessions: Dict[str, Any] = {}

    def session(self, session_id: str) -> Any:
        if session_id not in self.sessions:
            made = RedisChatMessageHistory(session_id, url=self.dsn)
            self.sessions[session_id] = made
        return self.sessions[session_id]

    async def append(self, session_id: str, messages: List[Any]) -> None:
        session = self.session(session_id)
        await asyncio.to_thread(session.add_messages, messages)

    async def load(self, session_id: str, last: int) -> List[Any]:
        session = self.session(session_id)
        return (await asyncio.to_thread(lambda: session.messages))[-last:]
