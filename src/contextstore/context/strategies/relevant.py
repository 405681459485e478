"""Keep the newest groups up to a share, then older ones by how relevant they are."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from contextstore.context.arguments import checked_function
from contextstore.context.groups import Group
from contextstore.context.shares import share_of
from contextstore.context.strategies.base import Choice, Request
from contextstore.context.strategies.options import knows_options
from contextstore.errors import ConfigurationError, InvalidInputError
from contextstore.messages import Message

__all__ = ["DEFAULT_RECENT_SHARE", "relevant"]

DEFAULT_RECENT_SHARE = 0.25
"""Measured on long conversations: keeping a quarter of the budget for what is recent
costs two points of a hundred of the evidence, keeping half costs six."""

# So many in a row that do not fit say that hardly anything does any more; each of them
# has to be counted.
_MOST_PASSED_OVER = 50

Shorten = Callable[[Message], Message]


@knows_options("ranking", "recent_share", "shorten")
def relevant(request: Request) -> Choice:
    """Keep the newest groups without a gap, then older ones in the order of a ranking.

    An older group that does not fit is passed over, up to 50 in a row; where the newest
    does not, nothing is kept. The prompt is in the order of the history.
    Options: ``ranking``, ids of messages, the most relevant first; ``recent_share``,
    the part of the room that the newest groups may take before that, 0 to 1; and
    ``shorten``, a function that gives a recalled message in fewer words.
    The metadata has ``recalled_ids`` and ``packed_ids``, the recalled ones that were
    shortened.
    """
    ranking, share, shorten = _options(request.options)
    recent, older = _parted(request, share)
    if not recent:
        # What was recalled is of no use without the question; let that be shortened.
        return Choice(())
    room = request.room - sum(group.tokens for group in recent)
    kept: List[Group] = []
    notes: Dict[str, List[Any]] = {"recalled_ids": [], "packed_ids": []}
    group_of = _groups_by_id(older)
    passed_over = 0
    for message_id in ranking:
        group = group_of.pop(message_id, None)
        if group is None or any(one.position == group.position for one in kept):
            continue
        packed, packed_ids = _packed(group, shorten, request)
        if packed.tokens <= room:
            room -= packed.tokens
            kept.append(packed)
            notes["recalled_ids"] += _ids(group)
            notes["packed_ids"] += packed_ids
            passed_over = 0
        else:
            passed_over += 1
        if passed_over == _MOST_PASSED_OVER:
            break
    return Choice([*recent, *kept], notes=notes)


def _options(
    options: Mapping[str, Any],
) -> Tuple[Sequence[str], float, Optional[Shorten]]:
    ranking = options.get("ranking", ())
    is_list = isinstance(ranking, Sequence) and not isinstance(ranking, str)
    if not is_list or not all(isinstance(message_id, str) for message_id in ranking):
        raise InvalidInputError(
            "ranking is no list of ids; pass message ids, the most relevant first",
            path="strategy_opts.ranking",
        )
    share = options.get("recent_share", DEFAULT_RECENT_SHARE)
    if isinstance(share, bool) or not isinstance(share, (int, float)):
        raise _bad_share()
    if not 0 <= share <= 1:
        raise _bad_share()
    shorten = checked_function(options.get("shorten"), "strategy_opts.shorten")
    return ranking, float(share), shorten


def _bad_share() -> InvalidInputError:
    return InvalidInputError(
        "recent_share has to be a number from 0 to 1", path="strategy_opts.recent_share"
    )


def _parted(request: Request, share: float) -> Tuple[List[Group], List[Group]]:
    """Return the newest groups within the share, or one if it fits, and the rest."""
    recent: List[Group] = []
    older: List[Group] = []
    left = share_of(request.room, share)
    for group in request.history.newest_first():
        # What is older is not counted: it may be nearly all of a long history.
        if older or group.tokens > (left if recent else request.room):
            older.append(group)
        else:
            left -= group.tokens
            recent.append(group)
    return recent, older


def _groups_by_id(groups: Sequence[Group]) -> Dict[str, Group]:
    return {message_id: group for group in groups for message_id in _ids(group)}


def _ids(group: Group) -> List[str]:
    ids = [message.get("id") for message in group.messages]
    return [message_id for message_id in ids if isinstance(message_id, str)]


def _packed(
    group: Group, shorten: Optional[Shorten], request: Request
) -> Tuple[Group, List[str]]:
    """Return a group with its messages shortened, and the ids of those that are."""
    if shorten is None:
        return group, []
    messages = [shorten(message) for message in group.messages]
    if not all(isinstance(message, dict) for message in messages):
        raise ConfigurationError(
            "the function given as shorten returned something that is no message"
        )
    changed = [
        str(new["id"])
        for old, new in zip(group.messages, messages)
        if new is not old and "id" in new
    ]
    if not changed:
        return group, []
    packed = Group(
        group.positions,
        messages,
        request.cost,
        starts_turn=group.starts_turn,
        mended=group.mended,
    )
    return packed, changed
