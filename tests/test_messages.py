"""What a message is: what is taken, what is refused and where, what is equal."""

from __future__ import annotations

import copy
import enum
import json
import tracemalloc
from typing import Any, Dict, List, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextstore import InvalidInputError, messages
from contextstore.testing.stateful import json_messages, json_values

MAX = messages.MAX_DEPTH


def nested(depth: int, leaf: Any = 1) -> Any:
    for _ in range(depth):
        leaf = [leaf]
    return leaf


def refusal(context: Any) -> InvalidInputError:
    with pytest.raises(InvalidInputError) as caught:
        messages.prepare(context)
    return caught.value


class Word(str, enum.Enum):
    USER = "user"


class Number(enum.IntEnum):
    ONE = 1


class Real(float):
    pass


class TestPrepare:
    @given(st.lists(json_messages, max_size=4))
    def test_any_json_comes_back_equal(self, context: List[Dict[str, Any]]) -> None:
        prepared = messages.prepare(context)
        assert messages.canonical(prepared) == messages.canonical(context)

    @given(json_messages)
    def test_it_is_a_deep_copy(self, message: Dict[str, Any]) -> None:
        before = copy.deepcopy(message)
        (prepared,) = messages.prepare([message])
        spoil(prepared)
        assert messages.canonical(message) == messages.canonical(before)

    def test_it_is_plain(self) -> None:
        class Dict_(Dict[str, Any]):
            pass

        given_ = Dict_({Word.USER: Word.USER, "n": Number.ONE, "r": Real(0.5)})
        given_["d"] = Dict_(a=[Number.ONE, Word.USER, Real(1.5)])
        given_["id"] = Word.USER
        (prepared,) = messages.prepare((given_,))
        inner = prepared["d"]
        values = [prepared, *prepared, *prepared.values(), *inner["a"]]
        kinds = {type(value) for value in values}
        assert kinds == {dict, str, int, float}
        assert prepared == {
            "user": "user",
            "n": 1,
            "r": 0.5,
            "d": {"a": [1, "user", 1.5]},
            "id": "user",
        }

    def test_of_a_dict_that_shows_other_items_than_it_keeps_these_are_taken(
        self,
    ) -> None:
        class First(Dict[str, Any]):
            """Give the first of the values that a key has, as forms of the web do."""

            def items(self) -> Any:
                return [(key, values[0]) for key, values in super().items()]

        given_ = First(content=["a", "b"])
        given_["metadata"] = [First(c=["d", "e"])]
        assert messages.prepare([given_]) == [{"content": "a", "metadata": {"c": "d"}}]

    @pytest.mark.parametrize("context", [{}, "text", None, 7, iter([]), {"a"}])
    def test_only_a_list_of_messages_is_taken(self, context: Any) -> None:
        assert refusal(context).path == "context"

    @pytest.mark.parametrize("message", [None, "text", 7, [], ("a", "b")])
    def test_only_objects_are_messages(self, message: Any) -> None:
        assert refusal([{}, message]).path == "context[1]"

    @pytest.mark.parametrize(
        ("message", "path"),
        [
            ({"id": None}, ".id"),
            ({"id": 7}, ".id"),
            ({"id": ""}, ".id"),
            ({"id": "x" * 513}, ".id"),
            ({"id": "a\0b"}, ".id"),
            ({"id": "\ud800"}, ".id"),
            ({"a": float("nan")}, ".a"),
            ({"a": [1, float("inf")]}, ".a[1]"),
            ({"a": {"b": [0, -float("inf")]}}, ".a.b[1]"),
            ({"a b": {"": {1}}}, "['a b']['']"),
            ({"a": b"x"}, ".a"),
            ({"a": (1, 2)}, ".a"),
            ({"a": object()}, ".a"),
            ({"a": 1j}, ".a"),
            ({"a": "x\ud800"}, ".a"),
            ({"a": ["fine", "\udfff"]}, ".a[1]"),
            ({"a": 10**4300}, ".a"),
            ({"a": -(10**5000)}, ".a"),
            ({1: "a"}, ""),
            ({"a": {None: 1}}, ".a"),
            ({"a": {True: 1}}, ".a"),
            ({"a": {"\ud800": 1}}, ".a"),
        ],
    )
    def test_a_refusal_says_where(self, message: Any, path: str) -> None:
        error = refusal([{}, {}, {}, message])
        assert error.path == f"context[3]{path}"
        assert str(error).startswith(f"context[3]{path} ")

    @pytest.mark.parametrize(
        ("message", "fault"),
        [
            (7, "is of type int; a message is a JSON object (dict)"),
            ({"id": 7}, "is of type int; an id is a string"),
            ({"id": "x" * 513}, "has 513 characters; an id has 1 to 512"),
            ({"id": "a\0b"}, "holds a NUL character"),
            ({"a": float("nan")}, "is not a finite number; JSON has no NaN"),
            ({"a": b"x"}, "is of type bytes; only JSON types can be kept"),
            ({"a": "xy\ud800"}, "holds a lone surrogate at 2"),
            ({"a": 10**4300}, "is an integer of more than 4,300 digits"),
            ({1: "a"}, "has a key that is of type int; JSON keys are strings"),
        ],
    )
    def test_a_refusal_says_what_is_wrong(self, message: Any, fault: str) -> None:
        assert f" {fault}" in str(refusal([message]))

    def test_a_refusal_shows_no_text(self) -> None:
        for message in ({"a": "secret\ud800"}, {"secret": {b"secret": 1}}):
            error = refusal([{"content": "secret"}, message])
            assert "secret" not in str(error).replace("context[1].secret", "")
            assert error.__cause__ is None

    def test_an_id_may_stand_once(self) -> None:
        error = refusal([{"id": "a"}, {}, {"id": "b"}, {"id": "a"}])
        assert error.path == "context[3].id"
        assert "context[0]" in str(error)

    @pytest.mark.parametrize(
        "text", ["x", "x" * 512, "\u2028 \U0001f980", " ", "\x01", "a\nb", "é" * 512]
    )
    def test_other_ids_are_taken(self, text: str) -> None:
        assert messages.prepare([{"id": text}]) == [{"id": text}]
        assert messages.validate_session_id(text) == text

    @pytest.mark.parametrize(
        "number", [2**64, -(2**64), 10**4299, -(10**4299), 0, -1, 1e308, 5e-324, -0.0]
    )
    def test_numbers_survive(self, number: Any) -> None:
        (prepared,) = messages.prepare([{"n": number}])
        again = messages.decode(messages.encode(prepared))
        assert repr(again["n"] if isinstance(number, float) else 0) == repr(
            number if isinstance(number, float) else 0
        )
        assert again["n"] == number
        assert type(again["n"]) is type(number)

    def test_depth_has_a_bound(self) -> None:
        # The message itself is one level.
        fits = {"a": nested(MAX - 1)}
        assert messages.prepare([fits]) == [fits]
        assert messages.decode(messages.encode(fits)) == fits
        error = refusal([{"a": nested(MAX)}])
        assert error.path is not None
        assert error.path.startswith("context[0].a[0][0]")
        assert str(MAX) in str(error)

    def test_no_depth_exhausts_the_stack(self) -> None:
        assert "deeper" in str(refusal([{"a": nested(10**5)}]))
        wide: Any = 1
        for _ in range(10**5):
            wide = {"k": wide}
        assert "deeper" in str(refusal([{"a": wide}]))

    def test_a_cycle_is_refused(self) -> None:
        loop: List[Any] = [1]
        loop.append(loop)
        message: Dict[str, Any] = {"role": "user"}
        message["self"] = message
        for value in ({"a": loop}, message):
            assert "deeper" in str(refusal([value]))

    def test_a_shared_value_is_copied_for_each(self) -> None:
        shared = ["a"]
        (prepared,) = messages.prepare([{"a": shared, "b": shared}])
        prepared["a"].append("b")
        assert prepared["b"] == ["a"]


