"""Measure stores of conversations on one Valkey.

    PYTHONPATH=scripts python -m benchmarks.servers.redis [--rounds N] [--seconds S]

Each system has a process, an environment and a database of its own on the same server,
without an append-only file. 32 tasks append turns of two messages, each to a session of
its own, and load the newest 20 of sessions of 200; they do so in turns of a second or
two, in alternating order. Round trips are counted by a proxy. Then 64 tasks make 10,000
sessions, and the bytes of a stored message are measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any, Dict

from benchmarks.common import environments, processes
from benchmarks.common.environments import ROOT
from benchmarks.common.processes import Result, Worker
from benchmarks.servers.postgres import Bench, _tell
from benchmarks.storage import payload
from contextstore import RedisMemory
from tests.servers.valkey import Valkey, program

_WORKER = "benchmarks.servers.postgres_worker"
_KEPT = ROOT / ".cache" / "bench" / "servers-redis.json"
_TIMEOUT = 600.0
_OURS = "redis-ours"


def provide_pythons() -> Dict[str, Path]:
    """Make the environments and return the Python of each."""
    pinned = json.loads((Path(__file__).parent / "peers-redis.json").read_text())
    # The second has the C codec of the extra "fast".
    pythons = {
        _OURS: environments.provide_ours("servers-redis-ours", "redis[hiredis]==8.1.0"),
        f"{_OURS}-fast": environments.provide_ours(
            "servers-redis-ours-fast", "redis[hiredis]==8.1.0", "orjson==3.13.0"
        ),
    }
    for name, packages in pinned.items():
        pythons[name] = environments.provide(f"servers-{name}", packages)
    return pythons


class RedisBench(Bench):
    """Run workers on one server, each in a database by number."""

    def __init__(self, server: Valkey, pythons: Dict[str, Path]) -> None:
        self._server = server  # type: ignore[assignment]
        self._pythons = pythons
        self._numbers = {name: number for number, name in enumerate(pythons)}

    def prepare(self, name: str) -> Result:
        return self._once(name, {"measure": "prepare"})

    def _worker(self, name: str, task: Dict[str, Any], port: int = 0) -> Worker:
        place = f"127.0.0.1:{port or self._server.port}/{self._numbers[name]}"
        whole = {
            "system": name,
            "dsn": f"redis://{place}",
            "tasks": 32,
            "turns": 100,
            **task,
        }
        return Worker(self._pythons[name], _WORKER, whole, timeout=_TIMEOUT)


def bytes_a_message(binary: Path) -> Dict[str, Dict[str, int]]:
    """Store sessions of several lengths, and return what a message takes of memory."""
    found: Dict[str, Dict[str, int]] = {}
    for length in (10, 100, 1000):
        with tempfile.TemporaryDirectory() as folder:
            server = Valkey(Path(folder), binary).start()
            history = payload.stamped_history(length)
            sessions = 20_000 // length
            memory = RedisMemory(server.url)
            memory.sync.save_context("warm", history)
            before = _used(server)
            for number in range(sessions):
                memory.sync.append_context(f"session {number}", history, create=True)
            taken = (_used(server) - before) / (sessions * length)
            memory.sync.close()
            server.kill()
        body = payload.size(history) / length
        found[f"{length} a session"] = {"body": round(body), "whole": round(taken)}
    return found


def _used(server: Valkey) -> int:
    lines = server.info("memory").splitlines()
    return int(next(one for one in lines if one.startswith("used_memory:"))[12:])


def crowd(server: Valkey, sessions: int = 10_000, tasks: int = 64) -> Dict[str, float]:
    """Make sessions from many tasks, with two appends and a load each."""
    turns = list(islice(payload.turns(), 64))
    numbers = iter(range(sessions))

    async def run() -> float:
        memory = RedisMemory(f"{server.url}/15")
        start = time.perf_counter()

        async def work() -> None:
            for number in numbers:
                name = f"session {number}"
                await memory.append_context(name, turns[number % 64], create=True)
                await memory.append_context(name, turns[(number + 1) % 64])
                assert len(await memory.load_context(name, 20)) == 4

        await asyncio.gather(*(work() for _ in range(tasks)))
        taken = time.perf_counter() - start
        report = await memory.verify()
        assert report.ok, report.problems[:3]
        assert report.session_count == sessions
        await memory.close()
        return taken

    seconds = asyncio.run(run())
    return {"sessions": sessions, "tasks": tasks, "seconds": round(seconds, 2)}


def run(rounds: int, seconds: float) -> Dict[str, Any]:
    """Take all measures."""
    pythons = provide_pythons()
    binary = program()
    assert binary is not None, "no Valkey: run `make servers`"
    with tempfile.TemporaryDirectory() as folder:
        server = Valkey(Path(folder), binary).start()
        try:
            bench = RedisBench(server, pythons)
            for name in pythons:
                _tell(name, bench.prepare(name))
            trips = {
                name: {
                    what: bench.round_trips(name, what) for what in ("append", "load")
                }
                for name in pythons
            }
            for name, counted in trips.items():
                _tell(name, counted)
            rates = bench.rates(rounds, seconds)
            crowded = crowd(server)
            sizes = bytes_a_message(binary)
        finally:
            server.kill()
    return {"round trips": trips, "rates": rates, "crowd": crowded, "bytes": sizes}


def summary(kept: Dict[str, Any]) -> str:
    """Return the figures as text: medians, and ratios within a round."""
    rates = kept["rates"]
    lines = []
    for name, results in rates.items():
        figures = [
            f"{key} {processes.median(results, key):,.0f} "
            f"(ours {processes.median_ratio(rates[_OURS], results, key):.2f}x)"
            for key in ("appends/s", "loads/s")
        ]
        trips = kept["round trips"][name]
        lines.append(f"{name:20} {'  '.join(figures)}  round trips {trips}")
    return "\n".join([*lines, f"crowd {kept['crowd']}", f"bytes {kept['bytes']}"])


def main() -> None:
    """Measure, keep the figures and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.5)
    options = parser.parse_args()
    kept = run(options.rounds, options.seconds)
    _KEPT.parent.mkdir(parents=True, exist_ok=True)
    _KEPT.write_text(json.dumps(kept, indent=1))
    print(summary(kept))


if __name__ == "__main__":
    main()
