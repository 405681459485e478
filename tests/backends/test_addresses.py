"""Addresses of memories: which are taken, and what errors show of the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from contextstore import open_memory
from contextstore.backends.addresses import without_password
from contextstore.errors import ConfigurationError
from tests.backends.carried import carried_by


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:6379/0?password=secret", "redis://h:6379/0"),
        ("redis://ann:secret@h:6379/0", "redis://...@h:6379/0"),
        ("redis://:sec@ret@h/0", "redis://...@h/0"),
        ("redis://:sec/ret#x@h/0", "redis://...@h/0"),
        ("redis://:sec?cret@h:6379/0", "redis://..."),
        ("mysql://user:sec?cret@h/db", "mysql://..."),
        ("redis://h?password=sec@ret", "redis://..."),
        ("redis://:secret", "redis://..."),
        ("mysql://h:1,ann:secret/0", "mysql://..."),
        ("redis://[::1]:7,h,i:/0", "redis://[::1]:7,h,i:/0"),
        ("host=db user=a password=secret dbname=x", "..."),
        ("host=db password=sec:ret://x", "..."),
        ("sqlite:secret", "sqlite:..."),
        (7, "..."),
        ("chat.db", "'chat.db'"),
        ("../var/chat-1.db", "'../var/chat-1.db'"),
        ("", "''"),
    ],
)
def test_an_address_is_shown_without_its_password(url: object, shown: str) -> None:
    assert without_password(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "host=db user=a password=secret dbname=x",
        "postgresql+asyncpg://u:secret@h/db",
        "sqlite+aiosqlite://:secret@h/chat.db",
        "mysql://user:sec?cret@h/db",
        "redis+unix://:sec?cret@h",
        "redis://:secret",
        "redis://:secret@h:port",
        "mysql://user:secret/db",
        "redis+cluster://:secret@h?secret=secret",
        "rediss://:secret@h?ssl_cert_reqs=secret",
        "postgresql://u:sec/cret@h/db",
        "postgresql://u:secret@h/db?secret=1",
        "sqlite://u:secret@[h/chat.db",
        "memory:secret",
    ],
)
def test_what_is_no_address_is_refused_without_a_trace_of_the_password(
    url: str,
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_memory(url)
    assert "cret" not in carried_by(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:xyz.db",
        "sqlite:/a.db",
        "sqlite://a.db",
        "sqlite:",
        "sqlite:///",
        "sqlite:////",
        "sqlite:////var/",
    ],
)
def test_an_address_of_a_file_has_three_slashes_and_a_name(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=r"sqlite:///chat\.db with three"):
        open_memory(url)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["chat.db", ""])
def test_a_name_of_a_file_is_shown_and_the_address_told(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_memory(url)
    assert str(caught.value).startswith(f"{url!r} is no address")
    assert "sqlite:///chat.db" in str(caught.value)
