"""Break a backend the way the world does, and see what it keeps.

Each tool takes the name of a function, ``package.module:function``, that opens a
backend when it is called with a path, as most work is done in processes of their own.
Each returns a FaultReport: counts of what was done, and the broken promises.

- ``run_kills``: SIGKILL at random moments.
- ``run_power_cuts``: every disk that a power cut could leave.
- ``run_crowd``, ``run_first_opens``: many processes on one file.
- ``run_histories``: concurrent calls, checked for linearizability.
- ``run_damage``: damaged files.
- ``run_full_disk``, ``run_read_only``: where nothing can be written.
- ``run_fuzz``: input of any kind; needs hypothesis.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextstore.testing.faults.crowd import run_crowd, run_first_opens
    from contextstore.testing.faults.damage import run_damage
    from contextstore.testing.faults.disks import run_full_disk, run_read_only
    from contextstore.testing.faults.fuzz import run_fuzz
    from contextstore.testing.faults.histories import run_histories
    from contextstore.testing.faults.kills import run_kills
    from contextstore.testing.faults.power import run_power_cuts
    from contextstore.testing.faults.report import FaultReport, Finding

__all__ = [
    "FaultReport",
    "Finding",
    "run_crowd",
    "run_damage",
    "run_first_opens",
    "run_full_disk",
    "run_fuzz",
    "run_histories",
    "run_kills",
    "run_power_cuts",
    "run_read_only",
]

_ROOMS = {
    "FaultReport": "report",
    "Finding": "report",
    "run_crowd": "crowd",
    "run_damage": "damage",
    "run_first_opens": "crowd",
    "run_full_disk": "disks",
    "run_fuzz": "fuzz",
    "run_histories": "histories",
    "run_kills": "kills",
    "run_power_cuts": "power",
    "run_read_only": "disks",
}


def __getattr__(name: str) -> Any:
    # Late, so that a child that is to be killed starts fast.
    if name in _ROOMS:
        return getattr(importlib.import_module(f"{__name__}.{_ROOMS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
