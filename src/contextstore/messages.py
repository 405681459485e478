"""Say what a message is: validate, stamp, compare, encode and decode it.

A message is any JSON object. The store adds ``id`` and ``timestamp`` where they are
missing and changes nothing else. Everything here is a pure function of its arguments:
no I/O, no clock, no random number; those come in from outside.
"""

from __future__ import annotations

import json
import math
from functools import lru_cache
from operator import itemgetter
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
)

from contextstore import _optional
from contextstore.errors import InvalidInputError

__all__ = [
    "MAX_DEPTH",
    "MAX_ID_LENGTH",
    "Message",
    "canonical",
    "copy_json",
    "copy_object",
    "copy_texts",
    "decode",
    "decode_whole",
    "encode",
    "is_pinned",
    "prepare",
    "prepare_message",
    "same_as_stored",
    "stamp",
    "text_of",
    "validate_count",
    "validate_k",
    "validate_limit",
    "validate_message_id",
    "validate_session_id",
    "validate_text",
]

Message = Dict[str, Any]

MAX_ID_LENGTH = 512
# orjson writes at most 254 levels, and the standard library's codec recurses.
MAX_DEPTH = 200
# 4,300 digits: longer ones CPython refuses to turn into text and back
# (sys.set_int_max_str_digits). 4300 * log2(10) = 14284.3.
_MAX_INT_BITS = 14_284
# More than any store holds, and less than its arithmetic bears.
_MOST_ITEMS = 2**32


def prepare(context: Any) -> List[Message]:
    """Return a validated deep copy of a list of messages.

    Every backend takes what this takes and refuses what this refuses, before anything
    is written: JSON types only, string keys, finite numbers, no lone surrogates, at
    most MAX_DEPTH levels, ids of 1 to MAX_ID_LENGTH characters, none of them twice.

    Raises:
        InvalidInputError: with the path of the fault, such as ``context[3].id``.
    """
    if not isinstance(context, (list, tuple)):
        raise _refusal("context", f"is {_kind(context)}; pass a list of messages")
    prepared = [
        prepare_message(message, f"context[{index}]")
        for index, message in enumerate(context)
    ]
    _refuse_repeated_ids(prepared)
    return prepared


def prepare_message(message: Any, path: str = "message") -> Message:
    """Return a validated deep copy of one message, by the rules of ``prepare``.

    Raises:
        InvalidInputError: with the path of the fault, below ``path``.
    """
    if not isinstance(message, dict):
        raise _refusal(path, f"is {_kind(message)}; a message is a JSON object (dict)")
    copied: Message = copy_json(message, path)
    if "id" in copied:
        validate_message_id(copied["id"], f"{path}.id")
    return copied


def _refuse_repeated_ids(prepared: List[Message]) -> None:
    first_at: Dict[str, int] = {}
    for index, message in enumerate(prepared):
        if "id" in message:
            first = first_at.setdefault(message["id"], index)
            if first != index:
                raise _refusal(
                    f"context[{index}].id", f"repeats the id of context[{first}]"
                )


def copy_json(value: Any, path: str) -> Any:
    """Return a validated deep copy of a JSON value, made of plain built-in types.

    Args:
        path: what to call the value in an error.

    Raises:
        InvalidInputError: with the path of the fault, below ``path``.
    """
    if not isinstance(value, (dict, list)):
        return _copy_scalar(value, path)
    root = _copy_one_level(value, path)
    # A stack of our own: no depth of input may exhaust Python's.
    todo: List[Tuple[Any, str, int]] = [(root, path, 1)]
    while todo:
        container, here, depth = todo.pop()
        for key, item in _entries(container):
            if isinstance(item, (dict, list)):
                below = _below(here, key)
                if depth == MAX_DEPTH:
                    raise _refusal(below, f"is nested deeper than {MAX_DEPTH} levels")
                container[key] = child = _copy_one_level(item, below)
                todo.append((child, below, depth + 1))
            elif type(item) is not str or not item.isascii():
                container[key] = _copy_scalar(item, here, key)
    return root


def _entries(container: Any) -> Iterable[Tuple[Any, Any]]:
    if isinstance(container, dict):
        return list(container.items())
    return enumerate(container)


def _copy_one_level(container: Any, path: str) -> Any:
    if isinstance(container, list):
        return list(container)
    # A subclass may keep something else than what it shows as its items.
    if type(container) is dict:
        for key in container:
            if type(key) is not str or not key.isascii():
                break
        else:
            return dict(container)
    return {_copy_key(key, path): item for key, item in container.items()}


def _copy_key(key: Any, path: str) -> str:
    if not isinstance(key, str):
        raise _refusal(path, f"has a key that is {_kind(key)}; JSON keys are strings")
    return _copy_text(key, path)


