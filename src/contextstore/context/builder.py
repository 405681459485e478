"""Build prompts: the part of a history that fits a token budget, always valid."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import partial
from typing import (
    Any,
    Callable,
    Collection,
    Dict,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
)

from contextstore.context.accounting import Accounting
from contextstore.context.explain import Explanation
from contextstore.context.history import History
from contextstore.context.plan import make_plan
from contextstore.context.prompt import MessageFilter, prompt_of
from contextstore.context.strategies import Request, find_strategy
from contextstore.context.strategies.headroom import cached_tokens, previous_messages
from contextstore.context.tokenizers import TokenizerLike, tokenizer_from_name
from contextstore.errors import ConfigurationError, InvalidInputError
from contextstore.messages import Message

__all__ = ["BuildResult", "ContextBuilder"]

logger = logging.getLogger("contextstore.context")


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
            without an id too. ``over_budget`` and ``infeasible`` are True or False.
    """

    messages: List[Message]
    total_tokens: int
    approximate: bool
    strategy_used: str
    metadata: Dict[str, Any] = field(default_factory=dict)
    _explain: Optional[Callable[[], Explanation]] = field(
        default=None, repr=False, compare=False
    )

    def explain(self) -> Explanation:
        """Return a row for each message of the history: its cost, its fate, and why.

        ``print(result.explain())`` shows a table. Messages that a pre_filter took out
        have no row.
        """
        if self._explain is None:
            raise ConfigurationError("only the result of a build can be explained")
        return self._explain()


