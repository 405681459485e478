"""Say what a system has to do to be measured, and find one by its name."""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar, Dict, List, Optional

Message = Dict[str, Any]

# The module and class of each system, imported only in the environment that has it.
_SYSTEMS = {
    "floor": ("floor", "Floor"),
    "floor-orjson": ("floor_orjson", "FloorOrjson"),
    "ours": ("ours", "Ours"),
    "ours-sync": ("ours", "OursSync"),
    "openai-agents": ("openai_agents", "OpenAIAgents"),
    "langgraph": ("langgraph", "LangGraph"),
    "langchain": ("langchain", "LangChain"),
    "llamaindex": ("llamaindex", "LlamaIndex"),
    "google-adk": ("google_adk", "GoogleADK"),
    "contextstore-1.0.1": ("contextstore_1", "ContextStore1"),
}


class System:
    """Be one store of conversations, on a file in a folder of its own.

    A system that is not blocking has coroutines where this has plain methods.

    Attributes:
        is_blocking: whether its methods return when the work is done.
    """

    is_blocking: ClassVar[bool] = False

    def __init__(self, folder: str, durability: str) -> None:
        self.path = f"{folder}/store.db"
        self.durability = durability

    def native(self, messages: List[Message]) -> Any:
        """Return messages as the objects that a user of the system would hold."""
        return messages

    def open(self) -> Any:
        """Open the file."""

    def append(self, session_id: str, messages: Any) -> Any:
        """Add messages, in the system's own form, to a session that may be new."""
        raise NotImplementedError

    def load(self, session_id: str, last: Optional[int]) -> Any:
        """Return the last messages of a session, or all."""
        raise NotImplementedError

    def save(self, session_id: str, messages: Any) -> Any:
        """Make these the messages of a session."""
        raise NotImplementedError

    def close(self) -> Any:
        """Close the file, so that all of it is in one place."""


def make(name: str, folder: str, durability: str) -> System:
    """Return a system that is not open yet."""
    module, class_name = _SYSTEMS[name]
    found = import_module(f"benchmarks.storage.systems.{module}")
    system: System = getattr(found, class_name)(folder, durability)
    return system
