"""Load the end of sessions of Postgres where little is stored, and where much is.

    PYTHONPATH=scripts python -m benchmarks.servers.postgres_scale [MESSAGES]

fills two databases of one server, with 10,000 messages and with 10 million, 100 a
session, by statements of the server itself, and loads the newest 20 of sessions chosen
by chance, in turns so short that both see the same day. It takes some 7 GB of disk and
9 GB of memory, as the buffers of the server hold all of it.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import sys
import time
import zlib
from typing import Any, Dict, List

from contextstore import PostgresMemory
from tests.servers.failover import needed
from tests.servers.postgres import Postgres, place, reachable

_A_SESSION = 100
_BATCH = 2_000
_LOADS = 400
_ROUNDS = 15
_BODY = json.dumps(
    {"role": "user", "content": "so much as a message says on average. " * 8},
    separators=(",", ":"),
).encode()
_KEY = "encode(substr(sha256(convert_to('s' || n, 'UTF8')), 1, 16), 'hex')::uuid"
_NUMBERS = "generate_series({first}, {last}) AS n"
_FILL_SESSIONS = f"""
INSERT INTO context_sessions (session, session_id, last, pruned, changes, created,
    updated, recent, indexed, change, metadata, marks)
SELECT {_KEY}, 's' || n, {_A_SESSION}, 0, 1, 1, 1, 0, 0, gen_random_uuid(), '{{{{}}}}',
    '{{{{}}}}' FROM {_NUMBERS}"""
_FILL_MESSAGES = f"""
INSERT INTO context_messages (session, message_key, position, written, checksum, flags,
    body)
SELECT {_KEY}, gen_random_uuid(), position, 1,
    (crc32(convert_to('s' || n, 'UTF8')) # {zlib.crc32(_BODY)} # position)::bit(32)
        ::integer, 0, '{_BODY.decode().replace("{", "{{").replace("}", "}}")}'::bytea
FROM {_NUMBERS}, generate_series(1::bigint, {_A_SESSION}) AS position"""
_SIZE = """
SELECT sum(pg_total_relation_size(oid)) FROM pg_class
WHERE relname LIKE 'context_messages%' OR relname LIKE 'context_sessions%'"""


def fill(server: Postgres, database: str, messages: int) -> None:
    """Fill a database with sessions of 100 messages each."""
    server.ask(f"CREATE DATABASE {database}")
    face = PostgresMemory(server.dsn(database)).sync
    face.load_context("any")
    face.close()
    sessions = messages // _A_SESSION
    for first in range(0, sessions, _BATCH):
        last = min(first + _BATCH, sessions) - 1
        for statement in (_FILL_SESSIONS, _FILL_MESSAGES):
            server.ask(statement.format(first=first, last=last), database)
    server.ask("VACUUM ANALYZE", database)


async def measure(
    memories: Dict[int, PostgresMemory], most: int
) -> Dict[int, List[float]]:
    """Return microseconds a load, for each number of messages, one figure a round.

    Args:
        most: out of how many sessions those are chosen that are loaded.
    """
    chance = random.Random(1)
    times: Dict[int, List[float]] = {count: [] for count in memories}
    for number in range(_ROUNDS + 1):
        for count, memory in memories.items():
            sessions = min(count // _A_SESSION, most)
            names = [f"s{chance.randrange(sessions)}" for _ in range(_LOADS)]
            start = time.perf_counter()
            for name in names:
                assert len(await memory.load_context(name, 20)) == 20
            spent = (time.perf_counter() - start) / _LOADS * 1e6
            if number:
                times[count].append(spent)
    return times


def run(most: int) -> Dict[str, Any]:
    """Fill, measure and compare."""
    binaries = needed()
    settings = {
        "fsync": "off",
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "max_wal_size": "4GB",
        "autovacuum": "off",
        "shared_buffers": "9GB",
    }
    with place() as folder:
        server = Postgres(folder, reachable(binaries, folder), settings)
        server.create()
        server.start()
        try:
            memories: Dict[int, PostgresMemory] = {}
            result: Dict[str, Any] = {}
            for count in (10_000, most):
                start = time.perf_counter()
                fill(server, f"of_{count}", count)
                size = int(server.ask(_SIZE, f"of_{count}")[0][0])
                result[f"bytes a message, {count:,}"] = size / count
                spent = time.perf_counter() - start
                print(f"filled {count:,} in {spent:.0f} s", flush=True)
                memories[count] = PostgresMemory(server.dsn(f"of_{count}"))
            for which, sessions in (("any", most), ("the same 100", 100)):
                times = asyncio.run(measure(memories, sessions))
                for count, found in times.items():
                    result[f"{which}, of {count:,}, us"] = statistics.median(found)
                ratios = [b / a for a, b in zip(times[10_000], times[most])]
                result[f"{which}, ratio"] = statistics.median(ratios)
        finally:
            server.stop()
    result["bytes of the body"] = len(_BODY)
    return result


if __name__ == "__main__":
    print(json.dumps(run(int((sys.argv[1:] or ["10000000"])[0])), indent=1))
