"""Tell whether anything was committed to a SQLite file, at the price of a glance."""

from __future__ import annotations

import sqlite3
import threading
from itertools import count
from typing import Optional, Tuple

from contextstore.backends.sqlite.connections import open_reader
from contextstore.backends.sqlite.failures import DRIVER_ERRORS, translated
from contextstore.errors import ClosedError

__all__ = ["FileVersion", "Watch"]

FileVersion = Tuple[int, int]
"""What every commit to a file changes, whichever connection or process made it."""

_connections = count()


class Watch:
    """Watch one file.

    ``PRAGMA data_version`` counts the commits of other connections, and only what the
    same connection said before can be compared with it. So one that never writes is
    kept for this alone, and each has a number of its own.
    """

    def __init__(self, location: str) -> None:
        self._location = location
        # Re-entrant: the garbage collector may close the watch at any point.
        self._lock = threading.RLock()
        self._cursor: Optional[sqlite3.Cursor] = None
        self._number = 0
        self._closed = False

    def version(self) -> FileVersion:
        """Return the version of the file, which has to be there."""
        with self._lock:
            cursor = self._cursor or self._open()
            try:
                (commits,) = cursor.execute("PRAGMA data_version").fetchone()
            except DRIVER_ERRORS as error:
                raise translated(error, self._location) from error
            return self._number, commits

    def _open(self) -> sqlite3.Cursor:
        if self._closed:
            raise ClosedError(f"{self._location} was closed", location=self._location)
        self._cursor = open_reader(self._location).cursor()
        self._number = next(_connections)
        return self._cursor

    @property
    def is_connected(self) -> bool:
        """Tell whether the connection is open."""
        return self._cursor is not None

    def close(self) -> None:
        """Open no connection any more; a call after this raises ClosedError."""
        with self._lock:
            self._closed = True

    def disconnect(self) -> None:
        """Close the connection; a call after this opens another."""
        with self._lock:
            cursor, self._cursor = self._cursor, None
        if cursor is not None:
            cursor.connection.close()
