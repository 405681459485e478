"""Open backends on a server by a path, as the fault tools ask for it.

The server is named by the environment, which the processes of a tool inherit; each path
stands for a database of its own.
"""

from __future__ import annotations

import hashlib
import os

from contextstore import PostgresMemory, RedisMemory

VARIABLE = "CONTEXTSTORE_TEST_PG_URL"
VALKEY_VARIABLE = "CONTEXTSTORE_TEST_VALKEY_URL"


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
