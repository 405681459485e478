"""Open SQLite connections: where the file is, with which settings, made how."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path
from typing import Callable

from contextstore.backends.sqlite.failures import mapped, not_sqlite
from contextstore.backends.sqlite.process_lock import ProcessLock
from contextstore.backends.sqlite.schema import is_current, is_ours, migrate
from contextstore.backends.sqlite.waiting import (
    BUSY_SECONDS,
    STEP_SECONDS,
    begin,
    never,
    patiently,
)
from contextstore.errors import SchemaVersionError, UnavailableError

MEMORY = ":memory:"

_STATEMENTS_CACHED = 256
# In bytes (https://sqlite.org/fileformat2.html, section 1.3.2).
_SMALLEST_PAGE = 512


def open_writer(
    location: str,
    process_lock: ProcessLock,
    is_pointless: Callable[[], bool] = never,
) -> sqlite3.Connection:
    """Open the connection that writes, and bring the file up to date.

    A file that is damaged, or that another program or a newer version made, is not
    written to, and gets no lock file beside it.

    Args:
        is_pointless: asked while another program holds the file: whether to give up.
    """
    if location != MEMORY:
        _make_private_file(location)
        _check_size(location)
    connection = _connect(location, STEP_SECONDS)
    try:
        with mapped(location):
            _configure(connection)
            # Asked before anything is written: it refuses what must not be.
            patiently(lambda: is_current(connection, location), is_pointless)
            with process_lock.held(is_pointless):
                patiently(lambda: _bring_up_to_date(connection, location), is_pointless)
    except BaseException:
        connection.close()
        raise
    return connection


def refuse_unused(location: str) -> None:
    """Refuse a file that this library has not made its tables in; write nothing.

    Raises:
        SchemaVersionError: it has none, or those of others.
    """
    _check_size(location)
    connection = _connect(location, BUSY_SECONDS)
    try:
        with mapped(location):
            _configure(connection)
            is_current(connection, location)
            if not is_ours(connection):
                raise SchemaVersionError(
                    f"{location} holds no tables of this version of ContextStore yet; "
                    f"the first use makes them, and brings over what contextstore "
                    f"1.0.1 left there",
                    location=location,
                )
    finally:
        connection.close()


def set_durability(connection: sqlite3.Connection, durability: str) -> None:
    """Say when a commit counts: when it is on the disk, or when it is in the log.

    Args:
        durability: ``full`` (one fdatasync a commit) or ``relaxed`` (none between
            checkpoints: a power cut may lose what was last acknowledged).
    """
    level = {"full": "FULL", "relaxed": "NORMAL"}[durability]
    connection.execute(f"PRAGMA synchronous = {level}")


def open_reader(location: str) -> sqlite3.Connection:
    """Open a connection that only reads."""
    connection = _connect(location, BUSY_SECONDS)
    with mapped(location):
        connection.execute("PRAGMA query_only = ON")
    return connection


def _connect(location: str, busy_seconds: float) -> sqlite3.Connection:
    try:
        # Locks of our own see to it that one thread at a time uses a connection.
        return sqlite3.connect(
            location,
            timeout=busy_seconds,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=_STATEMENTS_CACHED,
        )
    except sqlite3.Error as error:
        raise UnavailableError(
            f"{location} cannot be opened ({error})", location=location
        ) from error


def _make_private_file(location: str) -> None:
    """Make the file readable by its owner alone, before SQLite would make it."""
    try:
        os.close(os.open(location, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise UnavailableError(
            f"{location} cannot be made ({os.strerror(error.errno or errno.EIO)}); "
            f"its directory has to exist and be writable",
            location=location,
        ) from error


def _check_size(location: str) -> None:
    """Refuse a file too short to be a database, which SQLite would take for empty.

    Whatever else is no SQLite file, SQLite refuses at the first look, before it puts
    other files beside it. It must not be looked at otherwise: a file that is opened and
    closed takes from every connection of this process its locks on it
    (https://sqlite.org/howtocorrupt.html, section 2.2).
    """
    if 0 < Path(location).stat().st_size < _SMALLEST_PAGE:
        raise not_sqlite(location)


def _configure(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    # Where a file cannot be written anew to erase something, most of it is gone still.
    connection.execute("PRAGMA secure_delete = ON")


def _bring_up_to_date(connection: sqlite3.Connection, location: str) -> None:
    # The mode then stays in the file.
    connection.execute("PRAGMA journal_mode = WAL")
    if is_current(connection, location):
        return
    begin(connection)
    try:
        # Another process may have been faster.
        if not is_current(connection, location):
            migrate(connection, location)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