def spoil(value: Any) -> None:
    """Change everything in a value that can be changed."""
    items = list(value.values()) if isinstance(value, dict) else list(value)
    for item in items:
        if isinstance(item, (dict, list)):
            spoil(item)
    value.clear()


class TestCopyJson:
    @pytest.mark.parametrize("value", [None, True, False, 1, 1.5, "a", [], {}])
    def test_a_value_of_any_kind_is_copied(self, value: Any) -> None:
        copied = messages.copy_json(value, "metadata")
        assert copied == value
        assert type(copied) is type(value)

    def test_the_path_is_the_callers(self) -> None:
        for value in (float("nan"), "\ud800", object()):
            with pytest.raises(InvalidInputError) as caught:
                messages.copy_json(value, "metadata")
            assert caught.value.path == "metadata"


class TestValidate:
    @pytest.mark.parametrize("k", [0, 1, 10**30, Number.ONE, None])
    def test_k_that_counts(self, k: Any) -> None:
        assert messages.validate_k(k) == k

    @pytest.mark.parametrize("k", [-1, True, False, 1.0, "1", [], -(10**30)])
    def test_k_that_does_not(self, k: Any) -> None:
        with pytest.raises(InvalidInputError) as caught:
            messages.validate_k(k)
        assert caught.value.path == "k"

    @pytest.mark.parametrize("value", ["", "x" * 513, "\0", "\ud800", None, 7, b"s"])
    def test_ids_that_cannot_be(self, value: Any) -> None:
        with pytest.raises(InvalidInputError) as caught:
            messages.validate_session_id(value)
        assert caught.value.path == "session_id"
        with pytest.raises(InvalidInputError) as caught:
            messages.validate_message_id(value)
        assert caught.value.path == "message_id"

    def test_ids_are_plain(self) -> None:
        assert type(messages.validate_session_id(Word.USER)) is str

    def test_text(self) -> None:
        assert messages.validate_text("", "text") == ""
        for value in (None, b"x", "\ud800"):
            with pytest.raises(InvalidInputError) as caught:
                messages.validate_text(value, "text")
            assert caught.value.path == "text"


