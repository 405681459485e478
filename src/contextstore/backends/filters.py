"""Say which sessions are meant, by their ids and their metadata."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from contextstore import messages
from contextstore.errors import InvalidInputError


class Filter(NamedTuple):
    """Say which sessions are meant.

    Attributes:
        prefix: how their ids begin; None for any.
        metadata: keys that their metadata has, with equal values; None for any.
    """

    prefix: Optional[str] = None
    metadata: Optional[Mapping[str, Any]] = None

    @classmethod
    def checked(
        cls, prefix: Optional[str], metadata: Optional[Mapping[str, Any]]
    ) -> Filter:
        """Return a filter of validated copies."""
        if prefix is not None:
            prefix = messages.validate_text(prefix, "prefix")
        if metadata is not None:
            metadata = _copied(metadata)
        return cls(prefix, metadata)

    def range(self) -> Tuple[str, str]:
        """Return the first id that fits the prefix, and one after the last."""
        prefix = self.prefix or ""
        # The last character there is, once more often than the longest id could.
        return prefix, prefix + "\U0010ffff" * (messages.MAX_ID_LENGTH + 1)

    def admits(self, metadata: Dict[str, Any]) -> bool:
        """Tell whether metadata has what is asked for, strict about types."""
        return all(
            name in metadata
            and messages.canonical(metadata[name]) == messages.canonical(wanted)
            for name, wanted in (self.metadata or {}).items()
        )


def _copied(metadata: Any) -> Dict[str, Any]:
    if not isinstance(metadata, Mapping):
        raise InvalidInputError(
            f"metadata is of type {type(metadata).__name__}; pass a dict",
            path="metadata",
        )
    return messages.copy_object(dict(metadata), "metadata")


def metadata_or_none(encoded: Any) -> Optional[Dict[str, Any]]:
    """Return stored metadata, or None where it is damaged."""
    try:
        metadata = json.loads(encoded)
    except (TypeError, ValueError, RecursionError):
        return None
    return metadata if isinstance(metadata, dict) else None


def marks_of(metadata: Mapping[str, Any]) -> List[int]:
    """Return a number for each key with its value, to find metadata by in an index.

    Equal pairs have equal numbers; that others have other ones, ``admits`` makes sure.
    They are signed and have 64 bits.
    """
    return [
        int.from_bytes(
            sha256(messages.canonical([name, value]).encode("utf-8")).digest()[:8],
            "big",
            signed=True,
        )
        for name, value in metadata.items()
    ]
