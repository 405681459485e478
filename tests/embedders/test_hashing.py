"""Check the embedder for tests."""

from __future__ import annotations

from typing import Any

import pytest

from contextstore.embedders import HashingEmbedder
from contextstore.errors import InvalidInputError


def test_the_same_text_has_the_same_vector_everywhere() -> None:
    embedder = HashingEmbedder(8)
    assert embedder([""]) == [[0.0] * 8]
    assert HashingEmbedder(8)(["red cat"]) == embedder(["the red cats!"])
    assert embedder.embed_queries(["red"]) == embedder(["red"])


def test_vectors_do_not_change_between_versions() -> None:
    # Stored vectors would no longer answer to queries.
    (vector,) = HashingEmbedder(16)(["sailing boats"])
    assert [place for place, value in enumerate(vector) if value] == [5, 8]


def test_it_says_what_it_is() -> None:
    embedder = HashingEmbedder(16)
    assert embedder.name == "hashing-16 (for tests only)"
    assert embedder.dimension == 16
    assert len(embedder(["x"])[0]) == 16


@pytest.mark.parametrize("dimension", [0, -1, True, 2.0, None])
def test_a_dimension_is_a_positive_int(dimension: Any) -> None:
    with pytest.raises(InvalidInputError):
        HashingEmbedder(dimension)
