"""Fail when a program of the README does not pass mypy and pyright as a user has them.

    .venv/bin/python -m scripts.page_types

Each block becomes a module that imports what it uses from the blocks above it in its
section. Both type checkers are strict, but for annotations that the page leaves away
from its own functions, and for what they cannot infer for want of these.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, List, Set

from tests.docs import markdown

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "README.md"
TOOLS = Path(sys.executable).parent
# sentence-transformers, which no environment of ours has.
STAND_INS = ROOT / "tests" / "docs" / "stand_ins"

_OFF_IN_MYPY = ["no-untyped-def", "no-untyped-call"]
_OFF_IN_PYRIGHT = [
    "reportMissingParameterType",
    "reportUnknownArgumentType",
    "reportUnknownLambdaType",
    "reportUnknownMemberType",
    "reportUnknownParameterType",
    "reportUnknownVariableType",
    # A block shows what there is, and may leave its use to the next one.
    "reportUnusedImport",
    # One shows what an error is besides.
    "reportUnnecessaryIsInstance",
]


def defined(tree: ast.Module) -> Set[str]:
    """Return the names that a program has at the end."""
    names: Set[str] = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
            continue
        for inner in ast.walk(node):
            if isinstance(inner, ast.alias):
                names.add(inner.asname or inner.name)
            elif isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                names.add(inner.id)
    return names


def used(tree: ast.Module) -> Set[str]:
    """Return the names that a program reads or writes."""
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def modules(page: Path) -> Dict[str, str]:
    """Return the source of a module for each program of a page, by its name."""
    sources: Dict[str, str] = {}
    for section in markdown.sections(page):
        homes: Dict[str, str] = {}
        for block in section.blocks:
            if block.language != "python":
                continue
            name = f"line_{block.line}"
            tree = ast.parse(block.text)
            own = defined(tree)
            above = [other for other in sorted(homes) if other in used(tree) - own]
            imports = [f"from {homes[it]} import {it} as {it}" for it in above]
            sources[name] = "; ".join(imports) + f"\n{block.text}\n"
            homes.update(dict.fromkeys(own, name))
    return sources


def write(sources: Dict[str, str], folder: Path) -> None:
    """Write the modules, and the settings of the type checkers beside them."""
    for module, source in sources.items():
        (folder / f"{module}.py").write_text(source, encoding="utf-8")
    settings = {
        "extraPaths": [str(ROOT / "src"), str(ROOT), str(STAND_INS)],
        "venvPath": str(TOOLS.parent.parent),
        "venv": TOOLS.parent.name,
        "typeCheckingMode": "strict",
        **dict.fromkeys(_OFF_IN_PYRIGHT, False),
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    paths = ":".join(map(str, (folder, ROOT / "src", ROOT, STAND_INS)))
    (folder / "mypy.ini").write_text(
        f"[mypy]\nstrict = True\nimplicit_reexport = True\nmypy_path = {paths}\n"
    )


def commands(sources: Dict[str, str], folder: Path) -> List[List[str]]:
    """Return how the two type checkers are called."""
    files = [f"{module}.py" for module in sources]
    mypy = [sys.executable, "-m", "mypy", "--config-file=mypy.ini"]
    mypy.append(f"--cache-dir={ROOT / '.mypy_cache' / 'pages'}")
    mypy += [f"--disable-error-code={code}" for code in _OFF_IN_MYPY]
    return [[*mypy, *files], [str(TOOLS / "pyright"), "-p", str(folder)]]


def main() -> int:
    """Print what the type checkers say and return how many of them found faults."""
    sources = modules(PAGE)
    if not sources:
        raise SystemExit(f"{PAGE} has no programs")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made).resolve()
        write(sources, folder)
        print(f"{len(sources)} programs; a file is named after its line", flush=True)
        return sum(
            subprocess.run(command, cwd=made, check=False).returncode != 0
            for command in commands(sources, folder)
        )


if __name__ == "__main__":
    sys.exit(main())
