"""Give pages and examples what they meet on a user's machine: services and models."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

import pytest

from tests.docs.openai_server import Service, serving

STAND_INS = Path(__file__).resolve().parent / "stand_ins"


@pytest.fixture
def openai_service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """Let the openai client of this process find a server on this machine."""
    with serving() as service:
        monkeypatch.setenv("OPENAI_BASE_URL", service.url)
        monkeypatch.setenv("OPENAI_API_KEY", "none is needed")
        yield service


@pytest.fixture
def workplace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, openai_service: Service
) -> Path:
    """Work in an empty directory, with stand-ins for services and models."""
    monkeypatch.syspath_prepend(str(STAND_INS))
    monkeypatch.chdir(tmp_path)
    return tmp_path
