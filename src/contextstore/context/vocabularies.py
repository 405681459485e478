"""Load the vocabularies of OpenAI's models through tiktoken, or say that none is there.

Nothing in here raises for want of a vocabulary: the package may be missing, the network
may be down, a file may be damaged. Whatever the cause, it is tried once in a process.
"""

from __future__ import annotations

import base64
import logging
import re
import threading
from typing import Any, Callable, Dict, Iterator, List, Optional

from contextstore import _optional
from contextstore.context.vocabulary import VOCABULARIES, find_vocabulary
from contextstore.errors import MissingDependencyError

__all__ = ["load_counter"]

logger = logging.getLogger("contextstore.context")

# tiktoken downloads without a time limit; a silent network must not stop a program.
_LOAD_SECONDS = 30.0

# Above this many characters a text is fed in pieces: tiktoken panics on a megabyte of
# spaces, and before 0.8 it needs time quadratic in the bytes of a run of one character.
_LONG_TEXT = 16_384
# The bytes of a piece. Vocabularies cut digits in threes, counted from the first.
_PIECE = 1_023
# Where every vocabulary here starts a token, in a text that is read from its end: at a
# sign (but for an apostrophe) or white space after a letter or digit, at a change
# between letters and digits, and at a lone space.
_START = re.compile(
    r"[\s!-&(-/:-@\[-`{-~\u2026\u3001\u3002\u300a-\u3011\uff01\uff08\uff09\uff0c"
    r"\uff1a\uff1b\uff1f](?=[^\W_])"
    r"|[0-9](?=[A-Za-z])|[A-Za-z](?=[0-9])|(?<=\S) (?=\S)"
)

_lock = threading.Lock()
_counters: Dict[str, Optional[Callable[[str], int]]] = {}


def load_counter(encoding: str) -> Optional[Callable[[str], int]]:
    """Return a function that counts the tokens of a text, or None without a vocabulary.

    The first failure for an encoding is logged as a warning and remembered: later calls
    return None at once and try nothing again.
    """
    with _lock:
        if encoding not in _counters:
            _counters[encoding] = _load(encoding)
        return _counters[encoding]


def _load(encoding: str) -> Optional[Callable[[str], int]]:
    try:
        loaded = _within(_LOAD_SECONDS, lambda: _construct(encoding))
    except MissingDependencyError:
        _warn(encoding, "the package tiktoken is not installed (the extra 'tokens')")
        return None
    except BaseException as error:
        if not _is_failure(error):
            raise
        _warn(encoding, f"loading it failed with {type(error).__name__}")
        return None
    return _TextCounter(loaded.encode_ordinary)


def _construct(encoding: str) -> Any:
    tiktoken = _optional.require("tiktoken", "tokens")
    data = find_vocabulary(encoding)
    if data is not None:
        return tiktoken.Encoding(
            encoding,
            pat_str=VOCABULARIES[encoding].pattern,
            mergeable_ranks=_ranks(data),
            special_tokens={},
        )
    known = _optional.require("tiktoken_ext.openai_public", "tokens")
    # Not tiktoken.get_encoding: that holds a lock of tiktoken's while it downloads, and
    # a download that hangs would stop every other use of the package in the process.
    return tiktoken.Encoding(**known.ENCODING_CONSTRUCTORS[encoding]())


def _ranks(data: bytes) -> Dict[bytes, int]:
    """Return the tokens of a vocabulary file and their ranks."""
    pairs = (line.split() for line in data.splitlines() if line)
    return {base64.b64decode(token): int(rank) for token, rank in pairs}


def _warn(encoding: str, cause: str) -> None:
    logger.warning(
        "token counts for %s are estimates: %s. `python -m contextstore vocab --help` "
        "says how to bring a vocabulary.",
        encoding,
        cause,
    )


def _is_failure(error: BaseException) -> bool:
    # A panic in Rust arrives as a BaseException that has no importable class.
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _within(seconds: float, work: Callable[[], Any]) -> Any:
    """Return what the work gives, or raise TimeoutError after so many seconds."""
    outcome: List[Any] = []
    failure: List[BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run, name="contextstore-vocabulary", daemon=True)
    thread.start()
    thread.join(seconds)
    if failure:
        raise failure[0]
    if not outcome:
        raise TimeoutError(f"no vocabulary within {seconds} seconds")
    return outcome[0]


class _TextCounter:
    """Count the tokens of any text by an encoder that can fail on unusual ones."""

    __slots__ = ("_encode",)

    def __init__(self, encode: Callable[[str], List[int]]) -> None:
        self._encode = encode

    def __call__(self, text: str) -> int:
        """Return the tokens of a text; special tokens in it are text."""
        if len(text) <= _LONG_TEXT:
            return len(self._encode(text))
        return sum(len(self._encode(piece)) for piece in _pieces(text))


def _pieces(text: str) -> Iterator[str]:
    """Cut a text into pieces, where possible so that no token spans a cut."""
    start = 0
    while start < len(text):
        end = start + _characters_of_a_piece(text[start : start + _PIECE])
        if end < len(text):
            end = _last_start(text, (start + end) // 2, end) or end
        yield text[start:end]
        start = end


def _characters_of_a_piece(text: str) -> int:
    """Return how many characters with the mean bytes of these make a piece."""
    return len(text) * _PIECE // len(text.encode("utf-8", "surrogatepass"))


def _last_start(text: str, first: int, last: int) -> Optional[int]:
    """Return the last place from one to another where surely a token starts."""
    found = _START.search(text[first : last + 1][::-1])
    return None if found is None else last - found.start()
