"""Turn texts into vectors without a model: hashed words and parts of words.

It needs nothing but the standard library and gives the same vectors everywhere. It
finds texts that share words or parts of words ("allergic" and "allergies"). It knows
nothing of meaning: "meat" and "vegetarian" are strangers to it. It serves the examples
and tests; a program that is meant to find meanings passes a real model.
"""

from __future__ import annotations

import math
import re
import zlib
from typing import Dict, Iterator, List, Tuple

DIMENSION = 1024
_PART = 4

_WORDS = re.compile(r"\w+")
# Words that stand in most texts and tell none of them apart.
_COMMON = frozenset(
    _WORDS.findall(
        """a about and are as at be by can did do does for from had has have he her his
        how i in is it its me my not of on or our s she so that the their them then
        there they this to us was we were what when where which who will with you
        your"""
    )
)


def embed(texts: List[str]) -> List[List[float]]:
    """Return one vector of DIMENSION components a text."""
    return [_vector(text) for text in texts]


def _vector(text: str) -> List[float]:
    weights: Dict[str, float] = {}
    for word in _WORDS.findall(text.lower()):
        if word not in _COMMON:
            for feature, weight in _features(word):
                weights[feature] = weights.get(feature, 0.0) + weight
    vector = [0.0] * DIMENSION
    for feature, weight in weights.items():
        place = zlib.crc32(feature.encode())
        # A sign from the hash lets collisions cancel out instead of adding up.
        sign = 1.0 if place & 1 else -1.0
        vector[(place >> 1) % DIMENSION] += sign * math.log1p(weight)
    return vector


def _features(word: str) -> Iterator[Tuple[str, float]]:
    yield word, 1.0
    marked = f"<{word}>"
    for start in range(len(marked) - _PART + 1):
        yield marked[start : start + _PART], 0.5
