"""What is read of a whole history: ids, and where pinned messages stand."""

from __future__ import annotations

from typing import Any, Dict, List

import pytest

from contextstore.context.outline import Outline

Message = Dict[str, Any]

# More messages than are gone through at a time.
LONG = 1_500


def history(length: int = LONG) -> List[Message]:
    return [{"id": f"m{at}", "role": "user", "content": "x"} for at in range(length)]


def marked(message: Message) -> Message:
    return {**message, "metadata": {"pinned": True}}


@pytest.mark.parametrize("at", [0, 1, 511, 512, 513, 1024, LONG - 1])
def test_finds_what_is_pinned_wherever_it_stands(at: int) -> None:
    for pinned in (marked, lambda message: {**message, "role": "developer"}):
        messages = history()
        messages[at] = pinned(messages[at])
        assert Outline(messages).pinned == [at]


def test_finds_pinned_messages_behind_the_head() -> None:
    messages = history()
    for at in (0, 1, 2, 600, 601):
        messages[at] = marked(messages[at])
    assert Outline(messages).pinned == [0, 1, 2, 600, 601]


@pytest.mark.parametrize("role", [None, 1, True, ["system"], {"a": 1}])
def test_takes_odd_roles_for_no_pinned_ones(role: Any) -> None:
    messages = history()
    messages[700] = {**messages[700], "role": role}
    messages[900] = marked(messages[900])
    assert Outline(messages).pinned == [900]


def test_needs_no_role() -> None:
    messages = history()
    del messages[700]["role"]
    messages[701] = marked(messages[701])
    assert Outline(messages).pinned == [701]


def test_gives_the_ids_of_runs_and_positions() -> None:
    outline = Outline(history())
    assert len(outline) == LONG
    assert outline.ids_within([(510, 514)]) == ["m510", "m511", "m512", "m513"]
    assert outline.ids_within([(0, 1), (1_499, 1_500)]) == ["m0", "m1499"]
    assert outline.ids_within([]) == []
    assert outline.ids_at([3, 1_000]) == ["m3", "m1000"]


def test_gives_no_id_where_there_is_none() -> None:
    messages = history()
    messages[0]["id"] = None
    del messages[1]["id"]
    del messages[700]["id"]
    outline = Outline(messages)
    assert outline.ids_within([(0, 3), (699, 702)]) == [None, "m2", "m699", "m701"]
    assert outline.ids_at([1, 700]) == []


def test_finds_positions_by_id_and_by_no_other_value() -> None:
    messages = history()
    messages[3]["id"] = ["m4"]
    messages[5]["id"] = None
    outline = Outline(messages)
    assert list(outline.positions_of({"m4", "m1400", "m9999"})) == [4, 1_400]


def test_its_ids_are_those_of_then() -> None:
    messages = history(4)
    outline = Outline(messages)
    messages[0]["id"] = "other"
    messages.clear()
    assert outline.ids_within([(0, 4)]) == ["m0", "m1", "m2", "m3"]
