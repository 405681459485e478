"""Show an address in an error without what is secret in it."""

from __future__ import annotations

import re

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?://)?")
# The name of a file; no setting, no user and no password is written so.
_PLAIN_NAME = re.compile(r"[\w.~/\\-]*")
# An address of IPv6 is in brackets.
_HOST_AND_PORT = re.compile(r"(?:\[[^]]*\]|[^\[\]:]*)(?::[0-9]*)?")


def without_password(url: object) -> str:
    """Return an address without user, password and options.

    What cannot be told from a password is left out with it.
    """
    text = str(url)
    found = _SCHEME.match(text)
    if found is None:
        is_plain = isinstance(url, str) and _PLAIN_NAME.fullmatch(text)
        return repr(text) if is_plain else "..."
    scheme = found.group()
    if not scheme.endswith("//"):
        return f"{scheme}..."
    credentials, at, place = text[found.end() :].rpartition("@")
    if "?" in credentials:
        # Either it ends a password that holds a question mark, or it is in an option.
        return f"{scheme}..."
    shown = re.split("[?#]", place)[0]
    hosts = shown.partition("/")[0].split(",")
    if not all(map(_HOST_AND_PORT.fullmatch, hosts)):
        # What stands for a port may be a password whose host was forgotten.
        return f"{scheme}..."
    return f"{scheme}...@{shown}" if at else f"{scheme}{shown}"
