"""Run the tests on the built wheel, in an environment of its own.

    python3 scripts/run_tests.py [newest | oldest | 3.X] [options of pytest]

What it needs is made first: the environment, the wheel, the vocabularies,
the servers.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import List

import environments
import interpreters
import server_binaries
import vocabularies


def main(arguments: List[str]) -> int:
    """Run pytest and return its exit code."""
    wanted = "newest"
    if arguments and not arguments[0].startswith("-"):
        wanted, *arguments = arguments
    with environments.one_at_a_time():
        python = environments.test(interpreters.find(wanted))
        vocabularies.provide(python)
        server_binaries.provide_all(python)
    # The sources must not stand in for the wheel.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [str(python), "-m", "pytest", *arguments]
    return subprocess.run(
        command, cwd=str(environments.ROOT), env=environment, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
