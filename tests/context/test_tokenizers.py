from __future__ import annotations

import logging
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, List, NamedTuple

import pytest

from contextstore import _optional
from contextstore.context import tokenizers, vocabularies
from contextstore.context.builder import ContextBuilder
from contextstore.context.counting import RememberedCounts
from contextstore.context.models import ModelProfile, profile_of
from contextstore.context.tokenizers import Tokenizer, tokenizer_from_name
from contextstore.errors import (
    ConfigurationError,
    InvalidInputError,
    MissingDependencyError,
)


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("gpt-4", "cl100k_base"),
        ("gpt-4-0613", "cl100k_base"),
        ("gpt-4-turbo-2024-04-09", "cl100k_base"),
        ("gpt-35-turbo-16k", "cl100k_base"),
        ("gpt-4o", "o200k_base"),
        ("gpt-4o-mini-2024-07-18", "o200k_base"),
        ("gpt-4.1-nano", "o200k_base"),
        ("gpt-5", "o200k_base"),
        ("gpt-5.2-chat", "o200k_base"),
        ("gpt-oss-120b", "o200k_base"),
        ("o1", "o200k_base"),
        ("o3-mini", "o200k_base"),
        ("o4-mini-2025-04-16", "o200k_base"),
        ("chatgpt-4o-latest", "o200k_base"),
        ("azure/gpt-4", "cl100k_base"),
        ("openrouter/openai/gpt-4o", "o200k_base"),
        ("ft:gpt-4o:org::id", "o200k_base"),
        ("ft:gpt-3.5-turbo:org:name:id", "cl100k_base"),
        (" GPT-4o ", "o200k_base"),
        ("text-embedding-3-small", "cl100k_base"),
        ("text-davinci-003", "p50k_base"),
        ("davinci", "r50k_base"),
        ("o200k_harmony", "o200k_base"),
        ("cl100k_base", "cl100k_base"),
    ],
)
def test_known_models_have_their_encoding(name: str, encoding: str) -> None:
    profile = profile_of(name)
    assert (profile.encoding, profile.known) == (encoding, True)


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("claude-sonnet-4-5", 1.2),
        ("anthropic/claude-opus-4-7", 1.5),
        ("claude-opus-5-20260801", 1.5),
        ("gemini-2.5-pro", 1.1),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", 1.2),
        ("eu.anthropic.claude-opus-4-7-v1:0", 1.5),
    ],
)
def test_models_without_a_public_vocabulary_are_counted_by_a_factor(
    name: str, factor: float
) -> None:
    tokenizer = tokenizer_from_name(name)
    text = "The same text for all of them. " * 20
    base = tokenizer_from_name("gpt-4o").count(text)
    assert tokenizer.approximate is True
    assert tokenizer.name == name
    assert tokenizer.count(text) == pytest.approx(base * factor, abs=1)


OLDER_CLAUDES = """
    claude claude-2.1 claude-instant-v1 anthropic.claude-v2:1 apac.anthropic.claude-v2
    claude-3-opus-20240229 claude-3-7-sonnet claude-opus-4-20250514
    claude-opus-4@20250514 claude-sonnet-4-6 claude-opus-4.6:thinking
    bedrock/global.anthropic.claude-haiku-4-5-v1:0
"""
NEWER_CLAUDES = """
    claude-opus-4-8 anthropic.claude-opus-4-7-v1:0 anthropic/claude-opus-4.7
    claude-opus-4.10 claude-opus-4-10-20261001 claude-sonnet-4-9 claude-opus-5
    claude-haiku-5-1@20270101 claude-sonnet-6 claude-new-family-5.2
    us-gov.anthropic.claude-opus-5-20260801-v1:0
"""