class TestStamp:
    def test_what_is_lacking_is_filled_in(self) -> None:
        message: Dict[str, Any] = {"role": "user"}
        assert messages.stamp(message, lambda: "i", lambda: "t") == ("id", "timestamp")
        assert message == {"role": "user", "id": "i", "timestamp": "t"}

    def test_what_is_there_stays(self) -> None:
        message: Dict[str, Any] = {"id": "a", "timestamp": None}
        assert messages.stamp(message, lambda: "i", lambda: "t") == ()
        assert message == {"id": "a", "timestamp": None}
        message = {"timestamp": 5}
        assert messages.stamp(message, lambda: "i", lambda: "t") == ("id",)
        message = {"id": "a"}
        assert messages.stamp(message, lambda: "i", lambda: "t") == ("timestamp",)

    def test_what_the_sources_give_is_checked(self) -> None:
        bad: Any
        for bad in (lambda: "", lambda: 7):
            with pytest.raises(InvalidInputError) as caught:
                messages.stamp({}, bad, lambda: "t")
            assert caught.value.path == "id_factory()"
        for bad in (lambda: float("nan"), lambda: object()):
            with pytest.raises(InvalidInputError) as caught:
                messages.stamp({}, lambda: "i", bad)
            assert caught.value.path == "clock()"


class TestEquality:
    VALUES: Tuple[Any, ...] = (
        True,
        1,
        1.0,
        False,
        0,
        0.0,
        -0.0,
        None,
        "1",
        "",
        [],
        {},
        [1],
        [True],
    )

    def test_it_is_strict_about_type(self) -> None:
        for index, one in enumerate(self.VALUES):
            for other_index, other in enumerate(self.VALUES):
                same = messages.canonical(one) == messages.canonical(other)
                assert same is (index == other_index), (one, other)

    @given(json_values)
    def test_it_does_not_see_the_order_of_keys(self, value: Any) -> None:
        assert messages.canonical(turned(value)) == messages.canonical(value)

    @given(json_values, json_values)
    def test_equal_text_is_equal_json(self, one: Any, other: Any) -> None:
        if messages.canonical(one) == messages.canonical(other):
            assert json.loads(json.dumps(one)) == json.loads(json.dumps(other))

    def test_only_what_the_store_filled_in_may_be_missing(self) -> None:
        stored = {"id": "i", "timestamp": "t", "content": 1}
        filled = ("id", "timestamp")
        same = messages.same_as_stored
        assert same({"content": 1}, stored, filled)
        assert same({"content": 1, "id": "i"}, stored, filled)
        assert same(dict(stored), stored, ())
        assert not same({"content": 1}, stored, ("id",))
        assert not same({"content": 1, "id": "other"}, stored, filled)
        assert not same({"content": True}, stored, filled)
        assert not same({}, stored, filled)
        assert not same({"content": 1, "more": 1}, stored, filled)
        assert stored == {"id": "i", "timestamp": "t", "content": 1}


