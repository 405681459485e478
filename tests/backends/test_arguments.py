"""What every backend refuses alike, and whether the error names what was passed."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

import pytest

from contextstore import InMemoryMemory, InvalidInputError, SessionNotFoundError


@pytest.mark.parametrize("keep_last", [-1, True, "3", 2.0])
def test_a_prune_names_its_own_argument(keep_last: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"^keep_last is ") as caught:
        InMemoryMemory().sync.prune("s", keep_last=keep_last)
    assert caught.value.path == "keep_last"


@pytest.mark.parametrize("k", [-1, True, "3"])
def test_a_load_names_k(k: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"^k is .* or None for all"):
        InMemoryMemory().sync.load_context("s", k)


def test_an_erasure_of_too_much_and_of_nothing_are_told_apart() -> None:
    memory = InMemoryMemory().sync
    with pytest.raises(InvalidInputError, match="not both"):
        memory.erase(session_id="s", where={"user": "ann"})
    nothing: List[Optional[Dict[str, Any]]] = [None, {}]
    for where in nothing:
        with pytest.raises(InvalidInputError, match="at least one key"):
            memory.erase(where=where)


def test_an_append_to_no_session_tells_how_to_make_one() -> None:
    with pytest.raises(SessionNotFoundError, match="create=True"):
        InMemoryMemory().sync.append_context("s", [])
