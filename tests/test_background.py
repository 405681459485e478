"""Work beside the caller: waited for from anywhere, and no failure is lost."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import threading
from typing import List

import pytest

from contextstore import _hop
from contextstore._background import BackgroundWork
from contextstore._hop import drive
from contextstore.errors import EmbeddingError


def test_without_a_loop_it_runs_on_the_portal() -> None:
    background = BackgroundWork()
    names: List[str] = []

    async def work() -> None:
        await asyncio.sleep(0)
        names.append(threading.current_thread().name)

    handle = background.start(work())
    assert isinstance(handle, concurrent.futures.Future)
    assert drive(background.wait()) == []
    assert names == ["contextstore-portal"]
    assert handle.done()


def test_in_a_loop_it_is_a_task_of_it() -> None:
    background = BackgroundWork()

    async def main() -> None:
        done: List[int] = []

        async def work(number: int) -> None:
            await asyncio.sleep(0.001)
            done.append(number)

        handles = [background.start(work(number)) for number in range(3)]
        assert all(isinstance(handle, asyncio.Task) for handle in handles)
        assert done == []
        del handles
        gc.collect()
        assert await background.wait() == []
        assert sorted(done) == [0, 1, 2]

    asyncio.run(main())


def test_failures_are_handed_out_once() -> None:
    background = BackgroundWork()

    async def fails(number: int) -> None:
        raise KeyError(number)

    async def main() -> None:
        for number in range(2):
            background.start(fails(number))
        assert [str(failure) for failure in await background.wait()] == ["0", "1"]
        assert await background.wait() == []

    asyncio.run(main())
    background.start(fails(7))
    (failure,) = drive(background.wait())
    assert isinstance(failure, KeyError)
    background.report(failure)
    assert drive(background.wait()) == [failure]
    assert drive(background.wait()) == []


def test_what_its_loop_left_behind_is_a_failure() -> None:
    background = BackgroundWork()

    async def never() -> None:
        await asyncio.sleep(3600)

    async def main() -> None:
        background.start(never())

    asyncio.run(main())
    (failure,) = drive(background.wait())
    assert isinstance(failure, EmbeddingError)


def test_a_loop_that_stands_still_is_not_waited_for() -> None:
    background = BackgroundWork()

    async def never() -> None:
        await asyncio.sleep(3600)

    async def main() -> None:
        background.start(never())

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    (failure,) = drive(background.wait())
    assert isinstance(failure, EmbeddingError)
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.close()
    assert drive(background.wait()) == []


def test_a_loop_that_stops_while_it_is_waited_for_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_hop, "_GLANCE", 0.01)
    background, loop = BackgroundWork(), asyncio.new_event_loop()
    started = threading.Event()

    async def never() -> None:
        started.set()
        await asyncio.sleep(3600)

    async def main() -> None:
        await asyncio.wait([background.start(never())])  # type: ignore[type-var]

    def run() -> None:
        with pytest.raises(RuntimeError, match="stopped before"):
            loop.run_until_complete(main())

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(10)
    threading.Timer(0.05, lambda: loop.call_soon_threadsafe(loop.stop)).start()
    (failure,) = asyncio.run(asyncio.wait_for(background.wait(), 10.0))
    assert isinstance(failure, EmbeddingError)
    thread.join()
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.close()


def test_what_ended_with_the_last_step_of_its_loop_is_not_waited_for() -> None:
    background, loop = BackgroundWork(), asyncio.new_event_loop()

    async def main() -> None:
        released = loop.create_future()

        async def work() -> None:
            await released

        background.start(work())
        await asyncio.sleep(0)
        released.set_result(None)

    loop.run_until_complete(main())
    loop.close()
    waiting = asyncio.wait_for(background.wait(), 10.0)
    assert asyncio.run(waiting) == []


def test_work_of_one_loop_is_waited_for_in_another() -> None:
    background = BackgroundWork()
    started, release = threading.Event(), threading.Event()

    async def main() -> None:
        async def work() -> None:
            while not release.is_set():
                await asyncio.sleep(0.001)

        handle = background.start(work())
        started.set()
        assert isinstance(handle, asyncio.Task)
        await handle

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    assert started.wait(10)

    async def wait_here() -> List[BaseException]:
        asyncio.get_running_loop().call_later(0.01, release.set)
        return await background.wait()

    assert asyncio.run(wait_here()) == []
    thread.join()


def test_a_cancelled_wait_cancels_nobody_elses() -> None:
    background = BackgroundWork()

    async def main() -> None:
        gate = asyncio.Event()

        async def work() -> None:
            await gate.wait()

        handle = background.start(work())
        first = asyncio.ensure_future(background.wait())
        second = asyncio.ensure_future(background.wait())
        await asyncio.sleep(0.001)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert not handle.cancelled()
        gate.set()
        assert await second == []
        assert not handle.cancelled()

    asyncio.run(main())


def test_waits_that_were_given_up_leave_nothing_behind() -> None:
    background = BackgroundWork()

    def futures_held() -> int:
        gc.collect()
        return sum(isinstance(one, asyncio.Future) for one in gc.get_objects())

    async def main() -> None:
        go_on = asyncio.Event()

        async def work() -> None:
            await go_on.wait()

        background.start(work())
        before = futures_held()
        for _ in range(20):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(background.wait(), 0.001)
        assert futures_held() - before < 5
        go_on.set()
        assert await background.wait() == []

    asyncio.run(main())
