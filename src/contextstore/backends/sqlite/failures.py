"""Turn what the sqlite3 module raises into the errors of this library."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import Any, Generator

from contextstore.backends.place import damaged
from contextstore.errors import (
    BusyError,
    ClosedError,
    CorruptDataError,
    StorageError,
    UnavailableError,
)

# The texts are SQLite's own (sqlite3_errstr) and those of CPython's module; the numeric
# codes reach Python only from 3.11 on.
_DAMAGED = (
    "malformed",
    "not a database",
    "no such table",
    "no such column",
    "already exists",
    "constraint failed",
    "could not decode to utf-8",
    "unsupported file format",
    # Tables of the text index that FTS5 cannot open or understand.
    "vtable constructor failed",
    "fts5",
    "sql logic error",
)
_BUSY = ("locked", "busy")
_CLOSED = ("closed database",)

_INTEGERS = frozenset((int,))
DRIVER_ERRORS = (sqlite3.Error, UnicodeDecodeError)


@contextmanager
def mapped(location: str) -> Generator[None, None, None]:
    """Raise the library's error for an error of sqlite3, with the cause kept."""
    try:
        yield
    except DRIVER_ERRORS as error:
        raise translated(error, location) from error


def translated(error: Exception, location: str) -> StorageError:
    """Return the library's error for an error of sqlite3."""
    text = str(error).lower()
    if "not a database" in text:
        return not_sqlite(location)
    if isinstance(error, UnicodeDecodeError) or is_damage(error):
        return damaged(location, str(error))
    if is_busy(error):
        return BusyError(
            f"{location} stayed locked by another program; try again", location=location
        )
    if _holds(text, _CLOSED):
        return ClosedError(f"{location} was closed", location=location)
    return UnavailableError(
        f"{location} cannot be read or written ({error}); nothing was stored",
        location=location,
    )


def not_sqlite(location: str) -> CorruptDataError:
    """Return the error for a file that SQLite does not know as one of its own."""
    return CorruptDataError(
        f"{location}: this is not a SQLite file; nothing was written: give "
        f"ContextStore a file of its own, or restore this one from a backup if it was "
        f"one",
        location=location,
    )


def in_use_at_fork(location: str) -> UnavailableError:
    """Return the error for what threads of the parent used while it forked."""
    return UnavailableError(
        f"{location} cannot be used in this process: it was forked while its parent "
        f"was inside a call for longer than a fork waits, or from within one; begin "
        f"such a process earlier, or by the start method 'spawn' of multiprocessing",
        location=location,
    )


def refuse_no_numbers(*found: Any) -> None:
    """Refuse what was read where numbers are kept: SQLite keeps anything anywhere.

    Raises:
        sqlite3.DatabaseError: one is no integer, as after a damage.
    """
    if not _INTEGERS.issuperset(map(type, found)):
        raise sqlite3.DatabaseError(
            "malformed row: it holds no number where one is due"
        )


def is_damage(error: Exception) -> bool:
    """Tell whether an error of sqlite3 says that what is stored is damaged."""
    return _holds(str(error).lower(), _DAMAGED)


def is_busy(error: Exception) -> bool:
    """Tell whether an error of sqlite3 says that another program holds the file."""
    return _holds(str(error).lower(), _BUSY)


def _holds(text: str, parts: tuple[str, ...]) -> bool:
    return any(part in text for part in parts)
