"""Put pgbouncer into .cache/servers, out of Debian's packages, without installing it.

    python3 scripts/pgbouncer.py

No wheel carries it. Where there is no apt-get, an installed one is used.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Optional

import debian

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".cache" / "servers" / "pgbouncer"
_PROGRAM = "usr/sbin/pgbouncer"
# The program, and the libraries that a plain Debian lacks; names differ by release.
_PACKAGE = "pgbouncer"
_LIBRARIES = ("libevent-2.1-7", "libevent-2.1-7t64", "libc-ares2", "libcares2")


def found() -> Optional[Path]:
    """Return the program: that of the environment, the one fetched, or the system's."""
    given = os.environ.get("CONTEXTSTORE_TEST_PGBOUNCER")
    if given:
        return Path(given)
    if (FOLDER / _PROGRAM).exists():
        return FOLDER / _PROGRAM
    installed = shutil.which("pgbouncer", path=f"/usr/sbin:{os.environ.get('PATH')}")
    return Path(installed) if installed else None


def library_path() -> str:
    """Return where the libraries are that were fetched with it."""
    return ":".join(str(path) for path in FOLDER.glob("usr/lib/*-linux-gnu"))


def provide() -> None:
    """Fetch it where it is not there, and say so where it cannot be had."""
    if found() is None:
        debian.provide(_PACKAGE, FOLDER, beside=_LIBRARIES)


if __name__ == "__main__":
    provide()
