"""Turn a name or an object into something that counts the tokens of a text."""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, Optional, Protocol, Union, runtime_checkable

from contextstore.context.counting import RememberedCounts
from contextstore.context.estimator import estimator_for
from contextstore.context.models import ModelProfile, profile_of
from contextstore.context.other_vocabularies import (
    is_mistral,
    mistral_counter,
    tokenizer_file_counter,
)
from contextstore.context.vocabularies import load_counter
from contextstore.errors import ConfigurationError, InvalidInputError

__all__ = [
    "Tokenizer",
    "TokenizerLike",
    "as_tokenizer",
    "scaled",
    "tokenizer_from_name",
]


@runtime_checkable
class Tokenizer(Protocol):
    """Count the tokens of a text.

    Attributes:
        name: what to call it in logs and reports.
        approximate: True where its counts are not exactly the model's.
    """

    @property
    def name(self) -> str:
        """Return what to call it."""
        ...

    @property
    def approximate(self) -> bool:
        """Tell whether its counts are not exactly the model's."""
        ...

    def count(self, text: str, /) -> int:
        """Return the number of tokens, at least 0."""
        ...


TokenizerLike = Union[str, Tokenizer, Callable[[str], int], Any]


class ModelTokenizer:
    """Count as a model does: by its vocabulary, or by estimate where that is missing.

    Attributes:
        name: the name it was asked for by.
        profile: how the prompts of the model are counted.
        approximate: True for an estimate or an unknown model.
    """

    def __init__(
        self,
        name: str,
        profile: ModelProfile,
        counts: RememberedCounts,
        *,
        approximate: bool,
    ) -> None:
        self.name = name
        self.profile = profile
        self.approximate = approximate
        self.count: Callable[[str], int] = counts.__getitem__

    def __repr__(self) -> str:
        return f"<tokenizer {self.name!r}, approximate={self.approximate}>"


class _ForeignTokenizer:
    """Count by what a caller passed, and check what it gives."""

    def __init__(
        self, name: str, count: Callable[[str], Any], approximate: bool
    ) -> None:
        self.name = name
        self.approximate = approximate
        self._count = count
        self.count: Callable[[str], int] = RememberedCounts(self._checked).__getitem__

    def __repr__(self) -> str:
        return f"<tokenizer {self.name!r}, approximate={self.approximate}>"

    def _checked(self, text: str) -> int:
        counted = self._count(text)
        counted = getattr(counted, "count", counted)
        if type(counted) is not int or counted < 0:
            raise ConfigurationError(
                f"tokenizer {self.name!r} counted {counted!r}; "
                f"a count is a non-negative int"
            )
        return counted


_estimates: Dict[str, RememberedCounts] = {}
_exact: Dict[str, RememberedCounts] = {}


def tokenizer_from_name(name: TokenizerLike) -> Tokenizer:
    """Return the tokenizer for a model, an encoding, or an object of the caller's.

    Args:
        name: a model (``"gpt-4"``, ``"azure/gpt-4o"``, ``"ft:gpt-4o:org::id"``), an
            encoding (``"o200k_base"``), or ``"fallback"`` for the estimator, which
            needs nothing, or the path of a ``tokenizer.json`` (needs the extra
            ``tokenizers``). Models of Mistral are counted by their own vocabulary where
            the extra ``mistral`` is installed. An unknown model is counted with the
            newest vocabulary, and ``approximate`` says so. Instead of a name: a
            function ``text -> int``, or an object with a method ``count(text)`` or
            ``count_tokens(text)``.

    Returns:
        The tokenizer. Where a vocabulary cannot be loaded it is the estimator under the
        same name, and the reason is logged once.

    Raises:
        InvalidInputError: it is neither a name nor an object that can count.
        MissingDependencyError: it is the path of a ``tokenizer.json``, and the package
            tokenizers is not installed.
    """
    if isinstance(name, str):
        return _named(name)
    return as_tokenizer(name)


def _named(name: str) -> Tokenizer:
    if not name.strip():
        raise InvalidInputError("name is empty; pass a model name", path="name")
    profile = profile_of(name)
    if name.endswith(".json"):
        counts = RememberedCounts(tokenizer_file_counter(name))
        return ModelTokenizer(name, ModelProfile(""), counts, approximate=True)
    mistral = mistral_counter() if is_mistral(name) else None
    if mistral is not None:
        counts = RememberedCounts(mistral)
        return ModelTokenizer(name, ModelProfile(""), counts, approximate=True)
    encoding = profile.encoding
    if profile.factor != 1.0:
        base = _named(encoding)
        return scaled(base, profile.factor, name=name, profile=profile)
    count = None if name == "fallback" else load_counter(encoding)
    # Counts are kept by encoding, so that every builder finds them warm.
    if count is None:
        estimates = RememberedCounts(estimator_for(encoding))
        estimates = _estimates.setdefault(encoding, estimates)
        return ModelTokenizer(name, profile, estimates, approximate=True)
    counts = _exact.setdefault(encoding, RememberedCounts(count))
    return ModelTokenizer(name, profile, counts, approximate=not profile.known)


def scaled(
    tokenizer: Tokenizer,
    factor: float,
    *,
    name: Optional[str] = None,
    profile: Optional[ModelProfile] = None,
) -> Tokenizer:
    """Return a tokenizer that counts so many times as much, approximately.

    Args:
        tokenizer: what counts the texts.
        factor: what to multiply by; counts are rounded to the nearest whole number, as
            a prompt has many short texts, each of which would be up to one too many.
        name: its name, by default that of the tokenizer.
        profile: its profile, by default that of the tokenizer.
    """

    def count(text: str) -> int:
        return math.floor(tokenizer.count(text) * factor + 0.5)

    own: ModelProfile = getattr(tokenizer, "profile", ModelProfile(""))
    counts = RememberedCounts(count)
    return ModelTokenizer(
        name or tokenizer.name, profile or own, counts, approximate=True
    )


def as_tokenizer(counter: Any) -> Tokenizer:
    """Return a tokenizer for an object that counts the tokens of a text.

    Raises:
        InvalidInputError: it has neither ``count`` nor ``count_tokens`` and is no
            function.
    """
    if isinstance(counter, (ModelTokenizer, _ForeignTokenizer)):
        return counter
    count = _counting_method(counter)
    approximate = getattr(counter, "approximate", None)
    if approximate is None:
        # Tokenizers with count_tokens say it with each result.
        approximate = getattr(count("test"), "approximate", False)
    name = getattr(counter, "name", None) or type(counter).__name__
    return _ForeignTokenizer(str(name), count, bool(approximate))


def _counting_method(counter: Any) -> Callable[[str], Any]:
    # Sequences have a count() that means something else.
    if not isinstance(counter, (bytes, bytearray, list, tuple)):
        for method in ("count_tokens", "count"):
            found = getattr(counter, method, None)
            if callable(found):
                return found  # type: ignore[no-any-return]
        if callable(counter):
            return counter  # type: ignore[no-any-return]
    raise InvalidInputError(
        f"tokenizer is of type {type(counter).__name__}; pass a model name, a function "
        f"text -> int, or an object with count(text)",
        path="tokenizer",
    )
