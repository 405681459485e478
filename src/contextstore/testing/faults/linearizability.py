"""Check that what concurrent clients saw has one order that explains all of it.

The method is that of Wing and Gong (1993) with the memory of Lowe (2017): try each
operation that may come next, forget no state that was tried. Each session is an object
of its own, so its operations are checked alone.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

# How an operation ended, beside the value it gave.
DONE, NOT_FOUND, CONFLICT, UNKNOWN = "done", "not found", "conflict", "unknown"


class Operation(NamedTuple):
    """Be one call on a session and what came of it.

    Attributes:
        verb: ``append``, ``save``, ``load``, ``rewind``, ``delete`` or ``info``.
        session_id: the session.
        ids: of an append or save, the messages given; of a rewind, the one.
        expected: the version that a save expects; None for any.
        start: when it was called, in nanoseconds of one clock.
        end: when it returned.
        outcome: how it ended; ``unknown`` where the caller was cancelled.
        version: what it returned or what the conflict named; None where it did not.
        seen: of a load, the messages; of an info, nothing.
    """

    verb: str
    session_id: str
    ids: Tuple[str, ...]
    expected: Optional[int]
    start: int
    end: int
    outcome: str
    version: Optional[int]
    seen: Tuple[str, ...]


class State(NamedTuple):
    """Be what a session holds.

    Attributes:
        ids: its messages; None where it does not exist.
        version: its version; None where no operation that returned tells.
    """

    ids: Optional[Tuple[str, ...]]
    version: Optional[int]


NOTHING = State(None, 0)


def unexplained(operations: Sequence[Operation]) -> Optional[str]:
    """Return None where one order explains all operations on a session, else why not.

    Args:
        operations: all of one session, which begins as none.
    """
    ordered = sorted(operations, key=lambda operation: operation.start)
    everything = (1 << len(ordered)) - 1
    stack: List[Tuple[int, State]] = [(0, NOTHING)]
    tried: Set[Tuple[int, State]] = set(stack)
    furthest = 0
    while stack:
        done, state = stack.pop()
        if done == everything:
            return None
        furthest = max(furthest, done, key=lambda mask: bin(mask).count("1"))
        for place in _next(ordered, done):
            for after in outcomes(state, ordered[place]):
                step = (done | 1 << place, after)
                if step not in tried:
                    tried.add(step)
                    stack.append(step)
    left = [op for place, op in enumerate(ordered) if not furthest >> place & 1]
    return f"no order explains what {left[0]} saw"


def _next(ordered: Sequence[Operation], done: int) -> Iterator[int]:
    """Give the operations that began before any other that is left had ended."""
    earliest_end: Optional[int] = None
    for place in range((~done & (done + 1)).bit_length() - 1, len(ordered)):
        if done >> place & 1:
            continue
        operation = ordered[place]
        if earliest_end is not None and operation.start > earliest_end:
            break
        if earliest_end is None or operation.end < earliest_end:
            earliest_end = operation.end
        yield place


def outcomes(state: State, operation: Operation) -> List[State]:
    """Return the states that an operation with this outcome may leave."""
    reads = operation.verb in ("load", "info")
    if operation.outcome == UNKNOWN:
        if reads:
            return [state]
        # Either it did not happen, or it did and nobody knows the version.
        changed = _changed(state, operation)
        return [state] if changed is None else [state, State(changed.ids, None)]
    if operation.outcome == NOT_FOUND:
        return [state] if _is_missing(state, operation) else []
    if operation.outcome == CONFLICT:
        return _after_conflict(state, operation)
    if reads:
        return _after_reading(state, operation)
    changed = _changed(state, operation)
    if changed is None or _contradicts(state, changed, operation):
        return []
    if changed.ids is None:
        return [NOTHING]
    return [State(changed.ids, operation.version)]


def _is_missing(state: State, operation: Operation) -> bool:
    if state.ids is None:
        return True
    return operation.verb == "rewind" and operation.ids[0] not in state.ids


def _after_conflict(state: State, operation: Operation) -> List[State]:
    if state.version is None:
        known = operation.version != operation.expected
        return [State(state.ids, operation.version)] if known else []
    agrees = operation.version in (None, state.version)
    return [state] if agrees and state.version != operation.expected else []


def _after_reading(state: State, operation: Operation) -> List[State]:
    if operation.verb == "load":
        return [state] if operation.seen == (state.ids or ()) else []
    if state.ids is None or state.version not in (None, operation.version):
        return []
    return [State(state.ids, operation.version)]


def _changed(state: State, operation: Operation) -> Optional[State]:
    """Return the state after a write, with the version before it; None if it fails."""
    ids = state.ids
    if operation.verb == "save":
        wrong = state.version not in (None, operation.expected)
        if operation.expected is not None and wrong:
            return None
        return State(operation.ids, state.version)
    if ids is None:
        return None
    if operation.verb == "append":
        added = tuple(one for one in operation.ids if one not in ids)
        return State(ids + added, state.version)
    if operation.verb == "delete":
        return State(None, 0)
    if operation.ids[0] not in ids:
        return None
    return State(ids[: ids.index(operation.ids[0])], state.version)


def _contradicts(before: State, after: State, operation: Operation) -> bool:
    """Tell whether the version that a write returned cannot be."""
    if None in (before.version, operation.version) or after.ids is None:
        return False
    if before.ids == after.ids:
        return operation.version != before.version
    return bool(operation.version <= before.version)  # type: ignore[operator]


def by_session(operations: Sequence[Operation]) -> Dict[str, List[Operation]]:
    """Sort operations by their session."""
    sessions: Dict[str, List[Operation]] = {}
    for operation in operations:
        sessions.setdefault(operation.session_id, []).append(operation)
    return sessions


def from_json(row: List[Any]) -> Operation:
    """Return the operation that was a list of JSON."""
    verb, session_id, ids, expected, start, end, outcome, version, seen = row
    return Operation(
        *(verb, session_id, tuple(ids), expected, start, end, outcome, version),
        tuple(seen),
    )
