"""Make a virtual environment for each system that is measured, with pinned versions.

The environments are those of the Python that runs this, in ``.venvs/bench-<name>``; a
second call with the same requirements does nothing.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, Sequence

ROOT = Path(__file__).resolve().parent.parent.parent
_STAMP = "bench-stamp"


def provide(name: str, requirements: Sequence[str]) -> Path:
    """Return the Python of an environment that holds the requirements."""
    folder = ROOT / ".venvs" / f"bench-{name}"
    wanted = json.dumps([sys.version, str(ROOT), *requirements])
    stamp = folder / _STAMP
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"making {folder.relative_to(ROOT)}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        install(folder / "bin" / "python", *requirements)
        stamp.write_text(wanted)
    return folder / "bin" / "python"


def provide_ours(name: str, *extra_requirements: str) -> Path:
    """Return the Python of an environment with the sources as they are now, built."""
    python = provide(name, ["pip", *extra_requirements])
    install(python, "--force-reinstall", "--no-deps", str(ROOT))
    return python


def install(python: Path, *arguments: str) -> None:
    """Install packages into an environment."""
    subprocess.run([str(python), "-m", "pip", "install", "-qq", *arguments], check=True)


def versions(python: Path, packages: Sequence[str]) -> Dict[str, str]:
    """Return the versions of installed packages; a package that lacks is left out."""
    listed = subprocess.run(
        [str(python), "-m", "pip", "list", "--format", "json"],
        check=True,
        stdout=subprocess.PIPE,
    ).stdout
    installed = {entry["name"]: entry["version"] for entry in json.loads(listed)}
    return {name: installed[name] for name in packages if name in installed}
