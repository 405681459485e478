"""Write through a memory backend and learn what the write did, whatever the backend.

Ours say it themselves. For a third party's, which keeps what it is given and returns
nothing, messages are validated and stamped here, and what a write removes is worked out
from what was stored before.
"""

from __future__ import annotations

import functools
import inspect
from typing import (
    Any,
    Awaitable,
    Callable,
    FrozenSet,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    TypeVar,
)

from contextstore import messages
from contextstore._hop import reach
from contextstore.backends.base import MemoryBackend
from contextstore.backends.results import WriteResult
from contextstore.backends.stamps import Stamps
from contextstore.errors import UnsupportedOperationError
from contextstore.messages import Message

T = TypeVar("T")


class Written(NamedTuple):
    """Say what a write did.

    Attributes:
        messages: the messages given, each with its id.
        removed: ids of messages that went, or whose content is another now.
        result: what the backend returned.
    """

    messages: List[Message]
    removed: Tuple[str, ...]
    result: Optional[WriteResult]


def with_options(method: Callable[..., T], **options: Any) -> Callable[..., T]:
    """Bind the options that are set to a method, which has to know them.

    Raises:
        UnsupportedOperationError: the method has no such option.
    """
    # By identity: an expected version of 0 equals False, and is one to check.
    given = {
        name: value
        for name, value in options.items()
        if value is not None and value is not False
    }
    if not given:
        return method
    known = _parameters(getattr(method, "__func__", method))
    for name in given:
        if name not in known:
            raise UnsupportedOperationError(
                f"{method.__qualname__} has no option {name!r}; use a backend that has "
                f"it, or leave it out"
            )
    return functools.partial(method, **given)


@functools.lru_cache(maxsize=256)
def _parameters(function: Callable[..., Any]) -> FrozenSet[str]:
    """Return the names of a function's parameters; asking costs as much as a write."""
    return frozenset(inspect.signature(function).parameters)


class Writer:
    """Write to a memory backend.

    Args:
        stamps: fills in ids and timestamps for a backend that does not.
    """

    def __init__(self, memory: MemoryBackend, stamps: Stamps) -> None:
        self._memory = memory
        self._stamps = stamps

    async def save(
        self,
        session_id: str,
        context: Sequence[Mapping[str, Any]],
        **options: Any,
    ) -> Written:
        """Save, and tell which stored messages it replaced."""
        incoming = self._prepared(session_id, context)
        before = await self._stored(session_id)
        method = self._memory.save_context
        result = await self._write(method, session_id, incoming, **options)
        if result is None:
            incoming = await self._as_stored(session_id, incoming)
            bodies = {m["id"]: messages.canonical(m) for m in incoming}
            removed = tuple(
                message["id"]
                for message in before
                if bodies.get(message["id"]) != messages.canonical(message)
            )
            return Written(incoming, removed, None)
        return Written(_with_ids(incoming, result), result.removed, result)

    async def append(
        self,
        session_id: str,
        context: Sequence[Mapping[str, Any]],
        **options: Any,
    ) -> Written:
        """Append, and tell the ids of what was appended."""
        incoming = self._prepared(session_id, context)
        method = self._memory.append_context
        result = await self._write(method, session_id, incoming, **options)
        if result is None:
            return Written(await self._as_stored(session_id, incoming), (), None)
        return Written(_with_ids(incoming, result), result.removed, result)

    async def delete_interaction(self, session_id: str, interaction_id: str) -> Written:
        """Delete a message and all after it, and tell which these were."""
        before = await self._stored(session_id)
        result = await reach(
            self._memory, self._memory.delete_interaction(session_id, interaction_id)
        )
        if result is not None:
            return Written([], result.removed, result)
        ids = [message["id"] for message in before]
        first = ids.index(interaction_id) if interaction_id in ids else len(ids)
        return Written([], tuple(ids[first:]), None)

    async def _write(
        self,
        method: Callable[..., Awaitable[Optional[WriteResult]]],
        session_id: str,
        context: List[Message],
        **options: Any,
    ) -> Optional[WriteResult]:
        write = with_options(method, **options)
        return await reach(self._memory, write(session_id, context))

    def _prepared(
        self, session_id: str, context: Sequence[Mapping[str, Any]]
    ) -> List[Message]:
        messages.validate_session_id(session_id)
        prepared = messages.prepare(context)
        if not self._memory.prepares_messages:
            for message in prepared:
                messages.stamp(message, self._stamps.id_factory, self._stamps.clock)
        return prepared

    async def _as_stored(
        self, session_id: str, incoming: List[Message]
    ) -> List[Message]:
        """Return messages with their ids, where the backend made some and told none."""
        if all("id" in message for message in incoming):
            return incoming
        return await reach(
            self._memory, self._memory.load_context(session_id, len(incoming))
        )

    async def _stored(self, session_id: str) -> List[Message]:
        """Load what a foreign backend has; ours need not be asked."""
        if self._memory.prepares_messages:
            return []
        stored = await reach(self._memory, self._memory.load_context(session_id))
        return [message for message in stored if "id" in message]


def _with_ids(incoming: List[Message], result: WriteResult) -> List[Message]:
    return [
        {**message, "id": message_id}
        for message, message_id in zip(incoming, result.ids)
    ]