@pytest.mark.parametrize(
    ("names", "factor"),
    [(OLDER_CLAUDES, 1.2), (NEWER_CLAUDES, 1.5), ("claudette-5 not-claude-5", 1.0)],
)
def test_claude_is_known_by_its_version(names: str, factor: float) -> None:
    factors = {name: profile_of(name).factor for name in names.split()}
    assert factors == dict.fromkeys(names.split(), factor)


@pytest.mark.parametrize("name", ["mistral-large", "gpt-99", "gpt4", "o1x", "x"])
def test_other_models_are_a_guess(name: str) -> None:
    assert profile_of(name) == ModelProfile("o200k_base", known=False)
    assert tokenizer_from_name(name).approximate is True


def test_the_first_chat_model_has_rules_of_its_own() -> None:
    profile = profile_of("gpt-3.5-turbo-0301")
    assert (profile.per_message, profile.per_name) == (4, -1)


def test_a_model_counts_by_its_vocabulary() -> None:
    cl100k, o200k = tokenizer_from_name("gpt-4"), tokenizer_from_name("gpt-4o")
    assert (cl100k.name, cl100k.approximate) == ("gpt-4", False)
    assert (cl100k.count("hello world"), o200k.count("hello world")) == (2, 2)
    assert (cl100k.count("Привет"), o200k.count("Привет")) == (3, 2)
    assert isinstance(cl100k, Tokenizer)


def test_special_tokens_are_text() -> None:
    assert tokenizer_from_name("gpt-4").count("<|endoftext|>") == 7
    builder = ContextBuilder.from_model("gpt-4")
    assert builder.count([{"role": "user", "content": "<|endoftext|>"}]) == 14


@pytest.mark.parametrize("model", ["gpt-4", "gpt-4o"])
@pytest.mark.parametrize("unit", [" ", "a", "\n", "!", "\t", "<|endoftext|>", "7"])
def test_long_runs_are_counted(model: str, unit: str) -> None:
    count = tokenizer_from_name(model).count(unit * 100_000)
    assert 0 < count <= 800_000


def test_lone_surrogates_are_counted() -> None:
    assert tokenizer_from_name("gpt-4").count("a\ud800b\udfff" * 20_000) > 0


