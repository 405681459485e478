"""Check the adapter of sentence-transformers with a stand-in of the same interface."""

from __future__ import annotations

import sys
from array import array
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar, Dict, List, Optional

import pytest

from contextstore import _hop
from contextstore.embedders import SentenceTransformersEmbedder
from contextstore.errors import MissingDependencyError
from contextstore.retrieval.embedding import embed, for_queries


class Rows(List[Any]):
    """Be a matrix as far as the adapter looks."""

    def tolist(self) -> List[List[float]]:
        """Return plain lists."""
        return [list(row) for row in self]


class Model:
    """Stand in for ``sentence_transformers.SentenceTransformer``."""

    loaded: ClassVar[List[str]] = []

    def __init__(self, name: str, prompts: Optional[Dict[str, str]] = None) -> None:
        self.loaded.append(name)
        self.prompts = prompts
        self.seen: List[Any] = []

    def encode(
        self, sentences: List[str], batch_size: int, show_progress_bar: bool
    ) -> Rows:
        """Embed a text as its length."""
        assert not show_progress_bar
        self.seen.append((sentences, batch_size))
        return Rows(array("f", [len(sentence), 1.0]) for sentence in sentences)

    def get_sentence_embedding_dimension(self) -> int:
        """Return the dimension."""
        return 2


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Any:
    module: Any = ModuleType("sentence_transformers")
    module.SentenceTransformer = Model
    monkeypatch.setattr(Model, "loaded", [])
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    return module


@pytest.mark.usefixtures("package")
def test_a_model_is_loaded_once_and_late() -> None:
    embedder = SentenceTransformersEmbedder("tiny", batch_size=7)
    assert (embedder.name, Model.loaded) == ("tiny", [])
    assert _hop.drive(embed(embedder, ["a", "bb"])) == [[1.0, 1.0], [2.0, 1.0]]
    assert embedder.dimension == 2
    assert embedder.embed_queries(["a"]) == [[1.0, 1.0]]
    assert Model.loaded == ["tiny"]
    assert embedder.batch_size == 7


def test_a_loaded_model_is_taken_as_it_is() -> None:
    model = Model("loaded", {"query": "q: ", "passage": "p: ", "document": ""})
    embedder = SentenceTransformersEmbedder(model)
    embedder(["a"])
    for_queries(embedder)(["b"])
    assert model.seen == [(["p: a"], 32), (["q: b"], 32)]
    assert embedder.name == "Model"


def test_prompts_given_stand_before_those_of_the_model() -> None:
    model = Model("loaded", {"query": "q: "})
    embedder = SentenceTransformersEmbedder(
        model, query_prompt="ask: ", document_prompt=""
    )
    embedder(["a"])
    embedder.embed_queries(["b"])
    assert [texts for texts, _ in model.seen] == [["a"], ["ask: b"]]


def test_a_model_says_its_name() -> None:
    model: Any = Model("loaded")
    model.model_card_data = SimpleNamespace(model_id=None, base_model="org/tiny")
    assert SentenceTransformersEmbedder(model).name == "org/tiny"


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises((MissingDependencyError, ImportError)) as caught:
        SentenceTransformersEmbedder("tiny")(["a"])
    assert "sentence_transformers" in str(caught.value)
