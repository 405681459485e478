"""Put a summary in the place of the oldest turns."""

from __future__ import annotations

import inspect
from typing import Any, Dict, MutableMapping, Optional

from contextstore.context.shorten import cut_middle
from contextstore.context.strategies.base import Choice, Request
from contextstore.context.strategies.options import knows_options
from contextstore.context.strategies.truncate_oldest import newest_turns
from contextstore.context.summaries import (
    Summarizer,
    SummaryMaker,
    asynchronous_summarizer,
)
from contextstore.errors import ConfigurationError, InvalidInputError

__all__ = ["summarize_oldest"]

# A summary takes at most this part of the room, and at most so many tokens.
_SHARE = 4
_MAX_TOKENS = 1_000
# Below this, a summary says nothing; dropping is better.
_MIN_TOKENS = 8


@knows_options("chunk_size", "summaries", "summarizer", "summary_max_tokens")
async def summarize_oldest(request: Request) -> Choice:
    """Keep the newest turns that fit beside a summary of all older messages.

    Options:
        summarizer: function from a list of messages to the text of their summary; with
            ``abuild`` it may be asynchronous.
        chunk_size: most messages given to one call; further calls get the summary so
            far as their first message. None, the default, gives all in one call.
        summary_max_tokens: bound of the summary, at most a quarter of the room; a
            longer one is cut. Default 1,000.
        summaries: a dict that keeps summaries from build to build. What was summarized
            before is not summarized again: its summary is given as the first message,
            followed by what is newly dropped.

    Where the summarizer fails, or returns no text, the messages are dropped, and
    ``metadata["fallback_reason"]`` says so.
    """
    maker = SummaryMaker(
        _summarizer(request),
        _positive(request, "chunk_size", None),
        _summaries(request),
        may_wait=request.may_wait,
    )
    plain, is_all = newest_turns(request.history, request.room)
    if is_all:
        return Choice(plain)
    limit = _limit(request)
    kept, _ = newest_turns(request.history, request.room - limit)
    if limit < _MIN_TOKENS + _overhead(request) or not kept:
        return Choice(plain, notes={"fallback_reason": "no_room_for_summary"})
    chosen = set(map(id, kept))
    older = [g for g in request.history.newest_first() if id(g) not in chosen][::-1]
    text, reason = await maker.summary([m for g in older for m in g.messages])
    if not text:
        return Choice(plain, notes={"fallback_reason": reason})
    return Choice(kept, _message(text, limit, request), older)


def _summarizer(request: Request) -> Summarizer:
    summarizer = request.options.get("summarizer")
    if summarizer is None:
        raise ConfigurationError(
            "strategy 'summarize_oldest' needs "
            "strategy_opts={'summarizer': function from messages to text}"
        )
    if not callable(summarizer):
        raise InvalidInputError(
            f"summarizer is of type {type(summarizer).__name__}; pass a function",
            path="strategy_opts.summarizer",
        )
    if inspect.iscoroutinefunction(summarizer) and not request.may_wait:
        raise asynchronous_summarizer()
    return summarizer  # type: ignore[no-any-return]


def _summaries(request: Request) -> MutableMapping[str, str]:
    summaries = request.options.get("summaries")
    if summaries is None:
        made_now: Dict[str, str] = request.kept.setdefault("summaries", {})
        return made_now
    if not isinstance(summaries, MutableMapping):
        raise InvalidInputError(
            f"summaries is of type {type(summaries).__name__}; pass a dict",
            path="strategy_opts.summaries",
        )
    return summaries


def _positive(request: Request, name: str, default: Optional[int]) -> Optional[int]:
    value = request.options.get(name, default)
    if value is not None and (type(value) is not int or value < 1):
        raise InvalidInputError(
            f"{name} is {value!r}; pass a positive int", path=f"strategy_opts.{name}"
        )
    return value


def _limit(request: Request) -> int:
    """Return the tokens that the summary message may take."""
    wanted = _positive(request, "summary_max_tokens", _MAX_TOKENS) or _MAX_TOKENS
    return max(0, min(wanted, request.room // _SHARE))


def _overhead(request: Request) -> int:
    return request.cost({"role": "system", "content": ""})


def _message(text: str, limit: int, request: Request) -> Dict[str, Any]:
    room = limit - _overhead(request)
    return {"role": "system", "content": cut_middle(text, room, request.count)}
