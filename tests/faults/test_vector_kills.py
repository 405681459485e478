"""A killed process leaves no vector of a deleted message, and none missing for good."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import Any, Dict, List, Tuple

from contextstore import (
    NotFoundError,
    SessionStore,
    SessionStoreConfig,
    SQLiteEmbeddingStore,
    SQLiteMemory,
)
from contextstore.embedders import HashingEmbedder
from contextstore.testing.faults.children import last_line, say, start

SESSIONS = ("s0", "s1")
WORDS = ("apples", "bears", "cars", "dogs", "eggs", "fish", "goats", "hats")
ACTIONS = ("append", "append", "save", "edit", "rewind", "delete")


def opened(path: str, embed_fn: Any) -> Tuple[SessionStore, SQLiteEmbeddingStore]:
    vectors = SQLiteEmbeddingStore(path)
    config = SessionStoreConfig(auto_embed=True, embed_fn=embed_fn, embed_batch_size=2)
    return SessionStore(SQLiteMemory(path), vectors, config), vectors


class SlowEmbedder(HashingEmbedder):
    """Take a while, so that messages are deleted while they are embedded."""

    def __call__(self, texts: List[str]) -> List[List[float]]:
        time.sleep(0.002)
        return super().__call__(texts)


def write_until_killed(path: str, seed: int) -> None:
    """Write, edit and delete from tasks that share sessions; in the child."""
    asyncio.run(_write(path, seed))


async def _write(path: str, seed: int) -> None:
    store, _ = opened(path, SlowEmbedder())
    await store.load_context(SESSIONS[0])
    say("ready")
    await asyncio.gather(
        *(_work(store, random.Random(f"{seed}/{task}")) for task in range(6))
    )


async def _work(store: SessionStore, chance: random.Random) -> None:
    while True:
        session_id = chance.choice(SESSIONS)
        try:
            await _step(store, session_id, chance)
        except NotFoundError:
            # Another task deleted it first.
            continue


async def _step(store: SessionStore, session_id: str, chance: random.Random) -> None:
    said = [{"role": "user", "content": _text(chance)} for _ in range(3)]
    history = await store.load_context(session_id)
    action = chance.choice(ACTIONS)
    if action == "append" or not history:
        await store.append_context(session_id, said, create=True)
    elif action == "save":
        kept = chance.randrange(len(history))
        await store.save_context(session_id, [*history[:kept], *said])
    elif action == "edit":
        await store.update_interaction(
            session_id, chance.choice(history)["id"], said[0]
        )
    elif action == "rewind":
        await store.delete_interaction(session_id, chance.choice(history)["id"])
    elif chance.random() < 0.2:
        await store.delete_session(session_id)


def _text(chance: random.Random) -> str:
    return " ".join(chance.choice(WORDS) for _ in range(4))


async def complaints(path: str) -> List[str]:
    """Say what is not as it has to be, once a session is used again."""
    store, vectors = opened(path, HashingEmbedder())
    found: List[str] = []
    view = vectors.for_model(HashingEmbedder().name)
    async with store.memory, vectors, store:
        for session_id in SESSIONS:
            history = await store.load_context(session_id)
            texts = {message["id"]: message["content"] for message in history}
            for query in ("apples", "no such word"):
                for item in await store.retrieve_relevant(session_id, query, k=1_000):
                    if texts.get(item.message_id) != item.metadata["text"]:
                        found.append(f"stale: {session_id} {item}")
            held = set(await view.message_ids(session_id))
            if held - set(texts):
                found.append(f"of the dead: {session_id} {held - set(texts)}")
            if set(texts) - held:
                found.append(f"without: {session_id} {set(texts) - held}")
        status = await store.embedding_status()
        if status.missing or status.failed:
            found.append(str(status))
    return found


def run_kills(directory: Path, kills: int, seed: int) -> Dict[int, List[str]]:
    """Kill a process so many times, and return what was found after each."""
    chance = random.Random(seed)
    findings: Dict[int, List[str]] = {}
    path = str(directory / "chat.db")
    for kill in range(kills):
        name = f"{__name__}:write_until_killed"
        child = start(name, path=path, seed=seed * 10_000 + kill)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(chance.random() * 0.15)
        child.kill()
        _, errors = child.communicate()
        assert not errors, last_line(errors)
        found = asyncio.run(complaints(path))
        if found:
            findings[kill] = found
    return findings


def test_vectors_and_messages_outlive_kills_together(tmp_path: Path) -> None:
    assert run_kills(tmp_path, kills=5, seed=1) == {}
