"""Keep messages in a SQLite file.

``memory`` is the async shell, ``engine`` owns the connections and the transactions,
``sessions`` holds the SQL over messages, ``schema`` the tables and the migrations.
"""

from __future__ import annotations

from contextstore.backends.sqlite.memory import SQLiteMemory

__all__ = ["SQLiteMemory"]
