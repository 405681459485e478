"""Check what a machine can see without running the program: form, rules and types.

    python3 scripts/check.py

All checks run, whatever the first one says; the last lines say which failed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import List, Tuple

import environments


def checks(newest: Path, oldest: Path) -> List[Tuple[str, List[str]]]:
    """Return name and command of each check."""
    tools = newest.parent
    on_oldest = ["-m", "mypy", "--cache-dir=.mypy_cache/oldest", "src"]
    return [
        ("format", [str(tools / "ruff"), "format", "--check", "."]),
        ("rules", [str(tools / "ruff"), "check", "."]),
        ("mypy, newest Python", [str(newest), "-m", "mypy"]),
        ("mypy, oldest Python", [str(oldest), *on_oldest]),
        ("pyright", [str(tools / "pyright")]),
        ("public types", [str(newest), "scripts/public_types.py"]),
        ("types of the README", [str(newest), "-m", "scripts.page_types"]),
    ]


def main() -> int:
    """Run the checks and return how many failed."""
    with environments.one_at_a_time():
        pythons = environments.developers()
    failed: List[str] = []
    for name, command in checks(pythons[0], pythons[-1]):
        print(f"-- {name}", flush=True)
        if subprocess.run(command, cwd=str(environments.ROOT), check=False).returncode:
            failed.append(name)
    print(f"checks failed: {', '.join(failed)}" if failed else "all checks passed")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
