"""Read the address of a server, of Sentinels or of a cluster."""

from __future__ import annotations

import re
from typing import Any, Dict, List, NamedTuple, Optional, Tuple
from urllib.parse import unquote

from contextstore._optional import require
from contextstore.backends.addresses import without_password
from contextstore.errors import ConfigurationError

Host = Tuple[str, int]

_SCHEMES = {
    "redis": "redis",
    "valkey": "redis",
    "rediss": "rediss",
    "valkeys": "rediss",
}
# What the scripts give is read as bytes, in the older form, whatever an address says.
_FIXED: Dict[str, Any] = {
    "protocol": 2,
    "decode_responses": False,
    "encoding": "utf-8",
    "encoding_errors": "strict",
}
_KINDS = ("cluster", "sentinel")
_SHAPES = (
    "redis://host:6379/0, rediss:// for TLS, redis+cluster://host1:7000,host2:7000, or "
    "redis+sentinel://host1:26379,host2:26379/name-of-the-master; valkey means the same"
)


class Address(NamedTuple):
    """Say where servers are, and how to talk to them.

    Attributes:
        kind: ``single``, ``sentinel`` or ``cluster``.
        hosts: where to begin.
        service: the name of the master, for Sentinels.
        maker: the class of redis-py that makes a connection.
        options: what it is made with, host and port excepted.
        shown: the address without its password, for the texts of errors.
    """

    kind: str
    hosts: Tuple[Host, ...]
    service: str
    maker: Any
    options: Dict[str, Any]
    shown: str

    @classmethod
    def of(cls, url: Any) -> Address:
        """Read an address.

        Raises:
            ConfigurationError: it is none, or has an option that redis-py refuses.
            MissingDependencyError: redis-py is not installed.
        """
        parts = _Parts.of(url)
        pools = parts.pools()
        if pools is None:
            raise _refusal(url)
        settings = [dict(pool.connection_kwargs) for pool in pools]
        hosts = tuple(
            (one.pop("host", "localhost"), one.pop("port", 6379)) for one in settings
        )
        if parts.kind == "cluster" and settings[0].get("db"):
            raise ConfigurationError("a cluster has one database: leave /number out")
        maker = pools[0].connection_class
        shown = without_password(url)
        options = {**settings[0], **_FIXED}
        address = cls(parts.kind, hosts, parts.service, maker, options, shown)
        if not address._takes_options():
            raise ConfigurationError(
                f"{shown}: redis-py does not take the options after the question mark"
            )
        return address

    def _takes_options(self) -> bool:
        """Make a connection that is never opened, as redis-py refuses options then."""
        refusals = (TypeError, ValueError, AttributeError)
        try:
            self.connection(self.hosts[0], 1.0)
        except (*refusals, require("redis", "redis").RedisError):
            return False
        return True

    def connection(self, host: Host, timeout: float, *, sentinel: bool = False) -> Any:
        """Make a connection of redis-py that is not open yet; it never retries.

        Args:
            timeout: seconds that connecting, or waiting for a reply, may take.
            sentinel: lead to a Sentinel, which has users and databases of its own.
        """
        retry = require("redis.retry", "redis")
        backoff = require("redis.backoff", "redis")
        options = {
            "socket_timeout": timeout,
            "socket_connect_timeout": min(timeout, 2.0),
            "socket_keepalive": True,
            **self.options,
            "host": host[0],
            "port": host[1],
            "retry": retry.Retry(backoff.NoBackoff(), 0),
        }
        if sentinel:
            for name in ("db", "username", "password"):
                options.pop(name, None)
        return self.maker(**options)


class _Parts(NamedTuple):
    scheme: str
    kind: str
    credentials: str
    hosts: List[str]
    tail: str
    service: str

    @classmethod
    def of(cls, url: Any) -> _Parts:
        if not isinstance(url, str):
            raise ConfigurationError(f"an address is a text; use {_SHAPES}")
        scheme, separator, rest = url.partition("://")
        name, _, kind = scheme.partition("+")
        if not separator or name not in _SCHEMES or kind not in ("", *_KINDS):
            raise _refusal(url)
        place, mark, query = rest.partition("?")
        # A password may hold what is written in a path, but a path holds no @.
        credentials, at, place = place.rpartition("@")
        listed, _, path = place.partition("/")
        service = ""
        if kind == "sentinel":
            service, _, path = path.partition("/")
            if not service:
                raise ConfigurationError(
                    f"{without_password(url)} names no master; write {_SHAPES}"
                )
        if not re.fullmatch("[0-9]*", path):
            raise ConfigurationError(
                f"{without_password(url)} names a database that is no number; write "
                f"{_SHAPES}"
            )
        hosts = [host for host in listed.split(",") if host] or ["localhost"]
        if not kind and len(hosts) > 1:
            raise _refusal(url)
        tail = f"/{path}{mark}{_without_fixed(query)}"
        return cls(
            _SCHEMES[name],
            kind or "single",
            credentials + at,
            hosts,
            tail,
            unquote(service),
        )

    def pools(self) -> Optional[List[Any]]:
        """Return what redis-py makes of each host, or None where it takes one for none.

        What it raises may quote a password, and is not to be the context of our error.
        """
        from_url = require("redis", "redis").ConnectionPool.from_url
        try:
            return [
                from_url(
                    f"{self.scheme}://{self.credentials}{host}{self.tail}", protocol=2
                )
                for host in self.hosts
            ]
        except (ValueError, TypeError):
            return None


def _without_fixed(query: str) -> str:
    """Return options without the fixed ones; with some, redis-py prepares others."""
    options = query.split("&")
    return "&".join(
        one for one in options if unquote(one.partition("=")[0]) not in _FIXED
    )


def _refusal(url: Any) -> ConfigurationError:
    return ConfigurationError(
        f"{without_password(url)} is no address of Redis or Valkey; use {_SHAPES}"
    )
