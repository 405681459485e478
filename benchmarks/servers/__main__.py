"""Measure stores of conversations on servers of our own: Postgres, then Valkey.

    python -m benchmarks.servers [option ...]

The options are those of both, ``benchmarks.servers.postgres`` and ``.redis``.
``benchmarks.servers.postgres_scale`` stores ten million messages and is run by itself.
"""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.common.environments import ROOT


def main() -> None:
    """Run one after the other; both start servers by the scripts of the tests."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    for name in ("postgres", "redis"):
        command = [sys.executable, "-m", f"benchmarks.servers.{name}", *sys.argv[1:]]
        subprocess.run(command, cwd=ROOT, env=environment, check=True)


if __name__ == "__main__":
    main()
