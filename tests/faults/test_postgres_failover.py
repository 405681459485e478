"""A Postgres that dies takes nothing with it that was acknowledged."""

from __future__ import annotations

import pytest

from tests.servers.failover import Outcome, run_failover, run_restart
from tests.servers.postgres import programs


@pytest.fixture(autouse=True)
def server_programs() -> None:
    if programs() is None:
        pytest.skip("no Postgres: run `make servers`, or set its environment name")


def judged(outcome: Outcome) -> None:
    assert outcome.errors == []
    assert (outcome.lost, outcome.doubled) == (0, 0)
    assert outcome.before > 0
    assert outcome.after > 0


def test_a_promoted_standby_has_all_that_was_acknowledged() -> None:
    judged(run_failover(writers=32))


def test_a_server_that_is_started_again_has_all_that_was_acknowledged() -> None:
    judged(run_restart())
