"""What a lane promises: own replies, in order, and no caller left waiting."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import Any, Deque, List, Optional, Sequence

import pytest

from contextstore.backends.redis.lanes import Command, Lane


class Echo:
    """A carrier that answers each command with itself, and fails when told to."""

    depth = 2

    def __init__(self) -> None:
        self.sent: List[int] = []
        self.most_due = 0
        self.fails_at: Optional[str] = None
        self.may_answer = threading.Event()
        self.may_answer.set()
        self._due: Deque[Sequence[Command]] = deque()

    def send(self, commands: Sequence[Command]) -> None:
        self._fail_at("send")
        self.sent.append(len(commands))
        self._due.append(commands)
        self.most_due = max(self.most_due, len(self._due))

    def receive(self) -> List[Any]:
        assert self.may_answer.wait(10)
        self._fail_at("receive")
        return [command[0] for command in self._due.popleft()]

    def exchange(self, commands: Sequence[Command]) -> List[Any]:
        return [command[0] for command in commands]

    def _fail_at(self, what: str) -> None:
        if self.fails_at == what:
            self.fails_at = None
            self._due.clear()
            raise ConnectionResetError(what)


@pytest.fixture
def carrier() -> Echo:
    return Echo()


@pytest.fixture
def lane(carrier: Echo) -> Any:
    lane = Lane(carrier.exchange, carrier, "test-lane")
    yield lane
    lane.close()


async def ask(lane: Lane, name: int, *, settle: bool = False) -> List[Any]:
    return await lane.ask([(name,), (-name,)], settle=settle)


def test_each_gets_its_own_replies_from_batches_of_a_fair_share(
    lane: Lane, carrier: Echo
) -> None:
    async def client(name: int) -> None:
        for count in range(50):
            number = name * 1000 + count
            assert await ask(lane, number) == [number, -number]

    async def work() -> None:
        await asyncio.gather(*(client(name) for name in range(1, 33)))

    asyncio.run(work())
    assert sum(carrier.sent) == 32 * 50 * 2
    assert carrier.most_due == 2
    # Of 32 callers none takes the round trip of all: the others are then served.
    assert max(carrier.sent) < 64
    assert len(carrier.sent) < 32 * 50


def test_a_lone_caller_and_one_without_a_loop_are_served(lane: Lane) -> None:
    assert asyncio.run(ask(lane, 7)) == [7, -7]
    coroutine = ask(lane, 8)
    with pytest.raises(StopIteration) as ended:
        coroutine.send(None)
    assert ended.value.value == [8, -8]


@pytest.mark.parametrize("where", ["send", "receive"])
def test_an_error_reaches_all_that_are_on_their_way_and_no_other(
    lane: Lane, carrier: Echo, where: str
) -> None:
    async def work() -> List[Any]:
        await ask(lane, 1)
        carrier.fails_at = where
        calls = [ask(lane, number) for number in range(1, 41)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert await ask(lane, 5) == [5, -5]
        return list(outcomes)

    outcomes = asyncio.run(work())
    failed = [one for one in outcomes if isinstance(one, ConnectionResetError)]
    assert 1 <= len(failed) <= 40
    for number, outcome in enumerate(outcomes, start=1):
        assert outcome in failed or outcome == [number, -number]


def test_what_was_withdrawn_in_the_queue_is_not_sent(lane: Lane, carrier: Echo) -> None:
    async def work() -> None:
        carrier.may_answer.clear()
        calls = [asyncio.create_task(ask(lane, n, settle=True)) for n in range(1, 200)]
        await asyncio.sleep(0.05)
        for call in calls[150:]:
            call.cancel()
        await asyncio.sleep(0.05)
        carrier.may_answer.set()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert outcomes[:150] == [[n, -n] for n in range(1, 151)]
        assert {type(one) for one in outcomes[150:]} == {asyncio.CancelledError}

    asyncio.run(work())
    assert 300 <= sum(carrier.sent) < 398


def test_what_is_queued_when_it_closes_is_still_done(carrier: Echo) -> None:
    lane = Lane(carrier.exchange, carrier, "test-lane")

    async def work() -> None:
        carrier.may_answer.clear()
        calls = [asyncio.create_task(ask(lane, number)) for number in range(1, 100)]
        await asyncio.sleep(0.05)
        lane.close()
        carrier.may_answer.set()
        assert await asyncio.gather(*calls) == [[n, -n] for n in range(1, 100)]
        with pytest.raises(ConnectionAbortedError):
            await ask(lane, 1)

    asyncio.run(work())
    for thread in threading.enumerate():
        if thread.name == "test-lane":
            thread.join(5)
            assert not thread.is_alive()


def test_what_nobody_waits_for_is_told_of_its_end(lane: Lane, carrier: Echo) -> None:
    done = lane.post([("one",)])
    done.result(10)
    carrier.fails_at = "receive"
    lane.post([("two",)]).result(10)
    assert carrier.sent == [1, 1]
