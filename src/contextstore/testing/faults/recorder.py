"""Record what SQLite writes, syncs, cuts and deletes, in this process.

The functions that SQLite calls for its files (https://sqlite.org/c3ref/vfs.html) are
wrapped through ctypes, so that nothing has to be installed: no tracer, no compiler. It
needs a Python whose sqlite3 uses SQLite as a shared library, as it does nearly
everywhere on Linux. There is no way back: use a process of its own.
"""

from __future__ import annotations

import ctypes
import re
import sqlite3
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional

from contextstore.errors import UnsupportedOperationError

_POINTER = ctypes.c_void_p
_INT = ctypes.c_int
# The name stays a pointer: SQLite goes on using what it points to.
_OPEN = ctypes.CFUNCTYPE(_INT, _POINTER, _POINTER, _POINTER, _INT, _POINTER)
_DELETE = ctypes.CFUNCTYPE(_INT, _POINTER, ctypes.c_char_p, _INT)
_CLOSE = ctypes.CFUNCTYPE(_INT, _POINTER)
_WRITE = ctypes.CFUNCTYPE(_INT, _POINTER, _POINTER, _INT, ctypes.c_int64)
_TRUNCATE = ctypes.CFUNCTYPE(_INT, _POINTER, ctypes.c_int64)
_SYNC = ctypes.CFUNCTYPE(_INT, _POINTER, _INT)

# From sqlite3.h.
_CREATE = 0x4
_JOURNALS = 0x800 | 0x4000 | 0x80000


class _Methods(ctypes.Structure):
    _fields_ = (
        ("version", _INT),
        ("close", _POINTER),
        ("read", _POINTER),
        ("write", _POINTER),
        ("truncate", _POINTER),
        ("sync", _POINTER),
        # The rest of versions 1 to 3 of the structure.
        ("others", _POINTER * 13),
    )


class _Vfs(ctypes.Structure):
    _fields_ = (
        ("version", _INT),
        ("file_size", _INT),
        ("longest_path", _INT),
        ("next", _POINTER),
        ("name", ctypes.c_char_p),
        ("data", _POINTER),
        ("open", _POINTER),
        ("delete", _POINTER),
    )


class Event(NamedTuple):
    """Be one thing that happened.

    Attributes:
        kind: ``open``, ``write``, ``truncate``, ``sync``, ``delete`` or ``ack``.
        name: the name of the file without its directory; of an ack, the session.
        inode: which file of that name, counted from 1 over all files.
        number: of a write, where; of a truncate, the size; of a sync or delete, 1 where
            the directory was synced, too; of an ack, the step.
        data: of a write, what.
    """

    kind: str
    name: str
    inode: int = 0
    number: int = 0
    data: bytes = b""


class _File:
    def __init__(self, name: str, inode: int, flags: int) -> None:
        self.name = name
        self.inode = inode
        # SQLite syncs the directory with the first sync of a log or journal.
        self.syncs_directory = bool(flags & _CREATE and flags & _JOURNALS)


class Recorder:
    """Record from now on all that SQLite does to files.

    Attributes:
        events: what happened, in its order; add what is acknowledged.
    """

    def __init__(self) -> None:
        self.events: List[Event] = []
        self._open_files: Dict[int, _File] = {}
        self._inodes: Dict[str, int] = {}
        self._made = 0
        # Nobody else keeps what SQLite is given.
        self._kept: List[Any] = []
        self._tables: Dict[int, _Methods] = {}
        self._install(_library())

    def acknowledge(self, session_id: str, step: int) -> None:
        """Record that the caller heard that a step is stored."""
        self.events.append(Event("ack", session_id, 0, step))

    def _install(self, library: ctypes.CDLL) -> None:
        find = library.sqlite3_vfs_find
        find.restype = ctypes.POINTER(_Vfs)
        find.argtypes = (ctypes.c_char_p,)
        vfs = find(None).contents
        vfs.open = self._address(_OPEN(self._opener(_OPEN(vfs.open))))
        vfs.delete = self._address(_DELETE(self._deleter(_DELETE(vfs.delete))))

    def _address(self, function: Any) -> int:
        self._kept.append(function)
        return ctypes.cast(function, _POINTER).value or 0

    def _opener(self, original: Any) -> Any:
        def open_file(
            vfs: int, path: Optional[int], file: int, flags: int, out: int
        ) -> int:
            result: int = original(vfs, path, file, flags, out)
            if result == 0 and path is not None:
                name = ctypes.string_at(path).decode()
                self._opened(Path(name).name, file, flags)
            return result

        return open_file

    def _opened(self, name: str, file: int, flags: int) -> None:
        if name not in self._inodes:
            self._made += 1
            self._inodes[name] = self._made
            self.events.append(Event("open", name, self._made))
        self._open_files[file] = _File(name, self._inodes[name], flags)
        methods = ctypes.cast(file, ctypes.POINTER(_POINTER))
        address = methods[0]
        if address not in self._tables:
            self._tables[address] = self._wrapped(_Methods.from_address(address))
        methods[0] = ctypes.addressof(self._tables[address])

    def _wrapped(self, original: _Methods) -> _Methods:
        table = _Methods.from_buffer_copy(original)
        close, write = _CLOSE(original.close), _WRITE(original.write)
        truncate, sync = _TRUNCATE(original.truncate), _SYNC(original.sync)

        def close_file(file: int) -> int:
            self._open_files.pop(file, None)
            return int(close(file))

        def write_file(file: int, data: int, size: int, offset: int) -> int:
            self._add("write", file, offset, ctypes.string_at(data, size))
            return int(write(file, data, size, offset))

        def truncate_file(file: int, size: int) -> int:
            self._add("truncate", file, size)
            return int(truncate(file, size))

        def sync_file(file: int, flags: int) -> int:
            result = int(sync(file, flags))
            known = self._open_files[file]
            self._add("sync", file, int(known.syncs_directory))
            known.syncs_directory = False
            return result

        table.close = self._address(_CLOSE(close_file))
        table.write = self._address(_WRITE(write_file))
        table.truncate = self._address(_TRUNCATE(truncate_file))
        table.sync = self._address(_SYNC(sync_file))
        return table

    def _add(self, kind: str, file: int, number: int, data: bytes = b"") -> None:
        known = self._open_files[file]
        self.events.append(Event(kind, known.name, known.inode, number, data))

    def _deleter(self, original: Any) -> Any:
        def delete_file(vfs: int, path: bytes, sync_directory: int) -> int:
            result: int = original(vfs, path, sync_directory)
            name = Path(path.decode()).name
            inode = self._inodes.pop(name, None)
            if inode is not None:
                self.events.append(Event("delete", name, inode, int(sync_directory)))
            return result

        return delete_file


def _library() -> ctypes.CDLL:
    """Load the SQLite that the sqlite3 module uses.

    Raises:
        UnsupportedOperationError: it cannot be found.
    """
    sqlite3.connect(":memory:").close()
    maps = Path("/proc/self/maps").read_text(encoding="utf-8")
    for path in sorted(set(re.findall(r"/\S*sqlite3\S*", maps))):
        library = ctypes.CDLL(path)
        version = getattr(library, "sqlite3_libversion", None)
        if version is None:
            continue
        version.restype = ctypes.c_char_p
        if version().decode() == sqlite3.sqlite_version:
            return library
    raise UnsupportedOperationError(
        "the sqlite3 module of this Python does not use SQLite as a shared library, so "
        "that what it writes cannot be recorded; use another Python"
    )
