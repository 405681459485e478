"""Make conversations to trim, the same for every system, in OpenAI's chat shape."""

from __future__ import annotations

from random import Random
from typing import Any, Dict, List

Message = Dict[str, Any]

# Common enough that every vocabulary has a token for each.
WORDS = [
    *("the", "of", "and", "to", "in", "is", "that", "for", "was", "on", "are", "with"),
    *(
        "time",
        "people",
        "water",
        "place",
        "work",
        "house",
        "world",
        "number",
        "country",
    ),
    *("problem", "question", "answer", "report", "order", "light", "table", "paper"),
]


def conversation(messages: int, seed: int = 7) -> List[Message]:
    """Return a system message and whole turns, at least so many messages."""
    random = Random(seed)
    history = [{"id": "s", "role": "system", "content": _text(random, 40, 40)}]
    number = 0
    while len(history) < messages:
        history += turn(random, number)
        number += 1
    return history


def turn(random: Random, number: int) -> List[Message]:
    """Return a question, in two of five turns one to three tool calls, an answer."""
    messages = [{"id": f"u{number}", "role": "user", "content": _text(random, 10, 80)}]
    if random.random() < 0.4:
        for at in range(random.randint(1, 3)):
            messages += _tool_call(random, f"{number}-{at}")
    answer = _text(random, 30, 250)
    messages.append({"id": f"a{number}", "role": "assistant", "content": answer})
    return messages


def _tool_call(random: Random, name: str) -> List[Message]:
    query = f'{{"query": "{_text(random, 2, 6)}"}}'
    calls = [
        {
            "id": f"call-{name}-{at}",
            "type": "function",
            "function": {"name": "search", "arguments": query},
        }
        for at in range(random.randint(1, 2))
    ]
    results = [
        {
            "id": f"r{name}-{at}",
            "role": "tool",
            "tool_call_id": call["id"],
            "content": _text(random, 20, 300),
        }
        for at, call in enumerate(calls)
    ]
    asking = {"id": f"c{name}", "role": "assistant", "content": "", "tool_calls": calls}
    return [asking, *results]


def _text(random: Random, least: int, most: int) -> str:
    return " ".join(random.choices(WORDS, k=random.randint(least, most)))
