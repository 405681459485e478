"""Backends that break a promise, each to be caught by the tool that looks for it."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import sys
import threading
import time
from typing import Any, Dict, List, Optional, Sequence

from contextstore import CorruptDataError, InMemoryMemory, SQLiteMemory, StorageError
from contextstore.backends.results import VerifyReport, WriteResult
from contextstore.backends.sqlite import group_commit

Message = Dict[str, Any]


class AcknowledgesEarly(SQLiteMemory):
    """Says that it is done and writes a little later."""

    async def append_context(
        self,
        session_id: str,
        context: List[Message],
        *,
        create: bool = False,
        expected_version: Optional[int] = None,
    ) -> Any:
        def write() -> None:
            time.sleep(0.05)
            # What comes too late, when the store was closed, is lost: the fault.
            with contextlib.suppress(Exception):
                SQLiteMemory.append_context(self, session_id, context).send(None)

        threading.Thread(target=write, daemon=True).start()


class NoTransaction(SQLiteMemory):
    """Stores a batch message by message."""

    runs_inline = True

    async def append_context(
        self,
        session_id: str,
        context: List[Message],
        *,
        create: bool = False,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        for message in context[:-1]:
            await super().append_context(session_id, [message], create=create)
            time.sleep(0.02)
        return await super().append_context(session_id, context[-1:], create=create)


def relaxed(path: str) -> SQLiteMemory:
    """Open a file with NORMAL in the place of FULL."""
    return SQLiteMemory(path, durability="relaxed")


class ReadsAndWritesBack(SQLiteMemory):
    """Appends by loading, adding and saving everything."""

    runs_inline = True

    async def append_context(
        self,
        session_id: str,
        context: List[Message],
        *,
        create: bool = False,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        stored = await self.load_context(session_id)
        time.sleep(0.002)
        return await self.save_context(session_id, stored + context)


class RawFirstOpen(SQLiteMemory):
    """Opens without waiting where another process is making the file."""

    runs_inline = True

    def __init__(self, path: str) -> None:
        raw = sqlite3.connect(path, timeout=0)
        try:
            raw.execute("PRAGMA journal_mode = WAL")
            raw.execute("CREATE TABLE IF NOT EXISTS theirs (x)")
        finally:
            raw.close()
        super().__init__(path)


class EmptyForDamage(SQLiteMemory):
    """Gives an empty list for what is damaged."""

    runs_inline = True

    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Message]:
        try:
            return await super().load_context(session_id, k)
        except CorruptDataError:
            return []


class SkipsDamage(SQLiteMemory):
    """Gives what it can still read."""

    runs_inline = True

    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Message]:
        try:
            return await super().load_context(session_id, k)
        except CorruptDataError as error:
            return await super().load_context(session_id, 1) if error.position else []


class Mends(SQLiteMemory):
    """Deletes what cannot be read."""

    runs_inline = True

    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Message]:
        try:
            return await super().load_context(session_id, k)
        except CorruptDataError as error:
            if error.position:
                await self.delete_session(session_id)
                await self.backup(f"{self._lease.location}-copy")
                await self.close()
            raise


class RaisesAnything(SQLiteMemory):
    """Lets errors out that are not of the library."""

    runs_inline = True

    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Message]:
        raise TypeError

    async def verify(self, *, repair: bool = False) -> VerifyReport:
        raise TypeError


class RemembersReads(SQLiteMemory):
    """Gives now and then what it read before."""

    runs_inline = True

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.read: Dict[str, List[Message]] = {}
        self.count = 0

    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Message]:
        self.count += 1
        if session_id not in self.read or self.count % 5:
            self.read[session_id] = await super().load_context(session_id, k)
        return self.read[session_id]


class IgnoresVersions(SQLiteMemory):
    """Saves whatever the version is."""

    runs_inline = True

    async def save_context(
        self,
        session_id: str,
        context: List[Message],
        *,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        return await super().save_context(session_id, context)


def fails_in_children(path: str) -> SQLiteMemory:
    """Open a file, but not in a process that a tool started."""
    if sys.argv[0] == "-c":
        raise OSError
    return SQLiteMemory(path)


def in_memory(path: str) -> InMemoryMemory:
    """Open a memory without a file."""
    return InMemoryMemory()


class SwallowsErrors(SQLiteMemory):
    """Says that it is done whatever happened."""

    runs_inline = True

    async def append_context(
        self,
        session_id: str,
        context: List[Message],
        *,
        create: bool = False,
        expected_version: Optional[int] = None,
    ) -> Any:
        with contextlib.suppress(StorageError):
            return await super().append_context(session_id, context)

    async def save_context(
        self,
        session_id: str,
        context: List[Message],
        *,
        expected_version: Optional[int] = None,
    ) -> Any:
        with contextlib.suppress(StorageError):
            return await super().save_context(session_id, context)


def trusts_savepoints(path: str) -> SQLiteMemory:
    """Open a file; after an error that ended a transaction, go on with the batch."""

    def commit_together(
        connection: sqlite3.Connection, writes: Sequence[group_commit.AnyTicket]
    ) -> bool:
        for write in writes:
            if not connection.in_transaction:
                connection.execute("BEGIN IMMEDIATE")
            write.run(connection)
        if connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("COMMIT")
        return True

    group_commit.__dict__["_commit_together"] = commit_together
    return SQLiteMemory(path)


class AcceptsAnything(InMemoryMemory):
    """Stores the text of what JSON has no word for."""

    runs_inline = True

    def __init__(self, path: str) -> None:
        super().__init__()

    async def append_context(
        self,
        session_id: str,
        context: List[Message],
        *,
        create: bool = False,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        text = json.dumps(context, default=str, skipkeys=True)
        stored = [one for one in json.loads(text) if isinstance(one, dict)]
        return await super().append_context(session_id, stored)


class LetsErrorsOut(AcceptsAnything):
    """Lets the errors of what it uses out."""

    runs_inline = True

    async def append_context(
        self,
        session_id: str,
        context: List[Message],
        *,
        create: bool = False,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        json.dumps(context)
        return await InMemoryMemory.append_context(self, session_id, context)
