"""Share what the tests of retrieval need: the switch between numpy and plain Python."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from contextstore import _optional

_find = _optional.find


def _find_all_but_numpy(module: str) -> Optional[Any]:
    return None if module.partition(".")[0] == "numpy" else _find(module)


@pytest.fixture
def without_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the library believe that numpy is not installed."""
    monkeypatch.setattr(_optional, "find", _find_all_but_numpy)


@pytest.fixture(params=["numpy", "plain"])
def arithmetic(request: pytest.FixtureRequest) -> str:
    """Run a test with numpy and without."""
    if request.param == "plain":
        request.getfixturevalue("without_numpy")
    else:
        pytest.importorskip("numpy")
    return str(request.param)
