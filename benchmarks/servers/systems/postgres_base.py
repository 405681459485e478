"""Say what a store on a server has to do to be measured, and find one by its name."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Dict, List

Message = Dict[str, Any]

POOL = 10
# The module and class of each system, imported only in the environment that has it.
_SYSTEMS = {
    "bare": ("postgres_bare", "Bare"),
    "ours": ("postgres_ours", "Ours"),
    "openai-agents": ("postgres_openai_agents", "OpenAIAgents"),
    "langgraph": ("postgres_langgraph", "LangGraph"),
    "langchain": ("postgres_langchain", "LangChain"),
    "llamaindex": ("postgres_llamaindex", "LlamaIndex"),
    "redis-bare": ("redis_bare", "Bare"),
    "redis-ours": ("redis_ours", "Ours"),
    "redis-ours-fast": ("redis_ours", "Ours"),
    "redis-openai-agents": ("redis_openai_agents", "OpenAIAgents"),
    # With the parser that ours comes with.
    "redis-openai-agents-hiredis": ("redis_openai_agents", "OpenAIAgents"),
    "redis-langchain": ("redis_langchain", "LangChain"),
    "redis-llamaindex": ("redis_llamaindex", "LlamaIndex"),
}


class System:
    """Be one store of conversations, in a database of its own.

    Args:
        dsn: the address of the database; for Redis, its URL.
    """

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    def native(self, messages: List[Message]) -> Any:
        """Return messages as the objects that a user of the system would hold."""
        return messages

    async def open(self) -> None:
        """Connect, and make the tables."""

    async def append(self, session_id: str, messages: Any) -> None:
        """Add messages, in the system's own form, to a session that may be new."""
        raise NotImplementedError

    async def load(self, session_id: str, last: int) -> Any:
        """Return the last messages of a session."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close the connections."""


def make(name: str, dsn: str) -> System:
    """Return a system that is not open yet."""
    module, class_name = _SYSTEMS[name]
    found = import_module(f"benchmarks.servers.systems.{module}")
    system: System = getattr(found, class_name)(dsn)
    return system
