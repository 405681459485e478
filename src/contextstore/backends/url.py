"""Open a memory by its address."""

from __future__ import annotations

from typing import Any, Callable, Dict, Union
from urllib.parse import unquote, urlsplit

from contextstore.backends.addresses import without_password
from contextstore.backends.memory import InMemoryMemory
from contextstore.backends.postgres import PostgresMemory
from contextstore.backends.redis import RedisMemory
from contextstore.backends.sqlite import SQLiteMemory
from contextstore.errors import ConfigurationError

Opened = Union[SQLiteMemory, PostgresMemory, RedisMemory]
"""What an address opens: a MemoryBackend with all options and a WriteResult of each
write. An InMemoryMemory is a SQLiteMemory without a file."""


def open_memory(url: str, **options: Any) -> Opened:
    """Open the memory that an address names.

    ``sqlite:///chat.db`` is a file beside the program, ``sqlite:////var/chat.db`` an
    absolute path, ``memory:`` a memory without a file, ``postgresql://user@host/name``
    a database of Postgres, of several hosts too. ``redis://host:6379/0`` is a server of
    Redis or Valkey, ``redis+cluster://host1:7000,host2:7000`` a cluster, and
    ``redis+sentinel://host1:26379,host2:26379/name`` a master that Sentinels watch;
    ``rediss`` is the same with TLS, and ``valkey`` the same as ``redis``.

    Args:
        options: keyword arguments of the backend, such as ``durability="relaxed"``.

    Raises:
        ConfigurationError: the address is none of these.
    """
    scheme, plus, _ = _scheme_of(url).partition("+")
    opener = _OPENERS.get(scheme)
    if opener is None or (plus and opener is not _open_redis):
        raise ConfigurationError(
            f"{without_password(url)} is no address of a memory; for the file chat.db "
            f"write sqlite:///chat.db, else sqlite:////absolute/chat.db, memory:, "
            f"postgresql://user@host/database, redis://host:6379/0 or "
            f"redis+cluster://host1:7000,host2:7000"
        )
    return opener(url, options)


def names_scheme(text: str) -> bool:
    """Tell whether a text begins as an address does, and is no path of a file."""
    return "://" in text or _scheme_of(text).partition("+")[0] in _OPENERS


def _scheme_of(url: object) -> str:
    scheme, colon, _ = str(url).partition(":")
    return scheme if colon else ""


def _open_sqlite(url: str, options: Dict[str, Any]) -> Opened:
    path = path_in(url)
    if not path:
        raise ConfigurationError(
            f"{without_password(url)} names no file; write sqlite:///chat.db with "
            f"three slashes before a relative path and four before an absolute one, "
            f"and the name of a file at the end"
        )
    return SQLiteMemory(path, **options)


def path_in(url: str) -> str:
    """Return the path that an address of SQLite names; "" where it names no file."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    alone = not (parts.netloc or parts.query or parts.fragment)
    if not alone or not url.startswith("sqlite:///") or url.endswith("/"):
        return ""
    return unquote(parts.path)[1:]


def _open_in_memory(url: str, options: Dict[str, Any]) -> Opened:
    if url.rstrip("/") != "memory:":
        raise ConfigurationError(f"{without_password(url)}: write memory: alone")
    return InMemoryMemory(**options)


def _open_postgres(url: str, options: Dict[str, Any]) -> Opened:
    return PostgresMemory(url, **options)


def _open_redis(url: str, options: Dict[str, Any]) -> Opened:
    return RedisMemory(url, **options)


_OPENERS: Dict[str, Callable[[str, Dict[str, Any]], Opened]] = {
    "sqlite": _open_sqlite,
    "memory": _open_in_memory,
    "postgresql": _open_postgres,
    "postgres": _open_postgres,
    "redis": _open_redis,
    "rediss": _open_redis,
    "valkey": _open_redis,
    "valkeys": _open_redis,
}
