"""Part a history into atomic groups, read from the newest backwards, and repair it.

A group is what only makes sense together: a message on its own, or tool calls with all
their results, wherever those stand. A turn runs from a user message to the next. Calls
without a result and results without a call are left out of the groups; a call at the
very end of the history is still open and stays.
"""

from __future__ import annotations

from collections import Counter
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Set, Tuple

from contextstore.context.links import (
    NO_ID,
    calls_of,
    has_more_than_results,
    is_reasoning,
    is_response_output,
    made_legal,
    results_of,
    says_nothing,
    without_calls,
    without_results,
)
from contextstore.messages import Message

__all__ = ["Group", "Groups"]

# A message of text without these fields makes no call and carries no result.
_LINKS = frozenset(("tool_calls", "function_call", "type"))


class Group:
    """Be messages that are kept or dropped together.

    Attributes:
        position: where the first of them stands in the history; groups sort by it.
        positions: where each of them stands, in the order they are given out.
        messages: the messages, mended where that was needed. Not to be changed.
        mended: the positions of those that lost calls or results without a match.
        starts_turn: whether it is a message of the user.
    """

    __slots__ = (
        "_cost",
        "_tokens",
        "mended",
        "messages",
        "position",
        "positions",
        "starts_turn",
    )

    def __init__(
        self,
        positions: Tuple[int, ...],
        messages: Sequence[Message],
        cost: Callable[[Message], int],
        *,
        starts_turn: bool = False,
        mended: Tuple[int, ...] = (),
    ) -> None:
        self.position = positions[0]
        self.positions = positions
        self.messages = messages
        self.starts_turn = starts_turn
        self.mended = mended
        self._cost = cost
        self._tokens = -1

    @property
    def tokens(self) -> int:
        """Return what its messages cost; counted when first asked for."""
        tokens = self._tokens
        if tokens < 0:
            tokens = 0
            for message in self.messages:
                tokens += self._cost(message)
            self._tokens = tokens
        return tokens

    def __repr__(self) -> str:
        return f"<group of messages {list(self.positions)}>"


