"""The installed distribution is what pyproject.toml promises."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import List

import contextstore

ROOT = Path(__file__).resolve().parent.parent


def test_nothing_else_is_installed_with_it() -> None:
    always = [r for r in metadata.requires("contextstore") or [] if "extra ==" not in r]
    assert always == []


def test_the_extras_are_those_of_the_errors_that_name_them() -> None:
    declared = set(metadata.metadata("contextstore").get_all("Provides-Extra") or [])
    source = ROOT / "src" / "contextstore"
    named = {
        extra
        for path in source.rglob("*.py")
        for extra in re.findall(r'require\("[\w.]+", "(\w+)"\)', path.read_text())
    }
    assert named <= declared
    assert {"tokens", "retrieval", "fast", "all", "dev"} <= declared


def test_versions_agree() -> None:
    assert metadata.version("contextstore") == contextstore.__version__


def test_python_3_8_is_enough() -> None:
    assert metadata.metadata("contextstore")["Requires-Python"] == ">=3.8"


def test_type_checkers_are_told_that_it_is_typed() -> None:
    assert (Path(contextstore.__file__).parent / "py.typed").is_file()


def test_the_changelog_has_a_place_for_what_comes() -> None:
    assert "\n## Unreleased\n" in (ROOT / "CHANGELOG.md").read_text()


def modules_after(statement: str) -> List[str]:
    """Return the names of all modules loaded by a statement in a fresh interpreter."""
    code = f"import sys\n{statement}\nprint(*sorted(sys.modules))"
    printed = subprocess.check_output([sys.executable, "-c", code])
    return printed.decode().split()


def test_importing_it_loads_no_other_package() -> None:
    loaded = modules_after("from contextstore import *")
    outside = {"numpy", "tiktoken", "orjson", "openai", "sentence_transformers"}
    assert outside & set(loaded) == set()
    assert "contextstore" in loaded


def test_importing_it_costs_little_more_than_asyncio_and_sqlite3() -> None:
    """Count modules, as time would depend on the machine."""
    floor = set(modules_after("import asyncio, sqlite3"))
    loaded = set(modules_after("from contextstore import *"))
    added = {name for name in loaded - floor if not name.startswith("contextstore")}
    assert len(added) <= 40, sorted(added)


def test_importing_it_loads_nothing_before_it_is_used() -> None:
    loaded = modules_after("import contextstore")
    assert not {"asyncio", "sqlite3", "contextstore.store"} & set(loaded)


def test_who_keeps_messages_does_not_load_what_cuts_or_searches_them() -> None:
    loaded = modules_after("from contextstore import SQLiteMemory")
    assert "contextstore.backends.sqlite" in loaded
    assert not {"contextstore.context.builder", "contextstore.retrieval"} & set(loaded)
