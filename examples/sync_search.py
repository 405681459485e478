"""Search a conversation from sync code.

    python examples/sync_search.py WORDS...

The vectors come from ``embedder.py``, which knows words and no meanings; pass a real
embedding function in its place.
"""

from __future__ import annotations

import sys

import conversation
import embedder

from contextstore import (
    InMemoryEmbeddingStore,
    InMemoryMemory,
    SessionStoreConfig,
    SyncSessionStore,
)


def main(query: str) -> None:
    config = SessionStoreConfig(auto_embed=True, embed_fn=embedder.embed)
    with SyncSessionStore(InMemoryMemory(), InMemoryEmbeddingStore(), config) as store:
        store.save_context("tour", conversation.load())
        for item in store.retrieve_relevant("tour", query, k=3):
            text = " ".join(item.metadata["text"].split())
            print(f"{item.score:.2f} {item.message_id} {text[:66]}")


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]) or "Which allergies does Josef have?")
