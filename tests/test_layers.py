"""Imports flow one way; the tables below are the house, and the only place of it."""

from __future__ import annotations

import sys
from typing import Dict, FrozenSet, Iterable, List, Optional, Set, Tuple

import pytest

from tests.imports import (
    PACKAGE,
    Import,
    imports_of_package,
    imports_of_source,
    modules,
)

FOUNDATION = ("errors", "messages", "_hop", "_lifecycle", "_optional")
CONTEXT = ("context", "context.providers")

# Each room, and the rooms that it may import besides itself. A module belongs to the
# longest name that fits it.
ROOMS: Dict[str, Tuple[str, ...]] = {
    "errors": (),
    "_optional": ("errors",),
    "_hop": ("errors",),
    "_lifecycle": ("errors",),
    "_flights": ("_hop", "_lifecycle"),
    "messages": ("errors", "_optional"),
    "context.kinds": (),
    # What belongs together in a history is asked by prune as well as by the builder.
    "context.links": ("errors", "messages", "context.kinds"),
    "backends": (*FOUNDATION, "context.links"),
    "retrieval": (*FOUNDATION, "_flights"),
    # Vectors lie beside the messages, in the same file and by the same engine.
    "retrieval.sqlite": (*FOUNDATION, "retrieval", "backends"),
    "retrieval.pgvector": (*FOUNDATION, "retrieval", "backends"),
    "embedders": (*FOUNDATION, "retrieval"),
    # What the providers demand is written down apart from the code that it judges.
    "context.providers": ("errors", "messages"),
    "context": ("errors", "messages", "_optional", "context.kinds", "context.links"),
    "_background": ("errors", "_hop", "_lifecycle"),
    "store": (
        *FOUNDATION,
        "_background",
        "_flights",
        "backends",
        "retrieval",
        *CONTEXT,
    ),
    "sync": (
        *FOUNDATION,
        "_background",
        "backends",
        "retrieval",
        "store",
        *CONTEXT,
    ),
    "testing": (*FOUNDATION, "backends", "retrieval", "store", "sync", *CONTEXT),
}
# The two ends: the public names of the package, and its commands, see everything.
TOP = ("", "__main__")

# Upward on purpose, and late, inside a property: the object gives its own sync face.
SYNC_FACE = frozenset({"backends.base", "retrieval.base", "store.session_store"})

# Each backend is a room of its own; this is what they share.
SHARED_BY_BACKENDS = (
    "addresses",
    "ages",
    "arguments",
    "base",
    "copying",
    "filters",
    "place",
    "records",
    "results",
    "stamps",
    "texts",
    "told",
    "writes",
)

# In memory, messages are kept by SQLite without a file; an address names any backend.
BUILT_ON = {"memory": ("sqlite",), "url": ("memory", "postgres", "redis", "sqlite")}

MAY_IMPORT_ASYNCIO = (
    "_hop",
    "_background",
    "store",
    "backends.postgres",
    "backends.redis",
    "testing",
)

# Functions of values: the same input gives the same output.
PURE = ("messages", "context.groups", "context.providers", "context.strategies")
IMPURE_MODULES = frozenset(
    {
        "asyncio",
        "datetime",
        "os",
        "random",
        "secrets",
        "socket",
        "sqlite3",
        "time",
        "uuid",
    }
)


def inside(name: str) -> str:
    """Return a module's name as seen from inside the package."""
    return name[len(PACKAGE) + 1 :]


def belongs_to(name: str, rooms: Iterable[str]) -> Optional[str]:
    """Return the innermost of the rooms that holds the module, if any does."""
    fitting = [r for r in rooms if name == r or name.startswith(f"{r}.")]
    return max(fitting, key=len, default=None)


def is_own(import_: Import) -> bool:
    return import_.imported.split(".")[0] == PACKAGE


def gives_sync_face(import_: Import) -> bool:
    importer, imported = inside(import_.importer), inside(import_.imported)
    return importer in SYNC_FACE and imported == "sync"


def is_upward(import_: Import) -> bool:
    """Say whether an import between modules of the package is not in the table."""
    importer, imported = inside(import_.importer), inside(import_.imported)
    if importer in TOP or gives_sync_face(import_):
        return False
    if imported.startswith(f"{importer}."):
        return False  # the __init__ of a room opens what is in it
    room, target = belongs_to(importer, ROOMS), belongs_to(imported, ROOMS)
    return room is None or target not in (room, *ROOMS[room])


def in_circles(imports: Iterable[Import]) -> Set[str]:
    """Return the modules that import each other in a circle, or lie between circles."""
    edges = {(i.importer, i.imported) for i in imports}
    while True:
        importers, imported = {a for a, _ in edges}, {b for _, b in edges}
        inner = {(a, b) for a, b in edges if a in imported and b in importers}
        if inner == edges:
            return importers
        edges = inner


