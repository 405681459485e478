"""Wait for another program that holds a file, in steps that can be broken off.

SQLite's own waiting (its busy timeout) is deaf: no Ctrl-C and no change of mind reaches
a thread in it. So it gets a short one, and what it gives up is tried again.
"""

from __future__ import annotations

import sqlite3
import time
from typing import Callable, TypeVar

from contextstore.backends.sqlite.failures import is_busy

T = TypeVar("T")

# How long a call waits for another program that holds the file, in seconds.
BUSY_SECONDS = 30.0
# How long SQLite may wait in one go, in seconds.
STEP_SECONDS = 0.1
# SQLite does not wait at all for a change of the journal mode.
_PAUSE = 0.01


def never() -> bool:
    """Tell that there is always somebody to wait for."""
    return False


def patiently(action: Callable[[], T], is_pointless: Callable[[], bool] = never) -> T:
    """Do something, again and again while another program holds the file.

    Args:
        is_pointless: asked between two tries: whether nobody wants it any more.

    Raises:
        sqlite3.OperationalError: the file stayed locked for BUSY_SECONDS, or for as
            long as anybody waited.
    """
    try:
        return action()
    except sqlite3.OperationalError as error:
        if not is_busy(error):
            raise
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        time.sleep(_PAUSE)
        try:
            return action()
        except sqlite3.OperationalError as error:
            is_over = time.monotonic() > deadline or is_pointless()
            if is_over or not is_busy(error):
                raise


def begin(
    connection: sqlite3.Connection, is_pointless: Callable[[], bool] = never
) -> None:
    """Begin a transaction that writes, when no other program has one."""
    patiently(lambda: connection.execute("BEGIN IMMEDIATE"), is_pointless)
