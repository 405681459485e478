"""Judge prompts by this library's own counts and its independent validator."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Sequence

from benchmarks.context.trimmers.base import MODEL
from contextstore import ContextBuilder
from contextstore.context import to_openai, validate

Message = Dict[str, Any]

_builder = ContextBuilder.from_model(MODEL)
# A system may cut the rest of a text; its start tells it from others.
_START = 20


class Reuse(NamedTuple):
    """Be what a chat's prompts share.

    Attributes:
        share: the part of all tokens in messages with which the prompt before starts.
        tokens: of a prompt, on average.
        faulty: how many prompts have a fault.
    """

    share: float
    tokens: float
    faulty: int


def share_of(prompt: List[Message], budget: int) -> float:
    """Return which part of the budget a prompt takes, as OpenAI counts it."""
    return _builder.count(prompt) / budget


def faults(
    prompt: List[Message], budget: int, history: Sequence[Message] = ()
) -> List[str]:
    """Return what is wrong with a prompt.

    Args:
        history: what it was made of, to be compared; none is not.
    """
    found: List[str] = []
    share = share_of(prompt, budget)
    if share > 1:
        found.append(f"{share:.0%} of the budget")
    if not any(message["role"] == "system" for message in prompt):
        found.append("no system message")
    if validate(to_openai(prompt), "openai"):
        found.append("refused by OpenAI")
    if history and not _is_tail(prompt, history):
        found.append("gaps")
    return found


def _is_tail(prompt: Sequence[Message], history: Sequence[Message]) -> bool:
    """Tell whether a prompt is the newest of a history, system messages aside."""
    kept = [_start(m) for m in prompt if m["role"] != "system"]
    whole = [_start(m) for m in history if m["role"] != "system"]
    return kept == whole[len(whole) - len(kept) :]


def _start(message: Message) -> Any:
    return message["role"], (message.get("content") or "")[:_START]


def reuse(prompts: Sequence[List[Message]], budget: int) -> Reuse:
    """Return what each prompt of a chat shares with the one before it."""
    total = reused = 0
    for before, after in zip(prompts, prompts[1:]):
        same = 0
        while same < min(len(before), len(after)) and before[same] == after[same]:
            same += 1
        reused += _builder.count(after[:same])
        total += _builder.count(after)
    faulty = sum(bool(faults(prompt, budget)) for prompt in prompts[1:])
    return Reuse(reused / max(1, total), total / max(1, len(prompts) - 1), faulty)