def backend_of(name: str) -> Optional[str]:
    parts = inside(name).split(".")
    if parts[0] != "backends" or len(parts) == 1 or parts[1] in SHARED_BY_BACKENDS:
        return None
    return parts[1]


def found_in(sources: Dict[str, str]) -> List[Import]:
    """Return the imports of made-up modules, to test the rules themselves."""
    return [
        import_
        for name, source in sources.items()
        for import_ in imports_of_source(source, name, set(sources))
    ]


@pytest.fixture(scope="module")
def imports() -> List[Import]:
    return imports_of_package()


def test_every_module_has_a_room() -> None:
    homeless = [
        name
        for name in modules()
        if inside(name) not in TOP and belongs_to(inside(name), ROOMS) is None
    ]
    assert homeless == []


def test_the_rooms_stand_one_above_the_other() -> None:
    """Each room names only rooms that stand above its own line in the table."""
    below: List[str] = []
    for room, allowed in ROOMS.items():
        assert set(allowed) <= set(below), room
        below.append(room)


def test_imports_flow_one_way(imports: List[Import]) -> None:
    upward = [str(i) for i in imports if is_own(i) and is_upward(i)]
    assert upward == []


def test_no_modules_import_each_other_in_a_circle(imports: List[Import]) -> None:
    at_run_time = [
        i for i in imports if is_own(i) and not i.for_types and not gives_sync_face(i)
    ]
    assert in_circles(at_run_time) == set()


def test_imports_are_absolute(imports: List[Import]) -> None:
    assert [str(i) for i in imports if i.imported.startswith(".")] == []


def test_no_backend_knows_another(imports: List[Import]) -> None:
    crossing = [
        str(i)
        for i in imports
        if backend_of(i.importer) is not None
        and is_own(i)
        and backend_of(i.imported)
        not in (
            None,
            backend_of(i.importer),
            *BUILT_ON.get(str(backend_of(i.importer)), ()),
        )
    ]
    assert crossing == []


def test_only_the_seams_import_asyncio(imports: List[Import]) -> None:
    elsewhere = [
        str(i)
        for i in imports
        if i.imported.split(".")[0] == "asyncio"
        and belongs_to(inside(i.importer), MAY_IMPORT_ASYNCIO) is None
    ]
    assert elsewhere == []


def test_pure_modules_import_neither_clock_nor_chance_nor_io(
    imports: List[Import],
) -> None:
    impure = [
        str(i)
        for i in imports
        if belongs_to(inside(i.importer), PURE) is not None
        and i.imported.split(".")[0] in IMPURE_MODULES
    ]
    assert impure == []


@pytest.mark.skipif(
    sys.version_info < (3, 10), reason="needs Python 3.10: sys.stdlib_module_names"
)
def test_outside_packages_come_only_through_optional(imports: List[Import]) -> None:
    allowed: FrozenSet[str] = frozenset(
        {PACKAGE, *getattr(sys, "stdlib_module_names", ())}
    )
    # The conformance suites are written for pytest and hypothesis.
    for_tests = frozenset({"pytest", "hypothesis"})
    foreign = [
        str(i)
        for i in imports
        if not i.for_types
        and i.imported.split(".")[0] not in allowed
        and not (
            belongs_to(inside(i.importer), ["testing"])
            and i.imported.split(".")[0] in for_tests
        )
    ]
    assert foreign == []


def test_an_upward_import_is_seen_however_late() -> None:
    found = found_in(
        {
            "contextstore.errors": "def f():\n    from contextstore import store\n",
            "contextstore.store": "import contextstore.errors\n",
        }
    )
    assert [str(i) for i in found if is_upward(i)] == [
        "contextstore.errors:2 imports contextstore.store"
    ]


def test_a_circle_is_seen() -> None:
    found = found_in(
        {
            "contextstore.a": "import contextstore.b\n",
            "contextstore.b": "import contextstore.c\n",
            "contextstore.c": "import contextstore.b\nimport contextstore.d\n",
            "contextstore.d": "",
        }
    )
    assert in_circles(found) == {"contextstore.b", "contextstore.c"}


def test_an_import_of_the_public_names_from_inside_is_seen() -> None:
    found = found_in({"contextstore.store": "from contextstore import SQLiteMemory\n"})
    assert [is_upward(i) for i in found] == [True]


def test_an_import_for_types_is_told_apart() -> None:
    source = "if TYPE_CHECKING:\n    import numpy\nimport numpy\n"
    found = found_in({"contextstore.retrieval.memory": source})
    assert sorted((i.line, i.for_types) for i in found) == [(2, True), (3, False)]
