"""Keep messages in Postgres: one durable record that many machines share."""

from __future__ import annotations

from contextstore.backends.postgres.memory import PostgresMemory

__all__ = ["PostgresMemory"]
