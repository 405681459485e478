"""What is found with a real model, in conversations of three kinds.

The conversations are small, so the bounds are loose; large ones are measured by
``benchmarks/retrieval/quality.py``.
"""

from __future__ import annotations

import sys
from typing import Any, Dict, FrozenSet, List

import pytest

from contextstore import (
    InMemoryEmbeddingStore,
    InMemoryMemory,
    RetrievalBackend,
    SessionStore,
    SessionStoreConfig,
    SQLiteEmbeddingStore,
    SyncSessionStore,
)
from tests.minilm import MiniLM
from tests.retrieval.conversations import KINDS, Conversation, conversations

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 11),
    reason="needs Python 3.11, as the packages of the model do",
)

# What is asked of the first five results, a little below what they were found to hold.
LEAST_RECALL = {"people": 0.6, "assistant": 0.9, "short": 0.8}


class Remembering:
    """Be a model that computes each text once."""

    def __init__(self, model: MiniLM) -> None:
        self.name = model.name
        self._model = model
        self._known: Dict[str, List[float]] = {}

    def __call__(self, texts: List[str]) -> List[List[float]]:
        for text in texts:
            if text not in self._known:
                (self._known[text],) = self._model([text])
        return [self._known[text] for text in texts]


@pytest.fixture(scope="module")
def model() -> Remembering:
    return Remembering(MiniLM())


def store_of(
    one: Conversation, model: Any, retrieval: RetrievalBackend
) -> SyncSessionStore:
    config = SessionStoreConfig(auto_embed=True, embed_fn=model)
    store = SessionStore(InMemoryMemory(), retrieval, config).sync
    store.save_context("s", one.messages)
    return store


def ranks(kind: str, model: Any, mode: str) -> List[int]:
    """Return at which place, from 1, each question finds its first answer."""
    found: List[int] = []
    for one in conversations(kind):
        store = store_of(one, model, InMemoryEmbeddingStore())
        for question, answers in one.questions:
            items = store.retrieve_relevant("s", question, k=100, mode=mode)
            found.append(place_of([item.message_id for item in items], answers))
    return found


def place_of(ids: List[str], answers: FrozenSet[str]) -> int:
    return min(ids.index(answer) for answer in answers) + 1


@pytest.mark.parametrize("kind", KINDS)
def test_words_and_meaning_find_more_than_meaning_alone(kind: str, model: Any) -> None:
    hybrid, dense = (ranks(kind, model, mode) for mode in ("hybrid", "dense"))
    assert sum(1 / place for place in hybrid) > sum(1 / place for place in dense)
    among_five = sum(place <= 5 for place in hybrid)
    assert among_five >= sum(place <= 5 for place in dense)
    assert among_five >= LEAST_RECALL[kind] * len(hybrid)


def test_the_prompt_holds_what_the_question_is_about(model: Any) -> None:
    (one,) = conversations("assistant")
    store = store_of(one, model, InMemoryEmbeddingStore())
    question = "What must my daughter not eat?"
    result = store.build_context("s", 500, question)
    assert result.total_tokens <= 500
    assert "7" in [message["id"] for message in result.messages]
    without = store.build_context("s", 500)
    assert "7" not in [message["id"] for message in without.messages]


def test_a_file_of_vectors_finds_the_same(model: Any) -> None:
    (one,) = conversations("people")
    in_memory = store_of(one, model, InMemoryEmbeddingStore())
    in_file = store_of(one, model, SQLiteEmbeddingStore(":memory:"))
    for question, _ in one.questions:
        assert in_file.retrieve_relevant(
            "s", question, k=10
        ) == in_memory.retrieve_relevant("s", question, k=10)
