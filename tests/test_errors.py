"""The tree of errors is the one drawn, and each error carries its fields."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from typing import Any, Dict, List, Tuple, Type

import pytest

from contextstore import errors

CLASSES: List[Type[BaseException]] = [getattr(errors, name) for name in errors.__all__]

FIELDS: Dict[str, Dict[str, Any]] = {
    "NotFoundError": {"session_id": "s"},
    "SessionNotFoundError": {"session_id": "s"},
    "InteractionNotFoundError": {"session_id": "s", "interaction_id": "i"},
    "InvalidInputError": {"path": "context[3].id"},
    "ContextOverflowError": {"max_tokens": 5, "needed": 9, "message_ids": ("a", "b")},
    "MissingDependencyError": {"extra": "tokens"},
    "StorageError": {"location": "/x.db", "session_id": "s"},
    "BusyError": {"location": "/x.db", "session_id": "s"},
    "ClosedError": {"location": "/x.db", "session_id": "s"},
    "ConflictError": {"location": "/x.db", "session_id": "s", "current_version": 7},
    "CorruptDataError": {"location": "/x.db", "session_id": "s", "position": 3},
    "SchemaVersionError": {"location": "/x.db", "session_id": "s"},
    "UnavailableError": {"location": "/x.db", "session_id": "s"},
    "EmbeddingError": {"session_id": "s", "message_ids": ("a",)},
}


def drawn() -> List[Tuple[str, str, str]]:
    """Return name, parent and builtin of each class in the docstring's tree."""
    found: List[Tuple[str, str, str]] = []
    above: Dict[int, str] = {}
    for line in inspect.getdoc(errors).splitlines():  # type: ignore[union-attr]
        match = re.match(r"^([ │├└─]*)(\w+Error)(?: \((\w+)\))?(?:  |$)", line)
        if match:
            depth = len(match.group(1))
            parents = [name for indent, name in above.items() if indent < depth]
            above = {at: name for at, name in above.items() if at < depth}
            above[depth] = match.group(2)
            parent = parents[-1] if parents else "Exception"
            found.append((match.group(2), parent, match.group(3) or ""))
    return found


def test_the_tree_is_the_one_drawn() -> None:
    tree = drawn()
    assert {name for name, _, _ in tree} == set(errors.__all__)
    for name, parent, builtin in tree:
        bases = [base.__name__ for base in getattr(errors, name).__bases__]
        assert bases == [parent, *([builtin] if builtin else [])], name


@pytest.mark.parametrize("cls", CLASSES)
def test_an_error_survives_pickling_and_copying(cls: Type[BaseException]) -> None:
    fields = FIELDS.get(cls.__name__, {})
    error = cls("what went wrong", **fields)
    for again in (error, pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is cls
        assert str(again) == "what went wrong"
        assert {name: getattr(again, name) for name in fields} == fields


@pytest.mark.parametrize("cls", CLASSES)
def test_fields_are_empty_where_nothing_is_known(cls: Type[BaseException]) -> None:
    error = cls("what went wrong")
    for name in FIELDS.get(cls.__name__, {}):
        assert getattr(error, name) in (None, ())


def test_what_is_not_found_is_named() -> None:
    error = errors.SessionNotFoundError.of("s")
    assert error.session_id == "s"
    assert "'s'" in str(error)
    missing = errors.InteractionNotFoundError.of("s", "i")
    assert (missing.session_id, missing.interaction_id) == ("s", "i")
    assert "'s'" in str(missing)
    assert "'i'" in str(missing)
