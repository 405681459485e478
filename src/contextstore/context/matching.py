"""Match the calls of one run of messages with their results."""

from __future__ import annotations

from collections import Counter
from typing import Dict, List, Optional, Sequence, Tuple

from contextstore.context.links import (
    NO_ID,
    calls_of,
    is_reasoning,
    is_response_output,
    results_of,
    says_nothing,
    without_calls,
    without_results,
)
from contextstore.messages import Message

__all__ = ["Matching"]


class Matching:
    """Match the calls of a run with their results, and take out what has no match.

    Attributes:
        kept: position and message of what is left, calls before results.
        mended: positions of messages that lost some of their calls or results.
        unanswered: ids of calls by position of their message.
    """

    def __init__(
        self, messages: Sequence[Message], run: range, carriers: List[int]
    ) -> None:
        self.kept: List[Tuple[int, Message]] = [(at, messages[at]) for at in run]
        self.mended: List[int] = []
        open_calls = Counter(
            call_id for at in run for call_id in calls_of(messages[at]) if call_id
        )
        for at in carriers:
            self._take_results(at, messages[at], open_calls)
        self.unanswered: Dict[int, List[str]] = {}
        # Of two calls with one id, the newer is the one that was answered.
        for at in run:
            missing = _take_missing(calls_of(messages[at]), open_calls)
            if missing:
                self.unanswered[at] = missing

    def _take_results(
        self, at: int, message: Message, open_calls: Dict[str, int]
    ) -> None:
        surplus: List[str] = []
        for call_id in results_of(message):
            if open_calls.get(call_id, 0) > 0:
                open_calls[call_id] -= 1
            else:
                surplus.append(call_id)
        self._keep(at, without_results(message, surplus) if surplus else message)
        if surplus:
            self.mended.append(at)

    def _keep(self, at: int, message: Optional[Message]) -> None:
        if message is not None:
            self.kept.append((at, message))

    def leave_out_unanswered(self, *, is_open: bool) -> None:
        """Take out calls without a result, and reasoning that then leads to nothing.

        Args:
            is_open: whether results may still come, but for calls that have no id.
        """
        matched, self.kept = self.kept, []
        for at, message in matched:
            missing = self.unanswered.get(at, [])
            if is_open:
                missing = [call_id for call_id in missing if call_id == NO_ID]
            if missing:
                self._keep(at, without_calls(message, missing))
                self.mended.append(at)
            elif not says_nothing(message):
                self.kept.append((at, message))
        self._leave_out_bare_reasoning()

    def _leave_out_bare_reasoning(self) -> None:
        kept: List[Tuple[int, Message]] = []
        leads_on = False
        for at, message in reversed(self.kept):
            if leads_on or not is_reasoning(message):
                leads_on = is_response_output(message)
                kept.append((at, message))
        self.kept = kept[::-1]


def _take_missing(call_ids: List[str], open_calls: Dict[str, int]) -> List[str]:
    """Return the ids of calls that stay open, newest first, and count them off."""
    missing: List[str] = []
    for call_id in reversed(call_ids):
        if not call_id or open_calls[call_id] > 0:
            missing.append(call_id)
            open_calls[call_id] -= 1
    return missing
