"""Check the arguments of a build."""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from typing import Any, Collection, Generator, Mapping, Sequence, cast

from contextstore.errors import ContextStoreError, InvalidInputError
from contextstore.messages import Message, copy_json

__all__ = [
    "abandon",
    "blaming_input",
    "checked_entries",
    "checked_function",
    "checked_margin",
    "checked_messages",
    "checked_options",
    "checked_pin",
    "checked_tokens",
    "checked_tools",
    "reported_tokens",
]

# Anthropic reports what came from its cache and went into it beside the rest.
_INPUT_FIELDS = (
    "input_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
)


def checked_messages(messages: Any) -> Sequence[Message]:
    """Return a list of messages, or refuse what is none."""
    if not isinstance(messages, (list, tuple)):
        raise InvalidInputError(
            f"messages is of type {type(messages).__name__}; pass a list of messages",
            path="messages",
        )
    return messages


def checked_entries(messages: Any) -> Sequence[Message]:
    """Return a list of messages, or refuse what is none, or holds something else."""
    for at, message in enumerate(checked_messages(messages)):
        if not isinstance(message, dict):
            raise InvalidInputError(
                f"messages[{at}] is of type {type(message).__name__}; "
                f"a message is a JSON object (dict)",
                path=f"messages[{at}]",
            )
    return messages  # type: ignore[no-any-return]


@contextmanager
def blaming_input(
    messages: Sequence[Any], tools: Any = None
) -> Generator[None, None, None]:
    """Say which message or tool is no JSON, or nested too deep, where that hurt.

    To look for it beforehand would cost a pass over all that is in the history.

    Raises:
        InvalidInputError: instead of what else such a message makes the work raise.
    """
    try:
        yield
    except ContextStoreError:
        raise
    except (AttributeError, RecursionError, TypeError, ValueError):
        checked_entries(messages)
        for path, entries in (("messages", messages), ("tools", tools or ())):
            for at, entry in enumerate(entries):
                copy_json(entry, f"{path}[{at}]")
        raise


def abandon(awaitable: Any) -> None:
    """End what nobody will await, so that no warning says so."""
    close = getattr(awaitable, "close", None)
    if close is not None:
        close()


def checked_function(function: Any, path: str, *, may_wait: bool = False) -> Any:
    """Return a function or None, or refuse what cannot be called here.

    Args:
        may_wait: whether an asynchronous function will do; its coroutine would be true
            whatever it is asked.
    """
    if function is None:
        return None
    if not callable(function):
        raise InvalidInputError(
            f"{path} is of type {type(function).__name__}; pass a function", path=path
        )
    called = getattr(type(function), "__call__", None)  # noqa: B004
    is_asynchronous = any(map(inspect.iscoroutinefunction, (function, called)))
    if is_asynchronous and not may_wait:
        raise InvalidInputError(
            f"{path} is asynchronous; pass a function that gives its answer at once",
            path=path,
        )
    return function


def checked_tools(tools: Any) -> Any:
    """Return a list of tool definitions or None, or refuse what is neither."""
    if tools is None:
        return None
    if not isinstance(tools, (list, tuple)):
        raise InvalidInputError(
            f"tools is of type {type(tools).__name__}; pass a list of definitions",
            path="tools",
        )
    for at, tool in enumerate(tools):
        if not isinstance(tool, dict):
            raise InvalidInputError(
                f"tools[{at}] is of type {type(tool).__name__}; pass a JSON object, "
                f"as the provider takes it",
                path=f"tools[{at}]",
            )
    return tools


def checked_options(strategy_opts: Any) -> Mapping[str, Any]:
    """Return the options of a strategy, or refuse what is no dict."""
    if strategy_opts is None:
        return {}
    if not isinstance(strategy_opts, Mapping):
        raise InvalidInputError(
            f"strategy_opts is of type {type(strategy_opts).__name__}; pass a dict",
            path="strategy_opts",
        )
    return strategy_opts


def checked_tokens(value: Any, path: str) -> int:
    """Return a number of tokens, or refuse what is none."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InvalidInputError(
            f"{path} is {value!r}; pass a number of tokens, a non-negative int",
            path=path,
        )
    return value


def checked_margin(options: Mapping[str, Any]) -> float:
    """Return the part of the budget to leave free beside estimates, 0 to below 1."""
    margin = options.get("margin", 0.0)
    is_number = isinstance(margin, (int, float)) and not isinstance(margin, bool)
    if not is_number or not 0 <= margin < 1:
        raise InvalidInputError(
            f"margin is {margin!r}; pass a number from 0 to below 1",
            path="strategy_opts.margin",
        )
    return float(margin)


def checked_pin(options: Mapping[str, Any]) -> Collection[str]:
    """Return the ids to pin, or refuse what is no list of them."""
    pin: Any = options.get("pin", ())
    is_list = isinstance(pin, Collection) and not isinstance(pin, (str, bytes))
    if not is_list or not all(isinstance(message_id, str) for message_id in pin):
        raise InvalidInputError(
            "pin is not a list of ids; pass the ids of the messages to keep",
            path="strategy_opts.pin",
        )
    return cast("Collection[str]", pin)


def reported_tokens(usage: Any) -> int:
    """Return the tokens of a prompt from what a provider reported."""
    if isinstance(usage, int):
        return checked_tokens(usage, "usage")
    fields = usage if isinstance(usage, dict) else getattr(usage, "__dict__", {})
    if fields.get("prompt_tokens") is not None:
        return checked_tokens(fields["prompt_tokens"], "usage.prompt_tokens")
    tokens = [fields[name] for name in _INPUT_FIELDS if fields.get(name) is not None]
    if not tokens:
        raise InvalidInputError(
            "usage has neither prompt_tokens nor input_tokens", path="usage"
        )
    return sum(checked_tokens(count, "usage.input_tokens") for count in tokens)
