"""Keep vectors in a SQLite file.

``store`` is the store, ``cache`` keeps the vectors of sessions that are in use at hand.
The tables and their SQL are with those of the messages, in ``backends.sqlite``.
"""

from __future__ import annotations

from contextstore.retrieval.sqlite.store import SQLiteEmbeddingStore

__all__ = ["SQLiteEmbeddingStore"]
