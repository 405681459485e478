"""Open a memory by its address."""

from __future__ import annotations

from typing import Any, Callable, Dict
from urllib.parse import unquote, urlsplit

from contextstore.backends.base import MemoryBackend
from contextstore.backends.memory import InMemoryMemory
from contextstore.backends.postgres import PostgresMemory
from contextstore.backends.sqlite import SQLiteMemory
from contextstore.errors import ConfigurationError


def open_memory(url: str, **options: Any) -> MemoryBackend:
    """Open the memory that an address names.

    ``sqlite:///chat.db`` is a file beside the program, ``sqlite:////var/chat.db`` an
    absolute path, ``memory:`` a memory without a file, ``postgresql://user@host/name``
    a database of Postgres, of several hosts too.

    Args:
        options: keyword arguments of the backend, such as ``durability="relaxed"``.

    Raises:
        ConfigurationError: the address is none of these.
    """
    opener = _OPENERS.get(str(url).partition(":")[0])
    if opener is None:
        raise ConfigurationError(
            f"{_without_password(url)} is no address of a memory; use "
            f"sqlite:///chat.db, sqlite:////absolute/chat.db, memory: or "
            f"postgresql://user@host/database"
        )
    return opener(url, options)


def _open_sqlite(url: str, options: Dict[str, Any]) -> MemoryBackend:
    path = path_in(url)
    if not path:
        raise ConfigurationError(
            f"{_without_password(url)} names no file; write sqlite:///chat.db with "
            f"three slashes before a relative path and four before an absolute one"
        )
    return SQLiteMemory(path, **options)


def path_in(url: str) -> str:
    """Return the path that an address of SQLite names; "" where it names no file."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    alone = not (parts.netloc or parts.query or parts.fragment)
    return unquote(parts.path)[1:] if alone else ""


def _open_in_memory(url: str, options: Dict[str, Any]) -> MemoryBackend:
    if url.rstrip("/") != "memory:":
        raise ConfigurationError(f"{_without_password(url)}: write memory: alone")
    return InMemoryMemory(**options)


def _open_postgres(url: str, options: Dict[str, Any]) -> MemoryBackend:
    return PostgresMemory(url, **options)


_OPENERS: Dict[str, Callable[[str, Dict[str, Any]], MemoryBackend]] = {
    "sqlite": _open_sqlite,
    "memory": _open_in_memory,
    "postgresql": _open_postgres,
    "postgres": _open_postgres,
}


def _without_password(url: object) -> str:
    """Return an address that an error may show."""
    text = str(url)
    credentials, at, rest = text.rpartition("@")
    scheme, separator, _ = credentials.partition("://")
    return f"{scheme}{separator}...@{rest}" if at else text
