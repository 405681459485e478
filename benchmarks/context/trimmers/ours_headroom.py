"""ContextStore with ``headroom=0.5``: a function of the history alone."""

from __future__ import annotations

from types import MappingProxyType

from benchmarks.context.trimmers import ours


class System(ours.System):
    options = MappingProxyType({"headroom": 0.5})
