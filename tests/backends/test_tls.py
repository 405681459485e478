"""Addresses with TLS: what is verified, and what is said where that fails."""

from __future__ import annotations

import time
import traceback
from pathlib import Path
from typing import Any, Dict, Iterator

import pytest

from contextstore import ConfigurationError, MemoryBackend, open_memory
from contextstore.testing.memory_suite import message
from tests.servers.shared import database_of, postgres_server
from tests.servers.shared_valkey import valkey
from tests.servers.tls import CERTIFICATE, TlsFront
from tests.servers.valkey import namespace


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[TlsFront]:
    database_of(tmp_path)
    front = TlsFront(postgres_server().port, asks=True)
    yield front
    front.close()


@pytest.fixture
def redis() -> Iterator[TlsFront]:
    front = TlsFront(valkey().port, asks=False)
    yield front
    front.close()


def works(memory: MemoryBackend, front: TlsFront) -> None:
    face = memory.sync
    face.save_context("s", [message(1)])
    assert face.load_context("s") == [message(1)]
    assert front.served > 0
    face.close()


def refused(memory: MemoryBackend) -> str:
    """Return what is said of a connection that can never be made, and at once."""
    begun = time.monotonic()
    with pytest.raises(ConfigurationError) as caught:
        memory.sync.save_context("s", [message(1)])
    assert time.monotonic() - begun < 5
    assert "s3cret" not in "".join(traceback.format_exception(*_parts(caught.value)))
    assert "s3cret" not in repr(caught.value.__cause__)
    memory.sync.close()
    return str(caught.value)


def _parts(error: BaseException) -> Any:
    return type(error), error, error.__traceback__


def dsn_of(port: int, options: str) -> str:
    return f"postgresql://postgres:s3cret@127.0.0.1:{port}/contextstore?{options}"


def url_of(scheme: str, port: int, options: str = "") -> str:
    # Valkey has one user without a password, who is asked for none.
    return f"{scheme}://127.0.0.1:{port}?{options}"


@pytest.mark.parametrize(
    "options", ["sslmode=require", f"sslmode=verify-full&sslrootcert={CERTIFICATE}"]
)
def test_postgres_is_spoken_to_with_tls(postgres: TlsFront, options: str) -> None:
    works(open_memory(dsn_of(postgres.port, options), partitions=4), postgres)


@pytest.mark.parametrize("scheme", ["rediss", "valkeys"])
@pytest.mark.parametrize(
    "options",
    [
        "ssl_cert_reqs=none&ssl_check_hostname=false",
        f"ssl_ca_certs={CERTIFICATE}",
    ],
)
def test_redis_is_spoken_to_with_tls(
    redis: TlsFront, scheme: str, options: str, tmp_path: Path
) -> None:
    names: Dict[str, Any] = {"namespace": namespace(tmp_path)}
    works(open_memory(url_of(scheme, redis.port, options), **names), redis)


OTHER = Path(__file__).parent / "files" / "other.pem"


@pytest.mark.parametrize(
    "options",
    [
        f"sslmode=verify-full&sslrootcert={OTHER}",
        "sslmode=verify-full&sslrootcert=/nowhere/root.crt",
        f"sslmode=verify-full&sslrootcert={CERTIFICATE}&host=wrong.test"
        "&hostaddr=127.0.0.1",
    ],
)
def test_a_postgres_that_nobody_vouches_for_is_refused_at_once(
    postgres: TlsFront, options: str
) -> None:
    memory = open_memory(dsn_of(postgres.port, options), partitions=4)
    assert "certificate" in refused(memory)


def test_a_postgres_without_tls_is_refused_at_once(tmp_path: Path) -> None:
    database_of(tmp_path)
    memory = open_memory(dsn_of(postgres_server().port, "sslmode=require"))
    assert "TLS" in refused(memory)


@pytest.mark.parametrize("options", ["", f"ssl_ca_certs={OTHER}"])
def test_a_redis_that_nobody_vouches_for_is_refused_at_once(
    redis: TlsFront, options: str
) -> None:
    url = f"rediss://app:s3cret@127.0.0.1:{redis.port}?{options}"
    assert "certificate" in refused(open_memory(url))
