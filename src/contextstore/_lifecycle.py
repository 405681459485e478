"""Say what all objects that hold something open have in common, and all backends."""

from __future__ import annotations

import os
import weakref
from types import TracebackType
from typing import (
    Any,
    ClassVar,
    NoReturn,
    Optional,
    Protocol,
    SupportsIndex,
    Type,
    TypeVar,
)

from contextstore.errors import UnsupportedOperationError

Self = TypeVar("Self", bound="Closing")


class Closing:
    """Be closed at the end of an ``async with`` block."""

    async def close(self) -> None:
        """Free what the object holds; by default it holds nothing."""

    async def __aenter__(self: Self) -> Self:
        return self

    async def __aexit__(
        self,
        error_type: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        await self.close()


class Backend(Closing):
    """Be something that an application may write for itself.

    Attributes:
        runs_inline: True promises that the coroutines of the class never suspend where
            no event loop runs, so that sync callers may run them in their own thread.
            Each class has to say it itself: a subclass may await what its base does
            not, so the promise is not inherited.
    """

    runs_inline: ClassVar[bool] = False

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "runs_inline" not in cls.__dict__:
            cls.runs_inline = False

    def _unsupported(self, operation: str) -> NoReturn:
        raise UnsupportedOperationError(
            f"{type(self).__name__} has no {operation}(); write the method in the "
            f"backend, or use one that has it"
        )


def overrides(backend: Backend, base: Type[Backend], *methods: str) -> bool:
    """Tell whether the class of a backend has written all of some methods itself.

    Args:
        base: the class that says of these methods what a backend without them does.
    """
    cls = type(backend)
    return all(getattr(cls, name) is not getattr(base, name) for name in methods)


class OfThisProcess:
    """Be what an object holds open; with it, the object cannot be pickled.

    Attributes:
        location: the file or address that is open.
    """

    location: str

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(
            f"an object that has {self.location} open cannot be pickled or copied "
            f"deeply: make a new one where it is needed, such as in the other process"
        )


class Renewable(Protocol):
    """Be something with locks, and with work of threads that a fork leaves behind."""

    def renew(self) -> None:
        """Begin anew in a forked child: nobody holds a lock, nothing is under way."""


_renewed_after_fork: weakref.WeakSet[Any] = weakref.WeakSet()


def renew_after_fork(owner: Renewable) -> None:
    """Have an object renewed in every child that is forked while it lives."""
    _renewed_after_fork.add(owner)


def _renew_all() -> None:
    for owner in list(_renewed_after_fork):
        owner.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
