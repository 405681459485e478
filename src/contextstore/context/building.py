"""Do one build: history, request, plan, prompt, result."""

from __future__ import annotations

import copy
import inspect
import logging
from dataclasses import dataclass, field, replace
from typing import (
    Any,
    Awaitable,
    Callable,
    Dict,
    List,
    Mapping,
    Optional,
    Sequence,
    Union,
)

from contextstore.context.accounting import Accounting
from contextstore.context.arguments import (
    abandon,
    blaming_input,
    checked_pin,
    checked_tokens,
)
from contextstore.context.explain import Explainer
from contextstore.context.history import History
from contextstore.context.plan import Plan, make_plan
from contextstore.context.prompt import MessageFilter, prompt_of
from contextstore.context.result import BuildResult
from contextstore.context.strategies import Request, Strategy
from contextstore.context.strategies.headroom import cached_tokens, previous_messages
from contextstore.errors import ConfigurationError, InvalidInputError
from contextstore.messages import Message

__all__ = ["Counter", "Job", "perform", "run_now"]

logger = logging.getLogger("contextstore.context")

Counter = Callable[[List[Message]], Union[int, Awaitable[int]]]

# Each try asks the counter, which may be a request over the network.
_MOST_TRIES = 4


@dataclass(frozen=True)
class Job:
    """Be everything that one build needs.

    Attributes:
        max_tokens: the budget that the caller gave.
        budget: what of it this try may use.
        may_wait: whether something asynchronous may be waited for.
        counter: what the provider itself counts for a prompt, or None.
        kept: what a strategy keeps from one try to the next.
    """

    accounting: Accounting
    messages: Sequence[Message]
    max_tokens: int
    budget: int
    strategy_name: str
    strategy: Strategy
    options: Mapping[str, Any]
    pre_filter: Optional[MessageFilter]
    post_filter: Optional[MessageFilter]
    tools: Optional[Sequence[Dict[str, Any]]]
    tool_choice: Any
    counter: Optional[Counter]
    may_wait: bool
    kept: Dict[str, Any] = field(default_factory=dict)


def run_now(coroutine: Any) -> BuildResult:
    """Run a build to its end without an event loop.

    Raises:
        ConfigurationError: the strategy waits for something.
    """
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: BuildResult = stop.value
        return result
    coroutine.close()
    raise ConfigurationError(
        "the strategy is asynchronous; call `await builder.abuild(...)` instead"
    )


async def perform(job: Job) -> BuildResult:
    """Build a prompt; with a counter, until the counter says that it fits."""
    result = await _attempt(job)
    if job.counter is None:
        return result
    budget = job.budget
    for _ in range(_MOST_TRIES):
        counted = await _ask(job, job.counter, result.messages)
        if counted <= job.budget or not result.messages:
            return _counted(result, counted, over=counted > job.budget)
        # What was counted here was too low by this ratio; aim one token below.
        budget = min(budget - 1, result.total_tokens * job.budget // counted - 1)
        result = await _attempt(replace(job, budget=max(0, budget)))
    counted = await _ask(job, job.counter, result.messages)
    return _counted(result, counted, over=counted > job.budget)


async def _ask(job: Job, counter: Counter, messages: List[Message]) -> int:
    if not messages:
        return 0
    counted = counter(messages)
    if inspect.isawaitable(counted):
        if not job.may_wait:
            abandon(counted)
            raise InvalidInputError(
                "counter is asynchronous; call `await builder.abuild(...)` instead",
                path="counter",
            )
        counted = await counted
    return checked_tokens(counted, "counter(...)")


def _counted(result: BuildResult, counted: int, *, over: bool) -> BuildResult:
    exact = copy.copy(result)
    exact.total_tokens, exact.approximate = counted, False
    estimated = {"estimated_tokens": result.total_tokens, "over_budget": over}
    exact.metadata = {**result.metadata, **estimated}
    return exact


async def _attempt(job: Job) -> BuildResult:
    with blaming_input(job.messages, job.tools):
        request = _request(job, _history(job))
        plan = await make_plan(request, job.strategy, job.max_tokens)
        if plan.infeasible:
            logger.warning(
                "the prompt is empty: the pinned messages and a shortened newest turn "
                "do not fit %d tokens",
                job.max_tokens,
            )
        return _result(job, request, plan)


def _result(job: Job, request: Request, plan: Plan) -> BuildResult:
    prompt = prompt_of(plan, request, job.post_filter)
    total = plan.tokens(request.frame)
    if job.post_filter is not None or plan.summary is not None:
        total = job.accounting.prompt(prompt.messages, job.tools, job.tool_choice)
    result = BuildResult(
        messages=prompt.messages,
        total_tokens=total,
        approximate=job.accounting.is_approximate(prompt.messages),
        strategy_used=job.strategy_name,
        metadata={
            **prompt.metadata,
            "over_budget": total > job.budget,
            **_cached(job, prompt.messages),
        },
    )
    # It holds nothing of the request: there is the result before, and that one's.
    explainer = Explainer(request.history.messages, prompt.fates, request.cost)
    return result.explained_by(explainer)


def _history(job: Job) -> History:
    messages, wanted = job.messages, job.pre_filter
    # What the caller does to a list later changes nothing; a tuple is not copied.
    if wanted is not None:
        # No filter(): it would take a StopIteration of the caller's for the end.
        offered = tuple([message for message in messages if wanted(message)])
    else:
        offered = tuple(messages)
    # A filter that takes the results of a call away does not make it an open one.
    open_end = wanted is None or offered[-1:] == tuple(messages[-1:])
    pin = checked_pin(job.options)
    return History(offered, job.accounting.message, pin, open_end=open_end)


def _request(job: Job, history: History) -> Request:
    accounting = job.accounting
    pinned = [message for group in history.pinned for message in group.messages]
    frame = accounting.frame(pinned, job.tools, job.tool_choice)
    room = job.budget - frame - sum(group.tokens for group in history.pinned)
    return Request(
        history,
        job.budget,
        frame,
        room,
        job.options,
        accounting.message,
        accounting.count,
        job.may_wait,
        job.kept,
    )


def _cached(job: Job, messages: Sequence[Message]) -> Dict[str, Any]:
    previous = previous_messages(job.options)
    if previous is None:
        return {}
    costs = [job.accounting.message(message) for message in messages]
    return {"cached_tokens": cached_tokens(messages, previous, costs)}
