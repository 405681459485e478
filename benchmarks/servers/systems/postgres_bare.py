"""Bare psycopg doing the same: one statement for a turn, one for the newest messages.

A row a message with a unique id, positions given out by the row of the session, JSON
and stamps made by the client. Nothing is validated, checked, partitioned or repeated.
"""

from __future__ import annotations

import json
import uuid
from datetime import datetime, timezone
from typing import List

from psycopg_pool import AsyncConnectionPool

from benchmarks.servers.systems.postgres_base import POOL, Message, System

_TABLES = """
CREATE TABLE IF NOT EXISTS sessions (id text PRIMARY KEY, last bigint NOT NULL);
CREATE TABLE IF NOT EXISTS messages (session text, position bigint, id text NOT NULL,
    body bytea NOT NULL, PRIMARY KEY (session, position));
CREATE UNIQUE INDEX IF NOT EXISTS messages_id ON messages (session, id)"""
_APPEND = """
WITH held AS (
    INSERT INTO sessions VALUES (%(session)s, cardinality(%(ids)s::text[]))
    ON CONFLICT (id) DO UPDATE SET
        last = sessions.last + cardinality(%(ids)s::text[])
    RETURNING last
), added AS (
    INSERT INTO messages
    SELECT %(session)s, last - cardinality(%(ids)s::text[]) + number, id, body
    FROM held, unnest(%(ids)s::text[], %(bodies)s::bytea[])
        WITH ORDINALITY AS given (id, body, number)
)
SELECT last FROM held"""
_LOAD = """
SELECT body FROM messages WHERE session = %s ORDER BY position DESC LIMIT %s"""


class Bare(System):
    async def open(self) -> None:
        self.pool = AsyncConnectionPool(
            self.dsn,
            min_size=POOL,
            max_size=POOL,
            kwargs={"autocommit": True},
            open=False,
        )
        await self.pool.open()
        async with self.pool.connection() as connection:
            await connection.execute(_TABLES)

    async def append(self, session_id: str, messages: List[Message]) -> None:
        now = datetime.now(timezone.utc).isoformat()
        stamped = [
            {**one, "id": str(uuid.uuid4()), "timestamp": now} for one in messages
        ]
        values = {
            "session": session_id,
            "ids": [one["id"] for one in stamped],
            "bodies": [
                json.dumps(one, ensure_ascii=False, separators=(",", ":")).encode()
                for one in stamped
            ],
        }
        async with self.pool.connection() as connection:
            cursor = await connection.execute(_APPEND, values, binary=True)
            await cursor.fetchall()

    async def load(self, session_id: str, last: int) -> List[Message]:
        async with self.pool.connection() as connection:
            cursor = await connection.execute(_LOAD, (session_id, last), binary=True)
            found = await cursor.fetchall()
        return [json.loads(body) for (body,) in reversed(found)]

    async def close(self) -> None:
        await self.pool.close()
