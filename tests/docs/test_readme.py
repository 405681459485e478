"""Every program of the README does what it says, and its tables tell the truth."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import pytest

import contextstore
import contextstore.context
import contextstore.embedders
from contextstore import (
    InMemoryEmbeddingStore,
    InMemoryMemory,
    MemoryBackend,
    SessionStore,
    SessionStoreConfig,
    errors,
)
from contextstore.testing import MemoryBackendConformance
from tests.docs import markdown
from tests.servers.shared import database_of
from tests.servers.shared_valkey import valkey

ROOT = Path(__file__).resolve().parent.parent.parent
README = ROOT / "README.md"
SECTIONS = markdown.sections(README)
ROWS = markdown.table_rows(README)
REFERENCE = [
    (title, cells[0].strip("`"))
    for title, rows in ROWS.items()
    for cells in rows
    if cells[0].endswith(")`")
]

# Rooms whose names are public, and are not at the top.
ROOMS = {
    "contextstore.context": contextstore.context,
    "contextstore.embedders": contextstore.embedders,
}

Parameter = Tuple[str, Any, bool]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.title)
def test_the_programs_of_a_section_run(
    section: markdown.Section, workplace: Path
) -> None:
    markdown.run(section, README)


def section_named(title: str) -> markdown.Section:
    return next(section for section in SECTIONS if section.title == title)


@pytest.mark.parametrize("name", ["embed_fn", "openai_embed_fn", "async_embed_fn"])
def test_an_embedding_function_can_be_passed(name: str, workplace: Path) -> None:
    function = markdown.run(section_named("Searching by meaning"), README)[name]
    store = SessionStore(
        InMemoryMemory(),
        InMemoryEmbeddingStore(),
        SessionStoreConfig(auto_embed=True, embed_fn=function),
    ).sync
    texts = {"1": "The boat leaves at two.", "2": "Ruth is vegetarian."}
    store.save_context("s", [{"id": i, "content": text} for i, text in texts.items()])
    (found,) = store.retrieve_relevant("s", "When does the boat leave?", k=1)
    assert found.message_id == "1"


def address_of_valkey(_: Path) -> str:
    return f"{valkey().url}/2"


@pytest.mark.parametrize("address", [database_of, address_of_valkey])
def test_the_program_for_servers_runs_on_them(
    address: Callable[[Path], str], workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHATS", address(workplace))
    markdown.run(section_named("From one file to servers"), README)
    assert not (workplace / "chat.db").exists()


def test_searching_by_meaning_runs_without_any_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    title, blocks = section_named("Searching by meaning")
    names = [
        number for number, block in enumerate(blocks) if "auto_embed" in block.text
    ]
    models = """from contextstore.embedders import HashingEmbedder
local = HashingEmbedder()
larger = HashingEmbedder(512)"""
    first = markdown.Block("python", models, 1)
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    monkeypatch.setitem(sys.modules, "openai", None)
    monkeypatch.chdir(tmp_path)
    markdown.run(markdown.Section(title, [first, *blocks[names[0] :]]), README)


class TestDictBackend(MemoryBackendConformance):
    """The backend on the page does what the page says that a backend has to do."""

    capabilities = frozenset({"concurrency"})

    def make(self, tmp_path: Path) -> MemoryBackend:
        backend = markdown.run(section_named("A backend of your own"), README)
        made: MemoryBackend = backend["DictBackend"]()
        return made


def test_every_block_has_a_language_that_the_tests_know() -> None:
    languages = {block.language for section in SECTIONS for block in section.blocks}
    assert languages == {"bash", "python", "text"}


def documented_parameters(call: str) -> List[Parameter]:
    """Return name, default and whether it goes by name only, as the page has them."""
    function = ast.parse(f"def {call}: ...").body[0]
    assert isinstance(function, ast.FunctionDef)
    arguments = function.args
    plain = arguments.args
    required = [inspect.Parameter.empty] * (len(plain) - len(arguments.defaults))
    defaults = [*required, *map(documented_default, arguments.defaults)]
    named = zip(arguments.kwonlyargs, arguments.kw_defaults)
    return [
        *((arg.arg, default, False) for arg, default in zip(plain, defaults)),
        *((arg.arg, documented_default(value), True) for arg, value in named if value),
        *(
            (arg.arg, inspect.Parameter.empty, False)
            for arg in [arguments.kwarg]
            if arg
        ),
    ]


def documented_default(value: ast.expr) -> Any:
    """Return a default; for one that is made for each call, what makes it."""
    if isinstance(value, ast.Call):
        assert isinstance(value.func, ast.Name)
        return getattr(contextstore, value.func.id)
    return ast.literal_eval(value)


def actual_parameters(function: Callable[..., Any]) -> List[Parameter]:
    made = factories(function)
    return [
        (
            name,
            made.get(name, parameter.default),
            parameter.kind is parameter.KEYWORD_ONLY,
        )
        for name, parameter in inspect.signature(function).parameters.items()
        if name != "self"
    ]


def factories(function: Any) -> Dict[str, Any]:
    """Return what makes the defaults of a dataclass."""
    fields = dataclasses.fields(function) if dataclasses.is_dataclass(function) else ()
    return {
        field.name: field.default_factory
        for field in fields
        if field.default_factory is not dataclasses.MISSING
    }


def documented_function(title: str, name: str) -> Callable[..., Any]:
    """Return what a row stands for: a name of the package, or of the title's class."""
    owner = ROOMS.get(title) or getattr(contextstore, title, contextstore)
    function: Callable[..., Any] = getattr(
        owner if hasattr(owner, name) else contextstore, name
    )
    return function


