"""Ask a cache that may be down, damaged or behind, and never fail for it."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import (
    Awaitable,
    Callable,
    FrozenSet,
    Generator,
    List,
    Optional,
    Sequence,
    TypeVar,
)

from contextstore._hop import reach
from contextstore.backends.base import MemoryBackend
from contextstore.backends.results import EraseReceipt
from contextstore.errors import ConflictError, CorruptDataError, NotFoundError

T = TypeVar("T")

_logger = logging.getLogger("contextstore")


class Cache:
    """Be what holds copies, and is left alone for some time where it failed.

    Args:
        backend: has them.
        retry_after: seconds for which it is left alone.

    Attributes:
        failures: how often it could not be asked.
    """

    def __init__(self, backend: MemoryBackend, retry_after: float) -> None:
        self._backend = backend
        self.failures = 0
        self._retry_after = retry_after
        self._left_alone_until = 0.0
        # In a list, as two may erase at once.
        self._kept_out: List[FrozenSet[str]] = []

    @property
    def is_down(self) -> bool:
        """Tell whether it is left alone."""
        return time.monotonic() < self._left_alone_until

    @contextmanager
    def keeping_out(self, session_ids: Sequence[str]) -> Generator[None, None, None]:
        """Have no load put copies of sessions back while these are erased."""
        kept_out = frozenset(session_ids)
        self._kept_out.append(kept_out)
        try:
            yield
        finally:
            self._kept_out.remove(kept_out)

    def keeps_out(self, session_id: str) -> bool:
        """Tell whether a session is being erased."""
        return any(session_id in one for one in tuple(self._kept_out))

    async def tried(
        self,
        session_id: str,
        ask: Callable[[MemoryBackend], Awaitable[T]],
        *,
        always: bool = False,
    ) -> Optional[T]:
        """Ask for a session; None where there is nothing, or it is down.

        Args:
            always: ask even where it is left alone.
        """
        if self.is_down and not always:
            return None
        try:
            return await reach(self._backend, ask(self._backend))
        except (NotFoundError, ConflictError):
            # There is no entry, or one that does not fit: the next load makes it anew.
            return None
        except CorruptDataError:
            # One entry is damaged, or half evicted, which says nothing of the others.
            await self._drop(session_id)
            return None
        except Exception as error:
            self._leave_alone(error)
            return None

    async def erase(self, session_ids: Sequence[str], *, always: bool) -> bool:
        """Erase sessions; False where a trace of them may be left.

        Args:
            always: as in ``tried``.
        """
        failures = self.failures
        receipts = [await self._erase(one, always=always) for one in session_ids]
        are_purged = all(one is None or one.purged for one in receipts)
        return are_purged and self.failures == failures

    async def _erase(self, session_id: str, *, always: bool) -> Optional[EraseReceipt]:
        return await self.tried(
            session_id, lambda cache: cache.erase(session_id=session_id), always=always
        )

    async def _drop(self, session_id: str) -> None:
        """Take a damaged entry out: the next load makes it anew."""
        try:
            await reach(self._backend, self._backend.delete_session(session_id))
        except NotFoundError:
            return
        except Exception as error:
            self._leave_alone(error)

    def _leave_alone(self, error: Exception) -> None:
        """Count a failure, and do not ask for some time."""
        self.failures += 1
        self._left_alone_until = time.monotonic() + self._retry_after
        _logger.warning(
            "the cache failed (%s); loads go to the record for %s seconds",
            type(error).__name__,
            self._retry_after,
        )
