"""Keep a full-text index of the messages, derived from them and never in their way.

An append does not touch the index: a search first brings it up to the newest row. What
is deleted or changed leaves it at once; where that fails because the index is damaged,
it is marked for rebuilding, and the next search makes it anew.
"""

from __future__ import annotations

import sqlite3
from typing import Iterator, List, Optional, Tuple

from contextstore.backends.sqlite.failures import is_damage
from contextstore.backends.texts import text_of_body, words_of
from contextstore.errors import UnsupportedOperationError

# How many messages one transaction indexes, so that writers need not wait long.
_BATCH = 2000
# The tables of an FTS5 index with one column (https://sqlite.org/fts5.html, section 9).
_SHADOWS = {
    "data": "(id INTEGER PRIMARY KEY, block BLOB)",
    "idx": "(segid, term, pgno, PRIMARY KEY (segid, term)) WITHOUT ROWID",
    "content": "(id INTEGER PRIMARY KEY, c0)",
    "docsize": "(id INTEGER PRIMARY KEY, sz BLOB)",
    "config": "(k PRIMARY KEY, v) WITHOUT ROWID",
}
_WHAT_FTS5_OPENS = (
    "INSERT OR REPLACE INTO context_text_config (k, v) VALUES ('version', 4)",
    # The averages and the structure of an index without words.
    "INSERT OR REPLACE INTO context_text_data (id, block)"
    " VALUES (1, x''), (10, x'00000000000000')",
)
# The newest indexed row while there is no index, or it has to be made anew.
_NONE = -1


class DamagedIndexError(Exception):
    """Say that a change failed by the index alone: repeat it after ``discard``."""


def forget(connection: sqlite3.Connection, session: int, first: int, last: int) -> None:
    """Take messages out of the index, before they change or go."""
    newest = newest_indexed(connection)
    if newest != _NONE:
        _unless_damaged(
            connection,
            "DELETE FROM context_text WHERE rowid IN (SELECT row FROM context_messages"
            " WHERE session = ? AND position BETWEEN ? AND ? AND row <= ?)",
            (session, first, last, newest),
        )


def settle(connection: sqlite3.Connection) -> None:
    """Follow the newest row down, after messages went: SQLite reuses its number."""
    connection.execute(
        "UPDATE context_text_state SET newest ="
        " min(newest, (SELECT ifnull(max(row), 0) FROM context_messages))"
    )


def remember(connection: sqlite3.Connection, session: int, position: int) -> None:
    """Put a message into the index again, after it changed."""
    newest = newest_indexed(connection)
    row, body = connection.execute(
        "SELECT row, body FROM context_messages WHERE session = ? AND position = ?",
        (session, position),
    ).fetchone()
    if row <= newest:
        _unless_damaged(
            connection,
            "INSERT INTO context_text (rowid, text) VALUES (?, ?)",
            (row, text_of_body(body)),
        )


def newest_indexed(connection: sqlite3.Connection) -> int:
    """Return the newest row that the index holds; -1 where there is no index."""
    row = connection.execute("SELECT newest FROM context_text_state").fetchone()
    # What is damaged there is no index: the next search makes it anew.
    return row[0] if row is not None and type(row[0]) is int else _NONE


def discard(connection: sqlite3.Connection) -> None:
    """Mark the index for rebuilding."""
    connection.execute("DELETE FROM context_text_state")


def purge(connection: sqlite3.Connection) -> None:
    """Drop the index, so that no word of what left it stays behind."""
    discard(connection)
    _drop(connection)


def extend(connection: sqlite3.Connection) -> bool:
    """Index the next batch of messages; False once nothing is left to index.

    Raises:
        UnsupportedOperationError: this SQLite was built without FTS5.
    """
    newest = newest_indexed(connection)
    if newest == _NONE:
        newest = _make(connection)
    rows = connection.execute(
        "SELECT row, body FROM context_messages WHERE row > ? ORDER BY row LIMIT ?",
        (newest, _BATCH),
    ).fetchall()
    if not rows:
        return False
    connection.executemany(
        "INSERT INTO context_text (rowid, text) VALUES (?, ?)",
        ((row, text_of_body(body)) for row, body in rows),
    )
    connection.execute("UPDATE context_text_state SET newest = ?", (rows[-1][0],))
    return len(rows) == _BATCH


