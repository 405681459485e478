"""Run statements: a pool for each loop, and repeats while the server is away."""

from __future__ import annotations

import asyncio
import random
import threading
import time
import weakref
from functools import partial
from typing import (
    TYPE_CHECKING,
    Any,
    Awaitable,
    Callable,
    Dict,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    TypeVar,
)

from contextstore._hop import running_loop
from contextstore._lifecycle import OfThisProcess, renew_after_fork
from contextstore._optional import require
from contextstore.backends.postgres import failures, schema
from contextstore.backends.postgres.connections import Pool, cut, finish
from contextstore.errors import BusyError, ClosedError, ConfigurationError

if TYPE_CHECKING:
    from contextstore.backends.postgres.connections import Connection

T = TypeVar("T")
Loop = asyncio.AbstractEventLoop
Row = Tuple[Any, ...]
Work = Callable[["Session"], Awaitable[T]]

# Seconds between two tries; the first repeat comes at once, as a connection that lay
# idle while the server restarted says nothing about the server.
_PAUSES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)
# What is known of connections to a server that vanished without a word, where the DSN
# does not say otherwise: seconds, but milliseconds for the first.
_LIVENESS = {
    "tcp_user_timeout": 10_000,
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
# A statement about one session is planned once. Left to itself, Postgres plans it at
# each execution, as it takes the plan for all partitions to read all of them: that
# took 2.5 times as long for a load. An old pgbouncer refuses the option.
_GENERIC = "-c plan_cache_mode=force_generic_plan"


class Options(NamedTuple):
    """Say how to connect.

    Attributes:
        dsn: a connection string of libpq, or an address.
        timeout: seconds that a statement may take, with all its repeats.
        pool_size: connections a loop.
        prepare_threshold: after how many times a connection prepares a statement; None
            for never, as an old pgbouncer needs it.
    """

    dsn: str
    timeout: float
    pool_size: int
    prepare_threshold: Optional[int]

    @property
    def plans_once(self) -> bool:
        """Tell whether the server is to keep the plans of statements."""
        return self.prepare_threshold is not None

    @classmethod
    def checked(
        cls,
        dsn: str,
        timeout: float,
        pool_size: int,
        prepare_threshold: Optional[int],
    ) -> Options:
        """Return options that can be used.

        Raises:
            ConfigurationError: one of them cannot.
        """
        if not timeout > 0 or pool_size < 1:
            raise ConfigurationError("timeout and pool_size have to be above 0")
        return cls(dsn, timeout, pool_size, prepare_threshold)


class Session:
    """Be one connection while a piece of work has it.

    Args:
        plans_once: whether the server keeps plans that fit all values.

    Attributes:
        connection: that of psycopg, in autocommit mode.
    """

    def __init__(self, connection: Connection, *, plans_once: bool) -> None:
        self.connection = connection
        self._plans_once = plans_once
        # The driver takes literals alone, to keep values out; here they are constants.
        self._execute: Any = connection.execute

    async def fetch(self, statement: str, values: Mapping[str, Any]) -> List[Row]:
        """Run one statement in a transaction of its own, and return its rows."""
        cursor = await self._execute(statement, values, binary=True)
        rows: List[Row] = await cursor.fetchall()
        return rows

    async def fetch_by_values(
        self, statement: str, values: Mapping[str, Any]
    ) -> List[Row]:
        """Run a statement whose best plan hangs on the values: a list, or a search."""
        if not self._plans_once:
            return await self.fetch(statement, values)
        async with self.connection.transaction():
            await self.run("SET LOCAL plan_cache_mode = force_custom_plan")
            return await self.fetch(statement, values)

    async def run(self, statement: str) -> None:
        """Run a statement, or several, that give no rows."""
        await self._execute(statement)


class Engine(OfThisProcess):
    """Hold the pools of an object, one a loop, and repeat what a lost server cut off.

    Args:
        options: how to connect.
        partitions: into how many parts tables are split when they are made.
    """

    def __init__(self, options: Options, partitions: int) -> None:
        self._options = options
        self._partitions = schema.validate_partitions(partitions)
        self._conninfo = _complete(options)
        self.location = _location(self._conninfo)
        self._pools: Dict[Loop, Pool] = {}
        self._lock = threading.Lock()
        self._ready = False
        self._closed = False
        weakref.finalize(self, _drop, self._pools)
        renew_after_fork(self)

    @property
    def pool_size(self) -> int:
        """Give how many connections a loop may open."""
        return self._options.pool_size

    def deadline(self) -> float:
        """Return until when what begins now may take, by ``time.monotonic``."""
        return time.monotonic() + self._options.timeout

    async def do(self, work: Work[T], deadline: Optional[float] = None) -> T:
        """Do a piece of work that may be repeated, until it is done or time is up.

        Args:
            deadline: until when, where it began before this.

        Raises:
            UnavailableError: the server stayed away for longer than the timeout.
            BusyError: every connection was in use for that long.
        """
        deadline = self.deadline() if deadline is None else deadline
        tries = 0
        while True:
            try:
                return await self._try(work, deadline)
            except Exception as error:
                if not self._passes(error, deadline):
                    translated = failures.translated(error, self.location)
                    if translated is error:
                        raise
                    raise translated from error
            await asyncio.sleep(_pause(tries))
            tries += 1

    async def fetch(
        self, statement: str, values: Mapping[str, Any], *, by_values: bool = False
    ) -> List[Row]:
        """Run one statement that may be repeated, and return its rows.

        Args:
            by_values: whether its best plan hangs on the values.
        """

        async def work(session: Session) -> List[Row]:
            if by_values:
                return await session.fetch_by_values(statement, values)
            return await session.fetch(statement, values)

        return await self.do(work)

    def close(self) -> None:
        """Close the connections; a call after this raises ClosedError."""
        self._closed = True
        with self._lock:
            pools = list(self._pools.items())
            self._pools.clear()
        _close_all(pools)

    def renew(self) -> None:
        """Begin anew in a forked child; the connections stay the parent's."""
        self._lock = threading.Lock()
        for pool in self._pools.values():
            _of_the_parent.extend(pool.leave())
        self._pools.clear()

    def _passes(self, error: Exception, deadline: float) -> bool:
        """Tell whether a try that failed so may be followed by another."""
        may = failures.is_away(error) or failures.is_overtaken(error)
        return may and time.monotonic() < deadline and not self._closed

    async def _try(self, work: Work[T], deadline: float) -> T:
        pool = await self._pool()
        connection = await self._taken(pool, deadline)
        expiry = asyncio.get_running_loop().call_later(
            max(deadline - time.monotonic(), 0.0), cut, connection
        )
        try:
            session = Session(connection, plans_once=self._options.plans_once)
            if not self._ready:
                await schema.bring_up_to_date(session, self.location, self._partitions)
                self._ready = True
            return await work(session)
        except Exception as error:
            if failures.is_away(error):
                # Even where it seems whole: it may lead to what is a standby now.
                finish(connection)
                pool.drop_idle()
            raise
        finally:
            expiry.cancel()
            pool.give(connection)

    async def _taken(self, pool: Pool, deadline: float) -> Connection:
        left = max(deadline - time.monotonic(), 0.001)
        try:
            return await pool.take(left)
        except asyncio.TimeoutError:
            raise BusyError(
                f"{self.location}: all {self._options.pool_size} connections of this "
                f"loop stayed in use; try again, or raise pool_size",
                location=self.location,
            ) from None

    async def _pool(self) -> Pool:
        if self._closed:
            raise ClosedError(f"{self.location} was closed", location=self.location)
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is None:
            # The pools outlive this object until its finalizer: they may not hold it.
            connect = partial(_connect, self._conninfo, self._options, self.location)
            pool = Pool(connect, self._options.pool_size)
            with self._lock:
                ended = [item for item in self._pools.items() if item[0].is_closed()]
                for dead, _ in ended:
                    del self._pools[dead]
                self._pools[loop] = pool
            _close_all(ended)
            await pool.open()
        return pool


# Collected, they would be closed, and with them the connections of the parent.
_of_the_parent: List[Any] = []


async def _connect(conninfo: str, options: Options, location: str) -> Connection:
    """Connect.

    Raises:
        ConfigurationError: none of the hosts will ever take the connection.
    """
    driver = failures.driver()
    try:
        connection: Connection = await driver.AsyncConnection.connect(
            conninfo,
            autocommit=True,
            prepare_threshold=options.prepare_threshold,
        )
    except driver.OperationalError as error:
        refusal = failures.refusal(error, location, len(set(_hosts_of(conninfo))))
        if refusal is None:
            raise
        raise refusal from error
    # As text, which psycopg prefers, a list of bodies took 170 times as long to write.
    binary = require("psycopg.types.array", "postgres").ListBinaryDumper
    connection.adapters.register_dumper(list, binary)
    return connection


def _drop(pools: Dict[Loop, Pool]) -> None:
    _close_all(list(pools.items()))


def _close_all(pools: Sequence[Tuple[Loop, Pool]]) -> None:
    """Close pools, each in its loop where that still runs elsewhere."""
    here = running_loop()
    for loop, pool in pools:
        if loop is not here and loop.is_running():
            try:
                loop.call_soon_threadsafe(pool.close)
                continue
            except RuntimeError:
                pass
        pool.close()


def _pause(tries: int) -> float:
    longest = _PAUSES[min(tries, len(_PAUSES) - 1)]
    # Not all at once: after a failover every writer of every machine is waiting.
    return longest * random.uniform(0.5, 1.0)


def _complete(options: Options) -> str:
    """Return the DSN with what it leaves open.

    Raises:
        ConfigurationError: it is none.
    """
    conninfo = require("psycopg.conninfo", "postgres")
    given = _parts_of(options.dsn)
    if given is None:
        # Without a cause, as libpq quotes what it could not read: a password, too.
        raise ConfigurationError(
            "dsn is no connection string of Postgres; write "
            "postgresql://user@host/database, or keywords and values; in an address "
            "the characters / @ : ? of a password are %2F %40 %3A %3F"
        )
    complete = {**_LIVENESS, **given}
    if options.plans_once:
        complete["options"] = f"{given.get('options', '')} {_GENERIC}".strip()
    if "," in str(given.get("host", "")):
        # Of several servers only the primary can be written.
        complete.setdefault("target_session_attrs", "read-write")
    made: str = conninfo.make_conninfo("", **complete)
    return made


def _parts_of(dsn: str) -> Optional[Dict[str, Any]]:
    """Return what a DSN says, or None where it says nothing that makes sense."""
    conninfo = require("psycopg.conninfo", "postgres")
    try:
        parts: Dict[str, Any] = conninfo.conninfo_to_dict(dsn)
    except (failures.driver().Error, TypeError):
        return None
    # libpq ends the password of an address at a slash or an @, and takes the rest of it
    # for port, host or name.
    place = dsn.partition("://")[2].partition("?")[0]
    authority, _, path = place.partition("/")
    torn = "@" in path and "@" not in authority
    ports = str(parts.get("port") or "").split(",")
    numeric = all(port.isdecimal() for port in ports if port)
    whole = numeric and "@" not in str(parts.get("host") or "") and not torn
    return parts if whole else None


def _location(dsn: str) -> str:
    """Return what errors call the database: hosts and name, never the password."""
    parts = require("psycopg.conninfo", "postgres").conninfo_to_dict(dsn)
    bracketed = (
        (f"[{host}]" if ":" in host else host, port) for host, port in _hosts_of(dsn)
    )
    named = ",".join(f"{host}:{port}" if port else host for host, port in bracketed)
    return f"postgresql://{named}/{parts.get('dbname') or ''}"


def _hosts_of(dsn: str) -> List[Tuple[str, str]]:
    """Return the hosts that a DSN names, each with its port; "" for the usual."""
    parts = require("psycopg.conninfo", "postgres").conninfo_to_dict(dsn)
    hosts = str(parts.get("host") or "").split(",")
    ports = str(parts.get("port") or "").split(",")
    # One port stands for all hosts.
    return list(zip(hosts, ports if len(ports) == len(hosts) else ports * len(hosts)))