class Groups:
    """Part the messages of one history, no more of it than is asked for.

    Iterating gives the groups from the newest to the oldest, without the messages that
    are set aside.

    Args:
        messages: the history. Not to be changed while this is in use.
        cost: the tokens of a message.
        aside: positions to leave out, such as those of pinned messages.
        open_end: whether calls at the very end may still get their results.

    Attributes:
        left_out: positions so far of what fits nowhere, such as orphaned results.
        moved: positions of results so far that now follow their call directly.
    """

    def __init__(
        self,
        messages: Sequence[Message],
        cost: Callable[[Message], int],
        aside: Sequence[int] = (),
        *,
        open_end: bool = True,
    ) -> None:
        self.left_out: List[int] = []
        self.moved: List[int] = []
        self._messages = messages
        self._cost = cost
        self._aside: Set[int] = set(aside)
        self._last_aside = max(aside, default=-1)
        self._claims: Dict[int, List[int]] = {}
        self._calls: Dict[str, List[int]] = {}
        self._made: Dict[int, List[str]] = {}
        self._indexed_from = len(messages)
        # Whether nothing that stays follows what is looked at.
        self._at_end = open_end

    def __iter__(self) -> Iterator[Group]:
        at = len(self._messages) - 1
        while at >= 0:
            group, at = self._before(at)
            if group is not None:
                self._at_end = False
                yield group

    def _before(self, at: int) -> Tuple[Optional[Group], int]:
        """Return the group that ends at a position, and where to go on."""
        message = self._messages[at]
        if at in self._aside:
            return None, at - 1
        if type(message.get("content")) is str and _LINKS.isdisjoint(message):
            role = message.get("role")
            if role == "user":
                return Group((at,), (message,), self._cost, starts_turn=True), at - 1
            if role == "assistant":
                return Group((at,), (message,), self._cost), at - 1
        if message.get("role") == "tool":
            return self._results(at), at - 1
        if ("type" in message and is_response_output(message)) or self._calls_at(at):
            start = self._start_of_calls(at)
            return self._call_group(start, at), start - 1
        if results_of(message):
            return self._results(at), at - 1
        return self._single(at)

    def _single(self, at: int) -> Tuple[Optional[Group], int]:
        message = self._messages[at]
        if says_nothing(message):
            self.left_out.append(at)
            return None, at - 1
        if message.get("role") == "function" and self._is_legacy_result(at):
            pair = (self._messages[at - 1], message)
            return Group((at - 1, at), pair, self._cost), at - 2
        legal = made_legal(message)
        mended = () if legal is message else (at,)
        starts_turn = message.get("role") == "user"
        group = Group(
            (at,), (legal,), self._cost, starts_turn=starts_turn, mended=mended
        )
        return group, at - 1

    def _is_legacy_result(self, at: int) -> bool:
        """Tell whether the message before makes the call that a function answers."""
        if at == 0 or at - 1 in self._aside:
            return False
        before = self._messages[at - 1]
        call = before.get("function_call")
        return (
            before.get("role") == "assistant"
            and isinstance(call, dict)
            and call.get("name") == self._messages[at].get("name")
            and not calls_of(before)
        )

    def _results(self, at: int) -> Optional[Group]:
        """Set results aside for their call; without one, give what else is said."""
        ids = results_of(self._messages[at])
        callers = [self._caller(call_id, at) for call_id in ids]
        found = [caller for caller in callers if caller is not None]
        if found:
            self._claims.setdefault(max(found), []).append(at)
            return None
        left = without_results(self._messages[at], ids)
        if left is None:
            self.left_out.append(at)
            return None
        return Group((at,), (left,), self._cost, starts_turn=True, mended=(at,))

    def _caller(self, call_id: str, before: int) -> Optional[int]:
        """Return where the newest call of this id before a position stands."""
        if not call_id:
            return None
        while True:
            for at in self._calls.get(call_id, ()):
                if at < before:
                    return at
            if self._indexed_from == 0:
                return None
            self._index_one()

    def _index_one(self) -> None:
        self._indexed_from -= 1
        at = self._indexed_from
        message = self._messages[at]
        if at in self._aside or _has_no_links(message):
            return
        for call_id in self._calls_at(at):
            self._calls.setdefault(call_id, []).append(at)

    def _calls_at(self, at: int) -> List[str]:
        made = self._made.get(at)
        if made is None:
            made = self._made[at] = calls_of(self._messages[at])
        return made

    def _start_of_calls(self, end: int) -> int:
        """Return where the output that ends here starts: one message, or a run.

        The items of one response, and calling messages of Anthropic's shape that follow
        one another, share their results.
        """
        is_output = is_response_output(self._messages[end])
        start = end
        while start > 0 and start - 1 not in self._aside:
            before, after = self._messages[start - 1], self._messages[start]
            if is_output and not _leads_on(before, after):
                break
            if not is_output and not _calls_in_blocks(before, after):
                break
            start -= 1
        return start

    def _call_group(self, start: int, end: int) -> Optional[Group]:
        run = range(start, end + 1)
        carriers = sorted(result for at in run for result in self._claims.pop(at, ()))
        made = [call_id for at in run for call_id in self._calls_at(at)]
        given = [i for at in carriers for i in results_of(self._messages[at])]
        # One result for each call: so it nearly always is.
        if made and NO_ID not in made and sorted(made) == sorted(given):
            self._note_moved(start, (*run, *carriers))
            return self._whole((*run, *carriers))
        matching = _Matching(self._messages, run, carriers)
        if not (matching.unanswered and self._is_open(end, carriers)):
            matching.leave_out_unanswered()
        positions = tuple(at for at, _ in matching.kept)
        self.left_out.extend(at for at in (*run, *carriers) if at not in positions)
        if not positions:
            return None
        self._note_moved(start, positions)
        return Group(
            positions,
            [made_legal(message) for _, message in matching.kept],
            self._cost,
            mended=tuple(at for at in matching.mended if at in positions),
        )

    def _whole(self, positions: Tuple[int, ...]) -> Group:
        members = [self._messages[at] for at in positions]
        legal = list(map(made_legal, members))
        mended = [
            at for at, old, new in zip(positions, members, legal) if new is not old
        ]
        return Group(positions, legal, self._cost, mended=tuple(mended))

    def _is_open(self, end: int, carriers: List[int]) -> bool:
        """Tell whether nothing but results follows a call, so that more may come."""
        return (
            self._at_end
            and self._last_aside < end
            and not any(has_more_than_results(self._messages[at]) for at in carriers)
        )

    def _note_moved(self, start: int, positions: Tuple[int, ...]) -> None:
        """Note the results that something which stays parted from their call."""
        end = max(positions)
        if end - start + 1 == len(positions):
            return
        settled = {*positions, *self.left_out}
        first_other = next((at for at in range(start, end) if at not in settled), end)
        self.moved.extend(at for at in positions if at > first_other)


def _leads_on(before: Message, after: Message) -> bool:
    """Tell whether two items belong together: new reasoning starts something new."""
    if is_reasoning(after) and not is_reasoning(before):
        return False
    return is_response_output(before)


def _calls_in_blocks(before: Message, after: Message) -> bool:
    both = (before, after)
    return all(
        message.get("role") == "assistant"
        and isinstance(message.get("content"), list)
        and not message.get("tool_calls")
        and calls_of(message)
        for message in both
    )


def _has_no_links(message: Message) -> bool:
    return type(message.get("content")) is str and _LINKS.isdisjoint(message)


class _Matching:
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

    def leave_out_unanswered(self) -> None:
        """Take out calls without a result, and reasoning that then leads to nothing."""
        matched, self.kept = self.kept, []
        for at, message in matched:
            if at in self.unanswered:
                self._keep(at, without_calls(message, self.unanswered[at]))
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
