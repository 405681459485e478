"""Share one Valkey, one cluster and one Sentinel among all tests of a run."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path
from typing import List, Tuple

import pytest

from tests.servers.valkey import Cluster, Sentinel, Valkey, is_synced, program, until


def binary() -> Path:
    """Return the program of the servers; skips where there is none."""
    found = program()
    if found is None:
        pytest.skip("no Valkey: run `make servers`, or set its environment name")
    return found


def folder() -> Path:
    """Return a directory that is removed at the end of the run."""
    path = Path(tempfile.mkdtemp(prefix="contextstore-valkey-"))
    atexit.register(shutil.rmtree, str(path), ignore_errors=True)
    return path


def started(*options: str) -> Valkey:
    """Return a server that is killed at the end of the run at the latest."""
    server = Valkey(folder(), binary(), *options).start()
    atexit.register(server.kill)
    return server


@functools.lru_cache(maxsize=None)
def valkey() -> Valkey:
    """Return the single server of this run."""
    return started()


@functools.lru_cache(maxsize=None)
def cluster() -> Cluster:
    """Return the cluster of this run."""
    made = Cluster(folder(), binary())
    atexit.register(made.kill)
    return made.start()


def with_sentinel() -> Tuple[str, Valkey, Valkey]:
    """Return the address of a service, its master and the replica of that."""
    master = started()
    replica = started("--replicaof", "127.0.0.1", str(master.port))
    until(lambda: is_synced(replica), "the replica is synced")
    sentinel = Sentinel(folder(), binary(), master).start()
    atexit.register(sentinel.kill)
    until(lambda: "slaves=1" in sentinel.info("sentinel"), "the replica is known")
    return f"redis+sentinel://{sentinel.host}/chats", master, replica


def valkey_versions() -> List[str]:
    """Say which servers ran, for the end of the run."""
    running: List[str] = []
    if valkey.cache_info().currsize:
        lines = valkey().info("server").splitlines()
        names = ("valkey_version:", "redis_version:")
        found = [line for line in lines if line.startswith(names)]
        running.append(sorted(found)[-1].replace("_version:", " ").title())
    if cluster.cache_info().currsize:
        running.append("a cluster of 6")
    return running
