"""A clock that is an hour off loses nothing, and expires nothing of others early."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Callable, Iterator, List, NamedTuple, Optional

import pytest

import faketime
from contextstore import MemoryBackend, PostgresMemory, RedisMemory
from contextstore.backends.redis.layout import Keys
from contextstore.sync import SyncMemory
from contextstore.testing.memory_suite import bare, message, numbered
from tests.servers.failover import needed
from tests.servers.postgres import FAST, Postgres, place, reachable
from tests.servers.shared import database_of
from tests.servers.shared_valkey import binary, folder, valkey
from tests.servers.valkey import Valkey, namespace, until

HOUR = 3600
HALF_AN_HOUR = timedelta(minutes=30)


class Clocked(NamedTuple):
    """Be a memory on a server whose clock can be set wrong."""

    open: Callable[[Optional[timedelta]], MemoryBackend]
    offset: Path
    server: Any
    now: Callable[[], float]

    def set_off_by(self, seconds: int) -> None:
        """Set the clock, and wait until the server has looked at it."""
        self.offset.write_text(f"{seconds:+d}\n")
        until(lambda: abs(self.now() - time.time() - seconds) < 60, "it is set")


def library() -> Path:
    found = faketime.found()
    if found is None:
        pytest.skip("no libfaketime: run `make servers`")
    return found


def with_clock(server: Any, directory: Path) -> Path:
    """Give a server that is not started yet a clock of its own, which is right."""
    copied = directory / "libfaketime.so"
    shutil.copy(str(library()), str(copied))
    copied.chmod(0o755)
    offset = directory / "offset"
    offset.write_text("+0\n")
    offset.chmod(0o644)
    server.environment = faketime.environment(copied, offset)
    return offset


def of_valkey() -> Iterator[Clocked]:
    directory = folder()
    server = Valkey(directory, binary())
    offset = with_clock(server, directory)
    server.start()
    try:
        yield Clocked(
            lambda ttl: RedisMemory(server.url, ttl=ttl),
            offset,
            server,
            lambda: float(server.ask("TIME")[0]),
        )
    finally:
        server.kill()


def of_postgres() -> Iterator[Clocked]:
    binaries = needed()
    with place() as directory:
        server = Postgres(directory, reachable(binaries, directory), FAST)
        server.create()
        offset = with_clock(server, directory)
        server.start()

        def opened(lifetime: Optional[timedelta]) -> MemoryBackend:
            return PostgresMemory(server.dsn(), partitions=1, expire_after=lifetime)

        now = "SELECT extract(epoch FROM clock_timestamp())::float8"
        try:
            yield Clocked(opened, offset, server, lambda: float(server.ask(now)[0][0]))
        finally:
            server.stop()


@pytest.fixture(params=[of_valkey, of_postgres])
def clocked(request: pytest.FixtureRequest) -> Iterator[Clocked]:
    yield from request.param()


class Seen(NamedTuple):
    """Be what may never go back in a session."""

    updated_at: datetime
    version: int


def seen(face: SyncMemory) -> Seen:
    info = face.session_info("s")
    return Seen(_time(info.updated_at), info.version)


def _time(text: str) -> datetime:
    return datetime.strptime(text.replace("+00:00", "+0000"), "%Y-%m-%dT%H:%M:%S.%f%z")


CHANGES: List[Callable[[SyncMemory], Any]] = [
    lambda face: face.append_context("s", [bare("text")]),
    lambda face: face.set_metadata("s", {"state": face.session_info("s").version}),
    lambda face: face.save_context("s", [*numbered(1, 3), message(9)]),
    lambda face: face.delete_interaction("s", "m9"),
]


def test_the_times_of_a_session_never_go_back(clocked: Clocked) -> None:
    """As after a failover to a server that is behind, and back to one that is right."""
    face = clocked.open(None).sync
    face.save_context("s", numbered(1, 3))
    created_at = face.session_info("s").created_at
    states = [seen(face)]
    for off in (-HOUR, HOUR, 0):
        clocked.set_off_by(off)
        for change in CHANGES:
            change(face)
            states.append(seen(face))
    for before, after in zip(states, states[1:]):
        assert after.updated_at >= before.updated_at
        assert after.version > before.version
    assert states[-1].updated_at - states[0].updated_at > HALF_AN_HOUR
    assert face.session_info("s").created_at == created_at
    assert [one["id"] for one in face.load_context("s")] == ["m1", "m2", "m3"]
    assert face.verify().ok
    face.close()


def test_a_server_that_is_behind_expires_and_prunes_nothing_early(
    clocked: Clocked,
) -> None:
    face = clocked.open(HALF_AN_HOUR).sync
    face.append_context("s", numbered(1, 2), create=True)
    clocked.set_off_by(-HOUR)
    assert face.load_context("s") == numbered(1, 2)
    face.append_context("s", [message(3)])
    face.append_context("t", [message(4)], create=True)
    assert face.prune(older_than=HALF_AN_HOUR, dry_run=True).removed == {}
    assert face.load_context("s") == numbered(1, 3)
    assert face.load_context("t") == [message(4)]
    face.close()


def test_what_expires_in_valkey_does_so_by_the_clock_that_is_right_again() -> None:
    """A time from when the clock was ahead does not make it live longer."""
    for clocked in of_valkey():
        face = clocked.open(HALF_AN_HOUR).sync
        clocked.set_off_by(HOUR)
        face.append_context("s", [message(1)], create=True)
        clocked.set_off_by(0)
        for change in CHANGES[:3]:
            change(face)
            left = [clocked.server.ask("PTTL", key) for key in Keys.of("cs", "s")]
            assert max(left) <= 1_800_000
            assert min(left) > 1_700_000
        face.close()


_CLIENT = """
import sys
from datetime import datetime, timedelta
from contextstore import open_memory

