"""Read the conversation that the examples use: Nina plans a cycling holiday.

``cycle_tour.jsonl`` holds one message a line in the form of OpenAI's chat completions:
six weeks, 171 messages, parallel tool calls, long tables from tools. The people, the
hotels and the prices are made up.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List

Message = Dict[str, Any]

FILE = Path(__file__).resolve().parent / "cycle_tour.jsonl"


def load() -> List[Message]:
    """Return the messages, oldest first."""
    with FILE.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def turns(messages: List[Message]) -> List[List[Message]]:
    """Part messages where a user speaks: what a program would append at one go."""
    parts: List[List[Message]] = []
    for message in messages:
        if message["role"] == "user" or not parts:
            parts.append([])
        parts[-1].append(message)
    return parts
