"""Build prompts from random histories with every kind of group, and count what breaks.

    .venv/bin/python -m benchmarks.context.invariants [--histories 100000]

Feasible is a budget that holds the pinned messages and the newest turn with its texts
cut to almost nothing. Nothing here is timed.
"""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from random import Random
from typing import Any, Dict, Iterator, List

from contextstore import ContextBuilder
from contextstore.context import to_anthropic, validate

Message = Dict[str, Any]

STRATEGIES = ("truncate_oldest", "recent_only", "summarize_oldest")


class Quarters:
    """Count a token for four characters begun."""

    name = "quarters"
    approximate = False

    def count(self, text: str, /) -> int:
        return (len(text) + 3) // 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--histories", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.getLogger("contextstore").setLevel(logging.ERROR)
    found: Counter[str] = Counter()
    random = Random(options.seed)
    builder = ContextBuilder(Quarters())
    for _ in range(options.histories):
        for fault in _faults(builder, random):
            found[fault] += 1
    print(f"{options.histories} histories: {dict(sorted(found.items()))}")


def _faults(builder: ContextBuilder, random: Random) -> Iterator[str]:
    shape = random.choice(("chat", "blocks", "items"))
    history = _history(random, shape)
    budget = random.randint(0, 600)
    strategy = random.choice(STRATEGIES)
    chosen: Dict[str, Any] = {}
    if strategy == "truncate_oldest":
        chosen["headroom"] = random.choice((0.0, 0.5))
    if strategy == "summarize_oldest":
        chosen["summarizer"] = lambda old: f"{len(old)} messages"
    result = builder.build(history, budget, strategy, chosen)
    if result.total_tokens > budget:
        yield "over budget"
    if result.total_tokens != builder.count(result.messages):
        yield "wrong total"
    if result.metadata["infeasible"]:
        yield "(infeasible, not judged)"
        return
    if not result.messages:
        return
    if shape != "blocks" and validate(result.messages, "openai"):
        yield "refused by OpenAI"
    request = to_anthropic(result.messages)
    if request["messages"] and validate(request, "anthropic"):
        yield "refused by Anthropic"
    pinned = [m for m in history if m.get("role") == "system" or "metadata" in m]
    if any(message not in result.messages for message in pinned):
        yield "pinned message lost"


def _history(random: Random, shape: str) -> List[Message]:
    groups = {"chat": _chat_calls, "blocks": _block_calls, "items": _items}
    history: List[Message] = []
    for _ in range(random.randint(0, 14)):
        kind = random.random()
        if kind < 0.3:
            history.append({"role": "user", "content": _text(random)})
        elif kind < 0.5:
            history.append({"role": "assistant", "content": _text(random)})
        elif kind < 0.57:
            history.append({"role": "system", "content": _text(random)})
        elif kind < 0.62:
            pinned = {"role": "user", "content": _text(random)}
            history.append({**pinned, "metadata": {"pinned": True}})
        else:
            history += groups[shape](random)
    if history and random.random() < 0.2:
        # A result that comes late, or without its call.
        history.insert(random.randrange(len(history)), history.pop())
    return [{**message, "id": str(at)} for at, message in enumerate(history)]


def _text(random: Random) -> str:
    return "word " * random.randint(1, 30)


def _ids(random: Random) -> List[str]:
    return [f"c{random.randint(1, 6)}" for _ in range(random.randint(1, 3))]


def _answered(random: Random, ids: List[str]) -> List[str]:
    if random.random() < 0.7:
        return ids
    return [random.choice(ids) for _ in range(random.randint(0, len(ids) + 1))]


def _chat_calls(random: Random) -> List[Message]:
    ids = _ids(random)
    function = {"name": "find", "arguments": "{}"}
    calls = [{"id": i, "type": "function", "function": function} for i in ids]
    content = random.choice((None, "Let me see."))
    messages: List[Message] = [
        {"role": "assistant", "content": content, "tool_calls": calls}
    ]
    for call_id in _answered(random, ids):
        if random.random() < 0.1:
            messages.append({"role": "user", "content": _text(random)})
        result = {"role": "tool", "tool_call_id": call_id, "content": _text(random)}
        messages.append(result)
    return messages


def _block_calls(random: Random) -> List[Message]:
    ids = _ids(random)
    uses: List[Message] = [
        {"type": "tool_use", "id": i, "name": "find", "input": {}} for i in ids
    ]
    if random.random() < 0.5:
        uses.insert(0, {"type": "text", "text": "Let me see."})
    blocks: List[Message] = [
        {"type": "tool_result", "tool_use_id": i, "content": _text(random)}
        for i in _answered(random, ids)
    ]
    if random.random() < 0.3:
        blocks.append({"type": "text", "text": _text(random)})
    messages: List[Message] = [{"role": "assistant", "content": uses}]
    return [*messages, {"role": "user", "content": blocks}] if blocks else messages


def _items(random: Random) -> List[Message]:
    ids = list(dict.fromkeys(_ids(random)))
    items: List[Message] = []
    if random.random() < 0.5:
        items.append({"type": "reasoning", "summary": []})
    items += [
        {"type": "function_call", "call_id": i, "name": "find", "arguments": "{}"}
        for i in ids
    ]
    items += [
        {"type": "function_call_output", "call_id": i, "output": _text(random)}
        for i in dict.fromkeys(_answered(random, ids))
    ]
    return items


if __name__ == "__main__":
    main()
