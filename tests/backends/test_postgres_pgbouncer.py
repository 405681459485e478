"""PostgresMemory behind a real pgbouncer, which gives each statement any connection."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import time
from pathlib import Path
from typing import Iterator

import pytest

import pgbouncer
from contextstore import ConfigurationError, PostgresMemory
from tests.servers import postgres
from tests.servers.shared import database_of, postgres_server


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    program = pgbouncer.found()
    if program is None:
        pytest.skip("no pgbouncer: run `make servers`")
    database_of(tmp_path)
    port = postgres.free_port()
    with postgres.place() as folder:
        settings = folder / "pgbouncer.ini"
        settings.write_text(
            "[databases]\n"
            f"* = host=127.0.0.1 port={postgres_server().port} user=postgres\n"
            "[pgbouncer]\npool_mode = transaction\ndefault_pool_size = 3\n"
            f"auth_type = any\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
            "unix_socket_dir =\n"
        )
        settings.chmod(0o644)
        libraries = {**os.environ, "LD_LIBRARY_PATH": pgbouncer.library_path()}
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [str(program), str(settings)],
                stderr=log,
                stdout=log,
                env=libraries,
                **postgres.identity(),
            )
        try:
            yield port
        finally:
            process.kill()
            process.wait()


def test_it_relies_on_no_connection(port: int) -> None:
    dsn = postgres_server().dsn("contextstore", port=port)
    memory = PostgresMemory(dsn, prepare_threshold=None, partitions=4, timeout=20)

    async def work() -> int:
        await memory.save_context("s", [])
        messages = [{"id": f"m{n}", "content": "needle"} for n in range(100)]
        await asyncio.gather(*(memory.append_context("s", [one]) for one in messages))
        await memory.set_metadata("s", {"a": 1})
        await memory.fork_session("s", "t", at="m5")
        await memory.delete_interaction("s", "m7")
        await memory.prune("t", keep_last=1)
        page = await memory.list_sessions(metadata={"a": 1})
        assert {one.session_id for one in page.sessions} == {"s", "t"}
        found = await memory.search_text("needle", session_id="s", limit=500)
        stored = await memory.load_context("s")
        assert len(found) == len(stored)
        assert (await memory.verify()).ok
        await memory.close()
        return len(stored)

    assert asyncio.run(work()) >= 1


def test_what_it_refuses_is_no_reason_to_wait(port: int) -> None:
    dsn = postgres_server().dsn("contextstore", port=port)
    memory = PostgresMemory(dsn, timeout=20)
    start = time.monotonic()
    # One before 1.20 refuses the option that goes with prepared statements.
    with contextlib.suppress(ConfigurationError):
        memory.sync.load_context("s")
    assert time.monotonic() - start < 10
    memory.sync.close()
