"""The addresses of Redis and Valkey, and what is wrong with some."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Dict

import pytest

from contextstore import RedisMemory, open_memory
from contextstore.backends.redis.address import Address
from contextstore.errors import ConfigurationError
from tests.backends.carried import carried_by


@pytest.mark.parametrize(
    ("url", "kind", "hosts", "service"),
    [
        ("redis://", "single", (("localhost", 6379),), ""),
        ("valkey://h:7/2", "single", (("h", 7),), ""),
        ("rediss://u:p%40@h:7", "single", (("h", 7),), ""),
        ("redis+cluster://a:1,b:2", "cluster", (("a", 1), ("b", 2)), ""),
        ("valkey+cluster://u:p@a:1,b", "cluster", (("a", 1), ("b", 6379)), ""),
        ("redis+sentinel://a:1,b:2/my%20chats/3", "sentinel", None, "my chats"),
    ],
)
def test_an_address_is_read(url: str, kind: str, hosts: Any, service: str) -> None:
    address = Address.of(url)
    assert (address.kind, address.service) == (kind, service)
    assert address.hosts == (hosts or (("a", 1), ("b", 2)))


def test_user_password_and_database_are_kept_from_the_text() -> None:
    address = Address.of("redis://ann:se%40cret@h:7/3?client_name=x&password=other")
    assert address.options["username"] == "ann"
    assert address.options["db"] == 3
    assert address.options["client_name"] == "x"
    assert address.shown == "redis://...@h:7/3"


@pytest.mark.parametrize(
    "url",
    [
        "redis:",
        "http://h",
        "redis+ring://h",
        "redis://h:port",
        "redis://a:1,b:2",
        "redis+cluster://a:1/3",
        "redis+sentinel://a:1",
        "redis://h?socket_timeout=soon",
        "redis://:secret@h?foo=1",
        "redis://:secret@h?socket_timeout=secret",
        "redis://:secret",
        "redis://ann:secret/0",
        "redis://:secret@h:port",
        "redis://h?db=secret",
        "redis://h?secret=1",
        "rediss://h?ssl_cert_reqs=secret",
        "redis+cluster://h?foo=1",
        "redis+sentinel://h/master?foo=1",
        "redis://:secret@h/notanumber",
        "redis://h/1/2",
        "redis+sentinel://h/master/x",
        7,
    ],
)
def test_what_is_no_address_is_refused(url: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RedisMemory(url)
    assert "secret" not in carried_by(caught.value)


def test_how_answers_are_read_is_not_up_to_the_address() -> None:
    address = Address.of(
        "redis://h?protocol=3&decode_responses=true&encoding=x&encoding_errors=y"
    )
    assert address.options["protocol"] == 2
    assert address.options["decode_responses"] is False
    assert address.options["encoding"] == "utf-8"
    assert address.options["encoding_errors"] == "strict"


@pytest.mark.parametrize(
    "options",
    [
        {"replicas": -1},
        {"replicas": True},
        {"replicas": "1"},
        {"if_fewer": "maybe"},
        {"confirm_within": 0},
        {"confirm_within": 9.0},
        {"ttl": 7},
        {"ttl": timedelta(0)},
        {"namespace": ""},
        {"namespace": "a{b}"},
        {"namespace": "*"},
        {"namespace": "app:cache"},
    ],
)
def test_what_is_no_option_is_refused(options: Dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        RedisMemory("redis://h", **options)


@pytest.mark.parametrize(
    "url", ["redis://h", "rediss://h", "valkey://h", "valkey+cluster://h"]
)
def test_an_address_opens_a_memory(url: str) -> None:
    memory = open_memory(url, namespace="n")
    assert isinstance(memory, RedisMemory)
    assert memory.location == url
