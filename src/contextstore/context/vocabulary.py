"""Keep vocabularies on disk for machines without a network: find, check, install.

The files are those that tiktoken downloads. Packages that carry them, such as the
wheels of llama-index-core and litellm, can serve as their source; nothing of such a
package is imported.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple, Union

from contextstore.errors import InvalidInputError, UnavailableError

__all__ = ["VOCABULARIES", "Vocabulary", "find_vocabulary", "install_vocabulary"]

_ADDRESS = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"
DIRECTORY_VARIABLE = "CONTEXTSTORE_VOCAB_DIR"


class Vocabulary(NamedTuple):
    """Be one vocabulary.

    Attributes:
        encoding: its name.
        sha256: the hash that tiktoken demands of the file.
        pattern: the regular expression that cuts a text before tokens are formed.
    """

    encoding: str
    sha256: str
    pattern: str

    @property
    def file_name(self) -> str:
        """Return the name under which tiktoken keeps the file."""
        address = _ADDRESS.format(self.encoding).encode()
        return hashlib.sha1(address).hexdigest()  # noqa: S324 (tiktoken's choice)


_ENDINGS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_START = r"[^\r\n\p{L}\p{N}]?"
_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_OLD = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

VOCABULARIES: Dict[str, Vocabulary] = {
    vocabulary.encoding: vocabulary
    for vocabulary in (
        Vocabulary(
            "o200k_base",
            "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
            f"{_START}{_UPPER}*{_LOWER}+{_ENDINGS}?|{_START}{_UPPER}+{_LOWER}*{_ENDINGS}?"
            r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ),
        Vocabulary(
            "cl100k_base",
            "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
            rf"{_ENDINGS}|{_START}\p{{L}}+|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*"
            r"|\s*[\r\n]+|\s+(?!\S)|\s+",
        ),
        Vocabulary(
            "p50k_base",
            "94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069",
            _OLD,
        ),
        Vocabulary(
            "r50k_base",
            "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930",
            _OLD,
        ),
    )
}


def default_directory() -> Path:
    """Return where vocabularies are: $CONTEXTSTORE_VOCAB_DIR, or the user's cache."""
    chosen = os.environ.get(DIRECTORY_VARIABLE)
    if chosen:
        return Path(chosen)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "contextstore" / "vocabularies"


def find_vocabulary(encoding: str) -> Optional[bytes]:
    """Return the file of a vocabulary from the directory, or None.

    A file that is damaged counts as missing; it is left as it is.
    """
    vocabulary = VOCABULARIES[encoding]
    try:
        data = (default_directory() / vocabulary.file_name).read_bytes()
    except (OSError, RuntimeError):
        return None
    return data if _is_whole(data, vocabulary) else None


def _is_whole(data: bytes, vocabulary: Vocabulary) -> bool:
    return hashlib.sha256(data).hexdigest() == vocabulary.sha256


def install_vocabulary(
    source: Union[str, Path], directory: Union[str, Path, None] = None
) -> List[str]:
    """Copy vocabularies from a wheel or a directory to where this library finds them.

    Args:
        source: a wheel or other zip file, or a directory, that holds vocabularies under
            tiktoken's names for them or as ``<encoding>.tiktoken``, at any depth.
        directory: where to put them; by default ``$CONTEXTSTORE_VOCAB_DIR``, or
            ``contextstore/vocabularies`` in the user's cache directory.

    Returns:
        The encodings that were installed, sorted.

    Raises:
        InvalidInputError: the source cannot be read, or holds no whole vocabulary.
        UnavailableError: the directory cannot be written.
    """
    target = default_directory() if directory is None else Path(directory)
    installed: List[str] = []
    for vocabulary, data in _found_in(Path(source)):
        if vocabulary.encoding not in installed and _is_whole(data, vocabulary):
            _write(target / vocabulary.file_name, data)
            installed.append(vocabulary.encoding)
    if not installed:
        raise InvalidInputError(
            f"{str(source)!r} holds no vocabulary that is whole; take the wheel of "
            f"llama-index-core or litellm, or tiktoken's cache directory",
            path="source",
        )
    return sorted(installed)


def _found_in(source: Path) -> Iterator[Tuple[Vocabulary, bytes]]:
    names: Dict[str, Vocabulary] = {}
    for vocabulary in VOCABULARIES.values():
        names[vocabulary.file_name] = vocabulary
        names[f"{vocabulary.encoding}.tiktoken"] = vocabulary
    try:
        if source.is_dir():
            for path in sorted(source.rglob("*")):
                if path.name in names and path.is_file():
                    yield names[path.name], path.read_bytes()
            return
        with zipfile.ZipFile(source) as archive:
            for name in archive.namelist():
                base = PurePosixPath(name).name
                if base in names:
                    yield names[base], archive.read(name)
    except (OSError, zipfile.BadZipFile) as error:
        raise InvalidInputError(
            f"{str(source)!r} is no directory and no wheel that can be read",
            path="source",
        ) from error


def _write(path: Path, data: bytes) -> None:
    """Write a file so that nobody ever sees half of it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=str(path.parent)) as directory:
            temporary = Path(directory) / path.name
            temporary.write_bytes(data)
            temporary.replace(path)
    except OSError as error:
        raise UnavailableError(
            f"cannot write the vocabulary to {str(path.parent)!r}: {error.strerror}",
            location=str(path.parent),
        ) from error
