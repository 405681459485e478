"""Find vocabularies on disk, for machines without a network, and check them.

The files are those that tiktoken downloads. Packages that carry them, such as the
wheels of llama-index-core and litellm, can serve as their source; nothing of such a
package is imported.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Dict, NamedTuple, Optional

__all__ = [
    "VOCABULARIES",
    "Vocabulary",
    "default_directory",
    "find_vocabulary",
    "is_whole",
]

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
    return data if is_whole(data, vocabulary) else None


def is_whole(data: bytes, vocabulary: Vocabulary) -> bool:
    """Tell whether a file is the vocabulary, by the hash that tiktoken demands."""
    return hashlib.sha256(data).hexdigest() == vocabulary.sha256
