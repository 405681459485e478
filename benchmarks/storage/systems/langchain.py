"""The SQL history of LangChain: an object a session, all on one engine."""

from __future__ import annotations

import warnings
from typing import Any, Dict, List, Optional

from benchmarks.storage.systems.base import Message, System

warnings.simplefilter("ignore")

from langchain_community.chat_message_histories import (  # noqa: E402
    SQLChatMessageHistory,
)
from langchain_core.messages import AIMessage, HumanMessage  # noqa: E402
from sqlalchemy.ext.asyncio import create_async_engine  # noqa: E402


class LangChain(System):
    def native(self, messages: List[Message]) -> Any:
        kinds = {"user": HumanMessage, "assistant": AIMessage}
        return [kinds[message["role"]](message["content"]) for message in messages]

    async def open(self) -> None:
        self.engine = create_async_engine(f"sqlite+aiosqlite:///{self.path}")
        self.sessions: Dict[str, Any] = {}

    def session(self, session_id: str) -> Any:
        if session_id not in self.sessions:
            self.sessions[session_id] = SQLChatMessageHistory(
                session_id, connection=self.engine
            )
        return self.sessions[session_id]

    async def append(self, session_id: str, messages: Any) -> None:
        await self.session(session_id).aadd_messages(messages)

    async def load(self, session_id: str, last: Optional[int]) -> Any:
        loaded = await self.session(session_id).aget_messages()
        return loaded if last is None else loaded[-last:]

    async def close(self) -> None:
        await self.engine.dispose()