@pytest.mark.parametrize(("title", "call"), REFERENCE)
def test_a_signature_is_as_documented(title: str, call: str) -> None:
    function = documented_function(title, call.partition("(")[0])
    assert actual_parameters(function) == documented_parameters(call)


def test_a_class_has_a_table_of_its_own() -> None:
    calls = [(title, call.partition("(")[0]) for title, call in REFERENCE]
    strangers = [
        name
        for title, name in calls
        if inspect.isclass(getattr(contextstore, title, None))
        and inspect.isclass(getattr(contextstore, name, None))
        and name != title
    ]
    assert strangers == []


def test_the_reference_was_read() -> None:
    assert len(REFERENCE) > 40


@pytest.mark.parametrize(
    "name", ["MemoryBackend", "ContextBuilder", "SessionStore", "RetrievalBackend"]
)
def test_every_method_is_documented(name: str) -> None:
    cls = getattr(contextstore, name)
    methods = {name for name, _ in inspect.getmembers(cls, callable) if name[0] != "_"}
    documented = {call.partition("(")[0] for title, call in REFERENCE if title == name}
    assert methods - documented == set()


@pytest.mark.parametrize("name", ["BuildResult", "RetrievedItem", "WriteResult"])
def test_the_attributes_are_as_documented(name: str) -> None:
    documented = [cells[0].strip("`") for cells in ROWS[name]]
    attributes = getattr(contextstore, name).__annotations__
    assert documented == [name for name in attributes if name[0] != "_"]


@pytest.mark.parametrize("cells", ROWS["What these give back"], ids="".join)
def test_what_is_given_back_is_as_documented(cells: List[str]) -> None:
    cls = getattr(contextstore, cells[0].strip("`"))
    fields, _, properties = cells[1].partition(";")
    assert re.findall(r"\w+", fields) == list(cls.__annotations__)
    assert all(hasattr(cls, name) for name in re.findall(r"\w+", properties))


def test_every_error_is_documented_with_its_base() -> None:
    builtin = (ValueError, NotImplementedError, ImportError, RuntimeError)
    actual = {
        name: [base.__name__ for base in builtin if issubclass(cls, base)][:1]
        for name, cls in ((name, getattr(errors, name)) for name in errors.__all__)
    }
    # A NotImplementedError is a RuntimeError to Python; the row names the nearer one.
    documented = {
        cells[0].strip("`"): [cells[1].strip("`")] if cells[1] else []
        for cells in ROWS["When something goes wrong"]
    }
    assert documented == actual


def test_every_public_name_is_mentioned() -> None:
    mentioned = set(re.findall(r"\w+", README.read_text(encoding="utf-8")))
    assert set(contextstore.__all__) - mentioned == set()


@pytest.mark.parametrize("room", ROOMS)
def test_every_name_of_a_room_is_mentioned(room: str) -> None:
    mentioned = set(re.findall(r"\w+", README.read_text(encoding="utf-8")))
    assert set(ROOMS[room].__all__) - mentioned == set()


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)", README.read_text(encoding="utf-8"))
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_a_wrong_output_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("## One\n```python\nprint(1)\n```\n\n```text\n2\n```\n")
    (section,) = markdown.sections(page)
    with pytest.raises(AssertionError, match="line 2"):
        markdown.run(section, page)
