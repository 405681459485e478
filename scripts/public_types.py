"""Fail when a type checker of the user's would not know the type of a public name.

    .venv/bin/python scripts/public_types.py

Public is what ``contextstore.__all__`` names, with the attributes and methods of its
classes. A type has to be written down; one that is inferred may be inferred differently
by another type checker.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, List, Set

import contextstore

TOOLS = Path(sys.executable).parent
# Types of packages that we import are theirs.
COMMAND = ["--verifytypes=contextstore", "--ignoreexternal", "--outputjson"]


def symbols() -> List[Any]:
    """Return what pyright found out about every name of the installed package."""
    # pyright looks for the package where the first `python` of PATH has it.
    path = os.pathsep.join([str(TOOLS), os.environ.get("PATH", "")])
    asked = subprocess.run(
        [str(TOOLS / "pyright"), *COMMAND],
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        check=False,
    )
    found: List[Any] = json.loads(asked.stdout)["typeCompleteness"]["symbols"]
    if not found:
        raise SystemExit("pyright did not find the package contextstore")
    return found


def public_names() -> Set[str]:
    """Return the full names, where they are defined, of what the package exports."""
    names: Set[str] = set()
    for name in contextstore.__all__:
        value = getattr(contextstore, name)
        module = getattr(value, "__module__", "contextstore")
        names.add(f"{module}.{getattr(value, '__qualname__', name)}")
    return names


def is_part_of(name: str, owners: Set[str]) -> bool:
    """Say whether a full name is one of the owners or lies in one of them."""
    return name in owners or name.rpartition(".")[0] in owners


def main() -> int:
    """Print the public names without a known type and return how many there are."""
    public = public_names()
    unknown = [
        symbol
        for symbol in symbols()
        if not symbol["isTypeKnown"] and is_part_of(symbol["name"], public)
    ]
    for symbol in unknown:
        reasons = "; ".join(d["message"] for d in symbol["diagnostics"])
        print(f"{symbol['name']}: {reasons}")
    print(f"{len(public)} public names, {len(unknown)} faults in their types")
    return len(unknown)


if __name__ == "__main__":
    sys.exit(min(main(), 1))
