"""Compare a memory backend with a plain model, after every step of random histories."""

from __future__ import annotations

import copy
import shutil
import tempfile
from pathlib import Path
from typing import Any, Callable, ClassVar, Dict, FrozenSet, List, Optional, Type

from contextstore import _optional, messages
from contextstore.backends.base import MemoryBackend
from contextstore.sync import SyncMemory
from contextstore.testing.faces import FACES, MEMORY_FACES

# Before it is imported, so that the error names the extra.
_optional.require("hypothesis", "test")

from hypothesis import strategies as st  # noqa: E402
from hypothesis.stateful import (  # noqa: E402
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

__all__ = ["json_messages", "json_values", "memory_machine"]

Message = Dict[str, Any]
Make = Callable[[Path], MemoryBackend]

SESSIONS = ("a", "b")

_texts = st.text(
    st.characters(codec="utf-8"),
    max_size=8,
)
_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _texts
)

json_values: st.SearchStrategy[Any] = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3)
    ),
    max_leaves=6,
)
"""Any JSON value that a message may hold."""

_fields = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant"]), "content": json_values}
) | st.dictionaries(
    _texts.filter(lambda key: key not in ("id", "timestamp")), json_values, max_size=3
)

json_messages: st.SearchStrategy[Message] = _fields
"""Any message without id and timestamp."""


