"""Turn a plan into a prompt: copies of messages, and a report on the others."""

from __future__ import annotations

from typing import (
    Any,
    Callable,
    Collection,
    Dict,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

from contextstore.context.explain import Fates
from contextstore.context.groups import Groups
from contextstore.context.history import History
from contextstore.context.outline import Outline
from contextstore.context.plan import SUMMARY, Plan
from contextstore.context.strategies import Request
from contextstore.messages import Message

__all__ = ["MessageFilter", "Prompt", "prompt_of"]

MessageFilter = Callable[[Message], bool]

Entry = Tuple[int, Message]


class Prompt(NamedTuple):
    """Be the messages of a prompt, and what became of those of the history.

    Attributes:
        messages: copies of what is kept, oldest first.
        fates: the positions of all messages by what became of them.
        metadata: what ``BuildResult`` describes.
    """

    messages: List[Message]
    fates: Fates
    metadata: Dict[str, Any]


def prompt_of(
    plan: Plan, request: Request, post_filter: Optional[MessageFilter]
) -> Prompt:
    """Return the prompt that a plan describes, filtered and repaired once more."""
    copies = [_copy(message) for message in plan.messages()]
    kept = plan.positions()
    lost: List[int] = []
    mended: List[int] = []
    if post_filter is not None:
        entries = list(zip(kept, copies))
        wanted = [entry for entry in entries if post_filter(entry[1])]
        # A filter that takes the results of a call away does not make it an open one.
        open_end = wanted[-1:] == entries[-1:]
        left, lost, mended = _repaired(wanted, request, open_end=open_end)
        copies = [message for _, message in left]
        kept = [at for at, _ in left]
    fates = _fates(plan, request.history, kept, lost, mended)
    report = _report(plan, request.history.outline, fates)
    if post_filter is not None:
        report.update(_of_prompt(plan.notes, copies))
    return Prompt(copies, fates, report)


def _fates(
    plan: Plan,
    history: History,
    positions: Sequence[int],
    lost: Sequence[int],
    mended: Sequence[int],
) -> Fates:
    """Return the positions of all messages by what became of them.

    Args:
        positions: those of the prompt.
        lost: positions of what the repair of the prompt left out.
        mended: positions of what it mended.
    """
    kept = set(positions) - {SUMMARY}
    changed = {at for group in plan.groups if group.mended for at in group.mended}
    # What stands for them may have been filtered out.
    stood_for = plan.summarized if SUMMARY in positions else ()
    summarized = {at for group in stood_for for at in group.positions} - kept
    left_out = {*history.groups.left_out, *lost}
    return Fates(
        kept=kept,
        pinned={at for group in history.pinned for at in group.positions},
        truncated=kept.intersection(plan.truncated),
        mended=changed.union(mended) & kept,
        moved=kept.intersection(history.groups.moved),
        summarized=summarized,
        left_out=left_out - kept - summarized - {SUMMARY},
    )


def _report(plan: Plan, outline: Outline, fates: Fates) -> Dict[str, Any]:
    present = fates.kept | fates.left_out | fates.summarized
    dropped = _gaps(present, len(outline))
    return {
        "dropped_ids": outline.ids_within(dropped),
        "dropped_count": sum([end - start for start, end in dropped]),
        "summarized_ids": outline.ids_at(sorted(fates.summarized)),
        "repaired_ids": outline.ids_at(sorted(fates.left_out | fates.mended)),
        "truncated_ids": outline.ids_at(sorted(fates.truncated)),
        "moved_ids": outline.ids_at(sorted(fates.moved)),
        "repaired_count": len(fates.left_out | fates.mended),
        "truncated_count": len(fates.truncated),
        "infeasible": plan.infeasible,
        **plan.notes,
    }


def _of_prompt(
    notes: Mapping[str, Any], messages: Sequence[Message]
) -> Dict[str, List[Any]]:
    """Return the lists of ids in notes, without those that are not in the prompt."""
    present = [message["id"] for message in messages if "id" in message]
    return {
        name: [one for one in noted if one in present]
        for name, noted in notes.items()
        if name.endswith("_ids") and isinstance(noted, list)
    }


def _repaired(
    entries: List[Entry], request: Request, *, open_end: bool
) -> Tuple[List[Entry], List[int], List[int]]:
    """Return what is left of entries, and the positions of those lost and mended."""
    messages = [message for _, message in entries]
    groups = Groups(messages, request.cost, open_end=open_end)
    found = list(groups)[::-1]
    left = [
        (entries[place][0], message)
        for group in found
        for place, message in zip(group.positions, group.messages)
    ]
    lost = [entries[place][0] for place in groups.left_out]
    mended = [entries[place][0] for group in found for place in group.mended]
    return left, lost, mended


def _gaps(present: Collection[int], size: int) -> List[Tuple[int, int]]:
    """Return start and end of each run of positions that are not present."""
    gaps: List[Tuple[int, int]] = []
    start = 0
    for at in (*sorted(present), size):
        if at > start:
            gaps.append((start, at))
        start = at + 1
    return gaps


def _copy(value: Any) -> Any:
    """Return a deep copy of a JSON value."""
    if isinstance(value, dict):
        # Most values are texts: only the others need a look of their own.
        copied = dict(value)
        for key in value:
            item = value[key]
            if type(item) is not str:
                copied[key] = _copy(item)
        return copied
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value
