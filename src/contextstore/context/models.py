"""Know which vocabulary and which published prices a model name stands for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Dict, Optional, Tuple

__all__ = ["ModelProfile", "profile_of"]


@dataclass(frozen=True)
class ModelProfile:
    """Say how the prompts of one family of models are counted.

    The figures are those of OpenAI's cookbook, "How to count tokens with tiktoken":
    each message, each name and the primed reply cost a few tokens beside their text.
    Those for images are of its guide "Images and vision", "Calculating costs".

    Attributes:
        encoding: name of the vocabulary.
        known: False where the vocabulary is the closest guess for the name.
        factor: tokens of the model for one token of the vocabulary.
        per_message: tokens of a message beside its texts.
        per_name: tokens of a ``name`` beside its text.
        priming: tokens that start the reply, once a prompt.
        image_base: tokens of an image whatever its size.
        image_tile: tokens of each tile of 512 x 512 pixels.
        image_patch: tokens of each patch of 32 x 32 pixels, for models that are billed
            by these; 0 for the others.
    """

    encoding: str
    known: bool = True
    factor: float = 1.0
    per_message: int = 3
    per_name: int = 1
    priming: int = 3
    image_base: int = 85
    image_tile: int = 170
    image_patch: float = 0.0


_O200K = ModelProfile("o200k_base")
_CL100K = ModelProfile("cl100k_base")
_P50K = ModelProfile("p50k_base")
_R50K = ModelProfile("r50k_base")

# Encodings that differ only in their special tokens, which here are text, are one.
_ENCODINGS: Dict[str, ModelProfile] = {
    "o200k_base": _O200K,
    "o200k_harmony": _O200K,
    "cl100k_base": _CL100K,
    "p50k_base": _P50K,
    "p50k_edit": _P50K,
    "r50k_base": _R50K,
    "gpt2": _R50K,
}

# A name belongs to the longest prefix below that it equals or goes on from with one
# of "-", ".", ":", "@" or "/". What no prefix covers is an unknown model.
_PREFIXES: Dict[str, ModelProfile] = {
    "gpt-3.5-turbo-0301": ModelProfile("cl100k_base", per_message=4, per_name=-1),
    "gpt-3.5": _CL100K,
    "gpt-35": _CL100K,
    "gpt-4": _CL100K,
    "gpt-4v": _CL100K,
    "gpt-4.1": _O200K,
    "gpt-4.1-mini": ModelProfile("o200k_base", image_patch=1.62),
    "gpt-4.1-nano": ModelProfile("o200k_base", image_patch=2.46),
    "gpt-4.5": _O200K,
    "gpt-4o": _O200K,
    "gpt-4o-mini": ModelProfile("o200k_base", image_base=2833, image_tile=5667),
    "gpt-5": ModelProfile("o200k_base", image_base=70, image_tile=140),
    "gpt-5-mini": ModelProfile("o200k_base", image_patch=1.62),
    "gpt-5-nano": ModelProfile("o200k_base", image_patch=2.46),
    "gpt-audio": _O200K,
    "gpt-image": _O200K,
    "gpt-oss": _O200K,
    "gpt-realtime": _O200K,
    "chat-latest": _O200K,
    "chatgpt": _O200K,
    "codex": _O200K,
    "computer-use": ModelProfile("o200k_base", image_base=65, image_tile=129),
    "o1": ModelProfile("o200k_base", image_base=75, image_tile=150),
    "o3": ModelProfile("o200k_base", image_base=75, image_tile=150),
    "o4": _O200K,
    "o4-mini": ModelProfile("o200k_base", image_patch=1.72),
    "text-embedding-3": _CL100K,
    "text-embedding-ada": _CL100K,
    "babbage-002": _CL100K,
    "davinci-002": _CL100K,
    "code-cushman": _P50K,
    "code-davinci": _P50K,
    "text-davinci-003": _P50K,
    "text-davinci-002": _P50K,
    "text-davinci": _R50K,
    "davinci": _R50K,
    "curie": _R50K,
    "babbage": _R50K,
    "ada": _R50K,
}

# Claude's and Gemini's vocabularies are not public. For Claude, the factors are the
# medians over the texts that the project ctok counted with Anthropic's endpoint: code
# 1.17 and 1.46, the Universal Declaration of Human Rights 1.24 and 1.54. Gemini's was
# not measured.
_OLDER_CLAUDE = ModelProfile("o200k_base", known=False, factor=1.2)
_NEWER_CLAUDE = ModelProfile("o200k_base", known=False, factor=1.5)
_PREFIXES["gemini"] = ModelProfile("o200k_base", known=False, factor=1.1)

# Bedrock puts its own name and a region before that of the model: us.anthropic.claude.
_CLAUDE = re.compile(r"(?:[a-z0-9-]+\.)*claude(?![a-z0-9])")
# The first number of one or two digits, and the one after it; longer ones are dates.
_CLAUDE_VERSION = re.compile(r"[-v]([0-9]{1,2})(?:[-.]([0-9]{1,2}))?(?![0-9])")
_NEWER_SINCE = (4, 7)

_UNKNOWN = ModelProfile("o200k_base", known=False)

_NAME_ENDS = ("-", ".", ":", "@", "/")


def profile_of(name: str) -> ModelProfile:
    """Return the profile of a model or encoding name.

    Provider prefixes (``azure/gpt-4o``, ``openrouter/openai/gpt-4o``), fine-tuned names
    (``ft:gpt-4o:org::id``), dated names and those of Bedrock
    (``us.anthropic.claude-opus-4-7-v1:0``) are understood. Any other name gets the
    newest vocabulary with ``known=False``.
    """
    model = _bare_name(name)
    known = _ENCODINGS.get(model) or _claude(model) or _by_prefix(model)
    return known or _UNKNOWN


def _bare_name(name: str) -> str:
    model = name.strip().lower()
    model = model.rsplit("/", 1)[-1]
    if model.startswith("ft:"):
        model = model[3:]
    return model


def _claude(model: str) -> Optional[ModelProfile]:
    """Return the profile of a Claude of any family by its version, None for others."""
    found = _CLAUDE.match(model)
    if found is None:
        return None
    version = _CLAUDE_VERSION.search(model, found.end())
    if version is None:
        return _OLDER_CLAUDE
    number = (int(version[1]), int(version[2] or 0))
    return _NEWER_CLAUDE if number >= _NEWER_SINCE else _OLDER_CLAUDE


def _by_prefix(model: str) -> Optional[ModelProfile]:
    best: Tuple[str, Optional[ModelProfile]] = ("", None)
    for prefix, profile in _PREFIXES.items():
        if len(prefix) > len(best[0]) and _covers(prefix, model):
            best = (prefix, profile)
    return best[1]


def _covers(prefix: str, model: str) -> bool:
    rest = model[len(prefix) :]
    return model.startswith(prefix) and (not rest or rest.startswith(_NAME_ENDS))
