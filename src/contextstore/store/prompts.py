"""Build prompts from what is stored, at the cost of what goes into them."""

from __future__ import annotations

from typing import Any, Callable, List, Optional

from contextstore._hop import reach
from contextstore.backends.base import MemoryBackend
from contextstore.context.builder import ContextBuilder
from contextstore.errors import InvalidInputError
from contextstore.messages import Message
from contextstore.retrieval.snippets import snippet
from contextstore.store.indexes import IndexedSession

__all__ = ["load_window", "shortener", "validate_snippet_chars"]

_PAGE = 64


async def load_window(
    memory: MemoryBackend, session_id: str, max_tokens: int, builder: ContextBuilder
) -> List[Message]:
    """Return the pinned messages, and the newest ones that a budget can hold.

    Pages are read backwards until they cost more than the budget and begin with a
    message of the user, so that no tool call is parted from its results. A backend
    without pages is read whole.
    """
    cls = type(memory)
    if (
        cls.load_page is MemoryBackend.load_page
        or cls.load_pinned is MemoryBackend.load_pinned
    ):
        return await reach(memory, memory.load_context(session_id))
    frame = builder.count([])
    window: List[Message] = []
    cost, before = 0, None
    while cost <= max_tokens or window[0].get("role") != "user":
        page = await reach(
            memory, memory.load_page(session_id, before=before, limit=_PAGE)
        )
        window[:0] = page
        cost += builder.count(page) - frame
        if len(page) < _PAGE:
            return window
        before = page[0]["id"]
    known = {message["id"] for message in window}
    pinned = await reach(memory, memory.load_pinned(session_id))
    return [message for message in pinned if message["id"] not in known] + window


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
        with session.lock:
            packed = snippet(content, query, session.index.weight_of, max_chars)
        return {**message, "content": packed}

    return shorten