class MemoryMachine(RuleBasedStateMachine):
    """Write to a backend and to a plain model, and compare; see ``memory_machine``."""

    make: ClassVar[Make]
    reopen: ClassVar[Optional[Make]] = None
    capabilities: ClassVar[FrozenSet[str]] = frozenset()

    def __init__(self) -> None:
        super().__init__()
        self.model: Dict[str, List[Message]] = {}
        self.made = 0
        self.directory = Path(tempfile.mkdtemp(prefix="contextstore-"))

    @initialize(face=st.sampled_from(FACES))
    def open(self, face: str) -> None:
        """Make the backend behind one of its faces."""
        self.memory: SyncMemory = MEMORY_FACES[face](type(self).make(self.directory))

    def teardown(self) -> None:
        """Close the backend and remove its files."""
        self.memory.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    @rule(
        session=st.sampled_from(SESSIONS),
        kept=st.integers(0, 9),
        fields=st.lists(json_messages, max_size=3),
        whole=st.booleans(),
    )
    def save(self, session: str, kept: int, fields: List[Message], whole: bool) -> None:
        """Keep the beginning of a history and write another end."""
        context = copy.deepcopy(self.model.get(session, [])[:kept])
        context += self._with_ids(fields, whole)
        self._write(self.memory.save_context, session, context)
        self._follow(session, 0, context)

    @rule(
        session=st.sampled_from(SESSIONS),
        fields=st.lists(json_messages, max_size=3),
        whole=st.booleans(),
    )
    def append(self, session: str, fields: List[Message], whole: bool) -> None:
        """Append to a session that is there; one that is not is an error."""
        context = self._with_ids(fields, whole)
        if session in self.model:
            self._write(self.memory.append_context, session, context)
            self._follow(session, len(self.model[session]), context)
        else:
            self._expect_value_error(self.memory.append_context, session, context)

    @precondition(lambda self: "idempotent-append" in self.capabilities)
    @rule(session=st.sampled_from(SESSIONS), first=st.integers(0, 9))
    def append_again(self, session: str, first: int) -> None:
        """Append what is there already, which adds nothing."""
        if session in self.model:
            stored = self.model[session][first : first + 3]
            self._write(self.memory.append_context, session, copy.deepcopy(stored))

    @rule(session=st.sampled_from(SESSIONS), k=st.integers(0, 12))
    def load(self, session: str, k: int) -> None:
        """Load the newest, and change what was given out."""
        stored = self.model.get(session, [])
        loaded = self.memory.load_context(session, k)
        assert_same(loaded, stored[max(0, len(stored) - k) :])
        for message in loaded:
            message["role"] = "changed"
        loaded.clear()

    @rule(session=st.sampled_from(SESSIONS), position=st.integers(0, 9))
    def delete_interaction(self, session: str, position: int) -> None:
        """Rewind a session to before one of its messages."""
        stored = self.model.get(session, [])
        if position < len(stored):
            self.memory.delete_interaction(session, stored[position]["id"])
            del stored[position:]
        else:
            self._expect_value_error(
                self.memory.delete_interaction, session, "not there"
            )

    @rule(session=st.sampled_from(SESSIONS))
    def delete_session(self, session: str) -> None:
        """Delete a session."""
        if session in self.model:
            self.memory.delete_session(session)
            del self.model[session]
        else:
            self._expect_value_error(self.memory.delete_session, session)

    @precondition(lambda self: self.reopen is not None)
    @rule(face=st.sampled_from(FACES))
    def open_again(self, face: str) -> None:
        """Close the object and go on with another on the same data."""
        reopen = type(self).reopen
        assert reopen is not None
        self.memory.close()
        self.memory = MEMORY_FACES[face](reopen(self.directory))

    @invariant()
    def stored_as_in_the_model(self) -> None:
        """Compare all sessions."""
        if not hasattr(self, "memory"):
            return
        for session in SESSIONS:
            assert_same(self.memory.load_context(session), self.model.get(session, []))

    def _with_ids(self, fields: List[Message], whole: bool) -> List[Message]:
        """Return messages with ids, or where the store makes them without."""
        context = copy.deepcopy(fields)
        if whole or "stamping" not in self.capabilities:
            for message in context:
                self.made += 1
                message["id"] = f"m{self.made}"
                message["timestamp"] = self.made
        return context

    def _write(self, method: Any, session: str, context: List[Message]) -> None:
        """Call a method, and change afterwards what it was given."""
        given = copy.deepcopy(context)
        method(session, given)
        assert_same(given, context)
        for message in given:
            message["content"] = "changed"
        given.clear()

    def _follow(self, session: str, first: int, context: List[Message]) -> None:
        """Bring the model in step, with the ids and timestamps that the store made."""
        stamped = self.memory.load_context(session)[first:]
        assert len(stamped) == len(context)
        for message, given in zip(stamped, context):
            if "stamping" in self.capabilities:
                given = {
                    **given,
                    "id": given.get("id", message.get("id")),
                    "timestamp": given.get("timestamp", message.get("timestamp")),
                }
            assert_same([message], [given])
        self.model.setdefault(session, [])[first:] = copy.deepcopy(stamped)

    def _expect_value_error(self, method: Any, *arguments: Any) -> None:
        try:
            method(*arguments)
        except ValueError:
            return
        raise AssertionError(f"{method.__name__} of what is not there raised nothing")


def assert_same(found: List[Message], expected: List[Message]) -> None:
    """Compare messages as JSON, where True is not 1 and 1 is not 1.0."""
    assert messages.canonical(found) == messages.canonical(expected)


def memory_machine(
    make: Make,
    *,
    reopen: Optional[Make] = None,
    capabilities: FrozenSet[str] = frozenset(),
) -> Type[RuleBasedStateMachine]:
    """Return a stateful test that compares a backend with a plain model.

    Use it so::

        TestMine = memory_machine(lambda directory: Mine(directory / "mine")).TestCase

    Args:
        make: returns a new, empty backend; it is given an empty directory.
        reopen: returns a backend on what an earlier one stored in the directory.
        capabilities: the names from MemoryBackendConformance that the backend has;
            ``stamping`` and ``idempotent-append`` widen what is tried.
    """
    members = {
        "make": staticmethod(make),
        "reopen": None if reopen is None else staticmethod(reopen),
        "capabilities": frozenset(capabilities),
    }
    return type("MemoryMachine", (MemoryMachine,), members)