@pytest.mark.parametrize("encoding", ["cl100k_base", "o200k_base"])
@pytest.mark.parametrize(
    "unit",
    [
        "The quick brown fox, 1234 of them; jumped (over) it.\n\n    Then it's on. ",
        "我们把会议改到星期四,因为有一半的人不在。「请带上」上个月的数字:好吗?",
        "皆さん、こんにちは。お元気ですか。はい、元気です・・・",
        "การประชุมเลื่อนไปวันพฤหัสบดี เพราะทีมครึ่งหนึ่งไม่อยู่ ",
        "Собрание перенесли на четверг; половины команды нет. ",
        "for(let i=0;i<rows.length;i++){total+=rows[i].price*2;log(\"a b\",'c')}",
        '{"id":4711,"name":"Maria","total":1299.5},',
        "ZGVmIG1vdmluZ19hdmVyYWdl9Kb0",
        "9f86d081884c7d659a2feaa0c55ad015",
        "0123456789",
        "don't they'll it's",
    ],
)
def test_pieces_of_long_texts_are_cut_where_a_token_starts(
    unit: str, encoding: str
) -> None:
    counter = vocabularies.load_counter(encoding)
    assert counter is not None
    text = unit * (40_000 // len(unit))
    whole = counter._encode(text)  # type: ignore[attr-defined]
    assert counter(text) == len(whole)


def test_pieces_make_up_the_text() -> None:
    units = ("x", "ab ", " ", "é漢", "漢", "😀", "\ud800", "漢a" * 500 + "a" * 3_000)
    for unit in units:
        text = unit * (60_000 // len(unit))
        pieces = list(vocabularies._pieces(text))
        assert "".join(pieces) == text
        sizes = [len(piece.encode("utf-8", "surrogatepass")) for piece in pieces]
        # tiktoken before 0.8 takes time quadratic in these.
        assert max(sizes) <= 2 * vocabularies._PIECE
        assert len(pieces) <= 4 * sum(sizes) // vocabularies._PIECE


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this process one that has loaded no vocabulary yet."""
    monkeypatch.setattr(vocabularies, "_counters", {})


class PanicException(BaseException):
    """Stand for the panic of a Rust extension."""


def failing(error: BaseException) -> Callable[[str], Any]:
    def construct(encoding: str) -> Any:
        raise error

    return construct


@pytest.mark.usefixtures("unloaded")
@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OSError("no network"), "OSError"),
        (ValueError("bad hash"), "ValueError"),
        (PanicException(), "PanicException"),
        (MissingDependencyError("x", extra="tokens"), "not installed"),
    ],
)
def test_without_a_vocabulary_counts_are_estimates(
    error: BaseException,
    cause: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(vocabularies, "_construct", failing(error))
    tokenizer = tokenizer_from_name("gpt-4")
    assert (tokenizer.name, tokenizer.approximate) == ("gpt-4", True)
    assert tokenizer.count("hello world") == tokenizer_from_name("fallback").count(
        "hello world"
    )
    monkeypatch.setattr(vocabularies, "_construct", failing(AssertionError()))
    assert ContextBuilder.from_model("gpt-4").build([], 1).approximate is True
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert cause in caplog.text
    assert "cl100k_base" in caplog.text


@pytest.mark.usefixtures("unloaded")
def test_an_interrupt_is_no_missing_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabularies, "_construct", failing(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        tokenizer_from_name("gpt-4")


@pytest.mark.usefixtures("unloaded")
def test_a_silent_network_is_waited_for_only_so_long(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answered = threading.Event()
    monkeypatch.setattr(vocabularies, "_construct", lambda encoding: answered.wait())
    monkeypatch.setattr(vocabularies, "_LOAD_SECONDS", 0.05)
    assert tokenizer_from_name("gpt-4").approximate is True
    answered.set()
    assert "TimeoutError" in caplog.text


@pytest.mark.usefixtures("unloaded")
def test_a_missing_package_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_optional, "find", lambda module: None)
    assert tokenizer_from_name("gpt-4o").approximate is True


@pytest.mark.usefixtures("unloaded")
def test_threads_load_a_vocabulary_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loads: List[str] = []

    def load(encoding: str) -> Callable[[str], int]:
        loads.append(encoding)
        time.sleep(0.01)
        return len

    monkeypatch.setattr(vocabularies, "_load", load)
    call = vocabularies.load_counter
    threads = [threading.Thread(target=call, args=("x",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loads == ["x"]


def test_the_fallback_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizers, "load_counter", failing(AssertionError()))
    fallback = tokenizer_from_name("fallback")
    assert (fallback.name, fallback.approximate) == ("fallback", True)
    assert fallback.count("") == 0
    assert fallback.count("Hello world") in (2, 3)


class Counted(NamedTuple):
    count: int  # type: ignore[assignment]
    approximate: bool


class OldTokenizer:
    name = "old"

    def count_tokens(self, text: str) -> Counted:
        return Counted(len(text.split()), approximate=True)


class NewTokenizer:
    def count(self, text: str) -> int:
        return len(text.split())


def test_a_callers_own_tokenizer_will_do() -> None:
    function = tokenizer_from_name(len)
    assert (function.count("abc"), function.approximate) == (3, False)
    old = tokenizer_from_name(OldTokenizer())
    assert (old.name, old.count("a b"), old.approximate) == ("old", 2, True)
    new = tokenizer_from_name(NewTokenizer())
    assert (new.name, new.count("a b"), new.approximate) == ("NewTokenizer", 2, False)
    assert tokenizer_from_name(new) is new
    assert repr(new) == "<tokenizer 'NewTokenizer', approximate=False>"


@pytest.mark.parametrize("counted", [-1, 1.5, True, "3", None])
def test_a_tokenizer_must_give_a_count(counted: Any) -> None:
    tokenizer = tokenizer_from_name(lambda text: counted)
    with pytest.raises(ConfigurationError, match="non-negative int"):
        tokenizer.count("a")


@pytest.mark.parametrize("thing", [b"gpt-4", ["gpt-4"], ("a",), None, 4, object()])
def test_other_things_are_no_tokenizers(thing: Any) -> None:
    with pytest.raises(InvalidInputError, match="tokenizer"):
        tokenizer_from_name(thing)


def test_a_name_is_not_empty() -> None:
    with pytest.raises(InvalidInputError, match="empty"):
        tokenizer_from_name("  ")


def test_counts_are_remembered() -> None:
    asked: List[str] = []

    def count(text: str) -> int:
        asked.append(text)
        return len(text)

    remembered = RememberedCounts(count)
    assert [remembered["ab"], remembered["ab"], remembered[""]] == [2, 2, 0]
    assert asked == ["ab", ""]


def test_what_is_remembered_is_bounded() -> None:
    asked: List[str] = []

    def count(text: str) -> int:
        asked.append(text)
        return len(text)

    remembered = RememberedCounts(count, max_bytes=20_000)
    for number in range(1000):
        remembered[f"{number:0100}"]
        remembered["often"]
    assert asked.count("often") == 1
    assert len(remembered) + len(remembered._older) < 120
    remembered[f"{0:0100}"]
    assert len(asked) == 1002


def test_long_texts_are_remembered_without_being_held() -> None:
    asked: List[int] = []

    def count(text: str) -> int:
        asked.append(1)
        return len(text)

    remembered = RememberedCounts(count)
    long = "\ud800" + "x" * 100_000
    assert [remembered[long], remembered[long]] == [100_001, 100_001]
    assert len(asked) == 1
    assert sum(map(sys.getsizeof, remembered)) < 1000


def test_a_tokenizer_file_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Words:
        @staticmethod
        def from_str(text: str) -> Words:
            if text != "{}":
                raise ValueError
            return Words()

        def encode(self, text: str, *, add_special_tokens: bool) -> List[str]:
            assert not add_special_tokens
            return text.split()

    package = SimpleNamespace(Tokenizer=Words)
    monkeypatch.setattr(_optional, "require", lambda module, extra: package)
    good, bad = tmp_path / "tokenizer.json", tmp_path / "bad.json"
    good.write_text("{}", encoding="utf-8")
    bad.write_text("[]", encoding="utf-8")
    tokenizer = tokenizer_from_name(str(good))
    assert tokenizer.count("three words \ud800") == 3
    assert tokenizer.approximate is True
    for path in (bad, tmp_path / "missing.json"):
        with pytest.raises(InvalidInputError, match=r"tokenizer\.json"):
            tokenizer_from_name(str(path))


def test_without_its_package_a_tokenizer_file_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_optional, "find", lambda module: None)
    with pytest.raises(MissingDependencyError) as caught:
        tokenizer_from_name("tokenizer.json")
    assert caught.value.extra == "tokenizers"
    assert "pip install 'contextstore[tokenizers]'" in str(caught.value)


def test_mistral_is_counted_by_its_own_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def encode(text: str, *, bos: bool, eos: bool) -> str:
        return text

    inner = SimpleNamespace(tokenizer=SimpleNamespace(encode=encode))
    made = SimpleNamespace(instruct_tokenizer=inner)
    package = SimpleNamespace(MistralTokenizer=SimpleNamespace(v3=lambda **_: made))
    monkeypatch.setattr(_optional, "find", lambda module: package)
    assert tokenizer_from_name("mistralai/Mistral-Large-3").count("four") == 4
    monkeypatch.setattr(_optional, "find", lambda module: None)
    assert tokenizer_from_name("codestral-latest").count("four") == 1
