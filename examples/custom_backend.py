"""Keep sessions in JSON files: a backend of one's own, in five methods.

    python examples/custom_backend.py [FOLDER]

It shows the shape of a backend, and works with everything else of the library. It is
no rival of SQLiteMemory: each write writes the whole session, holds up the event loop
meanwhile, and counts on no other process writing to the folder.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any, Dict, List, Optional

from contextstore import (
    InteractionNotFoundError,
    MemoryBackend,
    SessionNotFoundError,
    SessionStore,
)

Messages = List[Dict[str, Any]]


class JsonFiles(MemoryBackend):
    """Keep each session in a file of its own.

    Args:
        folder: where the files are; it has to exist.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def load_context(self, session_id: str, k: Optional[int] = None) -> Messages:
        path = self._path(session_id)
        if not path.exists():
            return []
        stored: Messages = json.loads(path.read_text(encoding="utf-8"))
        return stored if k is None else stored[max(0, len(stored) - k) :]

    async def save_context(self, session_id: str, context: Messages) -> None:
        replace_file(self._path(session_id), json.dumps(context))

    async def append_context(self, session_id: str, context: Messages) -> None:
        stored = await self._existing(session_id)
        await self.save_context(session_id, [*stored, *context])

    async def delete_session(self, session_id: str) -> None:
        await self._existing(session_id)
        self._path(session_id).unlink()

    async def delete_interaction(self, session_id: str, interaction_id: str) -> None:
        stored = await self._existing(session_id)
        ids = [message.get("id") for message in stored]
        if interaction_id not in ids:
            raise InteractionNotFoundError.of(session_id, interaction_id)
        await self.save_context(session_id, stored[: ids.index(interaction_id)])

    async def _existing(self, session_id: str) -> Messages:
        if not self._path(session_id).exists():
            raise SessionNotFoundError.of(session_id)
        return await self.load_context(session_id)

    def _path(self, session_id: str) -> Path:
        # A session id may hold what a file name must not.
        return self._folder / f"{sha256(session_id.encode()).hexdigest()}.json"


def replace_file(path: Path, text: str) -> None:
    """Write a file in one step: no reader and no crash ever sees half of it."""
    draft = path.with_suffix(".draft")
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def main(folder: Path) -> None:
    # SessionStore fills in ids and timestamps for a backend that does not.
    store = SessionStore(JsonFiles(folder)).sync
    store.save_context("s", [{"role": "user", "content": "hi"}])
    store.append_context("s", [{"role": "assistant", "content": "Hello!"}])
    for message in store.load_context("s"):
        print(sorted(message), message["content"])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
