"""Turn what psycopg raises into the errors of this library, and tell what may pass.

The codes are those of https://www.postgresql.org/docs/current/errcodes-appendix.html.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, Optional, Tuple

from contextstore._optional import require
from contextstore.errors import (
    BusyError,
    ConfigurationError,
    ContextStoreError,
    CorruptDataError,
    StorageError,
    UnavailableError,
)

# The server is going down, starting, has no connection left, or became a standby.
_AWAY = ("57P01", "57P02", "57P03", "57P05", "53300", "25006")
_AWAY_CLASS = "08"
# Another transaction came first; repeated, the statement sees what it left.
_OVERTAKEN = ("40001", "40P01")
_BUSY = ("55P03", "57014")
# Values, constraints, limits, locks, time, triggers: about one row, it may be.
_OF_ONE = ("22", "23", "54", *_BUSY, "P0")

# Parts of what libpq says of a server that shows no certificate, or one that is not to
# be trusted.
_UNTRUSTED = (
    "certificate verify failed",
    "root certificate file",
    "does not match host name",
    "server does not support SSL",
)
# And of what a server says to who may not connect; in another language it is asked
# again until the time is up.
_HOPELESS = (
    *_UNTRUSTED,
    "authentication failed",
    "does not exist",
    "no pg_hba.conf entry",
    "unsupported startup parameter",
)
# What psycopg writes before what it heard from an address, where it tried several.
_TRIED = re.compile(
    "^- host: (.+?), port: (.+?), hostaddr: (.+?): ", flags=re.MULTILINE
)
# No connection, no right to connect, no resources, no operator's leave, no disk.
_CANNOT = ("08", "25006", "28", "3D", "42501", "53", "57", "58")
_DAMAGED = ("XX001", "XX002")
_FULL = "53100"
# What a quota or a limit of the size of a file says has no code of its own; it comes
# from where the server makes a file longer. A text could be in any language.
_INTERNAL = "XX000"
_MAKING_LONGER = ("mdextend", "mdzeroextend")

UNDEFINED_TABLE = "42P01"
UNDEFINED_SCHEMA = "3F000"


def driver() -> Any:
    """Return psycopg.

    Raises:
        MissingDependencyError: it is not installed.
    """
    return require("psycopg", "postgres")


def code_of(error: BaseException) -> Optional[str]:
    """Return the code that the server gave an error; None where it gave none."""
    code: Optional[str] = getattr(error, "sqlstate", None)
    return code


def is_away(error: BaseException) -> bool:
    """Tell whether an error says that the server cannot be reached, or not yet."""
    code = code_of(error)
    if code is None:
        return isinstance(error, (driver().OperationalError, OSError))
    return code in _AWAY or code.startswith(_AWAY_CLASS)


def refusal(
    error: BaseException, location: str, hosts: int
) -> Optional[ConfigurationError]:
    """Return the error for a connection that waiting does not bring about.

    Args:
        error: what connecting raised.
        hosts: how many hosts were to be tried. As long as one of them may still take
            the connection, it is not refused, whatever the others say.

    Returns:
        None where the connection may come about a little later.
    """
    # libpq gives no code for what a server answers to a new connection.
    heard = _heard_from(str(error))
    if len(heard) < hosts or not all(map(_is_hopeless, heard)):
        return None
    if any(part in str(error) for part in _UNTRUSTED):
        return ConfigurationError(
            f"{location} speaks no TLS, or shows a certificate that nobody vouches "
            f"for; see the cause, and sslmode and sslrootcert in the DSN"
        )
    return ConfigurationError(
        f"{location} refused the user, the password, the database or an option; see "
        f"the cause, and mend the DSN (for an old pgbouncer, prepare_threshold=None)"
    )


def _heard_from(text: str) -> List[str]:
    """Return what was heard from each host, whatever the number of its addresses."""
    heard: Dict[Tuple[str, str], str] = {}
    _, *tried = _TRIED.split(text)
    parts = (tried[place::4] for place in range(4))
    for host, port, address, said in zip(*parts):
        # A DSN may give addresses alone.
        name = (address if host == "None" else host, port)
        heard[name] = heard.get(name, "") + said
    return [*heard.values()] or [text]


def _is_hopeless(said: str) -> bool:
    return any(part in said for part in _HOPELESS)


def is_overtaken(error: BaseException) -> bool:
    """Tell whether another transaction came first, so that a repeat may succeed."""
    return code_of(error) in _OVERTAKEN


def is_of_one(error: BaseException) -> bool:
    """Tell whether what speaks against a statement may be about one row of many."""
    return (code_of(error) or "").startswith(_OF_ONE)


def is_full(error: BaseException) -> bool:
    """Tell whether the server has no room to store anything."""
    code = code_of(error)
    if code != _INTERNAL:
        return code == _FULL
    said: Any = getattr(error, "diag", None)
    return getattr(said, "source_function", None) in _MAKING_LONGER


def translated(error: BaseException, location: str) -> BaseException:
    """Return the library's error for one of the driver; others stay what they are."""
    if isinstance(error, ContextStoreError):
        return error
    if not isinstance(error, (driver().Error, OSError)):
        return error
    code = code_of(error)
    if code in _BUSY:
        return BusyError(
            f"{location}: the statement was stopped ({code}): another transaction "
            f"holds what it needs, or a time limit of the server passed; try again",
            location=location,
        )
    if code in (UNDEFINED_TABLE, UNDEFINED_SCHEMA):
        return StorageError(
            f"{location}: the tables of ContextStore are gone; open a new object, "
            f"which makes them, or restore them",
            location=location,
        )
    if is_full(error):
        return UnavailableError(
            f"{location}: the disk of the server is full ({code}); the statement "
            f"stored nothing: make room there, and repeat the call",
            location=location,
        )
    if code in _DAMAGED:
        return CorruptDataError(
            f"{location}: the server found damage in its files ({code}); restore it "
            f"from a backup",
            location=location,
        )
    # Without a code it is about the connection, or about a value that never left.
    is_cut = code is None and isinstance(error, (driver().OperationalError, OSError))
    if is_cut or (code is not None and code.startswith(_CANNOT)):
        return unavailable(location, code or type(error).__name__)
    return StorageError(
        f"{location}: a statement was refused ({code or type(error).__name__}); see "
        f"the cause",
        location=location,
    )


def unavailable(location: str, why: str) -> UnavailableError:
    """Return the error for a server that cannot do its work.

    The text of the driver stays in the cause: a server quotes values of rows in it.
    """
    return UnavailableError(
        f"{location} cannot be reached or written ({why}); see the cause, and repeat "
        f"the call with the same ids, which is safe",
        location=location,
    )
