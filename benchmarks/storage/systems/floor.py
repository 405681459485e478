"""The floor: what raw sqlite3 takes for a row a message and one unique index.

It belongs to one thread, counts positions in memory, and validates, stamps and checks
nothing: less cannot be done.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any, Dict, List, Optional, Sequence, Tuple

from benchmarks.storage.systems.base import Message, System

_TABLE = """
CREATE TABLE IF NOT EXISTS messages (
    row INTEGER PRIMARY KEY, session TEXT NOT NULL, position INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS messages_position ON messages (session, position);
"""


class Floor(System):
    is_blocking = True

    @staticmethod
    def encode(message: Message) -> bytes:
        return json.dumps(message, separators=(",", ":")).encode()

    @staticmethod
    def decode(body: bytes) -> Any:
        return json.loads(body)

    def open(self) -> None:
        self.connection = sqlite3.connect(self.path, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        level = {"full": "FULL", "relaxed": "NORMAL"}[self.durability]
        self.connection.execute(f"PRAGMA synchronous = {level}")
        self.connection.executescript(_TABLE)
        self.last: Dict[str, int] = dict(
            self.connection.execute(
                "SELECT session, max(position) FROM messages GROUP BY session"
            )
        )

    def append(self, session_id: str, messages: List[Message]) -> None:
        first = self.last.get(session_id, 0) + 1
        encode = self.encode
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany(
            "INSERT INTO messages (session, position, body) VALUES (?, ?, ?)",
            [
                (session_id, position, encode(message))
                for position, message in enumerate(messages, first)
            ],
        )
        self.connection.execute("COMMIT")
        self.last[session_id] = first + len(messages) - 1

    def append_all(self, placed: Sequence[Tuple[str, List[Message]]]) -> None:
        """Add turns to sessions in one transaction."""
        rows: List[Tuple[str, int, bytes]] = []
        for session_id, messages in placed:
            for message in messages:
                position = self.last.get(session_id, 0) + 1
                self.last[session_id] = position
                rows.append((session_id, position, self.encode(message)))
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany(
            "INSERT INTO messages (session, position, body) VALUES (?, ?, ?)", rows
        )
        self.connection.execute("COMMIT")

    def load(self, session_id: str, last: Optional[int]) -> List[Message]:
        rows = self.connection.execute(
            "SELECT body FROM messages WHERE session = ?"
            " ORDER BY position DESC LIMIT ?",
            (session_id, -1 if last is None else last),
        ).fetchall()
        rows.reverse()
        decode = self.decode
        return [decode(body) for (body,) in rows]

    def close(self) -> None:
        self.connection.close()
