"""Run the commands that need no extra: ``python -m contextstore --help``."""

from __future__ import annotations

import argparse
import os
import platform
import re
import sqlite3
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Callable, List, Optional

import contextstore
from contextstore._hop import drive
from contextstore.backends.addresses import without_password
from contextstore.backends.base import MemoryBackend
from contextstore.backends.copying import copy_sessions
from contextstore.backends.results import VerifyReport
from contextstore.backends.sqlite import SQLiteMemory
from contextstore.backends.sqlite.connections import refuse_unused
from contextstore.backends.sqlite.memory import absolute_path
from contextstore.backends.sqlite.process_lock import needs_process_lock
from contextstore.backends.url import names_scheme, open_memory, path_in
from contextstore.context.vocabulary import VOCABULARIES, find_vocabulary
from contextstore.context.vocabulary_install import install_vocabulary
from contextstore.errors import ConfigurationError, ContextStoreError

# What each extra installs.
_EXTRAS = {
    "tokens": "tiktoken",
    "tokenizers": "tokenizers",
    "mistral": "mistral-common",
    "retrieval": "numpy",
    "embedders": "sentence-transformers",
    "fast": "orjson",
    "postgres": "psycopg",
    "redis": "redis",
}
# What a shell calls a program that ended by SIGINT, and by SIGPIPE.
_INTERRUPTED = 130
_NOBODY_READS = 141
_PASSWORD = re.compile(r"password\s*=", re.IGNORECASE)


def main(arguments: Optional[List[str]] = None) -> int:
    """Run one command and return its exit status: 0 fine, 1 problems, 2 no answer.

    It is 130 after Ctrl-C, and 141 where nobody reads on what is printed.
    """
    parser = _parser()
    parsed = parser.parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = parsed.command
    try:
        status = command(parsed)
        sys.stdout.flush()
    except ContextStoreError as error:
        print(f"contextstore: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Python flushes once more at its end, and would complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _NOBODY_READS
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m contextstore", description="Look after a ContextStore file."
    )
    parser.add_argument(
        "--version",
        action="version",
        version=f"contextstore {contextstore.__version__}",
    )
    commands = parser.add_subparsers(
        title="commands", dest="name", metavar="COMMAND", required=True
    )
    doctor = commands.add_parser("doctor", help="tell versions, extras and known risks")
    doctor.set_defaults(command=_doctor)
    verify = commands.add_parser(
        "verify", help="read everything and tell what is wrong"
    )
    verify.add_argument("store", help="a file, or an address such as sqlite:///chat.db")
    verify.add_argument("--repair", action="store_true", help="mend what can be mended")
    verify.set_defaults(command=_verify)
    backup = commands.add_parser("backup", help="copy a store while it is in use")
    backup.add_argument("store", help="a file, or an address such as sqlite:///chat.db")
    backup.add_argument("target", help="the new file, or its address")
    backup.set_defaults(command=_backup)
    copy = commands.add_parser(
        "copy", help="copy all sessions into another store, and compare them after"
    )
    copy.add_argument("source", help="a file, or an address such as redis://host:6379")
    copy.add_argument(
        "target",
        help="likewise; sessions that the source has not stay, and one that differs "
        "from what an earlier copy leaves is refused",
    )
    copy.add_argument(
        "--overwrite", action="store_true", help="replace sessions that differ"
    )
    copy.set_defaults(command=_copy)
    vocab = commands.add_parser(
        "vocab", help="put vocabularies in place for a machine without a network"
    )
    vocab.add_argument(
        "--from",
        dest="source",
        required=True,
        help="a wheel or directory that holds them, such as that of llama-index-core",
    )
    vocab.add_argument(
        "--to", dest="directory", help="where to put them, if not in the user's cache"
    )
    vocab.set_defaults(command=_vocab)
    return parser


def _doctor(_: argparse.Namespace) -> int:
    print(f"contextstore {contextstore.__version__}")
    print(f"Python       {platform.python_version()} on {platform.platform()}")
    print(f"SQLite       {sqlite3.sqlite_version}{_sqlite_note()}")
    print(f"FTS5         {'yes' if _has_fts5() else 'no: search_text will not work'}")
    for extra, package in _EXTRAS.items():
        print(f"{package:<12} {_version_of(package)} (extra {extra!r})")
    for encoding in VOCABULARIES:
        state = "installed" if find_vocabulary(encoding) else "not installed"
        print(f"{encoding:<12} {state} (vocabulary; see the command vocab)")
    return 0


