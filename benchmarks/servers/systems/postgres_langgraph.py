"""The Postgres saver of LangGraph, used as a graph of messages uses it.

A checkpoint holds the whole state, so that an append is a read, a change and a write.
"""

from __future__ import annotations

from typing import Any, List

from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from benchmarks.servers.systems.postgres_base import POOL, Message, System


def _place(session_id: str) -> Any:
    return {"configurable": {"thread_id": session_id, "checkpoint_ns": ""}}


class LangGraph(System):
    async def open(self) -> None:
        settings = {"autocommit": True, "prepare_threshold": 5, "row_factory": dict_row}
        self.pool = AsyncConnectionPool(
            self.dsn, min_size=POOL, max_size=POOL, kwargs=settings, open=False
        )
        await self.pool.open()
        self.saver = AsyncPostgresSaver(self.pool)
        await self.saver.setup()

    async def append(self, session_id: str, messages: List[Message]) -> None:
        stored = await self.saver.aget_tuple(_place(session_id))
        state = stored.checkpoint["channel_values"]["messages"] if stored else []
        checkpoint = empty_checkpoint()
        checkpoint["channel_values"] = {"messages": [*state, *messages]}
        version = f"{len(state) + len(messages):032}"
        checkpoint["channel_versions"] = {"messages": version}
        config = stored.config if stored else _place(session_id)
        metadata: Any = {"source": "loop", "step": 1}
        await self.saver.aput(config, checkpoint, metadata, {"messages": version})

    async def load(self, session_id: str, last: int) -> List[Message]:
        stored = await self.saver.aget_tuple(_place(session_id))
        assert stored is not None
        found: List[Message] = stored.checkpoint["channel_values"]["messages"]
        return found[-last:]

    async def close(self) -> None:
        await self.pool.close()
