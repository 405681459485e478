"""Say what all objects that hold something open have in common, and all backends."""

from __future__ import annotations

from types import TracebackType
from typing import Any, ClassVar, NoReturn, Optional, Type, TypeVar

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
