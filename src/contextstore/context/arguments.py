"""Check the arguments of a build."""

from __future__ import annotations

from typing import Any, Collection, Mapping, Sequence

from contextstore.errors import InvalidInputError
from contextstore.messages import Message

__all__ = [
    "checked_messages",
    "checked_options",
    "checked_pin",
    "checked_tokens",
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


def checked_pin(options: Mapping[str, Any]) -> Collection[str]:
    """Return the ids to pin, or refuse what is no list of them."""
    pin = options.get("pin", ())
    if isinstance(pin, (str, bytes)) or not isinstance(pin, Collection):
        raise InvalidInputError(
            "pin is not a list of ids; pass the ids of the messages to keep",
            path="strategy_opts.pin",
        )
    return pin


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