url, options, = sys.argv[1], eval(sys.argv[2])
face = open_memory(url, **options).sync
print(datetime.now().timestamp())
face.append_context("s", [{"id": "theirs"}])
face.append_context("t", [{"id": "theirs"}], create=True)
assert face.prune(older_than=timedelta(minutes=30)).removed == {}
assert face.prune("s", older_than=timedelta(minutes=30)).removed == {}
assert len(face.load_context("s")) == 2
face.close()
"""


@pytest.mark.parametrize("off", [HOUR, -HOUR])
@pytest.mark.parametrize("kind", ["postgres", "valkey"])
def test_the_clock_of_a_client_decides_nothing(
    kind: str, off: int, tmp_path: Path
) -> None:
    options: Any
    if kind == "postgres":
        url, options = database_of(tmp_path), {"expire_after": HALF_AN_HOUR}
        face = PostgresMemory(url, **options).sync
    else:
        url, options = valkey().url, {"ttl": HALF_AN_HOUR}
        options["namespace"] = namespace(tmp_path)
        face = RedisMemory(url, **options).sync
    face.append_context("s", [message(1)], create=True)
    offset = tmp_path / "offset"
    offset.write_text(f"{off:+d}\n")
    given = repr(options).replace("datetime.timedelta", "timedelta")
    done = subprocess.run(
        [sys.executable, "-c", _CLIENT, url, given],
        env={**os.environ, **faketime.environment(library(), offset)},
        stdout=subprocess.PIPE,
        check=True,
    )
    assert abs(float(done.stdout) - time.time() - off) < 60
    for session_id in ("s", "t"):
        assert face.load_context(session_id)[-1]["id"] == "theirs"
        updated = _time(face.session_info(session_id).updated_at).timestamp()
        assert abs(updated - time.time()) < 60
    assert face.prune(older_than=HALF_AN_HOUR).removed == {}
    listed = [one.session_id for one in face.list_sessions().sessions]
    assert sorted(listed) == ["s", "t"]
    face.close()
