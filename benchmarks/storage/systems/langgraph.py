"""The SQLite saver of LangGraph, used as a graph of messages uses it.

A checkpoint holds the whole state, so that an append is a read, a change and a write.
"""

from __future__ import annotations

from typing import Any, List, Optional

from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from benchmarks.storage.systems.base import Message, System


def _place(session_id: str) -> Any:
    return {"configurable": {"thread_id": session_id, "checkpoint_ns": ""}}


class LangGraph(System):
    async def open(self) -> None:
        self.context = AsyncSqliteSaver.from_conn_string(self.path)
        self.saver = await self.context.__aenter__()

    async def append(self, session_id: str, messages: List[Message]) -> None:
        stored = await self.saver.aget_tuple(_place(session_id))
        state = stored.checkpoint["channel_values"]["messages"] if stored else []
        checkpoint = empty_checkpoint()
        checkpoint["channel_values"] = {"messages": [*state, *messages]}
        config = stored.config if stored else _place(session_id)
        await self.saver.aput(config, checkpoint, {"source": "loop", "step": 1}, {})

    async def load(self, session_id: str, last: Optional[int]) -> List[Message]:
        stored = await self.saver.aget_tuple(_place(session_id))
        found: List[Message] = stored.checkpoint["channel_values"]["messages"]
        return found if last is None else found[-last:]

    async def close(self) -> None:
        await self.context.__aexit__(None, None, None)
