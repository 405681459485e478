"""Put a summary in the place of the oldest turns."""

from __future__ import annotations

import copy
import inspect
import logging
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from contextstore.context.groups import Group
from contextstore.context.shorten import cut_middle
from contextstore.context.strategies.base import Choice, Request
from contextstore.context.strategies.truncate_oldest import newest_turns
from contextstore.errors import ConfigurationError, InvalidInputError
from contextstore.messages import Message

__all__ = ["summarize_oldest"]

logger = logging.getLogger("contextstore.context")

Summarizer = Callable[[List[Message]], str]

# A summary takes at most this part of the room, and at most so many tokens.
_SHARE = 4
_MAX_TOKENS = 1_000
# Below this, a summary says nothing; dropping is better.
_MIN_TOKENS = 8


def summarize_oldest(request: Request) -> Choice:
    """Keep the newest turns that fit beside a summary of all older messages.

    Options:
        summarizer: function from a list of messages to the text of their summary.
        chunk_size: most messages given to one call; further calls get the summary so
            far as their first message. None, the default, gives all in one call.
        summary_max_tokens: bound of the summary, at most a quarter of the room; a
            longer one is cut. Default 1,000.

    Where the summarizer fails, or returns no text, the messages are dropped, and
    ``metadata["fallback_reason"]`` says so.
    """
    summarizer = _summarizer(request)
    chunk_size = _positive(request, "chunk_size", None)
    plain, is_all = newest_turns(request.history, request.room)
    if is_all:
        return Choice(plain)
    limit = _limit(request)
    kept, _ = newest_turns(request.history, request.room - limit)
    if limit < _MIN_TOKENS + _overhead(request) or not kept:
        return Choice(plain, notes={"fallback_reason": "no_room_for_summary"})
    chosen = set(map(id, kept))
    older = [g for g in request.history.newest_first() if id(g) not in chosen][::-1]
    text, reason = _summary(summarizer, older, chunk_size)
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
    if inspect.iscoroutinefunction(summarizer):
        raise _asynchronous()
    return summarizer  # type: ignore[no-any-return]


def _asynchronous() -> InvalidInputError:
    return InvalidInputError(
        "summarizer is asynchronous, and build() cannot wait for it; pass a function "
        "that returns the text itself",
        path="strategy_opts.summarizer",
    )


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


def _summary(
    summarizer: Summarizer, groups: Sequence[Group], chunk_size: Optional[int]
) -> Tuple[str, str]:
    """Return the summary and no reason, or no summary and the reason."""
    messages = copy.deepcopy([m for group in groups for m in group.messages])
    step = chunk_size or len(messages)
    text: Any = ""
    for start in range(0, len(messages), step):
        chunk = messages[start : start + step]
        if text:
            chunk.insert(0, {"role": "system", "content": text})
        try:
            text = summarizer(chunk)
        except Exception as error:
            logger.warning("the summarizer failed with %s", type(error).__name__)
            return "", "summarizer_failed"
        if inspect.isawaitable(text):
            _abandon(text)
            raise _asynchronous()
        if not isinstance(text, str) or not text.strip():
            return "", "summary_empty" if isinstance(text, str) else "summary_not_text"
    return text, ""


def _abandon(awaitable: Any) -> None:
    close = getattr(awaitable, "close", None)
    if close is not None:
        close()


def _message(text: str, limit: int, request: Request) -> Dict[str, Any]:
    room = limit - _overhead(request)
    return {"role": "system", "content": cut_middle(text, room, request.count)}
