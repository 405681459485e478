"""Make the messages that every system is given: the same ones in every run.

A turn is a message of the user and one of the assistant, of 200 to 2,000 characters
each, evenly spread, without id or timestamp.
"""

from __future__ import annotations

import itertools
import json
import random
from typing import Dict, Iterable, Iterator, List

Message = Dict[str, str]
Turn = List[Message]

_SEED = 20260101
_POOL = 256
_TEXT = """
the of and a to in is you that it he was for on are as with his they I at be this have
from or one had by word but not what all were we when your can said there use an each
which she do how their if will up other about out many then them these so some her would
make like him into time has look two more write go see number way could people my than
first water been call who oil its now find long down day did deploy 42 function return
None (a, b) tokens cost 12.50 https://example.org/x?y=1
"""


def turns() -> Iterator[Turn]:
    """Return turns without end: a pool of them, over and over."""
    source = random.Random(_SEED)
    pool = [
        [_message(source, "user"), _message(source, "assistant")] for _ in range(_POOL)
    ]
    return itertools.cycle(pool)


def history(count: int) -> List[Message]:
    """Return a history of so many messages."""
    return list(itertools.islice(itertools.chain.from_iterable(turns()), count))


def stamped_history(count: int) -> List[Message]:
    """Return a history whose messages have what our store adds where it is missing."""
    return [
        {
            **message,
            "id": f"0190f2a4-7b1c-7000-8000-{number:012x}",
            "timestamp": f"2026-01-01T00:00:00.{number:06d}+00:00",
        }
        for number, message in enumerate(history(count))
    ]


def size(messages: Iterable[Message]) -> int:
    """Return the bytes of messages as compact JSON in UTF-8."""
    return sum(
        len(json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode())
        for message in messages
    )


def _message(source: random.Random, role: str) -> Message:
    length = source.randint(200, 2000)
    text = " ".join(source.choices(_TEXT.split(), k=length // 2))
    return {"role": role, "content": text[:length]}
