"""Know which keys of ``strategy_opts`` a strategy reads, so that no other is passed."""

from __future__ import annotations

from typing import Any, Callable, Mapping, TypeVar

from contextstore.errors import ConfigurationError

__all__ = ["knows_options", "refuse_unknown_options"]

# What the builder itself reads, whatever the strategy.
_OF_EVERY_STRATEGY = ("margin", "on_overflow", "pin", "previous", "reserve")

_Function = TypeVar("_Function", bound=Callable[..., Any])


def knows_options(*names: str) -> Callable[[_Function], _Function]:
    """Declare all options that a strategy reads; then any other is refused.

    It sets the attribute ``known_options``. A strategy without that takes any options.
    """

    def declare(strategy: _Function) -> _Function:
        strategy.known_options = names  # type: ignore[attr-defined]
        return strategy

    return declare


def refuse_unknown_options(
    name: str, strategy: Callable[..., Any], options: Mapping[str, Any]
) -> None:
    """Refuse options that nothing reads, such as a name that is misspelt.

    Raises:
        ConfigurationError: there is one; the text lists those that are known.
    """
    own = getattr(strategy, "known_options", None)
    if own is None or not options:
        return
    known = sorted({*own, *_OF_EVERY_STRATEGY})
    unknown = [option for option in options if option not in known]
    if unknown:
        raise ConfigurationError(
            f"strategy {name!r} has no option {', '.join(map(repr, unknown))} "
            f"(strategy_opts); it knows {', '.join(known)}"
        )
