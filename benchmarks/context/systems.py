"""List the systems that are compared."""

from __future__ import annotations

from typing import NamedTuple, Optional, Tuple


class System(NamedTuple):
    """Be one system, or one way to use it.

    Attributes:
        label: what it is called in tables.
        module: its module in ``benchmarks.context.trimmers``.
        peer: whose environment of ``peers.json`` it needs; None for our own.
    """

    label: str
    module: str
    peer: Optional[str]


OURS = System("ContextStore", "ours", None)

SYSTEMS: Tuple[System, ...] = (
    OURS,
    System("ContextStore, `headroom=0.5`", "ours_headroom", None),
    System("the same with `previous`", "ours_headroom_previous", None),
    System("LangChain `trim_messages`", "langchain", "langchain"),
    System("LiteLLM `trim_messages`", "litellm", "litellm"),
    System("LlamaIndex `ChatMemoryBuffer`", "llamaindex_buffer", "llamaindex"),
    System("LlamaIndex `Memory`", "llamaindex_memory", "llamaindex"),
    System("AutoGen `TokenLimitedChatCompletionContext`", "autogen", "autogen"),
    System("Strands `SlidingWindowConversationManager`", "strands", "strands"),
    System(
        "Agent Framework `TruncationStrategy`, to the brim",
        "agent_framework_brim",
        "agent-framework",
    ),
    System(
        "Agent Framework `TruncationStrategy`, to a half",
        "agent_framework",
        "agent-framework",
    ),
    System("contextstore 1.0.1", "contextstore_1", "contextstore 1.0.1"),
)
