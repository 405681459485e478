"""What all tests share: the header, the hypothesis profiles, the rule on skips."""

from __future__ import annotations

import os
import platform
import sqlite3
from importlib import metadata
from pathlib import Path
from typing import List, Sequence, Union

import pytest
from hypothesis import HealthCheck, settings

import contextstore
from tests.servers import shared
from tests.skips import NotRun

ROOT = Path(__file__).resolve().parent.parent
SHOWN = ("hypothesis", "tiktoken", "numpy", "orjson", "openai")

# No test is timed, and a busy machine must not make one fail.
settings.register_profile(
    "dev",
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "ci",
    settings.get_profile("dev"),
    max_examples=100,
    derandomize=True,
    print_blob=True,
)
# mutmut runs the tests several times in one process, each with objects of its own.
settings.register_profile(
    "mutation",
    settings.get_profile("ci"),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
)
settings.register_profile("deep", settings.get_profile("dev"), max_examples=2000)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev")
)

# tiktoken would download its vocabularies; `make vocab` puts them here instead.
os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(ROOT / ".cache" / "vocab"))

NOT_RUN = pytest.StashKey[NotRun]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[NOT_RUN] = NotRun()
    config.pluginmanager.register(SkipPolicy(config.stash[NOT_RUN]), "skip-policy")


def pytest_report_header() -> List[str]:
    versions = [f"{name} {_version(name)}" for name in SHOWN]
    place = Path(contextstore.__file__).parent
    return [
        f"contextstore {contextstore.__version__} from {place}",
        f"{platform.python_implementation()} {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}, {', '.join(versions)}",
    ]


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"


class SkipPolicy:
    """Count what did not run; with CONTEXTSTORE_STRICT=1 it fails the run."""

    def __init__(self, not_run: NotRun) -> None:
        self.not_run = not_run

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self._note(report)

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        self.not_run.deselected += len(items)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        strict = os.environ.get("CONTEXTSTORE_STRICT") == "1"
        if strict and self.not_run.should_have_run and session.exitstatus == 0:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> None:
        for name, reason in self.not_run.disallowed:
            terminalreporter.write_line(f"should have run: {name}: {reason}", red=True)
        if shared.versions():
            terminalreporter.write_line(f"SERVERS: {', '.join(shared.versions())}")
        terminalreporter.write_line(self.not_run.summary())

    def _note(self, report: Union[pytest.TestReport, pytest.CollectReport]) -> None:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        self.not_run.add(report.nodeid, reason)
