"""Take programs out of Debian's packages, without installing them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Sequence


def provide(package: str, folder: Path, *, beside: Sequence[str] = ()) -> None:
    """Unpack a package into a folder, and say so where it cannot be had.

    Args:
        beside: packages that are unpacked there as well, where they can be had: names
            of libraries differ by release.
    """
    name = package.upper()
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        print(f"NO {name}: install it, there is no apt-get here", file=sys.stderr)
        return
    print(f"taking {package} from Debian", flush=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=str(folder.parent)) as place:
        if not _download(package, place):
            print(f"NO {name}: apt-get could not fetch it", file=sys.stderr)
            return
        for other in beside:
            _download(other, place)
        unpacked = Path(place) / "unpacked"
        for archive in Path(place).glob("*.deb"):
            command = ["dpkg-deb", "-x", str(archive), str(unpacked)]
            subprocess.run(command, check=True)
        # In one step, so that a run that is cut short leaves no half of it.
        unpacked.rename(folder)


def _download(package: str, folder: str) -> bool:
    silent = subprocess.DEVNULL
    command = ["apt-get", "download", "-qq", package]
    done = subprocess.run(
        command, cwd=folder, stdout=silent, stderr=silent, check=False
    )
    return done.returncode == 0