def _version_of(package: str) -> str:
    # Not imported: one of them takes seconds, and one that is broken tells no version.
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _sqlite_note() -> str:
    if not needs_process_lock(sqlite3.sqlite_version_info):
        return ""
    return " (before 3.51.3: has the WAL-reset race, so processes take turns by a lock)"


def _has_fts5() -> bool:
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute("CREATE VIRTUAL TABLE probe USING fts5 (text)")
    except sqlite3.OperationalError:
        return False
    finally:
        connection.close()
    return True


def _verify(parsed: argparse.Namespace) -> int:
    path = _path_of(parsed.store)
    if path and not parsed.repair:
        _refuse_missing(path)
        refuse_unused(absolute_path(path))
    with _opened(parsed.store).sync as memory:
        report = memory.verify(repair=parsed.repair)
    _print_report(report)
    return 0 if report.ok else 1


def _print_report(report: VerifyReport) -> None:
    for problem in report.problems:
        where = f" session {problem.session_id!r}" if problem.session_id else ""
        where += f" position {problem.position}" if problem.position else ""
        mended = " [mended]" if problem.repaired else ""
        print(f"{problem.kind}:{where} {problem.detail}{mended}")
    print(
        f"{report.session_count} sessions, {report.message_count} messages, "
        f"{len(report.problems)} problems"
    )


def _backup(parsed: argparse.Namespace) -> int:
    target = _path_of(parsed.target)
    if not target:
        raise ConfigurationError(
            f"{without_password(parsed.target)} names no file to back up into; the "
            f"command copy copies into any store"
        )
    with _opened(parsed.store).sync as memory:
        memory.backup(target)
    print(f"copied to {target}")
    return 0


def _copy(parsed: argparse.Namespace) -> int:
    _refuse_one_store(parsed.source, parsed.target)
    shown = _ShownProgress()
    with _opened(parsed.source).sync as source, _made(parsed.target).sync as target:
        copying = copy_sessions(
            source.backend, target.backend, shown, overwrite=parsed.overwrite
        )
        report = drive(copying)
    print(
        f"{report.session_count} sessions, {report.message_count} messages, "
        f"{report.copied} sessions written"
    )
    if not report.is_verified:
        print("the source kept changing: run it again when it is at rest")
    return 0 if report.is_verified else 1


class _ShownProgress:
    """Print once a second how far a copy is."""

    def __init__(self) -> None:
        self._next = time.monotonic() + 1.0

    def __call__(self, doing: str, sessions: int) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + 1.0
            print(f"{doing}: {sessions} sessions", file=sys.stderr, flush=True)


def _vocab(parsed: argparse.Namespace) -> int:
    for encoding in install_vocabulary(parsed.source, parsed.directory):
        print(f"installed {encoding}")
    return 0


def _opened(store: str) -> MemoryBackend:
    """Open what is there; these commands make no store."""
    _refuse_missing(_path_of(store))
    return open_memory(store) if names_scheme(store) else SQLiteMemory(store)


def _path_of(store: str) -> str:
    """Return the path of the file that a store is; "" where it is none."""
    if not names_scheme(store):
        return store
    return path_in(store) if store.startswith("sqlite:") else ""


def _made(store: str) -> MemoryBackend:
    """Open a store, which is made where it is not there."""
    if store.startswith("memory:"):
        raise ConfigurationError("memory: ends with the command; name a file or server")
    if names_scheme(store):
        return open_memory(store)
    _refuse_settings(store)
    return SQLiteMemory(store)


def _refuse_one_store(source: str, target: str) -> None:
    """Refuse to copy a store into itself, which says that all went well.

    Raises:
        ConfigurationError: the two are one file, or one address.
    """
    files = [Path(path) for path in (_path_of(source), _path_of(target)) if path]
    both_are_there = len(files) == 2 and all(file.exists() for file in files)
    if source == target or (both_are_there and files[0].samefile(files[1])):
        shown = without_password(target) if names_scheme(target) else target
        raise ConfigurationError(
            f"{shown} is the source and the target of the copy; name another target"
        )


def _refuse_missing(path: str) -> None:
    if path and not Path(path).is_file():
        _refuse_settings(path)
        raise ConfigurationError(f"there is no file {path}")


def _refuse_settings(path: str) -> None:
    """Refuse what is a connection string with a password, and show none of it.

    Raises:
        ConfigurationError: it is.
    """
    if _PASSWORD.search(path):
        raise ConfigurationError(
            "this is no file, and connection strings of keywords and values are not "
            "taken here: write postgresql://user@host/database"
        )


if __name__ == "__main__":
    sys.exit(main())
