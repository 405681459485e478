"""Measure how much of the evidence of LoCoMo is found; see README.md."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
from array import array
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set

from contextstore import (
    ContextBuilder,
    InMemoryEmbeddingStore,
    InMemoryMemory,
    SessionStore,
    SessionStoreConfig,
    SyncSessionStore,
)
from contextstore.embedders import HashingEmbedder
from contextstore.retrieval.documents import document_of, index_text

CATEGORIES = (1, 2, 3, 4)
BUDGETS = (1_000, 2_000, 4_000)
DEPTH = 100

Row = Dict[str, float]
Message = Dict[str, Any]


class Conversation(NamedTuple):
    """Be one conversation with the questions about it."""

    messages: List[Message]
    questions: List[Message]


def conversations(path: Path) -> Iterator[Conversation]:
    """Read a file of LoCoMo."""
    for one in json.loads(path.read_text("utf-8")):
        messages = list(messages_of(one["conversation"]))
        known = {message["id"] for message in messages}
        questions = [
            dict(asked, evidence=sorted(known.intersection(asked["evidence"])))
            for asked in one["qa"]
            if asked["category"] in CATEGORIES
        ]
        yield Conversation(messages, [one for one in questions if one["evidence"]])


def messages_of(conversation: Dict[str, Any]) -> Iterator[Message]:
    """Give the turns of a conversation as messages, a minute apart in a sitting."""
    number = 1
    while f"session_{number}_date_time" in conversation:
        written = conversation[f"session_{number}_date_time"]
        start = datetime.strptime(f"{written} +0000", "%I:%M %p on %d %B, %Y %z")
        for minute, turn in enumerate(conversation.get(f"session_{number}", [])):
            yield {
                "id": turn["dia_id"],
                "role": role_of(turn, conversation),
                "name": turn["speaker"],
                "content": turn["text"],
                "timestamp": (start + timedelta(minutes=minute)).isoformat(),
            }
        number += 1


def role_of(turn: Message, conversation: Dict[str, Any]) -> str:
    """Cast the first speaker as the user."""
    return "user" if turn["speaker"] == conversation["speaker_a"] else "assistant"


def embedder(name: str) -> Optional[Any]:
    """Return an embedding function, None for none."""
    if name == "none":
        return None
    if name == "hashing":
        return HashingEmbedder()
    from tests.minilm import MiniLM  # noqa: PLC0415 - it needs packages of its own

    return MiniLM()


def embedded(embed_fn: Any, texts: Sequence[str], cache: Optional[Path]) -> Any:
    """Embed texts, or read their vectors from the cache."""
    if cache is None:
        return embed_fn(list(texts))
    digest = hashlib.sha256(repr((embed_fn.name, list(texts))).encode()).hexdigest()
    path = cache / f"{digest[:24]}.vectors"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        rows = embed_fn(list(texts))
        path.write_bytes(array("d", [part for row in rows for part in row]).tobytes())
    flat = array("d", path.read_bytes())
    size = len(flat) // len(texts)
    return [flat[start : start + size] for start in range(0, len(flat), size)]


class Vectors:
    """Be an embedding function that looks vectors up."""

    def __init__(self, texts: Sequence[str], embed_fn: Any, cache: Optional[Path]):
        rows = embedded(embed_fn, texts, cache)
        self._vectors = dict(zip(texts, rows))

    def __call__(self, texts: List[str]) -> List[Any]:
        return [self._vectors[text] for text in texts]


def store_of(
    one: Conversation, embed_fn: Optional[Any], cache: Optional[Path]
) -> SyncSessionStore:
    """Keep a conversation; what is embedded is looked up."""
    lookup = None
    if embed_fn is not None:
        texts = [index_text(document_of(message)) for message in one.messages]
        texts += [question["question"] for question in one.questions]
        lookup = Vectors(list(dict.fromkeys(texts)), embed_fn, cache)
    config = SessionStoreConfig(
        auto_embed=lookup is not None,
        embed_fn=lookup,
        builder=ContextBuilder.from_model("gpt-4o"),
    )
    memory, retrieval = InMemoryMemory(), InMemoryEmbeddingStore()
    store = SessionStore(memory, retrieval if embed_fn else None, config).sync
    store.save_context("s", one.messages)
    return store


def rule_rows(
    one: Conversation, embed_fn: Optional[Any], cache: Optional[Path]
) -> Iterator[Row]:
    """Give what each question scores by the rule, and in the prompts built by it."""
    store = store_of(one, embed_fn, cache)
    for question in one.questions:
        asked, gold = question["question"], set(question["evidence"])
        found = store.retrieve_relevant("s", asked, k=DEPTH)
        row = ranking_scores([item.message_id for item in found], gold)
        for budget in BUDGETS:
            result = store.build_context("s", budget, asked)
            names = [message["id"] for message in result.messages]
            row[f"{budget // 1000}k"] = found_in(names, gold)
        yield row


def dense_rows(
    one: Conversation, embed_fn: Any, cache: Optional[Path]
) -> Iterator[Row]:
    """Give what each question scores by the cosine over bare message text."""
    store = InMemoryEmbeddingStore()
    rows = embedded(embed_fn, [message["content"] for message in one.messages], cache)
    ids = [message["id"] for message in one.messages]
    items: List[Any] = [(name, row, None) for name, row in zip(ids, rows)]
    store.sync.add_many("s", items)
    asked = [question["question"] for question in one.questions]
    vectors = embedded(embed_fn, asked, cache)
    for question, vector in zip(one.questions, vectors):
        found = store.sync.search("s", vector, DEPTH)
        gold = set(question["evidence"])
        yield ranking_scores([item.message_id for item in found], gold)


def ranking_scores(ranked: Sequence[str], gold: Set[str]) -> Row:
    """Score a ranking by the evidence in it."""
    row = {f"R@{k}": found_in(ranked[:k], gold) for k in (1, 5, 10)}
    row["MRR"] = next(
        (1 / place for place, name in enumerate(ranked, 1) if name in gold), 0.0
    )
    row["nDCG@10"] = gain(ranked[:10], gold)
    return row


def found_in(names: Sequence[str], gold: Set[str]) -> float:
    """Return the share of the evidence that is among some messages."""
    return len(gold.intersection(names)) / len(gold)


def gain(ranked: Sequence[str], gold: Set[str]) -> float:
    """Return the normalised discounted cumulative gain."""
    found = sum(
        1 / math.log2(place + 1) for place, name in enumerate(ranked, 1) if name in gold
    )
    best = sum(1 / math.log2(place + 1) for place in range(1, 1 + min(10, len(gold))))
    return found / best


def interval(values: Sequence[float]) -> str:
    """Return the mean with its 95 % interval, by a seeded bootstrap."""
    drawn = random.Random(1)
    means = sorted(
        sum(drawn.choices(values, k=len(values))) / len(values) for _ in range(500)
    )
    mean = sum(values) / len(values)
    return f"{mean:.3f} [{means[12]:.3f}, {means[487]:.3f}]"


def report(title: str, rows: Sequence[Row]) -> None:
    """Print the table of one way to rank."""
    print(f"{title}, {len(rows)} questions")
    for name in rows[0]:
        print(f"  {name:8} {interval([row[name] for row in rows])}")


def main() -> None:
    """Read the arguments and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, help="a file in the format of LoCoMo")
    parser.add_argument(
        "--model", default="none", choices=["minilm", "hashing", "none"]
    )
    parser.add_argument("--cache", type=Path, help="where vectors are kept")
    arguments = parser.parse_args()
    embed_fn, cache = embedder(arguments.model), arguments.cache
    read = list(conversations(arguments.path))

    title = f"the rule, model {arguments.model}"
    report(title, [row for one in read for row in rule_rows(one, embed_fn, cache)])
    if embed_fn is not None:
        dense = [row for one in read for row in dense_rows(one, embed_fn, cache)]
        report("cosine over bare text", dense)


if __name__ == "__main__":
    main()
