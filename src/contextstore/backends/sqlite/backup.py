"""Copy a database into a new file while it is in use."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from contextstore.backends.sqlite.connections import MEMORY
from contextstore.errors import InvalidInputError, UnavailableError


def backup(connection: sqlite3.Connection, target: str) -> None:
    """Copy all that is committed; the new file is on the disk when this returns.

    Raises:
        InvalidInputError: the file exists already, or is none.
        UnavailableError: the file cannot be made or written.
    """
    if target == MEMORY:
        raise InvalidInputError("path is no file; name a new one", path="path")
    _make(target)
    try:
        copy = sqlite3.connect(target, isolation_level=None)
        try:
            connection.backup(copy)
        finally:
            copy.close()
        _sync(target)
        _sync(str(Path(target).parent))
    except OSError as error:
        Path(target).unlink()
        raise UnavailableError(
            f"{target} cannot be written ({error.strerror}); the backup was removed",
            location=target,
        ) from error
    except BaseException:
        Path(target).unlink()
        raise


def _make(target: str) -> None:
    try:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        raise InvalidInputError(
            f"{target} exists already; name a new file for the backup", path="path"
        ) from None
    except OSError as error:
        raise UnavailableError(
            f"{target} cannot be made ({error.strerror})", location=target
        ) from error


def _sync(path: str) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
