"""Check what of a message is searched, and what speaks for it besides its words."""

from __future__ import annotations

import math
from datetime import date
from typing import Any, Dict, List

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextstore.retrieval.arithmetic import make_columns
from contextstore.retrieval.documents import (
    Document,
    SessionIndex,
    document_of,
    index_text,
)
from contextstore.retrieval.weights import RetrievalWeights

# A text of the length that the rule prefers.
TEXT = "x" * 100
NONE = RetrievalWeights(
    long_weight=0, short_weight=0, user_weight=0, speaker_weight=0, date_weight=0
)


def priors(documents: List[Document], query: str = "", **weights: Any) -> List[float]:
    """Return the priors with all weights 0 but those given."""
    index = SessionIndex()
    index.update(documents)
    values: Dict[str, Any] = {**vars(NONE), **weights}
    here = make_columns()
    return here.list_of(index.priors(query, here, RetrievalWeights(**values)))


def test_a_message_is_searched_by_its_text_and_name() -> None:
    document = document_of(
        {
            "id": "m1",
            "role": "user",
            "name": "Ann",
            "content": [{"type": "text", "text": "Hello"}],
            "timestamp": "2023-05-08T10:00:00Z",
        }
    )
    day = date(2023, 5, 8).toordinal()
    assert document == Document("m1", "Hello", "Ann", "user", day)
    assert index_text(document) == "Ann: Hello"


@pytest.mark.parametrize("odd", [None, 3, "", ["Ann"], {"name": "Ann"}])
def test_odd_fields_are_as_good_as_none(odd: Any) -> None:
    message = {"id": "m1", "content": "Hi", "name": odd, "role": odd, "timestamp": odd}
    document = document_of(message)
    assert document == Document("m1", "Hi")
    assert index_text(document) == "Hi"
    assert document_of({"id": "m1"}) == Document("m1", "")


@pytest.mark.usefixtures("arithmetic")
class TestPriors:
    def test_length(self) -> None:
        lengths = [0, 5, 10, 50, 100, 500, 1000]
        documents = [Document(str(n), "x" * n) for n in lengths]
        expected = [math.log(max(n, 10) / 100) if n < 100 else 0.0 for n in lengths]
        assert priors(documents, short_weight=1.0) == pytest.approx(expected)
        expected = [-math.log(n / 500) if n > 500 else 0.0 for n in lengths]
        assert priors(documents, long_weight=1.0) == pytest.approx(expected)

    def test_users_of_an_assistant(self) -> None:
        roles = ["system", "user", "assistant", "tool"]
        documents = [Document(role, TEXT, role=role) for role in roles]
        assert priors(documents, user_weight=0.3) == [0.0, 0.3, 0.0, 0.0]

    @pytest.mark.parametrize("role", [None, "Ann", "human"])
    def test_other_roles_silence_the_prior_of_users(self, role: Any) -> None:
        documents = [Document("1", TEXT, role="user"), Document("2", TEXT, role=role)]
        assert priors(documents, user_weight=0.3) == [0.0, 0.0]

    def test_the_speaker_that_the_query_names(self) -> None:
        names = ["Ann Lee", "Bob", "Ann Lee", None]
        documents = [
            Document(str(row), TEXT, name=name) for row, name in enumerate(names)
        ]
        found = priors(documents, "What did ann's mother say?", speaker_weight=1.0)
        assert found == [1.0, 0.0, 1.0, 0.0]
        for query in ("Ann and Bob", "Lee", "Annabel", ""):
            assert priors(documents, query, speaker_weight=1.0) == [0.0] * 4

    def test_two_of_one_first_name_are_nobody(self) -> None:
        documents = [
            Document("1", TEXT, name="Ann Lee"),
            Document("2", TEXT, name="Ann Day"),
        ]
        assert priors(documents, "Ann", speaker_weight=1.0) == [0.0, 0.0]

    def test_dates(self) -> None:
        days = [date(2023, 5, 8).toordinal(), date(2023, 6, 1).toordinal(), 0]
        documents = [Document(str(day), TEXT, day=day) for day in days]
        query = "on 8 May 2023 or in June"
        assert priors(documents, query, date_weight=2.0) == [2.0, 2.0, 0.0]
        assert priors(documents, "8 May 2023", date_weight=2.0) == [2.0, 0.0, 0.0]
        assert priors(documents, "some day", date_weight=2.0) == [0.0, 0.0, 0.0]


texts = st.sampled_from(["a red cat", "dogs", ""])
documents = st.builds(
    Document,
    st.uuids().map(str),
    texts,
    st.sampled_from([None, "Ann", "Bob"]),
    st.sampled_from([None, "user", "assistant", "Ann"]),
    st.sampled_from([0, 700_000, 700_001]),
)


@settings(max_examples=60)
@given(
    st.lists(documents, max_size=8, unique_by=lambda one: one.message_id),
    st.lists(documents, max_size=3, unique_by=lambda one: one.message_id),
    st.integers(0, 8),
)
def test_an_update_ends_where_a_fresh_start_does(
    before: List[Document], added: List[Document], kept: int
) -> None:
    after = before[:kept] + added
    index = SessionIndex()
    index.update(before)
    version = index.version
    index.update(after)
    fresh = SessionIndex()
    fresh.update(after)
    differing = {"version", "_lexical"}
    for name in vars(index).keys() - differing:
        assert getattr(index, name) == getattr(fresh, name), name
    assert vars(index._lexical) == vars(fresh._lexical)
    assert (index.version != version) == (before != after)
    assert [index.row_of(one.message_id) for one in after] == list(range(len(index)))
    assert index.row_of("nobody") is None
