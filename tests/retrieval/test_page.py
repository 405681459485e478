"""Check that the programs of the page on retrieval run, and that its table is whole."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path

import pytest

from contextstore import InMemoryEmbeddingStore, embedders
from contextstore.retrieval.weights import RetrievalWeights
from tests.docs import markdown

PAGE = Path(__file__).resolve().parents[2] / "docs" / "retrieval.md"
TEXT = PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "section", markdown.sections(PAGE), ids=lambda section: section.title
)
def test_the_programs_run(section: markdown.Section) -> None:
    markdown.run(section, PAGE)


@pytest.mark.parametrize(
    "name",
    ["add", "search", "search_many", "search_sessions", "has_embedding", "delete"],
)
def test_calls_are_written_as_they_are(name: str) -> None:
    parameters = inspect.signature(getattr(InMemoryEmbeddingStore, name)).parameters
    written = [
        one.replace(annotation=inspect.Parameter.empty) for one in parameters.values()
    ]
    signature = str(inspect.Signature(written[1:]))
    assert f"`{name}{signature}`" in TEXT


@pytest.mark.parametrize("name", embedders.__all__)
def test_embedders_are_written_as_they_are(name: str) -> None:
    parameters = inspect.signature(getattr(embedders, name)).parameters
    written = [
        one.replace(annotation=inspect.Parameter.empty) for one in parameters.values()
    ]
    signature = str(inspect.Signature(written)).replace("'", '"')
    assert f"`{name}{signature}`" in TEXT


def test_every_weight_is_explained() -> None:
    explained = inspect.getdoc(RetrievalWeights) or ""
    for field in dataclasses.fields(RetrievalWeights):
        assert f"\n    {field.name}: " in explained
