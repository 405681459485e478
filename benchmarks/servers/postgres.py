"""Measure stores of conversations on one Postgres.

    PYTHONPATH=scripts python -m benchmarks.servers.postgres [--rounds N] [--seconds S]

Each system has a process, an environment and a database of its own on the same server,
which syncs every commit. 32 tasks append turns of two messages, each to a session of
its own, and load the newest 20 of sessions of 200; they do so in turns of a second or
two, in alternating order. Round trips are counted by a proxy.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List

from benchmarks.common import environments, processes
from benchmarks.common.environments import ROOT
from benchmarks.common.processes import Result, Worker
from tests.servers.failover import needed
from tests.servers.postgres import Postgres, place, reachable
from tests.servers.proxy import Proxy

_WORKER = "benchmarks.servers.postgres_worker"
_KEPT = ROOT / ".cache" / "bench" / "servers-postgres.json"
_TIMEOUT = 600.0
_TASKS = 32
_TURNS = 100
# So often a thing is done before it is counted: statements are prepared by then.
_WARM = 12


def provide_pythons() -> Dict[str, Path]:
    """Make the environments and return the Python of each."""
    pinned = json.loads((Path(__file__).parent / "peers.json").read_text())
    pythons = {
        "ours": environments.provide_ours("servers-ours", "psycopg[binary]==3.3.9")
    }
    for name, packages in pinned.items():
        pythons[name] = environments.provide(f"servers-{name}", packages)
    return pythons


class Bench:
    """Run workers on one server."""

    def __init__(self, server: Postgres, pythons: Dict[str, Path]) -> None:
        self._server = server
        self._pythons = pythons

    def prepare(self, name: str) -> Result:
        """Make the database of a system, and fill it."""
        self._server.ask(f'CREATE DATABASE "{name}"')
        return self._once(name, {"measure": "prepare"})

    def rates(self, rounds: int, seconds: float) -> Dict[str, List[Result]]:
        """Measure all systems in turns."""
        task = {"measure": "rates", "seconds": seconds}
        start: Dict[str, Callable[[], Worker]] = {
            name: partial(self._worker, name, task) for name in self._pythons
        }
        return processes.interleave(start, rounds, _tell)

    def round_trips(self, name: str, what: str) -> float:
        """Count round trips of one append or load."""
        proxy = Proxy(self._server.port)
        worker = self._worker(name, {"measure": "once", "what": what}, proxy.port)
        try:
            for _ in range(_WARM):
                worker.ask()
            before = proxy.round_trips
            worker.ask()
            return proxy.round_trips - before
        finally:
            worker.close()
            proxy.close()

    def _once(self, name: str, task: Dict[str, Any]) -> Result:
        worker = self._worker(name, task)
        try:
            return worker.ask()
        finally:
            worker.close()

    def _worker(self, name: str, task: Dict[str, Any], port: int = 0) -> Worker:
        whole = {
            "system": name,
            "dsn": self._server.dsn(name, port=port or None),
            "tasks": _TASKS,
            "turns": _TURNS,
            **task,
        }
        return Worker(self._pythons[name], _WORKER, whole, timeout=_TIMEOUT)


def _tell(name: str, result: Result) -> None:
    print(f"{name:15} {result}", flush=True)


def run(rounds: int, seconds: float) -> Dict[str, Any]:
    """Take all measures."""
    pythons = provide_pythons()
    binaries = needed()
    with place() as folder:
        server = Postgres(folder, reachable(binaries, folder))
        server.create()
        server.start()
        try:
            bench = Bench(server, pythons)
            for name in pythons:
                _tell(name, bench.prepare(name))
            trips = {
                name: {
                    what: bench.round_trips(name, what) for what in ("append", "load")
                }
                for name in pythons
            }
            for name, found in trips.items():
                _tell(name, found)
            rates = bench.rates(rounds, seconds)
        finally:
            server.stop()
    return {"round trips": trips, "rates": rates}


def summary(kept: Dict[str, Any]) -> str:
    """Return the figures as text: medians, and ratios within a round."""
    rates = kept["rates"]
    lines = []
    for name, results in rates.items():
        trips = kept["round trips"][name]
        figures = [
            f"{key} {processes.median(results, key):,.0f} "
            f"(ours {processes.median_ratio(rates['ours'], results, key):.2f}x)"
            for key in ("appends/s", "loads/s")
        ]
        lines.append(f"{name:15} {'  '.join(figures)}  round trips {trips}")
    return "\n".join(lines)


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
