"""What several callers want done at once is done by one of them."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import warnings
from typing import List

import pytest

from contextstore import _hop
from contextstore._flights import Flights
from contextstore._hop import drive


def futures_held() -> int:
    gc.collect()
    return sum(isinstance(one, asyncio.Future) for one in gc.get_objects())


async def fly(flights: Flights, done: List[str], name: str = "me") -> None:
    async with flights.of("s", ["a"]):
        done.append(name)


class TestFlights:
    def test_waiters_that_gave_up_leave_nothing_behind(self) -> None:
        async def main() -> None:
            flights, done = Flights(), []  # type: ignore[var-annotated]
            async with flights.of("s", ["a"]):
                before = futures_held()
                for _ in range(20):
                    with pytest.raises(asyncio.TimeoutError):
                        await asyncio.wait_for(fly(flights, done), 0.001)
                assert futures_held() - before < 5
            await fly(flights, done)
            assert done == ["me"]

        asyncio.run(main())

    def test_who_waits_in_a_loop_or_a_thread_goes_on_at_the_end(self) -> None:
        flights, done = Flights(), []  # type: ignore[var-annotated]

        def in_thread() -> None:
            asyncio.run(fly(flights, done, "loop"))

        def without_loop() -> None:
            with pytest.raises(StopIteration):
                fly(flights, done, "thread").send(None)

        threads = [threading.Thread(target=one) for one in (in_thread, without_loop)]

        async def main() -> None:
            async with flights.of("s", ["a"]):
                for thread in threads:
                    thread.start()
                await asyncio.sleep(0.02)
                assert done == []
            for thread in threads:
                await asyncio.get_running_loop().run_in_executor(None, thread.join)

        asyncio.run(main())
        assert sorted(done) == ["loop", "thread"]

    @pytest.mark.parametrize("waits_before", [False, True])
    def test_a_loop_that_stands_still_is_not_waited_for(
        self, waits_before: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_hop, "_GLANCE", 0.01)
        flights, loop = Flights(), asyncio.new_event_loop()
        done: List[str] = []

        async def slowly() -> None:
            async with flights.of("s", ["a"]):
                await asyncio.sleep(0.05)
                done.append("stranded")

        other = threading.Thread(target=lambda: drive(fly(flights, done, "other")))
        task = loop.create_task(slowly())
        loop.run_until_complete(asyncio.sleep(0))
        if waits_before:
            loop.call_soon(other.start)
            loop.run_until_complete(asyncio.sleep(0.02))
        else:
            other.start()
        other.join(20)
        assert done == ["other"]
        loop.run_until_complete(task)
        loop.close()
        assert done == ["other", "stranded"]

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")
    def test_a_child_forked_in_a_flight_ends_it_without_the_parent(self) -> None:
        flights, parent = Flights(), os.getpid()

        async def fork() -> int:
            async with flights.of("s", ["a"]):
                with warnings.catch_warnings():
                    # Python 3.12 warns of forks of processes with threads.
                    warnings.simplefilter("ignore", DeprecationWarning)
                    child = os.fork()
            await fly(flights, [])
            return child

        try:
            child = drive(fork())
        finally:
            if os.getpid() != parent:
                os._exit(sys.exc_info()[0] is not None)
        _, status = os.waitpid(child, 0)
        assert status == 0
