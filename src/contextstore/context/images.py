"""Say what an image costs, from its size in pixels."""

from __future__ import annotations

import base64
import binascii
import math
import struct
from typing import Any, Optional, Tuple

from contextstore.context.models import ModelProfile

__all__ = ["has_known_price", "image_size", "image_tokens"]

_TILE = 512
_LONGEST = 2048
_SHORTEST = 768
# An image of unknown size counts as the largest that the rule knows: 4 x 2 tiles.
_UNKNOWN_TILES = 8
_PATCH = 32
_MOST_PATCHES = 1536
# As much base64 as is needed to find the size: in a JPEG it stands behind
# previews and profiles, elsewhere at the start.
_SHORT_HEAD = 64
_LONG_HEAD = 350_000
_JPEG = b"\xff\xd8"

Size = Tuple[int, int]


def image_tokens(part: Any, profile: ModelProfile) -> int:
    """Return the tokens of an image part of OpenAI's or Anthropic's shape.

    The rules are those of OpenAI's guide "Images and vision", "Calculating costs". For
    most models the image is fitted into 2048 x 2048 pixels, then its shorter side into
    768, and is paid for by tiles of 512 x 512 beside a base price; in low detail only
    the base price is paid. The small models since GPT-4.1 and o4-mini are paid for by
    patches of 32 x 32 pixels, at most 1,536 after making the image smaller, times a
    figure of the model, whatever the detail.
    """
    if profile.image_patch:
        size = image_size(part)
        patches = _MOST_PATCHES if size is None else _patches(*size)
        return math.ceil(patches * profile.image_patch)
    if _detail(part) == "low":
        return profile.image_base
    size = image_size(part)
    tiles = _UNKNOWN_TILES if size is None else _tiles(*size)
    return profile.image_base + profile.image_tile * tiles


def has_known_price(part: Any, profile: ModelProfile) -> bool:
    """Tell whether the price of an image is known: its size is, or does not matter.

    For models that are billed by patches it never is. In OpenAI's forum users found 1.2
    and 1.5 tokens a patch for gpt-5-mini and gpt-5-nano, where the guide has 1.62 and
    2.46 (topic 1344040), and 1,536 patches for an image that by the guide's rule has
    1,449 (topic 1281361).
    """
    if profile.image_patch:
        return False
    return _detail(part) == "low" or image_size(part) is not None


def _detail(part: Any) -> Any:
    inner = part.get("image_url")
    return inner.get("detail") if isinstance(inner, dict) else part.get("detail")


def _tiles(width: float, height: float) -> int:
    shrink = min(1.0, _LONGEST / max(width, height))
    width, height = width * shrink, height * shrink
    shrink = min(1.0, _SHORTEST / min(width, height))
    return math.ceil(width * shrink / _TILE) * math.ceil(height * shrink / _TILE)


def _patches(width: int, height: int) -> int:
    """Return the patches that cover an image, after it was made small enough.

    It is first made as small as its area demands, then so much smaller that the nearer
    of its sides is whole patches.
    """
    patches = math.ceil(width / _PATCH) * math.ceil(height / _PATCH)
    if patches <= _MOST_PATCHES:
        return patches
    shrink = math.sqrt(_MOST_PATCHES / (width * height))
    across, down = width * shrink, height * shrink
    shrink = min(math.floor(side) / side for side in (across, down) if side >= 1)
    # An error of rounding must not add a patch.
    across, down = (math.ceil(round(side * shrink, 6)) for side in (across, down))
    return min(across * down, _MOST_PATCHES)


def image_size(part: Any) -> Optional[Size]:
    """Return width and height of an image that is in the message, or None."""
    data = _head(part, _SHORT_HEAD)
    if data is None:
        return None
    if data[:2] == _JPEG:
        size = _jpeg(_head(part, _LONG_HEAD) or data)
    else:
        size = _png(data) or _gif(data)
    return size if size is not None and min(size) > 0 else None


def _head(part: Any, characters: int) -> Optional[bytes]:
    """Return the first bytes of an image given as base64."""
    encoded = _base64_text(part)
    if encoded is None:
        return None
    encoded = encoded[:characters]
    try:
        return base64.b64decode(encoded[: len(encoded) // 4 * 4], validate=False)
    except (binascii.Error, ValueError):
        return None


def _base64_text(part: Any) -> Optional[str]:
    source = part.get("source")
    if isinstance(source, dict):
        data = source.get("data")
        return data if isinstance(data, str) else None
    inner = part.get("image_url")
    url = inner.get("url") if isinstance(inner, dict) else inner
    if not isinstance(url, str) or not url.startswith("data:"):
        return None
    header, comma, data = url.partition(",")
    return data if comma and header.endswith(";base64") else None


def _png(data: bytes) -> Optional[Size]:
    if data[:8] != b"\x89PNG\r\n\x1a\n" or len(data) < 24:
        return None
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def _gif(data: bytes) -> Optional[Size]:
    if data[:6] not in (b"GIF87a", b"GIF89a") or len(data) < 10:
        return None
    width, height = struct.unpack("<HH", data[6:10])
    return width, height


def _jpeg(data: bytes) -> Optional[Size]:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        # Start of frame, without the three markers in its range that mean other things.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
