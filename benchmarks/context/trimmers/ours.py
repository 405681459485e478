"""ContextStore: ContextBuilder.build, whole history in, no state from turn to turn."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, List, Mapping

from benchmarks.context.trimmers.base import MODEL, Message, Trimmer
from contextstore import BuildResult, ContextBuilder


class System(Trimmer):
    options: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, cost: Any, budget: int) -> None:
        super().__init__(cost, budget)
        self._builder = ContextBuilder.from_model(MODEL)

    def trim(self) -> BuildResult:
        return self._builder.build(
            self.history, self.budget, strategy_opts=self.options
        )

    def prompt(self, trimmed: BuildResult) -> List[Message]:
        return trimmed.messages
