"""Give a backend input of any kind: it is stored as it is, or refused whole."""

from __future__ import annotations

import json
from typing import Any, Dict, List

from contextstore import _optional, messages
from contextstore.errors import InvalidInputError
from contextstore.sync import SyncMemory
from contextstore.testing.faults.children import open_backend
from contextstore.testing.faults.report import (
    FaultReport,
    Finding,
    at_most,
    merged,
    shown,
)

# Before it is imported, so that the error names the extra.
_optional.require("hypothesis", "test")

from hypothesis import HealthCheck, Phase, given, seed, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

_TEXT = st.text(max_size=20) | st.sampled_from(["", "\0", "\ud800", "é", "\U0001f600"])
_NUMBERS = (
    st.integers(-(2**70), 2**70)
    | st.floats()
    | st.sampled_from([0, -0.0, 1e308, 2**63, 2**64, -(2**63) - 1])
)
_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _TEXT,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4)
    ),
    max_leaves=12,
)
# What JSON has no word for, and what only looks like it.
_FOREIGN: st.SearchStrategy[Any] = st.recursive(
    _JSON
    | st.binary(max_size=5)
    | st.tuples(_NUMBERS)
    | st.sets(st.integers(), max_size=2)
    | st.complex_numbers()
    | st.builds(object)
    | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(_TEXT | st.integers() | st.none(), inner, max_size=3)
    ),
    max_leaves=6,
)
_FIELDS = st.sampled_from(["id", "timestamp", "role", "content", "metadata", "name"])
_MESSAGES = st.lists(
    st.dictionaries(_FIELDS | _TEXT, _JSON | _TEXT, max_size=5), max_size=4
)


def _id_or_self(message: Dict[str, Any]) -> Any:
    return message.get("id", id(message))


_SOUND = st.lists(
    st.fixed_dictionaries(
        {"content": _JSON},
        optional={"id": st.text("abc", min_size=1, max_size=9), "role": _TEXT},
    ),
    max_size=3,
    unique_by=_id_or_self,
)


def _parsed(data: bytes) -> Any:
    """Return what Python's reader of JSON makes of bytes, or the bytes."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return data


def _damaged(value: Any, place: int, byte: int) -> Any:
    """Return what is read of a value written as JSON with another byte at a place."""
    data = json.dumps(value).encode()
    return _parsed(data[:place] + bytes([byte]) + data[place + 1 :])


_BYTES = st.builds(_damaged, _MESSAGES, st.integers(0, 60), st.integers(0, 255))
INPUT: st.SearchStrategy[Any] = (
    _SOUND | _MESSAGES | _BYTES | _FOREIGN | st.lists(_FOREIGN)
)


def run_fuzz(
    opener: str, path: str, *, examples: int, seed_number: int = 1
) -> FaultReport:
    """Give save and append so many examples; needs hypothesis.

    What is accepted comes back equal, apart from ids and timestamps that were filled
    in. What is refused is an InvalidInputError, and changes nothing.

    Args:
        opener: ``package.module:function``; called with the path, it gives the backend.
    """
    reports: List[FaultReport] = []
    with open_backend(opener, path).sync as face:

        @seed(seed_number)
        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        )
        @given(INPUT)
        def give(value: Any) -> None:
            reports.append(_give(face, value))

        give()
    return merged(reports)


def _give(face: SyncMemory, value: Any) -> FaultReport:
    counts = {"examples": 1, "accepted": 0, "refused": 0}
    first = [{"id": "kept", "timestamp": "2024"}]
    face.save_context("s", first)
    try:
        face.append_context("s", value)
    except InvalidInputError:
        counts["refused"] = 1
        expected: List[Dict[str, Any]] = first
    except ValueError as error:
        # An id that is there with other content: a conflict, which is no refusal.
        if not _has_id(value, "kept"):
            return FaultReport(counts, [_finding("error", value, shown(error))])
        expected = first
    except Exception as error:
        return FaultReport(counts, [_finding("error", value, shown(error))])
    else:
        counts["accepted"] = 1
        if not _is_json(value):
            return FaultReport(counts, [_finding("wrong", value, "it was accepted")])
        expected = first + [one for one in value if one.get("id") != "kept"]
    loaded = face.load_context("s")
    if not _equal(loaded, expected):
        return FaultReport(counts, [_finding("wrong", value, at_most(loaded))])
    if counts["accepted"]:
        try:
            face.save_context("s", value)
        except Exception as error:
            return FaultReport(counts, [_finding("wrong", value, shown(error))])
        if not _equal(face.load_context("s"), value):
            return FaultReport(counts, [_finding("wrong", value, "after a save")])
    return FaultReport(counts, [])


def _is_json(value: Any) -> bool:
    """Tell whether a value is a list of JSON objects, by the standard library."""
    try:
        same = json.loads(json.dumps(value, allow_nan=False)) == value
    except (ValueError, TypeError):
        return False
    return same and all(isinstance(one, dict) for one in value)


def _has_id(value: Any, message_id: str) -> bool:
    return isinstance(value, list) and any(
        isinstance(one, dict) and one.get("id") == message_id for one in value
    )


def _equal(loaded: List[Dict[str, Any]], given_: List[Dict[str, Any]]) -> bool:
    """Compare strictly, apart from what the store filled in."""
    if len(loaded) != len(given_):
        return False
    for stored, wanted in zip(loaded, given_):
        filled = {k: stored.get(k) for k in ("id", "timestamp") if k not in wanted}
        if messages.canonical({**wanted, **filled}) != messages.canonical(stored):
            return False
    return True


def _finding(kind: str, value: Any, detail: str) -> Finding:
    return Finding(kind, at_most(value), detail)
