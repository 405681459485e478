"""Put libfaketime into .cache/servers, out of Debian's packages: it sets a clock wrong.

    python3 scripts/faketime.py

Where there is no apt-get, an installed one is used.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, List, Optional

import debian

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".cache" / "servers" / "faketime"
_LIBRARY = "usr/lib/*/faketime/libfaketime.so.1"


def found() -> Optional[Path]:
    """Return the library: that of the environment, the one fetched, or the system's."""
    given = os.environ.get("CONTEXTSTORE_TEST_FAKETIME")
    if given:
        return Path(given)
    known: List[Path] = [*FOLDER.glob(_LIBRARY), *Path("/").glob(_LIBRARY)]
    return known[0] if known else None


def environment(library: Path, offset: Path) -> Dict[str, str]:
    """Return what a process is started with whose clock is off.

    Args:
        offset: a file that says by how much, such as ``-3600``; it may change.
    """
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        # What measures durations has to go on.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }


def provide() -> None:
    """Fetch it where it is not there, and say so where it cannot be had."""
    if found() is None:
        debian.provide("libfaketime", FOLDER)


if __name__ == "__main__":
    provide()
