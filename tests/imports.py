"""Read the imports of the package from its source, late ones included."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Iterator, List, NamedTuple, Set, Union

PACKAGE = "contextstore"
SOURCE = Path(__file__).resolve().parent.parent / "src" / PACKAGE


class Import(NamedTuple):
    """Who imports what, where, and whether only a type checker sees it."""

    importer: str
    imported: str
    line: int
    for_types: bool

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


def modules() -> List[str]:
    """Return the dotted name of every module of the package, sorted."""
    return sorted(_module_name(path) for path in SOURCE.rglob("*.py"))


def imports_of_package() -> List[Import]:
    """Return every import of every module of the package."""
    known = set(modules())
    found: List[Import] = []
    for path in sorted(SOURCE.rglob("*.py")):
        found.extend(imports_of_source(path.read_text(), _module_name(path), known))
    return found


def imports_of_source(source: str, name: str, known: Set[str]) -> Iterator[Import]:
    """Yield the imports of one module; ``known`` are the modules of the package."""
    tree = ast.parse(source)
    for_types = _lines_for_types(tree)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for imported in _imported_by(node, known):
                yield Import(name, imported, node.lineno, node.lineno in for_types)


def _imported_by(node: Union[ast.Import, ast.ImportFrom], known: Set[str]) -> List[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    module = "." * node.level + (node.module or "")
    submodules = [f"{module}.{alias.name}" for alias in node.names]
    # `from package import module` imports the module, not the package's names.
    return [name if name in known else module for name in submodules]


def _lines_for_types(tree: ast.AST) -> Set[int]:
    lines: Set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for statement in node.body:
                lines.update(range(statement.lineno, (statement.end_lineno or 0) + 1))
    return lines


def _module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
