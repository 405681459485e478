"""Put pgbouncer into .cache/servers, out of Debian's packages, without installing it.

    python3 scripts/pgbouncer.py

No wheel carries it. Where there is no apt-get, an installed one is used.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Optional

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
    if found() is not None:
        return
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        print("NO PGBOUNCER: install it, there is no apt-get here", file=sys.stderr)
        return
    print("taking pgbouncer from Debian", flush=True)
    FOLDER.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=str(FOLDER.parent)) as place:
        if not _download(_PACKAGE, place):
            print("NO PGBOUNCER: apt-get could not fetch it", file=sys.stderr)
            return
        for name in _LIBRARIES:
            _download(name, place)
        unpacked = Path(place) / "unpacked"
        for package in Path(place).glob("*.deb"):
            command = ["dpkg-deb", "-x", str(package), str(unpacked)]
            subprocess.run(command, check=True)
        unpacked.rename(FOLDER)


def _download(package: str, folder: str) -> bool:
    silent = subprocess.DEVNULL
    command = ["apt-get", "download", "-qq", package]
    done = subprocess.run(
        command, cwd=folder, stdout=silent, stderr=silent, check=False
    )
    return done.returncode == 0


if __name__ == "__main__":
    provide()
