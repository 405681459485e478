"""Show an address in an error without what is secret in it."""

from __future__ import annotations


def without_password(url: object) -> str:
    """Return an address without user, password and options."""
    shown = str(url).partition("?")[0]
    credentials, at, rest = shown.rpartition("@")
    scheme, separator, _ = credentials.partition("://")
    return f"{scheme}{separator}...@{rest}" if at else shown
