"""Make up what a client does to a session, with the state after every step.

A script is worked out from its seed alone, so that a parent knows what a child that it
killed was doing, and a checker what had to be there after a power cut.
"""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass
from typing import Any, Dict, List, NamedTuple, Tuple

from contextstore.errors import UnsupportedOperationError
from contextstore.sync import SyncMemory
from contextstore.testing.faults.report import Finding, at_most, shown

Message = Dict[str, Any]

_LONGEST = 40


class Step(NamedTuple):
    """Be one call on a session.

    Attributes:
        method: the name of the method.
        arguments: what follows the session id.
    """

    method: str
    arguments: Tuple[Any, ...]

    def apply(self, target: Any, session_id: str) -> Any:
        """Call a backend, which gives an awaitable, or the sync face of one."""
        return getattr(target, self.method)(session_id, *copy.deepcopy(self.arguments))

    @property
    def deletes(self) -> bool:
        """Tell whether a repeat of the call finds nothing any more."""
        return self.method.startswith("delete")


@dataclass(frozen=True)
class Script:
    """Be all calls on one session, one after the other.

    Attributes:
        session_id: the session.
        steps: the calls; all ids and timestamps are given.
        states: the messages after so many steps; no session is an empty list, too.
    """

    session_id: str
    steps: Tuple[Step, ...]
    states: Tuple[List[Message], ...]


def make_script(
    seed: object, session_id: str, length: int, *, edits: bool = True
) -> Script:
    """Make up a script of so many steps.

    Args:
        edits: whether to call ``update_interaction``, which not every backend has.
    """
    author = _Author(random.Random(f"{seed}/{session_id}"), session_id, edits)
    states: List[List[Message]] = [[]]
    steps: List[Step] = []
    for _ in range(length):
        step, state = author.next(states[-1])
        steps.append(step)
        states.append(state)
    return Script(session_id, tuple(steps), tuple(states))


class _Author:
    """Choose the next step by chance; no two states of a script are the same."""

    def __init__(self, chance: random.Random, session_id: str, edits: bool) -> None:
        self._chance = chance
        self._session_id = session_id
        self._edits = edits
        self._exists = False
        self._made = 0

    def next(self, state: List[Message]) -> Tuple[Step, List[Message]]:
        if not self._exists:
            self._exists = True
            return self._save(self._new())
        roll = self._chance.random()
        if len(state) > _LONGEST or roll < 0.1:
            return self._rewind(state) if state else self._save(self._new())
        if roll < 0.13:
            self._exists = False
            # An empty session and none look the same, so there is nothing to delete.
            return (Step("delete_session", ()), []) if state else self.next(state)
        if roll < 0.3:
            return self._save(state[: self._cut(state)] + self._new())
        if roll < 0.4 and state and self._edits:
            return self._edit(state)
        new = self._new()
        return Step("append_context", (new,)), state + new

    def _cut(self, state: List[Message]) -> int:
        whole = self._chance.random() < 0.5
        return len(state) if whole else self._chance.randint(0, len(state))

    def _save(self, state: List[Message]) -> Tuple[Step, List[Message]]:
        return Step("save_context", (state,)), state

    def _rewind(self, state: List[Message]) -> Tuple[Step, List[Message]]:
        far = len(state) > _LONGEST
        # At least one message stays, so that the session is not mistaken for none.
        first = self._chance.randrange(1, len(state)) if len(state) > 1 else 0
        first = first if far or not first else max(first, len(state) - 3)
        if not first:
            return self._save(state + self._new())
        return Step("delete_interaction", (state[first]["id"],)), state[:first]

    def _edit(self, state: List[Message]) -> Tuple[Step, List[Message]]:
        at = self._chance.randrange(len(state))
        message = {**self._message(), "id": state[at]["id"]}
        step = Step("update_interaction", (message["id"], message))
        return step, [*state[:at], message, *state[at + 1 :]]

    def _new(self) -> List[Message]:
        return [self._message() for _ in range(self._chance.choice((1, 2, 2, 3)))]

    def _message(self) -> Message:
        self._made += 1
        size = self._chance.choice((10, 100, 500, 1000, 3000, 9000))
        return {
            "id": f"{self._session_id}-{self._made}",
            "role": self._chance.choice(("user", "assistant", "system")),
            "content": f"{self._made} " + "häy "[: 1 + self._made % 4] * (size // 4),
            "timestamp": "2024-01-01T00:00:00Z",
        }


def examine(
    face: SyncMemory, script: Script, acknowledged: int, started: int, where: str
) -> List[Finding]:
    """Check that a session is as after its acknowledged steps, or some started ones."""
    at = f"{where}, session {script.session_id!r}, {acknowledged} steps acknowledged"
    try:
        loaded = face.load_context(script.session_id)
    except Exception as error:
        return [Finding("error", at, shown(error))]
    if loaded in script.states[acknowledged : started + 1]:
        return []
    if loaded in script.states[:acknowledged]:
        index = script.states.index(loaded)
        return [Finding("lost", at, f"it is as after {index} steps")]
    return [Finding("wrong", at, f"never stored like this: {at_most(loaded)}")]


def settle(face: SyncMemory, script: Script, step: int, where: str) -> List[Finding]:
    """Repeat a step whose outcome is not known, and check that it is settled then."""
    at = f"{where}, session {script.session_id!r}, step {step} repeated"
    call = script.steps[step]
    try:
        call.apply(face, script.session_id)
    except Exception as error:
        # What was deleted already cannot be found: the contract says ValueError.
        if not (call.deletes and isinstance(error, ValueError)):
            return [Finding("unsettled", at, shown(error))]
    loaded = face.load_context(script.session_id)
    if loaded != script.states[step + 1]:
        return [Finding("unsettled", at, at_most(loaded))]
    return []


def complaints(face: SyncMemory, where: str) -> List[Finding]:
    """Return what ``verify`` finds in a store that has to be sound."""
    try:
        problems = face.verify().problems
    except UnsupportedOperationError:
        return []
    except Exception as error:
        return [Finding("verify", where, shown(error))]
    return [Finding("verify", where, at_most(problem)) for problem in problems]
