"""Remove the old part of sessions, and keep tool calls with their results."""

from __future__ import annotations

import sqlite3
from itertools import groupby
from typing import Dict, Optional, Sequence, Tuple

from contextstore.backends.ages import Old, whole_groups
from contextstore.backends.filters import Filter
from contextstore.backends.place import Place
from contextstore.backends.records import Record
from contextstore.backends.results import PruneResult
from contextstore.backends.sqlite import rows
from contextstore.backends.sqlite.listing import numbers
from contextstore.backends.sqlite.rows import SessionRow


def prune(
    connection: sqlite3.Connection,
    location: str,
    session_id: Optional[str],
    wanted: Old,
    *,
    dry_run: bool,
) -> PruneResult:
    """Remove what is old from one session or all."""
    if session_id is None:
        ids = [name for _, name in numbers(connection, Filter())]
    else:
        ids = [session_id]
    removed: Dict[str, Tuple[str, ...]] = {}
    for name in ids:
        place = Place(location, name)
        gone = _prune_session(connection, place, wanted, dry_run=dry_run)
        if gone:
            removed[name] = gone
    return PruneResult(removed, dry_run)


def _prune_session(
    connection: sqlite3.Connection, place: Place, wanted: Old, *, dry_run: bool
) -> Tuple[str, ...]:
    session = rows.existing_session(connection, place.session_id)
    cut = _last_old(connection, session, wanted)
    if cut <= session.pruned:
        return ()
    records = rows.load_records(connection, place, session)
    old = whole_groups(records, cut - session.pruned)
    gone = tuple(record.id for record in old if not record.pinned)
    if gone and not dry_run:
        _remove(connection, place, session, old)
    return gone


def _last_old(connection: sqlite3.Connection, session: SessionRow, wanted: Old) -> int:
    """Return the position up to which messages are old."""
    cut = session.last
    if wanted.keep_last is not None:
        cut -= wanted.keep_last
    if wanted.written_before is not None:
        (young,) = connection.execute(
            "SELECT min(position) FROM context_messages"
            # A pinned one stays anyway, and holds up no other.
            " WHERE session = ? AND written >= ? AND pinned = 0",
            (session.number, wanted.written_before),
        ).fetchone()
        cut = cut if young is None else min(cut, young - 1)
    return cut


def _remove(
    connection: sqlite3.Connection,
    place: Place,
    session: SessionRow,
    old: Sequence[Record],
) -> None:
    """Delete the old messages, and move the pinned ones of them before what stays."""
    placed = list(enumerate(old, start=session.pruned + 1))
    for is_pinned, run in groupby(placed, key=lambda one: one[1].pinned):
        positions = [position for position, _ in run]
        if not is_pinned:
            rows.delete_range(connection, session, positions[0], positions[-1])
    # Moved, not written again: what is derived from a message hangs on its row.
    free = session.pruned + len(old)
    for position, record in reversed(placed):
        if record.pinned:
            rows.move(connection, place, session, position, free, record)
            free -= 1
    connection.execute(
        "UPDATE context_sessions SET pruned = ? WHERE number = ?",
        (free, session.number),
    )
    rows.set_version(connection, session, session.last, session.version + 1)
