"""What the package exports is what it says, and each name says what it is."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Iterator, List, Optional, Tuple

import pytest

import contextstore

# Each of these modules is public: what its __all__ names may be relied upon.
PUBLIC_MODULES = [
    "contextstore",
    *(
        name
        for _, name, _ in pkgutil.iter_modules(
            contextstore.__path__, prefix="contextstore."
        )
        if not name.rpartition(".")[2].startswith("_")
    ),
]


def exported(module_name: str) -> List[str]:
    return list(getattr(importlib.import_module(module_name), "__all__", []))


def public_members(cls: type) -> Iterator[Tuple[str, object]]:
    """Yield what a class itself defines under a public name and can carry a text.

    The name of a test in a suite to subclass says what the test shows.
    """
    for name, member in vars(cls).items():
        if isinstance(member, (staticmethod, classmethod)):
            member = member.__func__
        if not name.startswith(("_", "test_")) and (
            inspect.isfunction(member) or isinstance(member, property)
        ):
            yield name, member


def undocumented(name: str, value: object) -> List[str]:
    """Return the public names at and below a value that have no docstring."""
    missing: List[str] = []
    described = inspect.isclass(value) or inspect.isfunction(value)
    if described and not own_docstring(value):
        missing.append(name)
    if inspect.isclass(value):
        for member_name, member in public_members(value):
            texts = [member.__doc__, *inherited_docstrings(value, member_name)]
            if not any(texts):
                missing.append(f"{name}.{member_name}")
    return missing


def inherited_docstrings(cls: type, name: str) -> List[Optional[str]]:
    """Return the texts that the base classes have for a name."""
    bases = cls.__mro__[1:]
    return [vars(base)[name].__doc__ for base in bases if name in vars(base)]


def own_docstring(value: object) -> str:
    """Return a docstring that somebody wrote, not what dataclass or NamedTuple made."""
    text = getattr(value, "__doc__", None) or ""
    name = getattr(value, "__name__", "")
    return "" if text.startswith(f"{name}(") else text


def test_the_package_lists_its_names() -> None:
    assert exported("contextstore"), "contextstore has no __all__"


@pytest.mark.parametrize("module_name", PUBLIC_MODULES)
def test_each_name_listed_is_there(module_name: str) -> None:
    module = importlib.import_module(module_name)
    absent = [name for name in exported(module_name) if not hasattr(module, name)]
    assert absent == []


@pytest.mark.parametrize("module_name", PUBLIC_MODULES)
def test_each_name_is_listed_once(module_name: str) -> None:
    names = exported(module_name)
    assert len(names) == len(set(names))


def test_nothing_is_exported_without_being_listed() -> None:
    """A public name of the package is in __all__, or is a module of the package."""
    unlisted = [
        name
        for name, value in vars(contextstore).items()
        if not name.startswith("_")
        and name not in exported("contextstore")
        and not inspect.ismodule(value)
        and name not in ("annotations", "TYPE_CHECKING", "Any", "List")
    ]
    assert unlisted == []


@pytest.mark.parametrize("module_name", PUBLIC_MODULES)
def test_no_private_name_is_listed(module_name: str) -> None:
    private = [
        name
        for name in exported(module_name)
        if name.startswith("_") and name != "__version__"
    ]
    assert private == []


@pytest.mark.parametrize("module_name", PUBLIC_MODULES)
def test_each_name_is_documented(module_name: str) -> None:
    module = importlib.import_module(module_name)
    missing = [
        gap
        for name in exported(module_name)
        for gap in undocumented(name, getattr(module, name))
    ]
    assert missing == []


def test_an_undocumented_name_is_found() -> None:
    class Documented:
        """Is documented."""

        def method(self) -> None: ...

        @property
        def value(self) -> int:
            return 1

    assert undocumented("D", Documented) == ["D.method", "D.value"]


def test_each_name_is_loaded_from_where_type_checkers_find_it() -> None:
    tree = ast.parse(Path(contextstore.__file__).read_text())
    found = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module != "__future__"
        for alias in node.names
        if alias.name != "TYPE_CHECKING" and node.module != "typing"
    }
    assert found == contextstore._HOMES
    assert sorted(found) == sorted(exported("contextstore"))


@pytest.mark.parametrize("name", ["context", "messages", "store"])
def test_a_module_is_loaded_by_its_name(name: str) -> None:
    code = f"import contextstore; print(contextstore.{name}.__name__)"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == f"contextstore.{name}"


def test_threads_may_load_names_at_the_same_time() -> None:
    code = """if True:
        import sys, threading, time, contextstore

        class Slow:
            @staticmethod
            def find_spec(name, path=None, target=None):
                if name.startswith("contextstore."):
                    time.sleep(0.01)

        def use(name):
            try:
                getattr(contextstore, name)
            except BaseException as error:
                print(repr(error))

        sys.meta_path.insert(0, Slow)
        names = ["retrieval", "RetrievedItem", "store", "SessionStore"]
        threads = [threading.Thread(target=use, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    """
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert done.stdout == ""


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'contextstore' has no attribute 'no'"):
        getattr(contextstore, "no")  # noqa: B009


def test_all_public_names_are_shown() -> None:
    assert set(dir(contextstore)) >= {*contextstore.__all__, "context", "messages"}
