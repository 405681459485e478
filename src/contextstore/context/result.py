"""Hold what a build gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional

from contextstore.context.explain import Explainer, Explanation
from contextstore.errors import ConfigurationError
from contextstore.messages import Message

__all__ = ["BuildResult"]


@dataclass
class BuildResult:
    """Be a prompt, and what became of the messages that it was built from.

    It can be copied and pickled. A copy can be explained; what was pickled, or made by
    ``dataclasses.replace``, cannot, as it is without the history.

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
            that have one, in the order of the history. ``dropped_count``,
            ``repaired_count`` and ``truncated_count`` count those without an id too.
            ``over_budget`` and ``infeasible`` are True or False. With ``previous``
            there is ``cached_tokens``, with a counter ``estimated_tokens``: what was
            counted here. A strategy adds its own: ``fallback_reason``,
            ``recalled_ids``, ``packed_ids``.
    """

    messages: List[Message]
    total_tokens: int
    approximate: bool
    strategy_used: str
    metadata: Dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # No field: what dataclasses.asdict returns is data.
        self._explainer: Optional[Explainer] = None

    def explain(self) -> Explanation:
        """Return a row for each message of the history: its cost, its fate, and why.

        ``print(result.explain())`` shows a table. Messages that a pre_filter took out
        have no row. Costs are those of the messages as they are now.
        """
        if self._explainer is None:
            raise ConfigurationError("only the result of a build can be explained")
        return self._explainer.explanation()

    def explained_by(self, explainer: Explainer) -> BuildResult:
        """Set what explains it; return itself."""
        self._explainer = explainer
        return self
