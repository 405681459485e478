"""Make summaries of messages, and make none of what was summarized before."""

from __future__ import annotations

import copy
import inspect
import logging
import re
from hashlib import blake2b
from typing import Any, Callable, List, MutableMapping, Optional, Sequence, Tuple

from contextstore.context.arguments import abandon
from contextstore.errors import InvalidInputError
from contextstore.messages import Message, canonical

__all__ = ["Summarizer", "SummaryMaker", "asynchronous_summarizer", "keys_of"]

_SURROGATE = re.compile("[\ud800-\udfff]")

logger = logging.getLogger("contextstore.context")

Summarizer = Callable[[List[Message]], Any]


def asynchronous_summarizer() -> InvalidInputError:
    """Return the error for a summarizer that would have to be waited for."""
    return InvalidInputError(
        "summarizer is asynchronous, and build() cannot wait for it; call "
        "`await builder.abuild(...)`, or pass a function that returns the text itself",
        path="strategy_opts.summarizer",
    )


class SummaryMaker:
    """Call a summarizer for the part of a history that has no summary yet.

    Args:
        summarizer: function from messages to text.
        chunk_size: most messages for one call, or None.
        summaries: known summaries, by a hash of all messages they stand for.
        may_wait: whether the summarizer may be asynchronous.
    """

    def __init__(
        self,
        summarizer: Summarizer,
        chunk_size: Optional[int],
        summaries: MutableMapping[str, str],
        *,
        may_wait: bool,
    ) -> None:
        self._summarizer = summarizer
        self._chunk_size = chunk_size
        self._summaries = summaries
        self._may_wait = may_wait

    async def summary(self, messages: Sequence[Message]) -> Tuple[str, str]:
        """Return the summary and no reason, or no summary and the reason."""
        keys = keys_of(messages)
        done = max(
            (end for end, key in enumerate(keys, 1) if key in self._summaries),
            default=0,
        )
        text = self._summaries[keys[done - 1]] if done else ""
        step = self._chunk_size or len(messages)
        for start in range(done, len(messages), step):
            chunk = copy.deepcopy(list(messages[start : start + step]))
            if text:
                chunk.insert(0, {"role": "system", "content": text})
            text, reason = await self._call(chunk)
            if reason:
                return "", reason
            self._summaries[keys[start + len(messages[start : start + step]) - 1]] = (
                text
            )
        return text, ""

    async def _call(self, chunk: List[Message]) -> Tuple[str, str]:
        try:
            text = self._summarizer(chunk)
            if inspect.isawaitable(text) and self._may_wait:
                text = await text
        except Exception as error:
            logger.warning("the summarizer failed with %s", type(error).__name__)
            return "", "summarizer_failed"
        if inspect.isawaitable(text):
            abandon(text)
            raise asynchronous_summarizer()
        if not _is_text(text):
            return "", "summary_not_text"
        return (text, "") if text.strip() else ("", "summary_empty")


def keys_of(messages: Sequence[Message]) -> List[str]:
    """Return for each message a hash of it and of all before it."""
    running = blake2b(digest_size=16)
    keys: List[str] = []
    for message in messages:
        running.update(canonical(message).encode("utf-8", "surrogatepass"))
        keys.append(running.hexdigest())
    return keys


def _is_text(answer: Any) -> bool:
    """Tell whether an answer can be stored and sent: a lone surrogate cannot."""
    return isinstance(answer, str) and not _SURROGATE.search(answer)
