"""Hold the scripts that the servers run, each written once for all kinds of server.

What more than one of them does has its reason here:

- The time of a change never goes back, as the server before a failover may have been
  ahead. What expires does so by the clock as it is.
- Where the time to live is left as it is, keys that are new, or were emptied, get that
  of the head, which may have to expire.
- A repeat that finds nothing left to do writes something all the same, at least where a
  confirmation is asked for: WAIT counts from the last write of a connection.
"""

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
