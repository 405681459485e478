"""Install vocabularies from a package that carries them."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import Dict, Iterator, List, Tuple, Union

from contextstore.context.vocabulary import (
    VOCABULARIES,
    Vocabulary,
    default_directory,
    is_whole,
)
from contextstore.errors import InvalidInputError, UnavailableError

__all__ = ["install_vocabulary"]


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
        if vocabulary.encoding not in installed and is_whole(data, vocabulary):
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