def _copy_scalar(value: Any, path: str, key: Any = None) -> Any:
    """Return a scalar as its plain built-in type, for an enum or a numpy float too."""
    if value is None or value is True or value is False:
        return value
    if key is not None:
        path = _below(path, key)
    if isinstance(value, str):
        return _copy_text(value, path)
    if isinstance(value, int):
        if value.bit_length() > _MAX_INT_BITS:
            raise _refusal(path, "is an integer of more than 4,300 digits")
        return int.__int__(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _refusal(
                path, "is not a finite number; JSON has no NaN and no infinity"
            )
        return float.__float__(value)
    raise _refusal(path, f"is {_kind(value)}; only JSON types can be kept")


def _copy_text(text: str, path: str) -> str:
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            # Not chained: the cause would carry the text.
            raise _refusal(path, f"holds a lone surrogate at {error.start}") from None
    return str.__str__(text)


def _below(path: str, key: Any) -> str:
    if isinstance(key, int):
        return f"{path}[{key}]"
    if key.isidentifier():
        return f"{path}.{key}"
    return f"{path}[{key!r}]"


def _kind(value: Any) -> str:
    return f"of type {type(value).__name__}"


def _refusal(path: str, fault: str) -> InvalidInputError:
    return InvalidInputError(f"{path} {fault}", path=path)


def validate_session_id(session_id: Any) -> str:
    """Return a session id: 1 to MAX_ID_LENGTH characters, no NUL, no surrogate.

    Raises:
        InvalidInputError: it is not such a string.
    """
    return _validate_id(session_id, "session_id")


def validate_message_id(message_id: Any, path: str = "message_id") -> str:
    """Return a message id: 1 to MAX_ID_LENGTH characters, no NUL, no surrogate.

    Raises:
        InvalidInputError: it is not such a string.
    """
    return _validate_id(message_id, path)


def _validate_id(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise _refusal(path, f"is {_kind(value)}; an id is a string")
    if not 1 <= len(value) <= MAX_ID_LENGTH:
        raise _refusal(
            path, f"has {len(value)} characters; an id has 1 to {MAX_ID_LENGTH}"
        )
    if "\0" in value:
        raise _refusal(path, "holds a NUL character")
    return _copy_text(value, path)


def validate_text(text: Any, path: str) -> str:
    """Return a text that can be encoded.

    Raises:
        InvalidInputError: it is no string, or holds a lone surrogate.
    """
    if not isinstance(text, str):
        raise _refusal(path, f"is {_kind(text)}; pass a text")
    return _copy_text(text, path)


def validate_k(k: Any) -> Optional[int]:
    """Return how many items to give: a non-negative int, or None for all.

    Raises:
        InvalidInputError: it is a bool, negative, or no int.
    """
    return None if k is None else validate_count(k, "k", ", or None for all")


def validate_count(count: Any, path: str, otherwise: str = "") -> int:
    """Return a number of items: a non-negative int.

    Args:
        otherwise: what else may be passed, for the text of the error.

    Raises:
        InvalidInputError: it is a bool, negative, or no int.
    """
    if not isinstance(count, int) or isinstance(count, bool):
        raise _refusal(path, f"is {_kind(count)}; pass a non-negative int{otherwise}")
    if count < 0:
        raise _refusal(path, f"is {count}; pass a non-negative int{otherwise}")
    return count


def validate_limit(limit: Any, path: str = "limit") -> int:
    """Return how many items a page has at most: an int of 1 or more.

    Raises:
        InvalidInputError: it is a bool, less than 1, or no int.
    """
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise _refusal(path, "has to be an int of 1 or more")
    return min(limit, _MOST_ITEMS)


def copy_object(value: Any, path: str) -> Dict[str, Any]:
    """Return a validated deep copy of a JSON object.

    Raises:
        InvalidInputError: it is no dict, or holds what JSON has not.
    """
    if not isinstance(value, dict):
        raise _refusal(path, f"is {_kind(value)}; pass a JSON object (dict)")
    copied: Dict[str, Any] = copy_json(value, path)
    return copied


def copy_texts(value: Any, path: str) -> Dict[str, str]:
    """Return a validated copy of a mapping from texts to texts.

    Raises:
        InvalidInputError: it is no mapping, or holds something else.
    """
    if not isinstance(value, Mapping):
        raise _refusal(path, f"is {_kind(value)}; pass a dict of texts")
    return {
        validate_text(key, path): validate_text(text, _below(path, key))
        for key, text in value.items()
    }


def stamp(
    message: Message, id_factory: Callable[[], str], clock: Callable[[], str]
) -> Tuple[str, ...]:
    """Fill in the ``id`` and ``timestamp`` that a prepared message lacks, in place.

    Returns:
        The names of the fields that were filled in.
    """
    filled: List[str] = []
    if "id" not in message:
        message["id"] = validate_message_id(id_factory(), "id_factory()")
        filled.append("id")
    if "timestamp" not in message:
        message["timestamp"] = _copy_scalar(clock(), "clock()")
        filled.append("timestamp")
    return tuple(filled)


def same_as_stored(incoming: Message, stored: Message, filled: Iterable[str]) -> bool:
    """Tell whether a message that comes in is the stored one.

    Equality is of JSON values and strict about type: True is not 1, and 1 is not 1.0.
    A field that the store itself filled in may be missing from what comes in.

    Args:
        filled: the names of the fields that the store filled in.
    """
    left_out = {name for name in filled if name not in incoming}
    if left_out:
        stored = {key: item for key, item in stored.items() if key not in left_out}
    if incoming.keys() != stored.keys():
        return False
    return canonical(incoming) == canonical(stored)


def canonical(value: Any) -> str:
    """Return JSON text that is the same for equal values, whatever their key order."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


_encoder = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":")
)


def _encode_with(encoder: json.JSONEncoder) -> Callable[[Any], str]:
    """Return what encodes as an encoder does, without making its C part each time.

    That takes ``JSONEncoder.encode`` half of its time. The C part is no documented
    name: where it is not there, or wants something else, the encoder does it itself.
    """
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    try:
        parts = make(
            *(None, encoder.default, json.encoder.encode_basestring, None),
            *(encoder.key_separator, encoder.item_separator, False, False, False),
        )
        if "".join(parts(_SAMPLE, 0)) == encoder.encode(_SAMPLE):
            return lambda value: "".join(parts(value, 0))
    except TypeError:
        pass
    return encoder.encode


_SAMPLE: Any = {"a": ['\u2028"\\\n', 1.5, 1, None, True], "b": {}}
_encode_by_standard = _encode_with(_encoder)

# Where a body has so many digits in a row, there may be an integer that needs more than
# 64 bits. Looked for among zeros for digits and blanks for the rest: a regular
# expression would take longer than the encoding.
_LONG_NUMBER = b"0" * 19
_ZEROS_FOR_DIGITS = bytes(
    ord("0" if chr(value) in "0123456789" else " ") for value in range(256)
)
# A blank before the JSON: only the standard library may decode it.
_MARK = b" "


@lru_cache(maxsize=None)
def _orjson() -> Optional[Any]:
    return _optional.find("orjson")


def encode(message: Message) -> bytes:
    """Return a prepared message as compact JSON in UTF-8.

    orjson does it where it is installed, and the standard library what orjson cannot.
    A body with an integer of more than 64 bits begins with a blank, as orjson would
    read it as a float without a word.
    """
    orjson = _orjson()
    if orjson is not None:
        try:
            body: bytes = orjson.dumps(message)
            return body
        except TypeError:
            # It holds such an integer.
            pass
    body = _encode_by_standard(message).encode("utf-8")
    if _LONG_NUMBER in body.translate(_ZEROS_FOR_DIGITS):
        return _MARK + body
    return body


def decode(body: bytes) -> Message:
    """Return the message that ``encode`` wrote.

    Raises:
        ValueError: the bytes are not a JSON object.
    """
    (message,) = decode_whole((body,))
    if not isinstance(message, dict):
        raise ValueError("not a JSON object")
    return message


def decode_whole(bodies: Sequence[bytes]) -> List[Message]:
    """Return the messages of many bodies that are known to be whole."""
    orjson = _orjson()
    if orjson is None:
        return _decode_by_standard(bodies)
    loads: Callable[[bytes], Message] = orjson.loads
    # Hardly ever is one marked, and to look at each costs a fifth of decoding it.
    if _MARK[0] not in map(_first, filter(None, bodies)):
        return list(map(loads, bodies))
    return [
        _decode_by_standard((body,))[0] if body[:1] == _MARK else loads(body)
        for body in bodies
    ]


_first = itemgetter(0)
_decoder = json.JSONDecoder()
# As one list they take two thirds of the time, and share the names of their fields.
_DECODED_AT_ONCE = 64
# Bytes; a larger body gains nothing, and all would be in memory at once, at up to four
# times their size: a text takes for each character what its widest one needs.
_LARGE = 1 << 16


def _decode_by_standard(bodies: Sequence[bytes]) -> List[Message]:
    decoded: List[Message] = []
    has_large = max(map(len, bodies), default=0) > _LARGE
    at_once = 1 if has_large else _DECODED_AT_ONCE
    for start in range(0, len(bodies), at_once):
        part = bodies[start : start + at_once]
        text = (b"[%b]" % b",".join(part)).decode("utf-8")
        # json.loads looks for the encoding and for blanks around: time for nothing.
        values, end = _decoder.raw_decode(text)
        if end != len(text) or len(values) != len(part):
            raise ValueError("not one JSON value each")
        decoded += values
    return decoded


def text_of(message: Message) -> str:
    """Return the text of a message: what is embedded, searched and summarised.

    It is the content where that is text, the text parts joined by newlines where it is
    a list of parts, and the content as JSON where it is another object. A message
    without content has the empty text.
    """
    content = message.get("content")
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(filter(None, map(_text_of_part, content)))
    if isinstance(content, dict):
        return _text_of_part(content) or canonical(content)
    return canonical(content)


def _text_of_part(part: Any) -> str:
    if isinstance(part, dict):
        part = part.get("text", part.get("content"))
    return part if isinstance(part, str) else ""


def is_pinned(message: Message) -> bool:
    """Tell whether a message is always kept: a system or developer one, or marked.

    The mark is ``{"metadata": {"pinned": true}}``.
    """
    if message.get("role") in ("system", "developer"):
        return True
    metadata = message.get("metadata")
    return isinstance(metadata, dict) and metadata.get("pinned") is True
