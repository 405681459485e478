"""Keep messages in Redis or Valkey: a single server, Sentinels, or a cluster."""

from __future__ import annotations

from contextstore.backends.redis.memory import RedisMemory

__all__ = ["RedisMemory"]
