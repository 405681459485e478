"""Hold the scripts that the servers run, each written once for all kinds of server."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path


class Script:
    """Be one script.

    Args:
        name: that of its file, without the suffix.
        writes: whether it may change anything.
    """

    def __init__(self, name: str, *, writes: bool) -> None:
        self._path = Path(__file__).with_name(f"{name}.lua")
        self.writes = writes

    @cached_property
    def source(self) -> str:
        """Give its text, read when it is first needed."""
        return self._path.read_text(encoding="utf-8")

    @cached_property
    def sha1(self) -> str:
        """Give the name that servers have for it."""
        # Nothing is guarded by it.
        return hashlib.sha1(self.source.encode()).hexdigest()  # noqa: S324


READ = Script("read", writes=False)
ENTRIES = Script("entries", writes=False)
APPEND = Script("append", writes=True)
CHANGE = Script("change", writes=True)
DELETE = Script("delete", writes=True)
SUMMARIZE = Script("summarize", writes=True)
# The index waits for nobody: what it loses is found again.
FORGET = Script("forget", writes=False)