def is_behind(connection: sqlite3.Connection) -> bool:
    """Tell whether there are messages that the index does not hold yet."""
    newest = newest_indexed(connection)
    (last,) = connection.execute(
        "SELECT ifnull(max(row), 0) FROM context_messages"
    ).fetchone()
    return newest == _NONE or newest < last


Found = Tuple[str, int, int, bytes, str, float]
"""Session id, position, checksum, body, message id and score of a message."""


def search(
    connection: sqlite3.Connection,
    expression: str,
    session_id: Optional[str],
    ids: Tuple[str, str],
    limit: int,
) -> List[Found]:
    """Return what fits best, the older message first where two fit as well.

    Args:
        ids: the first session id to look into, and one after the last.
    """
    # A connection that has not seen the index made anew would open the old one.
    newest_indexed(connection)
    return connection.execute(
        "SELECT s.session_id, m.position, m.checksum, m.body, m.message_id,"
        " -bm25(context_text) AS score FROM context_text"
        " JOIN context_messages AS m ON m.row = context_text.rowid"
        " JOIN context_sessions AS s ON s.number = m.session"
        " WHERE context_text MATCH ?1 AND (?2 IS NULL OR s.session_id = ?2)"
        " AND s.session_id >= ?3 AND s.session_id < ?4"
        " ORDER BY score DESC, m.row LIMIT ?5",
        (expression, session_id, *ids, limit),
    ).fetchall()


def expression_of(query: str) -> str:
    """Return the search for all words of a query, in the language of FTS5.

    Raises:
        InvalidInputError: the query has no word.
    """
    return " ".join(f'"{word}"' for word in words_of(query))


def faults(connection: sqlite3.Connection) -> Iterator[str]:
    """Say what is wrong with the index."""
    if newest_indexed(connection) == _NONE:
        return
    try:
        connection.execute(
            "INSERT INTO context_text (context_text) VALUES ('integrity-check')"
        )
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        yield f"the text index is damaged ({error})"
        return
    (dead,) = connection.execute(
        "SELECT count(*) FROM context_text_docsize"
        " WHERE id NOT IN (SELECT row FROM context_messages)"
    ).fetchone()
    if dead:
        yield f"the text index holds {dead} messages that are gone"


def _make(connection: sqlite3.Connection) -> int:
    try:
        _drop(connection)
        connection.execute(
            "CREATE VIRTUAL TABLE context_text USING fts5"
            " (text, tokenize = 'porter unicode61')"
        )
    except sqlite3.OperationalError as error:
        if "no such module" not in str(error):
            raise
        raise UnsupportedOperationError(
            "search_text needs a SQLite with FTS5, which this Python's lacks"
        ) from error
    connection.execute("INSERT INTO context_text_state (newest) VALUES (0)")
    return 0


def _drop(connection: sqlite3.Connection) -> None:
    """Drop the index and the tables that FTS5 keeps for it, damaged ones too.

    FTS5 drops no table that it cannot open, so what it opens is first put back.
    """
    exists = connection.execute(
        "SELECT 1 FROM sqlite_master WHERE name = 'context_text'"
    ).fetchone()
    if exists:
        for name, columns in _SHADOWS.items():
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS context_text_{name} {columns}"
            )
        for statement in _WHAT_FTS5_OPENS:
            connection.execute(statement)
        connection.execute("DROP TABLE context_text")
    for name in _SHADOWS:
        connection.execute(f"DROP TABLE IF EXISTS context_text_{name}")


def _unless_damaged(
    connection: sqlite3.Connection, statement: str, values: Tuple[object, ...]
) -> None:
    """Change the index; if it turns out to be damaged, mark it for rebuilding.

    Raises:
        DamagedIndexError: the damage ended the transaction as well.
    """
    try:
        connection.execute(statement, values)
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        if not connection.in_transaction:
            raise DamagedIndexError from error
        discard(connection)