class ContextBuilder:
    """Build prompts within a token budget that no provider rejects.

    Args:
        tokenizer: a name or an object as ``tokenizer_from_name`` takes it; None is the
            estimator, which needs nothing installed.
        default_strategy: the strategy of builds that name none.
    """

    def __init__(
        self,
        tokenizer: Optional[TokenizerLike] = None,
        default_strategy: str = "truncate_oldest",
    ) -> None:
        find_strategy(default_strategy)
        self._default_strategy = default_strategy
        self.tokenizer = tokenizer_from_name(
            "fallback" if tokenizer is None else tokenizer
        )
        self._accounting = Accounting(self.tokenizer)

    @classmethod
    def from_model(cls, model_name: str) -> ContextBuilder:
        """Return a builder that counts as a model does.

        Args:
            model_name: such as ``"gpt-4o"``; see ``tokenizer_from_name``.
        """
        return cls(tokenizer_from_name(model_name))

    def __repr__(self) -> str:
        return f"ContextBuilder({self.tokenizer!r}, {self._default_strategy!r})"

    def count(
        self,
        messages: Sequence[Message],
        tools: Optional[Sequence[Dict[str, Any]]] = None,
        tool_choice: Any = None,
    ) -> int:
        """Return the tokens of a prompt: what ``build`` would report for it.

        Args:
            messages: the messages as they are; nothing is repaired.
            tools: tool definitions, as OpenAI or Anthropic take them.
            tool_choice: as OpenAI takes it.
        """
        return self._accounting.prompt(_checked(messages), tools, tool_choice)

    def build(
        self,
        messages: Sequence[Message],
        max_tokens: int,
        strategy: Optional[str] = None,
        strategy_opts: Optional[Mapping[str, Any]] = None,
        pre_filter: Optional[MessageFilter] = None,
        post_filter: Optional[MessageFilter] = None,
        *,
        tools: Optional[Sequence[Dict[str, Any]]] = None,
        tool_choice: Any = None,
    ) -> BuildResult:
        """Return the part of a history that fits a budget, as a valid prompt.

        System, developer and pinned messages are always kept. Tool calls and their
        results are kept or dropped together. Calls without results and results without
        calls are left out, except for a call at the very end, which is still open.

        Args:
            messages: the history, oldest first. Not changed.
            max_tokens: the budget, for the prompt as the provider counts it.
            strategy: ``"truncate_oldest"``, ``"recent_only"``, ``"summarize_oldest"``
                or a registered one; None for the default of the builder.
            strategy_opts: options of the strategy, and for every strategy: ``pin`` (ids
                of messages to keep), ``reserve`` (tokens to leave free, such as for the
                reply), ``on_overflow`` (when pinned messages and the newest turn are
                too long: ``"truncate"`` cuts the longest texts, ``"error"`` raises,
                ``"keep"`` exceeds the budget), ``previous`` (the result of the build
                before; ``metadata["cached_tokens"]`` then says what the messages cost
                with which both start alike).
            pre_filter: called with each message; True keeps it in the history.
            post_filter: called with each chosen message; True keeps it in the prompt.
            tools: tool definitions that will be sent along, to be counted.
            tool_choice: their ``tool_choice``.

        Raises:
            InvalidInputError: an argument is not of the kind said above.
            ContextOverflowError: with ``on_overflow="error"``.
        """
        name = self._default_strategy if strategy is None else strategy
        options = _options(strategy_opts)
        budget = _tokens(max_tokens, "max_tokens")
        budget -= _tokens(options.get("reserve", 0), "strategy_opts.reserve")
        history = self._history(_checked(messages), pre_filter, _pin(options))
        request = self._request(history, budget, options, (tools, tool_choice))
        plan = make_plan(request, find_strategy(name))
        if plan.infeasible:
            logger.warning(
                "the prompt is empty: the pinned messages and a shortened newest turn "
                "do not fit %d tokens",
                budget,
            )
        prompt = prompt_of(plan, request, post_filter)
        total = plan.tokens(request.frame)
        if post_filter is not None or plan.summary is not None:
            total = self._accounting.prompt(prompt.messages, tools, tool_choice)
        return BuildResult(
            messages=prompt.messages,
            total_tokens=total,
            approximate=self._accounting.is_approximate(prompt.messages),
            strategy_used=name,
            metadata={
                **prompt.metadata,
                "over_budget": total > budget,
                **self._cached(prompt.messages, options),
            },
            _explain=partial(
                Explanation,
                request.history.messages,
                prompt.fates,
                self._accounting.message,
            ),
        )

    def _cached(
        self, messages: Sequence[Message], options: Mapping[str, Any]
    ) -> Dict[str, int]:
        previous = previous_messages(options)
        if previous is None:
            return {}
        costs = [self._accounting.message(message) for message in messages]
        return {"cached_tokens": cached_tokens(messages, previous, costs)}

    def _history(
        self,
        messages: Sequence[Message],
        pre_filter: Optional[MessageFilter],
        pin: Collection[str],
    ) -> History:
        # A copy of the list, so that what the caller does to it later changes nothing.
        offered = list(messages if pre_filter is None else filter(pre_filter, messages))
        # A filter that takes the results of a call away does not make it an open one.
        open_end = pre_filter is None or offered[-1:] == list(messages[-1:])
        return History(offered, self._accounting.message, pin, open_end=open_end)

    def _request(
        self,
        history: History,
        budget: int,
        options: Mapping[str, Any],
        extra: Tuple[Optional[Sequence[Dict[str, Any]]], Any],
    ) -> Request:
        pinned = [message for group in history.pinned for message in group.messages]
        accounting = self._accounting
        frame = accounting.frame(pinned, *extra)
        room = budget - frame - sum(group.tokens for group in history.pinned)
        return Request(
            history, budget, frame, room, options, accounting.message, accounting.count
        )


def _checked(messages: Any) -> Sequence[Message]:
    if not isinstance(messages, (list, tuple)):
        raise InvalidInputError(
            f"messages is of type {type(messages).__name__}; pass a list of messages",
            path="messages",
        )
    return messages


def _options(strategy_opts: Any) -> Mapping[str, Any]:
    if strategy_opts is None:
        return {}
    if not isinstance(strategy_opts, Mapping):
        raise InvalidInputError(
            f"strategy_opts is of type {type(strategy_opts).__name__}; pass a dict",
            path="strategy_opts",
        )
    return strategy_opts


def _tokens(value: Any, path: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InvalidInputError(
            f"{path} is {value!r}; pass a number of tokens, a non-negative int",
            path=path,
        )
    return value


def _pin(options: Mapping[str, Any]) -> Collection[str]:
    pin = options.get("pin", ())
    if isinstance(pin, (str, bytes)) or not isinstance(pin, Collection):
        raise InvalidInputError(
            "pin is not a list of ids; pass the ids of the messages to keep",
            path="strategy_opts.pin",
        )
    return pin
