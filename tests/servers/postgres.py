"""Start Postgres for tests: as root or not, wherever its programs come from."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, Generator, List, Optional, Sequence

import server_binaries

# For tests of what is stored: what a power cut would lose is of no interest there.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "autovacuum_naptime": "10s",
    "log_min_messages": "fatal",
}
_READY_SECONDS = 30.0


def programs() -> Optional[Path]:
    """Return the folder with ``postgres`` and ``initdb``; None where there is none.

    The environment comes first, then what ``make servers`` fetched, then Debian's.
    """
    given = os.environ.get("CONTEXTSTORE_TEST_PG_BIN")
    if given:
        return Path(given)
    fetched = server_binaries.provided(server_binaries.POSTGRES)
    if fetched is not None:
        return fetched
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return debian[-1].parent if debian else None


class Postgres:
    """Be one server with a data directory of its own.

    Args:
        folder: an empty directory that whoever runs the server may enter.
        binaries: the folder with its programs.
        settings: what its configuration says beyond the usual.

    Attributes:
        environment: what it is started with beyond that of this process.
    """

    def __init__(
        self, folder: Path, binaries: Path, settings: Optional[Dict[str, str]] = None
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self._binaries = binaries
        self._settings = dict(settings or {})
        self.environment: Dict[str, str] = {}
        self._process: Optional[subprocess.Popen[bytes]] = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def dsn(self, database: str = "postgres", *, port: Optional[int] = None) -> str:
        return f"postgresql://postgres@127.0.0.1:{port or self.port}/{database}"

    def create(self) -> None:
        """Make the data directory."""
        self._run(
            "initdb",
            *("-D", str(self.data), "-U", "postgres", "--no-sync", "--locale=C"),
            *("--encoding=UTF8", "--auth=trust"),
        )

    def copy_of(self, primary: Postgres) -> None:
        """Make the data directory of a standby."""
        self._run(
            "pg_basebackup",
            *("-D", str(self.data), "-d", f"{primary.dsn()}?application_name=standby"),
            *("--write-recovery-conf", "--checkpoint=fast", "--no-sync"),
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = {**_SETTINGS, **self._settings, "port": str(self.port)}
        settings["unix_socket_directories"] = ""
        options = [f"-c{name}={value}" for name, value in settings.items()]
        with (self.folder / "log").open("ab") as log:
            # Without its type: not all checkers see that a dict holds no ``text``.
            start: Any = subprocess.Popen
            self._process = start(
                [str(self._binaries / "postgres"), "-D", str(self.data), *options],
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
                **identity(),
            )
        self._wait()

    def start_if_ended(self) -> None:
        """Start it again if it ended by itself, as a supervisor does."""
        if self._process is not None and self._process.poll() is not None:
            self.start()

    def stop(self) -> None:
        """Stop it at once, in order."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Kill it and all its processes, as a machine that fails does."""
        if self._process is None:
            return
        children = _children(self._process.pid)
        self._process.kill()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        self._process.wait()
        self._process = None
        # Its successor would take these for a server that still runs.
        (self.data / "postmaster.pid").unlink()

    def limit_files(self, size: Optional[int]) -> None:
        """Let no file become larger, as if the disk was full; None lifts that."""
        if self._process is None:
            return
        limit = "unlimited" if size is None else str(size)
        for one in (self._process.pid, *_children(self._process.pid)):
            # As who runs the server: a superuser in a container may lack the right.
            command = ["prlimit", f"--pid={one}", f"--fsize={limit}:"]
            # A process may have ended since it was looked up.
            is_server = one == self._process.pid
            subprocess.run(
                command, check=is_server, stderr=subprocess.DEVNULL, **identity()
            )

    def promote(self) -> None:
        """Make a standby the primary."""
        self.ask("SELECT pg_promote()")

    def ask(self, statement: str, database: str = "postgres") -> List[Any]:
        """Run a statement, and return its rows."""
        import psycopg

        with psycopg.connect(self.dsn(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None

    def _wait(self) -> None:
        import psycopg

        deadline = time.monotonic() + _READY_SECONDS
        while True:
            try:
                self.ask("SELECT 1")
            except psycopg.OperationalError:
                ended = self._process is None or self._process.poll() is not None
                if ended or time.monotonic() > deadline:
                    log = (self.folder / "log").read_text()
                    raise RuntimeError(f"Postgres did not start:\n{log}") from None
                time.sleep(0.02)
            else:
                return

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), *arguments]
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            **identity(),
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stdout.decode()}")


@contextlib.contextmanager
def place() -> Generator[Path, None, None]:
    """Give a directory that the servers may write into, and remove it afterwards."""
    with tempfile.TemporaryDirectory(prefix="contextstore-pg-") as name:
        path = Path(name)
        hand_over(path)
        yield path


def hand_over(path: Path) -> None:
    """Give a directory to whoever runs the servers."""
    if os.geteuid() == 0:
        owner = pwd.getpwnam("nobody")
        os.chown(path, owner.pw_uid, owner.pw_gid)


def reachable(binaries: Path, folder: Path) -> Path:
    """Return programs that whoever runs the servers can start, copied if need be."""
    if os.geteuid() != 0 or _all_may_enter(binaries):
        return binaries
    install = binaries.parent
    # The libraries stand where the programs look for them: beside, and two above.
    root = install.parent.parent if (install.parent.parent).name else install
    copied = folder / "programs"
    shutil.copytree(str(root), str(copied))
    return copied / binaries.relative_to(root)


def _all_may_enter(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in [path, *path.parents])


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def identity() -> Dict[str, Any]:
    """Return how a process is started as somebody whom Postgres does not refuse."""
    if os.geteuid() != 0:
        return {}
    owner = pwd.getpwnam("nobody")
    if sys.version_info >= (3, 9):
        return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}

    def become() -> None:
        os.setgroups([])
        os.setgid(owner.pw_gid)
        os.setuid(owner.pw_uid)

    return {"preexec_fn": become}


def _children(pid: int) -> Sequence[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]
