"""Open backends on a server by a path, as the fault tools ask for it.

The server is named by the environment, which the processes of a tool inherit; each path
stands for a database of its own.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any, ClassVar, Dict, List, Optional

from contextstore import PostgresMemory, RedisMemory, TieredMemory
from contextstore.messages import decode

VARIABLE = "CONTEXTSTORE_TEST_PG_URL"
VALKEY_VARIABLE = "CONTEXTSTORE_TEST_VALKEY_URL"
# More messages than a session of the tools ever has.
_ALL = 10_000


def postgres(path: str) -> PostgresMemory:
    """Open the database that stands for a path; the first call makes it."""
    import psycopg

    server = os.environ[VARIABLE]
    name = f"path_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        try:
            connection.execute(f"CREATE DATABASE {name}".encode())
        except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
            pass
    return PostgresMemory(f"{server}/{name}", partitions=2, pool_size=4)


def redis(path: str) -> RedisMemory:
    """Open the namespace that stands for a path."""
    name = hashlib.sha256(str(path).encode()).hexdigest()[:16]
    return RedisMemory(os.environ[VALKEY_VARIABLE], namespace=name)


class Tiered(TieredMemory):
    """Ask the cache whenever a load of all messages can be served by it.

    The tools load whole sessions, which the record alone would answer. It closes what
    it stands on, as it made that.
    """

    runs_inline = True
    prepares_messages = True
    hits: ClassVar[int] = 0

    def __init__(self, path: str) -> None:
        self.record = postgres(path)
        self.cache = redis(path)
        super().__init__(self.record, self.cache, window=_ALL)

    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Dict[str, Any]]:
        before = self.cache_hits
        loaded = await super().load_context(session_id, _ALL if k is None else k)
        Tiered.hits += self.cache_hits - before
        return loaded

    async def close(self) -> None:
        await self.record.close()
        await self.cache.close()


class BelievesTheCache(Tiered):
    """Serve what the cache has, whatever version the record is at: the fault."""

    runs_inline = True
    prepares_messages = True

    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Dict[str, Any]]:
        copies = await self.cache.load_context(session_id, k)
        if copies:
            return [decode(one["copy"].encode()) for one in copies]
        return await super().load_context(session_id, k)
