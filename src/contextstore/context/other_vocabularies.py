"""Count by vocabularies of others than OpenAI, through packages of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Optional

from contextstore import _optional
from contextstore.errors import InvalidInputError

__all__ = ["is_mistral", "mistral_counter", "tokenizer_file_counter"]

_MISTRAL = (
    *("mistral", "ministral", "mixtral", "open-mistral", "open-mixtral"),
    *("codestral", "magistral", "devstral", "pixtral", "voxtral"),
)


def is_mistral(name: str) -> bool:
    """Tell whether a name is that of a model of Mistral."""
    return name.strip().lower().rsplit("/", 1)[-1].startswith(_MISTRAL)


def mistral_counter() -> Optional[Callable[[str], int]]:
    """Return what counts texts as Mistral's models do, or None without the package.

    It is the vocabulary Tekken, which the package mistral-common (the extra
    ``mistral``) carries with it. Older models have another one, and chats a frame of
    other tokens, so that prompts counted with it are approximate.
    """
    package = _optional.find("mistral_common.tokens.tokenizers.mistral")
    if package is None:
        return None
    tekken: Any = package.MistralTokenizer.v3(is_tekken=True)
    encode = tekken.instruct_tokenizer.tokenizer.encode
    return lambda text: len(encode(_whole(text), bos=False, eos=False))


def tokenizer_file_counter(path: str) -> Callable[[str], int]:
    """Return what counts texts by a ``tokenizer.json`` of Hugging Face's format.

    Raises:
        InvalidInputError: the file cannot be read as such.
        MissingDependencyError: the package tokenizers is not installed.
    """
    package = _optional.require("tokenizers", "tokenizers")
    try:
        tokenizer: Any = package.Tokenizer.from_str(Path(path).read_text("utf-8"))
    except Exception as error:
        raise InvalidInputError(
            f"{path!r} cannot be read as a tokenizer.json: {type(error).__name__}",
            path="name",
        ) from error
    return lambda text: len(tokenizer.encode(_whole(text), add_special_tokens=False))


def _whole(text: str) -> str:
    """Return a text without lone surrogates, which these packages cannot take."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
