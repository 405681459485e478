"""The floor once more, with orjson in place of json."""

from __future__ import annotations

from typing import Any

import orjson

from benchmarks.storage.systems.base import Message
from benchmarks.storage.systems.floor import Floor


class FloorOrjson(Floor):
    @staticmethod
    def encode(message: Message) -> bytes:
        return orjson.dumps(message)

    @staticmethod
    def decode(body: bytes) -> Any:
        return orjson.loads(body)
