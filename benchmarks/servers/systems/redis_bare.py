"""Bare redis-py doing the same: one script for a turn, one LRANGE for the newest.

A list of bodies, a hash of ids and a version; JSON and stamps are made by the client.
Nothing is validated, checked, sealed or repeated.
"""

from __future__ import annotations

import json
import uuid
from datetime import datetime, timezone
from typing import List

import redis.asyncio

from benchmarks.servers.systems.postgres_base import Message, System

_APPEND = """
local last = redis.call('LLEN', KEYS[1])
for index = 1, #ARGV, 2 do
  last = redis.call('RPUSH', KEYS[1], ARGV[index + 1])
  redis.call('HSET', KEYS[2], ARGV[index], last)
end
return redis.call('HINCRBY', KEYS[3], 'version', #ARGV / 2)"""


class Bare(System):
    async def open(self) -> None:
        self.client = redis.asyncio.Redis.from_url(self.dsn)
        self.script = self.client.register_script(_APPEND)

    async def append(self, session_id: str, messages: List[Message]) -> None:
        now = datetime.now(timezone.utc).isoformat()
        arguments = []
        for one in messages:
            name = str(uuid.uuid4())
            stamped = {**one, "id": name, "timestamp": now}
            body = json.dumps(stamped, ensure_ascii=False, separators=(",", ":"))
            arguments += [name, body]
        tag = f"{{{session_id}}}"
        await self.script(keys=[tag, f"{tag}:i", f"{tag}:h"], args=arguments)

    async def load(self, session_id: str, last: int) -> List[Message]:
        found = await self.client.lrange(f"{{{session_id}}}", -last, -1)
        return [json.loads(body) for body in found]

    async def close(self) -> None:
        await self.client.aclose()
