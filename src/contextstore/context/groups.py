"""Part a history into atomic groups, read from the newest backwards, and repair it.

A group is what only makes sense together: a message on its own, or tool calls with all
their results, wherever those stand. A turn runs from a user message to the next. Calls
without a result and results without a call are left out of the groups; a call at the
very end of the history is still open and stays.
"""

from __future__ import annotations

from collections import deque
from operator import attrgetter
from typing import Callable, Deque, Dict, Iterator, List, Optional, Sequence, Set, Tuple

from contextstore.context.links import (
    NO_ID,
    calls_of,
    has_more_than_results,
    is_reasoning,
    is_response_output,
    made_legal,
    results_of,
    says_nothing,
    without_results,
)
from contextstore.context.matching import Matching
from contextstore.messages import Message

__all__ = ["Group", "Groups", "by_position"]

by_position = attrgetter("position")
"""The order of groups."""


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
        # By call: where its results stand, newest first, and whose they are.
        self._claims: Dict[int, List[Tuple[int, List[str]]]] = {}
        # Where the calls of an id stand, newest first, as far as they are indexed.
        self._calls: Dict[str, Deque[int]] = {}
        self._made: Dict[int, List[str]] = {}
        self._indexed_from = len(messages)
        self._unmatched_from = len(messages)
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
        role = message.get("role")
        if role == "tool":
            group = self._answered_calls(at)
            if group is not None:
                return group, group.position - 1
            return self._results(at), at - 1
        if (role == "user" or role == "assistant") and _has_no_links(message):
            group = Group((at,), (message,), self._cost, starts_turn=role == "user")
            return group, at - 1
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
            return self._whole((at - 1, at), pair), at - 2
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

    def _answered_calls(self, at: int) -> Optional[Group]:
        """Return the calls whose results, each in its place, end at a position.

        Nearly all results stand so; None leaves the others to be matched one by one.
        """
        if at > self._unmatched_from or self._claims:
            return None
        start = at - 1
        while start > 0 and self._messages[start].get("role") == "tool":
            start -= 1
        # Of what is looked at here in vain, nothing is looked at again.
        self._unmatched_from = start
        if start <= self._last_aside:
            return None
        run = self._messages[start : at + 1]
        if not _answer_in_order(run):
            return None
        return Group(tuple(range(start, at + 1)), run, self._cost)

    def _results(self, at: int) -> Optional[Group]:
        """Set results aside for their call; without one, give what else is said."""
        ids = results_of(self._messages[at])
        callers = [self._caller(call_id, at) for call_id in ids]
        found = [caller for caller in callers if caller is not None]
        if found:
            self._claims.setdefault(max(found), []).append((at, ids))
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
            calls = self._calls.get(call_id)
            # What is asked for next stands further back still.
            while calls and calls[0] >= before:
                calls.popleft()
            if calls:
                return calls[0]
            if not self._index_more():
                return None

    def _index_more(self) -> bool:
        """Note the calls of the next older message that makes any; False at the end."""
        while self._indexed_from > 0:
            self._indexed_from -= 1
            at = self._indexed_from
            if _has_no_links(self._messages[at]) or at in self._aside:
                continue
            made = self._calls_at(at)
            for call_id in made:
                self._calls.setdefault(call_id, deque()).append(at)
            if made:
                return True
        return False

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
        if not is_output and not isinstance(self._messages[end].get("content"), list):
            return end
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
        claims = [claim for at in run for claim in self._claims.pop(at, ())]
        carriers = sorted([at for at, _ in claims])
        made = [call_id for at in run for call_id in self._calls_at(at)]
        given = [call_id for _, ids in claims for call_id in ids]
        # One result for each call: so it nearly always is.
        if made and NO_ID not in made and sorted(made) == sorted(given):
            self._note_moved(start, (*run, *carriers))
            whole = (*run, *carriers)
            return self._whole(whole, [self._messages[at] for at in whole])
        matching = Matching(self._messages, run, carriers)
        matching.leave_out_unanswered(is_open=self._is_open(end, carriers))
        positions = tuple(at for at, _ in matching.kept)
        self.left_out.extend(at for at in (*run, *carriers) if at not in positions)
        if not positions:
            return None
        self._note_moved(start, positions)
        mended = [at for at in matching.mended if at in positions]
        return self._whole(positions, [m for _, m in matching.kept], mended)

    def _whole(
        self,
        positions: Tuple[int, ...],
        members: Sequence[Message],
        mended: Sequence[int] = (),
    ) -> Group:
        """Return a group of these messages, made legal; some are mended already."""
        legal = list(map(made_legal, members))
        pairs = zip(positions, members, legal)
        changed = tuple(at for at, old, new in pairs if new is not old)
        return Group(positions, legal, self._cost, mended=(*mended, *changed))

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


def _answer_in_order(run: Sequence[Message]) -> bool:
    """Tell whether messages are a chat's calls and, in their order, all results."""
    calling = run[0]
    calls = calling.get("tool_calls")
    if (
        type(calls) is not list
        or len(calls) != len(run) - 1
        or calling.get("role") != "assistant"
        or isinstance(calling.get("content"), list)
        or "type" in calling
    ):
        return False
    for call, result in zip(calls, run[1:]):
        call_id = call.get("id") if type(call) is dict else None
        if (
            not call_id
            or type(call_id) is not str
            or result.get("tool_call_id") != call_id
            or type(result.get("content")) is not str
        ):
            return False
    return True


def _has_no_links(message: Message) -> bool:
    """Tell of nearly all messages that make no call, by a look, that they make none."""
    return (
        type(message.get("content")) is str
        and "tool_calls" not in message
        and "function_call" not in message
        and "type" not in message
    )
