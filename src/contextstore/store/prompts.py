"""Build prompts from what is stored, at the cost of what goes into them."""

from __future__ import annotations

import inspect
import logging
from contextlib import asynccontextmanager
from functools import partial
from typing import (
    Any,
    AsyncGenerator,
    Awaitable,
    Callable,
    Dict,
    List,
    Mapping,
    Optional,
    Sequence,
    Set,
)

from contextstore._flights import SharedCalls
from contextstore._hop import reach, wait
from contextstore._lifecycle import overrides
from contextstore.backends.base import MemoryBackend
from contextstore.context.builder import BuildResult, ContextBuilder
from contextstore.context.summaries import keys_of
from contextstore.context.windows import any_linked, cost_of, exceeds
from contextstore.errors import (
    InteractionNotFoundError,
    InvalidInputError,
    SessionNotFoundError,
)
from contextstore.messages import Message
from contextstore.retrieval.snippets import snippet
from contextstore.store.indexes import IndexedSession

__all__ = [
    "Summaries",
    "build",
    "load_window",
    "needs_whole_history",
    "refuse_both",
    "shortener",
    "validate_snippet_chars",
]

_logger = logging.getLogger("contextstore")

# One for each budget that an application builds for, and then some.
_MOST_SUMMARIES = 16

_PAGE = 64

_KEEP_THE_NEWEST = ("truncate_oldest", "recent_only")


async def load_window(
    memory: MemoryBackend, session_id: str, max_tokens: int, builder: ContextBuilder
) -> List[Message]:
    """Return the pinned messages, and the newest ones that a budget can hold.

    Pages are read backwards until they cost more than the budget and begin with a
    message of the user, so that no tool call is parted from its results. A backend
    without pages is read whole, and so is a session with an old pinned call.
    """
    if not overrides(memory, MemoryBackend, "load_page", "load_pinned"):
        return await reach(memory, memory.load_context(session_id))
    try:
        return await _read_window(memory, session_id, max_tokens, builder)
    except InteractionNotFoundError:
        # The message that the last page began with was deleted meanwhile.
        return await reach(memory, memory.load_context(session_id))


async def _read_window(
    memory: MemoryBackend, session_id: str, max_tokens: int, builder: ContextBuilder
) -> List[Message]:
    window: List[Message] = []
    cost, before = 0, None
    # What all costs is known at once; what of it a prompt can hold only by a look at
    # the whole window.
    while cost <= max_tokens or not exceeds(window, max_tokens, builder):
        page = await reach(
            memory, memory.load_page(session_id, before=before, limit=_PAGE)
        )
        window[:0] = page
        cost += cost_of(page, builder)
        if len(page) < _PAGE:
            return window
        before = page[0]["id"]
    known = {message["id"] for message in window}
    pinned = await reach(memory, memory.load_pinned(session_id))
    older = [message for message in pinned if message["id"] not in known]
    if any_linked(older):
        # What belongs to them is pinned with them, and may stand anywhere.
        return await reach(memory, memory.load_context(session_id))
    return older + window


async def build(
    abuild: Callable[..., Awaitable[BuildResult]],
    session_id: str,
    history: Sequence[Message],
    *arguments: Any,
) -> BuildResult:
    """Build a prompt from the history of a session, and note where there is none."""
    if not history:
        _logger.debug("session %r has no messages; its prompt is empty", session_id)
    return await abuild(history, *arguments)


def needs_whole_history(strategy: str, options: Mapping[str, Any]) -> bool:
    """Tell whether a build depends on more than what a budget can hold.

    Messages pinned by their ids may stand anywhere, and a strategy that is not known to
    keep the newest may look for anything. A cut in steps is a function of the whole
    history, unless it is taken over from the result before: made from a window, it
    would move with every turn.
    """
    if strategy not in _KEEP_THE_NEWEST or options.get("pin"):
        return True
    return bool(options.get("headroom")) and options.get("previous") is None


