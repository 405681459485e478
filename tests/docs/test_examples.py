"""Every example runs, as a user would run it, and shows what it is there to show."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from contextstore import MemoryBackend, SQLiteMemory
from contextstore.testing import MemoryBackendConformance
from tests.docs.examples import EXAMPLES, run_example
from tests.docs.openai_server import Service, check_messages


def test_all_examples_are_listed() -> None:
    listed = re.findall(
        r"^\| `(.*?)`", (EXAMPLES / "README.md").read_text(encoding="utf-8"), re.M
    )
    programs = [
        path.name
        for path in EXAMPLES.glob("*.py")
        if "__main__" in path.read_text(encoding="utf-8")
    ]
    assert sorted(listed) == sorted(programs)


def test_quickstart_goes_on_where_it_stopped(workplace: Path) -> None:
    assert "0 messages from earlier runs" in run_example("quickstart.py", "chat.db")
    assert "2 messages from earlier runs" in run_example("quickstart.py", "chat.db")
    assert "4 of 6 messages fit 40 tokens" in run_example("quickstart.py", "chat.db")


def test_openai_chat_keeps_the_calls_of_the_model(
    workplace: Path, openai_service: Service
) -> None:
    first = run_example("openai_chat.py", typed="hello\nwhat is the time?\n\n")
    assert re.fullmatch(
        r"You said: hello\nThe tool said: \d{4}-\d\d-\d\dT.*\n", first
    ), first

    run_example("openai_chat.py", typed="thank you")
    sent = openai_service.requests[-1]["messages"]
    roles = [message["role"] for message in sent]
    turns = ["user", "assistant", "user", "assistant", "tool", "assistant", "user"]
    assert roles == ["system", *turns]
    kept = SQLiteMemory("chat.db").sync.load_context("terminal")
    assert [message["role"] for message in kept] == [*roles, "assistant"]


def test_the_service_refuses_what_openai_refuses() -> None:
    orphan = [{"role": "tool", "tool_call_id": "1", "content": "x"}]
    with pytest.raises(Exception, match="a result without its call"):
        check_messages(orphan)
    with pytest.raises(Exception, match="unexpected timestamp"):
        check_messages([{"role": "user", "content": "x", "timestamp": "now"}])


def test_sync_search_finds_words(workplace: Path) -> None:
    found = run_example("sync_search.py", "who", "snores?").splitlines()
    assert len(found) == 3
    assert " m021 " in found[0]


def test_custom_backend_stamps_through_the_store(workplace: Path) -> None:
    fields = "['content', 'id', 'role', 'timestamp']"
    assert run_example("custom_backend.py") == f"{fields} hi\n{fields} Hello!\n"


class TestJsonFiles(MemoryBackendConformance):
    """The backend of the example does what the library expects of one."""

    capabilities = frozenset({"concurrency", "durable"})

    @pytest.fixture(autouse=True)
    def _importable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.syspath_prepend(str(EXAMPLES))

    def make(self, tmp_path: Path) -> MemoryBackend:
        backend = __import__("custom_backend").JsonFiles(tmp_path)
        assert isinstance(backend, MemoryBackend)
        return backend

    def reopen(self, tmp_path: Path) -> MemoryBackend:
        return self.make(tmp_path)


def test_the_conversation_is_a_valid_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    conversation = __import__("conversation")
    messages = conversation.load()
    own = {"id", "timestamp", "metadata"}
    check_messages(
        [{k: v for k, v in message.items() if k not in own} for message in messages]
    )
    times = [message["timestamp"] for message in messages]
    assert times == sorted(times)
    parts = conversation.turns(messages)
    assert [message for part in parts for message in part] == messages
