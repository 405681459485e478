"""Build prompts: the part of a history that fits a token budget, always valid."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional, Sequence

from contextstore.context.accounting import Accounting
from contextstore.context.arguments import (
    blaming_input,
    checked_entries,
    checked_function,
    checked_margin,
    checked_messages,
    checked_options,
    checked_tokens,
    checked_tools,
    reported_tokens,
)
from contextstore.context.building import Counter, Job, perform, run_now
from contextstore.context.calibration import factor_of_texts
from contextstore.context.prompt import MessageFilter
from contextstore.context.result import BuildResult
from contextstore.context.shares import share_of
from contextstore.context.strategies import find_strategy, refuse_unknown_options
from contextstore.context.tokenizers import (
    Tokenizer,
    TokenizerLike,
    scaled,
    tokenizer_from_name,
)
from contextstore.errors import InvalidInputError
from contextstore.messages import Message

__all__ = ["BuildResult", "ContextBuilder"]


class ContextBuilder:
    """Build prompts within a token budget that no provider rejects.

    Args:
        tokenizer: a name or an object as ``tokenizer_from_name`` takes it; None is the
            estimator, which needs nothing installed.
        default_strategy: the strategy of builds that name none.

    Attributes:
        tokenizer: what counts texts.
        default_strategy: the strategy of builds that name none.
        calibration_error: after ``calibrated``, how far off the counts were; else None.
    """

    def __init__(
        self,
        tokenizer: Optional[TokenizerLike] = None,
        default_strategy: str = "truncate_oldest",
    ) -> None:
        find_strategy(default_strategy)
        self.default_strategy = default_strategy
        self.tokenizer: Tokenizer = tokenizer_from_name(
            "fallback" if tokenizer is None else tokenizer
        )
        self.calibration_error: Optional[float] = None
        self._accounting = Accounting(self.tokenizer)

    @classmethod
    def from_model(cls, model_name: str) -> ContextBuilder:
        """Return a builder that counts as a model does.

        Args:
            model_name: such as ``"gpt-4o"``; see ``tokenizer_from_name``.
        """
        return cls(tokenizer_from_name(model_name))

    def __repr__(self) -> str:
        return f"ContextBuilder({self.tokenizer!r}, {self.default_strategy!r})"

    def calibrated(self, result: BuildResult, usage: Any) -> ContextBuilder:
        """Return a builder that counts as the provider did for an earlier prompt.

        Its ``calibration_error`` is how far off this builder was, as a share of what
        the provider reported: expect no less of the new one for texts of another kind.

        Args:
            result: what a build gave, by this builder.
            usage: what the provider reported for it: the tokens of the prompt, or its
                usage object or dict (``prompt_tokens``, or ``input_tokens`` with those
                read from and written to the cache).

        Raises:
            InvalidInputError: usage has no such number, or the prompt was empty.
        """
        reported = reported_tokens(usage)
        if not isinstance(result, BuildResult):
            raise InvalidInputError(
                f"result is of type {type(result).__name__}; pass what build returned",
                path="result",
            )
        if reported < 1 or result.total_tokens < 1:
            raise InvalidInputError(
                "an empty prompt calibrates nothing; pass a result with messages",
                path="result",
            )
        # With a counter the total is the provider's already.
        counted = result.metadata.get("estimated_tokens", result.total_tokens)
        ratio = reported / counted
        # Of a prompt with tools, the messages are taken to be off by as much as all.
        tokens = self.count(result.messages) * ratio
        factor = factor_of_texts(self.tokenizer, result.messages, tokens)
        builder = ContextBuilder(scaled(self.tokenizer, factor), self.default_strategy)
        builder.calibration_error = abs(1 / ratio - 1)
        return builder

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
        checked_entries(messages)
        with blaming_input(messages, checked_tools(tools)):
            return self._accounting.prompt(messages, tools, tool_choice)

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
        counter: Optional[Counter] = None,
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
                reply), ``margin`` (the part of the budget to leave free where the
                tokenizer gives estimates and no counter is given; 0 by default),
                ``on_overflow`` (when pinned messages and the newest turn are too long:
                ``"truncate"`` cuts the longest texts, ``"error"`` raises, ``"keep"``
                exceeds the budget),
                ``previous`` (the result of the build before;
                ``metadata["cached_tokens"]`` then says what the messages cost with
                which both start alike).
            pre_filter: called with each message; True keeps it in the history.
            post_filter: called with each chosen message; True keeps it in the prompt.
            tools: tool definitions that will be sent along, to be counted.
            tool_choice: their ``tool_choice``.
            counter: what the provider counts, such as its token-counting endpoint: a
                function from the messages of a prompt to its tokens. The prompt is made
                smaller until it fits by that count, which is then ``total_tokens``.

        Raises:
            InvalidInputError: an argument is not of the kind said above.
            ConfigurationError: the strategy knows no such option, or lacks one.
            ContextOverflowError: with ``on_overflow="error"``.
        """
        job = self._job(
            messages,
            max_tokens,
            strategy,
            strategy_opts,
            pre_filter,
            post_filter,
            tools=tools,
            tool_choice=tool_choice,
            counter=counter,
            may_wait=False,
        )
        return run_now(perform(job))

    async def abuild(
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
        counter: Optional[Counter] = None,
    ) -> BuildResult:
        """Do what ``build`` does; summarizer, counter and strategy may be asynchronous.

        The arguments, the result and the errors are those of ``build``.
        """
        job = self._job(
            messages,
            max_tokens,
            strategy,
            strategy_opts,
            pre_filter,
            post_filter,
            tools=tools,
            tool_choice=tool_choice,
            counter=counter,
            may_wait=True,
        )
        return await perform(job)

    def _job(
        self,
        messages: Sequence[Message],
        max_tokens: int,
        strategy: Optional[str],
        strategy_opts: Optional[Mapping[str, Any]],
        pre_filter: Optional[MessageFilter],
        post_filter: Optional[MessageFilter],
        *,
        tools: Optional[Sequence[Dict[str, Any]]],
        tool_choice: Any,
        counter: Optional[Counter],
        may_wait: bool,
    ) -> Job:
        """Return what these arguments ask for, or refuse one of them."""
        options = checked_options(strategy_opts)
        name = self.default_strategy if strategy is None else strategy
        choose = find_strategy(name)
        refuse_unknown_options(name, choose, options)
        history = checked_messages(messages)
        budget = checked_tokens(max_tokens, "max_tokens")
        return Job(
            accounting=self._accounting,
            messages=history,
            max_tokens=budget,
            budget=self._budget(budget, options, is_exact=counter is not None),
            strategy_name=name,
            strategy=choose,
            options=options,
            pre_filter=checked_function(pre_filter, "pre_filter"),
            post_filter=checked_function(post_filter, "post_filter"),
            tools=checked_tools(tools),
            tool_choice=tool_choice,
            counter=checked_function(counter, "counter", may_wait=True),
            may_wait=may_wait,
        )

    def _budget(
        self, budget: int, options: Mapping[str, Any], *, is_exact: bool
    ) -> int:
        """Return the tokens for the prompt: without the reserve, and a margin of it.

        Args:
            is_exact: whether the provider itself counts, which needs no margin.
        """
        reserve = checked_tokens(options.get("reserve", 0), "strategy_opts.reserve")
        margin = checked_margin(options)
        left = max(0, budget - reserve)
        if is_exact or not self._accounting.approximate:
            return left
        return share_of(left, 1 - margin)
