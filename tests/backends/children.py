"""Run Python code in processes of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import List, Sequence, Tuple

Finished = Tuple[int, str]


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a process that runs the code, in which every warning is an error."""
    command = [sys.executable, "-W", "error", "-X", "dev", "-c", code]
    return subprocess.Popen(
        [*command, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        env=dict(os.environ),
    )


def finish(children: Sequence[subprocess.Popen[str]]) -> List[Finished]:
    """Wait for processes, and return the exit code and the output of each."""
    outputs = [child.communicate()[0] for child in children]
    return [(child.returncode, text) for child, text in zip(children, outputs)]


def run(code: str, *arguments: object) -> Finished:
    """Run the code to its end."""
    return finish([start(code, *arguments)])[0]
