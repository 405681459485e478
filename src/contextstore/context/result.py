"""Hold what a build gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional

from contextstore.context.explain import Explanation
from contextstore.errors import ConfigurationError
from contextstore.messages import Message

__all__ = ["BuildResult"]


@dataclass
class BuildResult:
    """Be a prompt, and what became of the messages that it was built from.

    Attributes:
        messages: the messages to send, oldest first; copies.
        total_tokens: what the prompt costs, by the rules of the provider.
        approximate: True where that is an estimate: no vocabulary, a model unknown
            here, or an image of unknown size.
        strategy_used: the strategy applied.
        metadata: ``dropped_ids`` (left out for the budget or by a filter),
            ``summarized_ids``, ``repaired_ids`` (calls without results and results
            without calls, left out or mended), ``truncated_ids`` (texts cut),
            ``moved_ids`` (late results, now behind their call): ids of the messages
            that have one, in the order of the history. ``dropped_count`` counts those
            without an id too. ``over_budget`` and ``infeasible`` are True or False. All
            this is made when first read: to list what was dropped is a pass over it.
    """

    messages: List[Message]
    total_tokens: int
    approximate: bool
    strategy_used: str
    metadata: Dict[str, Any] = field(default_factory=dict)
    _explain: Optional[Callable[[], Explanation]] = field(
        default=None, repr=False, compare=False
    )
    _report: Optional[Callable[[], Dict[str, Any]]] = field(
        default=None, init=False, repr=False, compare=False
    )

    if not TYPE_CHECKING:  # for whom the field says it all

        def __getattr__(self, name: str) -> Any:
            """Make the metadata when it is asked for."""
            if name != "metadata" or self._report is None:
                raise AttributeError(name)
            self.metadata = self._report()
            return self.metadata

    def explain(self) -> Explanation:
        """Return a row for each message of the history: its cost, its fate, and why.

        ``print(result.explain())`` shows a table. Messages that a pre_filter took out
        have no row.
        """
        if self._explain is None:
            raise ConfigurationError("only the result of a build can be explained")
        return self._explain()

    def report_later(self, report: Callable[[], Dict[str, Any]]) -> BuildResult:
        """Make the metadata by this function when it is first read; return itself."""
        del self.metadata
        self._report = report
        return self
