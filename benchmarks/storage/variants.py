"""Name what is measured: a system, the environment it needs, and its durability."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple

from benchmarks.common import environments

# The durability of a peer is what it comes with.
OWN = "own"


class Variant(NamedTuple):
    """Be one line of the tables.

    Attributes:
        system: the name of the adapter.
        environment: the name of the environment it runs in.
    """

    system: str
    environment: str
    durability: str


VARIANTS: Dict[str, Variant] = {
    # No system, but what it stands on.
    "disk": Variant("none", "ours", "none"),
    "floor, full": Variant("floor", "ours", "full"),
    "floor, relaxed": Variant("floor", "ours", "relaxed"),
    "floor, orjson": Variant("floor-orjson", "ours-orjson", "full"),
    "sync, full": Variant("ours-sync", "ours", "full"),
    "sync, relaxed": Variant("ours-sync", "ours", "relaxed"),
    "sync, orjson": Variant("ours-sync", "ours-orjson", "full"),
    "async, full": Variant("ours", "ours", "full"),
    "async, relaxed": Variant("ours", "ours", "relaxed"),
    "async, orjson": Variant("ours", "ours-orjson", "full"),
    "openai-agents": Variant("openai-agents", "openai-agents", OWN),
    "langgraph": Variant("langgraph", "langgraph", OWN),
    "langchain": Variant("langchain", "langchain", OWN),
    "llamaindex": Variant("llamaindex", "llamaindex", OWN),
    "google-adk": Variant("google-adk", "google-adk", OWN),
    "contextstore-1.0.1": Variant("contextstore-1.0.1", "contextstore-1.0.1", OWN),
}
PEERS = [name for name, variant in VARIANTS.items() if variant.durability == OWN]
BOTH_FACES = [
    "floor, full",
    "sync, full",
    "async, full",
    "floor, relaxed",
    "sync, relaxed",
    "async, relaxed",
]
BOTH_CODECS = [
    "floor, full",
    "sync, full",
    "async, full",
    "floor, orjson",
    "sync, orjson",
    "async, orjson",
]
ASYNC = ["floor, full", "async, full", "floor, relaxed", "async, relaxed"]
# Durability and codec make no difference to what is in the file.
PREPARED_BY = {
    name: "floor, full" if variant.system.startswith("floor") else "sync, full"
    for name, variant in VARIANTS.items()
    if variant.environment.startswith("ours")
}
TITLES = {
    "openai-agents": "openai-agents SQLiteSession",
    "langgraph": "LangGraph AsyncSqliteSaver",
    "langchain": "LangChain SQLChatMessageHistory",
    "llamaindex": "LlamaIndex SQLAlchemyChatStore",
    "google-adk": "Google ADK SqliteSessionService",
    "contextstore-1.0.1": "contextstore 1.0.1",
}


def requirements() -> Dict[str, List[str]]:
    """Return the pinned packages of each environment but the one of ours."""
    pinned: Dict[str, List[str]] = json.loads(
        (Path(__file__).parent / "peers.json").read_text()
    )
    return pinned


def provide_pythons() -> Dict[str, Path]:
    """Make the environments and return the Python of each."""
    pinned = requirements()
    pythons = {"ours": environments.provide_ours("ours")}
    for name, packages in pinned.items():
        if name.startswith("ours-"):
            pythons[name] = environments.provide_ours(name, *packages)
        else:
            pythons[name] = environments.provide(name, packages)
    return pythons


def pinned_versions() -> List[Tuple[str, str]]:
    """Return what is pinned, as pairs of name and version."""
    pairs = [
        tuple(package.split("=="))
        for packages in requirements().values()
        for package in packages
        if "==" in package
    ]
    return sorted({(name, version) for name, version in pairs})