def validate_snippet_chars(snippet_chars: Any) -> Optional[int]:
    """Return how long a recalled message may be: a positive int, or None for any.

    Raises:
        InvalidInputError: it is neither.
    """
    if snippet_chars is None:
        return None
    is_int = isinstance(snippet_chars, int) and not isinstance(snippet_chars, bool)
    if not is_int or snippet_chars < 1:
        raise InvalidInputError(
            "snippet_chars has to be a positive int, or None to keep messages whole",
            path="snippet_chars",
        )
    return int(snippet_chars)


def shortener(
    session: IndexedSession, query: str, max_chars: Optional[int]
) -> Optional[Callable[[Message], Message]]:
    """Return what shortens a message to its best sentences for a query.

    Only the text of a message with plain content is shortened: parts, tool calls and
    results stay as they are.
    """
    if max_chars is None:
        return None

    def shorten(message: Message) -> Message:
        content = message.get("content")
        if not isinstance(content, str) or len(content) <= max_chars:
            return message
        if any_linked([message]):
            return message
        with session.lock:
            packed = snippet(content, query, session.index.weight_of, max_chars)
        return {**message, "content": packed}

    return shorten


def refuse_both(query: Optional[str], strategy: Optional[str]) -> None:
    """Refuse a query together with a strategy: relevance is one itself.

    Raises:
        InvalidInputError: both were given.
    """
    if query is not None and strategy is not None:
        raise InvalidInputError(
            "give query or strategy, not both: with a query, the prompt is built by "
            "the strategy 'relevant'",
            path="strategy",
        )


async def _answer(summarizer: Any, messages: List[Message]) -> Any:
    """Return what a summarizer gives, awaited where it is asynchronous."""
    answer = summarizer(messages)
    return await wait(answer) if inspect.isawaitable(answer) else answer


class Summaries:
    """Keep the summaries of sessions beside them: in the memory if it can, else here.

    Builds at the same time share each call of a summarizer, and its failure: none of
    them waits for a provider that is down more than once.

    Args:
        memory: where the messages are.
    """

    def __init__(self, memory: MemoryBackend) -> None:
        self._memory = memory
        self._is_kept = overrides(
            memory, MemoryBackend, "load_summaries", "save_summaries"
        )
        self._here: Dict[str, Dict[str, str]] = {}
        self._calls = SharedCalls()
        # Builds that are under way, whose session was not deleted meanwhile.
        self._open: Dict[str, Set[object]] = {}

    def shared(self, session_id: str, summarizer: Any) -> Any:
        """Return a summarizer that is called once for all who want the same at once.

        Its answer can be awaited where no event loop runs, too.
        """
        if not callable(summarizer):
            return summarizer

        async def summarize(messages: List[Message]) -> Any:
            key = (session_id, keys_of(messages)[-1])
            return await self._calls.call(key, partial(_answer, summarizer, messages))

        return summarize

    @asynccontextmanager
    async def of(self, session_id: str) -> AsyncGenerator[Dict[str, str], None]:
        """Give the summaries of a session, and keep what is added to them."""
        mine = object()
        builds = self._open.setdefault(session_id, set())
        builds.add(mine)
        try:
            before = await self._load(session_id)
            summaries = dict(before)
            yield summaries
            if summaries != before and mine in builds:
                newest = dict(list(summaries.items())[-_MOST_SUMMARIES:])
                await self._save(session_id, newest)
        finally:
            builds.discard(mine)
            if not builds and self._open.get(session_id) is builds:
                del self._open[session_id]

    def forget(self, session_id: str) -> None:
        """Let go of the summaries of a session that was deleted, coming ones too."""
        self._here.pop(session_id, None)
        builds = self._open.pop(session_id, None)
        if builds is not None:
            builds.clear()

    async def _load(self, session_id: str) -> Dict[str, str]:
        if not self._is_kept:
            return self._here.get(session_id, {})
        return await reach(self._memory, self._memory.load_summaries(session_id))

    async def _save(self, session_id: str, summaries: Dict[str, str]) -> None:
        if not self._is_kept:
            self._here[session_id] = summaries
            return
        try:
            await reach(
                self._memory, self._memory.save_summaries(session_id, summaries)
            )
        except SessionNotFoundError:
            # It was deleted while its messages were summarized.
            return