def turned(value: Any) -> Any:
    """Return a value with the keys of its objects in reverse."""
    if isinstance(value, dict):
        return {key: turned(value[key]) for key in reversed(list(value))}
    if isinstance(value, list):
        return [turned(item) for item in value]
    return value


class TestCodec:
    @given(json_messages)
    def test_what_is_encoded_is_decoded(self, message: Dict[str, Any]) -> None:
        (prepared,) = messages.prepare([message])
        decoded = messages.decode(messages.encode(prepared))
        assert decoded == prepared
        assert list(decoded) == list(prepared)
        assert messages.canonical(decoded) == messages.canonical(prepared)

    @pytest.mark.parametrize("message", [{"a": [1, "é", 0.5]}, {"a": 2**80}])
    def test_a_file_goes_between_machines_with_and_without_orjson(
        self, message: Dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here = messages.encode(message)
        with monkeypatch.context() as patch:
            patch.setattr(messages, "_orjson", lambda: None)
            there = messages.encode(message)
            assert messages.decode(here) == messages.decode(there) == message
            with pytest.raises(ValueError):
                messages.decode(here + b"{}")
        assert messages.decode(here) == messages.decode(there) == message

    def test_it_is_compact(self) -> None:
        assert messages.encode({"a": [1, "é"]}) == '{"a":[1,"é"]}'.encode()

    @pytest.mark.parametrize("body", [b"[]", b"7", b"", b"{", b"\xff", b"null"])
    def test_only_an_object_is_decoded(self, body: bytes) -> None:
        with pytest.raises(ValueError):
            messages.decode(body)

    def test_large_bodies_are_not_all_in_memory_at_once(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(messages, "_orjson", lambda: None)
        kept = [{"content": "x" * 500_000} for _ in range(20)]
        # Of a text that has it, each character takes four bytes.
        kept[7]["content"] += "\U0001f600"
        bodies = list(map(messages.encode, kept))
        tracemalloc.start()
        try:
            assert messages.decode_whole(bodies) == kept
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 20_000_000


class TestText:
    @pytest.mark.parametrize(
        ("content", "text"),
        [
            ("plain", "plain"),
            (None, ""),
            ([], ""),
            (["a", "b"], "a\nb"),
            ([{"type": "text", "text": "a"}, {"type": "image_url"}], "a"),
            ([{"text": "a"}, {"text": ""}, {"content": "b"}, 7, None], "a\nb"),
            ([{"text": None}], ""),
            ({"text": "a"}, "a"),
            ({"content": "a"}, "a"),
            ({"b": 1, "a": 2}, '{"a":2,"b":1}'),
            (7, "7"),
            (True, "true"),
        ],
    )
    def test_the_text_of_a_content(self, content: Any, text: str) -> None:
        assert messages.text_of({"content": content}) == text

    def test_no_content_has_no_text(self) -> None:
        assert messages.text_of({"role": "user"}) == ""

    def test_what_is_pinned(self) -> None:
        assert messages.is_pinned({"role": "system"})
        assert messages.is_pinned({"role": "developer"})
        assert messages.is_pinned({"role": "user", "metadata": {"pinned": True}})
        for message in (
            {},
            {"role": "user"},
            {"role": "user", "metadata": {"pinned": 1}},
            {"role": "user", "metadata": "pinned"},
            {"role": "user", "pinned": True},
        ):
            assert not messages.is_pinned(message)


def test_where_python_has_no_encoder_in_c_the_documented_one_does_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def wants_something_else() -> None:
        raise AssertionError("it is called with arguments")

    for made in (None, wants_something_else):
        monkeypatch.setattr(json.encoder, "c_make_encoder", made)
        encode = messages._encode_with(messages._encoder)
        assert encode == messages._encoder.encode
    monkeypatch.undo()
    assert messages._encode_with(messages._encoder) != messages._encoder.encode
    with pytest.raises(ValueError, match="Out of range"):
        messages._encode_by_standard({"a": float("nan")})
    with pytest.raises(TypeError):
        messages._encode_by_standard({"a": object()})
