"""Microsoft Agent Framework: TruncationStrategy, to the brim."""

from __future__ import annotations

from benchmarks.context.trimmers import agent_framework


class System(agent_framework.System):
    share_kept = 1.0
