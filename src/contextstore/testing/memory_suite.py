"""Be what the tests of memory backends share: how one is made, and some messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from contextstore.backends.base import MemoryBackend
from contextstore.sync import SyncMemory
from contextstore.testing.faces import FACES, MEMORY_FACES
from contextstore.testing.suite import ConformanceSuite

Message = Dict[str, Any]

RICH: List[Message] = [
    {
        "id": "rich-1",
        "timestamp": "2024-01-01T00:00:00Z",
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "call-1",
                "type": "function",
                "function": {"name": "look", "arguments": '{"at": [1, 2]}'},
            }
        ],
    },
    {
        "id": "rich-2",
        "timestamp": None,
        "role": "tool",
        "tool_call_id": "call-1",
        "content": [{"type": "text", "text": "säge 木 \U0001f980 \x00 \u2028 \"'"}],
        "metadata": {"": {}, "n": [0, -1, 2**53 + 1, 1.5, -0.25, True, False, None]},
    },
    {"id": "rich-3", "timestamp": "not a time", "data": {"role": "inner"}},
]


def message(number: int) -> Message:
    """Return a message that lacks nothing, so that a backend has nothing to add."""
    return {
        "id": f"m{number}",
        "role": "user" if number % 2 else "assistant",
        "content": f"text {number}",
        "timestamp": "2024-01-01T00:00:00Z",
        "metadata": {"tags": ["a", {"b": number}]},
    }


def numbered(first: int, last: int) -> List[Message]:
    """Return the messages with these numbers, both included."""
    return [message(number) for number in range(first, last + 1)]


def bare(text: str) -> Message:
    """Return a message without id and timestamp."""
    return {"role": "user", "content": text}


class MemorySuite(ConformanceSuite):
    """Give a new backend to each test, behind each of its faces."""

    def make(self, tmp_path: Path) -> MemoryBackend:
        """Return a new, empty backend.

        It is a plain function, as an object has to work in any event loop, and so has
        nothing to await before one runs.

        Args:
            tmp_path: an empty directory, for files.
        """
        raise NotImplementedError

    def reopen(self, tmp_path: Path) -> MemoryBackend:
        """Return a backend on what an earlier one from ``make`` has stored.

        Write it for a backend whose data outlives the object.

        Args:
            tmp_path: the directory that ``make`` was given.
        """
        raise NotImplementedError

    @pytest.fixture(params=FACES)
    def memory(
        self, request: pytest.FixtureRequest, tmp_path: Path
    ) -> Iterator[SyncMemory]:
        """Give a new backend behind one of its faces."""
        with MEMORY_FACES[request.param](self.make(tmp_path)) as face:
            yield face
