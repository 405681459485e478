"""Describe the machine that figures come from, as far as they depend on it."""

from __future__ import annotations

import os
import platform
import sqlite3
import time
from pathlib import Path
from typing import Dict, List

_BLOCK = bytes(4096)


def describe(folder: Path) -> Dict[str, str]:
    """Return what a reader needs to know of the machine and of a folder's disk."""
    return {
        "cores": str(os.cpu_count()),
        "load while starting": f"{os.getloadavg()[0]:.1f}",
        "file system": file_system(folder),
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "kernel": f"{platform.system()} {platform.release().partition('-')[0]}",
    }


def fdatasync_microseconds(folder: Path, count: int) -> List[float]:
    """Append a page to a file and sync it, over and over; return what each took."""
    path = folder / "fdatasync"
    taken: List[float] = []
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    try:
        for _ in range(count):
            start = time.perf_counter()
            os.write(file, _BLOCK)
            os.fdatasync(file)
            taken.append((time.perf_counter() - start) * 1e6)
    finally:
        os.close(file)
        path.unlink()
    return taken


def file_system(folder: Path) -> str:
    """Return the type of the file system that holds a folder, such as ``ext4``."""
    best, kind = "", "unknown"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, found, *_ = line.split()
        inside = folder == Path(mount) or Path(mount) in folder.parents
        if inside and len(mount) >= len(best):
            best, kind = mount, found
    return kind
