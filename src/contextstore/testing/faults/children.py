"""Run functions of a module in processes of their own, to be killed or crowded."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from typing import Any

from contextstore.backends.base import MemoryBackend

# -c, not -m: the modules that a test imported must be found by the child, too.
_BOOT = (
    "import json, sys\n"
    "path, name, arguments = json.loads(sys.argv[1])\n"
    "sys.path[:] = path\n"
    "from contextstore.testing.faults.children import resolve\n"
    "resolve(name)(**arguments)\n"
)


def resolve(name: str) -> Any:
    """Return what a name such as ``package.module:function`` stands for."""
    module, _, attribute = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in attribute.split("."):
        found = getattr(found, part)
    return found


def open_backend(opener: str, path: str) -> MemoryBackend:
    """Call the opener that a name stands for with a path."""
    backend: MemoryBackend = resolve(opener)(path)
    return backend


def start(name: str, /, **arguments: Any) -> subprocess.Popen[bytes]:
    """Start a process that calls a function with values of JSON.

    Its output and errors are pipes; every warning in it is an error.
    """
    boot = json.dumps([sys.path, name, arguments])
    return subprocess.Popen(  # noqa: S603 - the command is our own
        [sys.executable, "-W", "error", "-c", _BOOT, boot],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # communicate() would not see what readline() left in a buffer.
        bufsize=0,
    )


def say(line: str) -> None:
    """Write a line to the parent, whole: less than a pipe takes at once."""
    os.write(1, f"{line}\n".encode())


def last_line(errors: bytes) -> str:
    """Return the last line of a traceback."""
    lines = errors.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "no error text"
