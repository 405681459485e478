"""Share one server of each kind among all tests of a run."""

from __future__ import annotations

import atexit
import contextlib
from pathlib import Path
from typing import Dict, List, Optional

import pytest

from tests.servers import postgres
from tests.servers.shared_valkey import valkey_versions

_started: Dict[str, postgres.Postgres] = {}
_cleanup = contextlib.ExitStack()
# The database that belongs to each directory of a test.
_databases: Dict[Path, str] = {}


def postgres_server() -> postgres.Postgres:
    """Return the Postgres of this run, started at the first call."""
    if "postgres" not in _started:
        binaries = postgres.programs()
        if binaries is None:
            pytest.skip("no Postgres: run `make servers`, or set its environment name")
        folder = _cleanup.enter_context(postgres.place())
        server = postgres.Postgres(
            folder, postgres.reachable(binaries, folder), postgres.FAST
        )
        server.create()
        server.start()
        _cleanup.callback(server.stop)
        atexit.register(_cleanup.close)
        _started["postgres"] = server
    return _started["postgres"]


_TABLES = ["sessions", "messages", "texts", "summaries", "vectors"]


def database_of(directory: Path) -> str:
    """Return the address of an empty database; the same for the same directory.

    There is one, emptied between tests: to make one takes longer than a test.
    """
    server = postgres_server()
    if directory not in _databases:
        _databases.clear()
        _databases[directory] = server.dsn("contextstore")
        _empty(server)
    return _databases[directory]


def _empty(server: postgres.Postgres) -> None:
    if not server.ask("SELECT 1 FROM pg_database WHERE datname = 'contextstore'"):
        server.ask("CREATE DATABASE contextstore")
    elif server.ask("SELECT to_regclass('context_schema')", "contextstore")[0][0]:
        delete = [f"DELETE FROM context_{name}" for name in _TABLES]
        server.ask(
            "; ".join([*delete, "UPDATE context_schema SET searched = 0"]),
            "contextstore",
        )


def need_pgvector() -> None:
    """Leave a test out, loudly, where the server has no pgvector, as Debian's."""
    available = "SELECT 1 FROM pg_available_extensions WHERE name = 'vector'"
    if not postgres_server().ask(available):
        pytest.skip("this Postgres has no pgvector: run `make servers`")


def versions() -> List[str]:
    """Say which servers ran, for the end of the run."""
    server: Optional[postgres.Postgres] = _started.get("postgres")
    if server is None:
        return valkey_versions()
    return [
        f"Postgres {server.ask('SHOW server_version')[0][0]}",
        *valkey_versions(),
    ]
