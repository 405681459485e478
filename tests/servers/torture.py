"""Run the fault tools on servers of Postgres and Valkey, which are started for it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Callable, Iterable, List, Tuple

from contextstore import RedisMemory
from contextstore.backends.redis.layout import Keys
from contextstore.testing.faults.crowd import run_crowd, run_first_opens
from contextstore.testing.faults.histories import run_histories
from contextstore.testing.faults.kills import run_kills
from contextstore.testing.faults.report import FaultReport, Finding, Progress, merged
from tests.servers import openers, shared
from tests.servers.failover import Outcome, judged, run_failover, run_restart
from tests.servers.shared import postgres_server
from tests.servers.shared_valkey import cluster, valkey

# A writer that goes on by itself does so sooner.
_LONGEST_PAUSE = 10.0


def software() -> str:
    """Say which servers ran."""
    return ", ".join(shared.versions())


def kills(place: Path, seed: int, progress: Progress) -> FaultReport:
    """Kill clients, ten times on each kind of server."""
    return merged(
        run_kills(opener, directory, kills=10, seed=seed)
        for opener, directory in _openers(place, progress)
    )


def histories(place: Path, seed: int, progress: Progress) -> FaultReport:
    """Record concurrent calls on each kind of server, and look for their order."""
    return merged(
        run_histories(opener, directory, operations=1440, seed=seed, patience=0.008)
        for opener, directory in _openers(place, progress)
    )


def crowd(place: Path, seed: int, progress: Progress) -> FaultReport:
    """Let processes append to one session, and be the first, on each kind of server."""
    reports: List[FaultReport] = []
    for opener, directory in _openers(place, progress):
        reports.append(run_crowd(opener, directory, processes=8, turns=250))
        reports.append(run_first_opens(opener, directory, processes=8, files=5))
    return merged(reports)


def failovers(place: Path, seed: int, progress: Progress) -> FaultReport:
    """Kill a primary, a lone server and a master of a cluster, each under load."""

    faults: List[Tuple[str, Callable[[], Outcome]]] = [
        ("a primary of Postgres, its standby promoted", run_failover),
        ("a lone Postgres, started again", run_restart),
        ("a master of a cluster of Valkey", lambda: _cluster_failover(f"f{seed}")),
    ]
    reports: List[FaultReport] = []
    for what, run in faults:
        outcome = run()
        progress(f"{what}: {outcome.pause:.1f} s without an answer")
        reports.append(_judged(what, outcome))
    return merged(reports)


def _cluster_failover(namespace: str) -> Outcome:
    nodes = cluster()
    memory = RedisMemory(nodes.url, namespace=namespace, replicas=1, if_fewer="accept")
    victim = nodes.master_of(Keys.of(namespace, "w0").head)
    try:
        return asyncio.run(judged(memory, victim.kill, 32))
    finally:
        nodes.repair()


def _judged(what: str, outcome: Outcome) -> FaultReport:
    findings = [Finding("error", what, error) for error in outcome.errors]
    for kind, count in (("lost", outcome.lost), ("doubled", outcome.doubled)):
        findings += [Finding(kind, what, f"{count} messages")] * bool(count)
    if outcome.pause > _LONGEST_PAUSE:
        findings.append(Finding("error", what, f"{outcome.pause} s without an answer"))
    counts = {
        "servers killed": 1,
        "acknowledged before": outcome.before,
        "after": outcome.after,
        "milliseconds without an answer": round(1000 * outcome.pause),
    }
    return FaultReport(counts, findings)


def _openers(place: Path, progress: Progress) -> Iterable[Tuple[str, Path]]:
    """Give the openers of all kinds of servers, and a directory for each."""
    os.environ[openers.VARIABLE] = postgres_server().dsn("").rstrip("/")
    kinds = {
        "Postgres": ("postgres", ""),
        "Valkey": ("redis", valkey().url),
        "a cluster of Valkey": ("redis", cluster().url),
        "Postgres with a cluster as its cache": ("Tiered", cluster().url),
    }
    for name, (opener, url) in kinds.items():
        os.environ[openers.VALKEY_VARIABLE] = url
        directory = place / name.replace(" ", "-")
        directory.mkdir()
        yield f"tests.servers.openers:{opener}", directory
        progress(name)
