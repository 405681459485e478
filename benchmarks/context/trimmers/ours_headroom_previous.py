"""ContextStore with ``headroom=0.5`` and the result of the turn before."""

from __future__ import annotations

from types import MappingProxyType

from benchmarks.context.trimmers import ours
from contextstore import BuildResult


class System(ours.System):
    options = MappingProxyType({"headroom": 0.5})

    def trim(self) -> BuildResult:
        result = super().trim()
        self.options = {"headroom": 0.5, "previous": result}
        return result
