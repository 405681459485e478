"""Find the Pythons of this machine that the project supports.

    python3 scripts/interpreters.py [newest | oldest | 3.X]

prints version and path of the one asked for, or of all, oldest first.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

OLDEST_SUPPORTED = (3, 8)

_PROBE = """
import json, sys, sqlite3, ssl, venv
try:
    import ensurepip
except ImportError:
    ensurepip = None
print(json.dumps([sys.version_info[:4], ensurepip is not None]))
"""


class Interpreter(NamedTuple):
    """One Python: its version, whether it brings pip, and where it is."""

    version: Tuple[int, int, int]
    has_pip: bool
    path: Path

    @property
    def minor(self) -> str:
        """Give the version as it names environments, such as ``3.8``."""
        return f"{self.version[0]}.{self.version[1]}"


def find_all() -> List[Interpreter]:
    """Return one interpreter for each minor version, oldest first.

    Of two with the same minor version the one that brings pip is taken, then the
    later release, then the one found first.
    """
    best: Dict[str, Interpreter] = {}
    for path in _candidates():
        found = _probe(path)
        if found is None or found.version[:2] < OLDEST_SUPPORTED:
            continue
        known = best.get(found.minor)
        if known is None or (found.has_pip, found.version) > (
            known.has_pip,
            known.version,
        ):
            best[found.minor] = found
    return sorted(best.values())


def find(wanted: str) -> Interpreter:
    """Return the ``newest``, the ``oldest`` or the one of a version such as ``3.8``.

    Raises:
        SystemExit: this machine has no such Python.
    """
    found = find_all()
    if not found:
        raise SystemExit("no supported Python (3.8 or newer) on this machine")
    if wanted in ("newest", "oldest"):
        return found[-1 if wanted == "newest" else 0]
    for interpreter in found:
        if interpreter.minor == wanted:
            return interpreter
    present = ", ".join(interpreter.minor for interpreter in found)
    raise SystemExit(f"no Python {wanted} on this machine; present: {present}")


def _candidates() -> Iterator[Path]:
    seen = set()
    for path in _paths():
        real = path.resolve()
        if real not in seen and os.access(str(path), os.X_OK):
            seen.add(real)
            yield path


def _paths() -> Iterator[Path]:
    named = re.compile(r"python3(\.\d+)?")
    for root in (os.environ.get("PYENV_ROOT"), str(Path.home() / ".pyenv")):
        if root:
            yield from sorted(Path(root).glob("versions/*/bin/python"))
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if folder and Path(folder).is_dir() and Path(folder).name != "shims":
            for path in sorted(Path(folder).iterdir()):
                if named.fullmatch(path.name):
                    yield path
    yield Path(sys.executable)


def _probe(path: Path) -> Optional[Interpreter]:
    """Ask an interpreter what it is; None for one that is broken or a pre-release."""
    asked = subprocess.run(
        [str(path), "-I", "-c", _PROBE],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    if asked.returncode != 0:
        return None
    (major, minor, micro, level), has_pip = json.loads(asked.stdout)
    if level != "final":
        return None
    return Interpreter((major, minor, micro), has_pip, path)


def main(arguments: List[str]) -> None:
    """Print what was asked for."""
    chosen = [find(arguments[0])] if arguments else find_all()
    for interpreter in chosen:
        print(interpreter.minor, interpreter.path)


if __name__ == "__main__":
    main(sys.argv[1:])
