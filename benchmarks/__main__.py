"""Measure this library beside others: python -m benchmarks [ROOM ...], all by default.

A room is a folder here that can be run, such as ``storage``. What a room has to say it
writes into docs/benchmarks.md, or prints.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def main() -> None:
    here = Path(__file__).parent
    rooms = sorted(path.parent.name for path in here.glob("*/__main__.py"))
    unknown = set(sys.argv[1:]) - set(rooms)
    if unknown:
        raise SystemExit(f"no such room: {sorted(unknown)}; there are {rooms}")
    for room in sys.argv[1:] or rooms:
        print(f"benchmarks.{room}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{room}"]
        subprocess.run(command, cwd=here.parent, check=True)


if __name__ == "__main__":
    main()
