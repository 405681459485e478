"""Test a backend of your own against what the library expects of it.

``MemoryBackendConformance`` and ``RetrievalBackendConformance`` are suites to subclass,
``memory_machine`` makes a stateful property test. Needs pytest, and hypothesis for the
last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contextstore import _optional

pytest = _optional.require("pytest", "test")
# Before the suites are imported, so that their assertions explain themselves.
pytest.register_assert_rewrite(
    "contextstore.testing.memory_contract",
    "contextstore.testing.memory_capabilities",
    "contextstore.testing.memory_wider",
    "contextstore.testing.retrieval_conformance",
    "contextstore.testing.stateful",
)

from contextstore.testing.conformance import MemoryBackendConformance  # noqa: E402
from contextstore.testing.retrieval_conformance import (  # noqa: E402
    RetrievalBackendConformance,
)

if TYPE_CHECKING:
    from contextstore.testing.stateful import memory_machine

__all__ = [
    "MemoryBackendConformance",
    "RetrievalBackendConformance",
    "memory_machine",
]


def __getattr__(name: str) -> Any:
    # Only this part needs hypothesis.
    if name == "memory_machine":
        from contextstore.testing.stateful import memory_machine  # noqa: PLC0415

        return memory_machine
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
