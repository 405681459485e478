"""The providers' rules for tool calls, written for the tests from their documentation.

Shares nothing with the library, so that a mistake there is not repeated here.
"""

from __future__ import annotations

from typing import Any, Dict, List, Sequence, Set

Message = Dict[str, Any]


def openai_faults(messages: Sequence[Message]) -> List[str]:
    """Say what OpenAI's chat API would refuse; an open call at the end is let pass."""
    faults: List[str] = []
    waiting: Set[str] = set()
    for at, message in enumerate(messages):
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                faults.append(f"{at}: a result without its call")
            waiting.discard(message["tool_call_id"])
            continue
        if waiting:
            faults.append(f"{at}: calls without results before this message")
        waiting = {call["id"] for call in message.get("tool_calls") or ()}
        nothing = message.get("content") is None and not waiting
        if nothing and not message.get("function_call"):
            faults.append(f"{at}: no content")
    return faults


def anthropic_faults(messages: Sequence[Message]) -> List[str]:
    """Say which tool blocks Anthropic's API would refuse; turns need not alternate.

    Call ids may repeat: making them unique is for the conversion to its shape.
    """
    faults: List[str] = []
    waiting: List[str] = []
    answering = False
    for at, message in enumerate(m for m in messages if m["role"] != "system"):
        blocks = message["content"] if isinstance(message["content"], list) else []
        calls = [b["id"] for b in blocks if b["type"] == "tool_use"]
        results = [b["tool_use_id"] for b in blocks if b["type"] == "tool_result"]
        if message["role"] == "assistant":
            if waiting and answering:
                faults.append(f"{at}: calls without results before this message")
            waiting = calls if answering else waiting + calls
            answering = False
            continue
        answering = True
        for result in results:
            if result in waiting:
                waiting.remove(result)
            else:
                faults.append(f"{at}: a result without its call")
        if waiting and len(results) < len(blocks or [None]):
            faults.append(f"{at}: something else before the results")
    return faults


def responses_faults(items: Sequence[Message]) -> List[str]:
    """Say what OpenAI's Responses API would refuse; open calls at the end may stay."""
    faults: List[str] = []
    calls: Dict[str, int] = {}
    outputs: Set[str] = set()
    for at, item in enumerate(items):
        kind = item.get("type")
        if kind == "function_call":
            calls[item["call_id"]] = at
        elif kind == "function_call_output":
            if item["call_id"] not in calls:
                faults.append(f"{at}: an output without its call")
            outputs.add(item["call_id"])
        elif kind == "reasoning":
            after = items[at + 1] if at + 1 < len(items) else {}
            if after.get("type") not in ("reasoning", "function_call", "message"):
                faults.append(f"{at}: reasoning without what it led to")
    last_other = max(
        (
            at
            for at, item in enumerate(items)
            if item.get("type") not in ("function_call", "function_call_output")
        ),
        default=-1,
    )
    unanswered = [at for call, at in calls.items() if call not in outputs]
    faults.extend(
        f"{at}: a call without output" for at in unanswered if at < last_other
    )
    return faults
