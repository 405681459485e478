"""Where sync meets async: driving, hopping to threads, the portal, cancelling."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import time
from typing import Any, Generator, List

import pytest

from contextstore import _hop
from contextstore._hop import Ticket, Worker, call, drive, portal, reach, wait
from contextstore.errors import AsyncContextError, ConfigurationError
from tests.backends.children import run


async def answer(value: int = 42) -> int:
    return value


async def suspended() -> int:
    await asyncio.sleep(0)
    return 42


async def failing() -> None:
    raise KeyError("own")


class TestDrive:
    def test_a_coroutine_runs_to_its_end_in_this_thread(self) -> None:
        async def where() -> int:
            await answer()
            return threading.get_ident()

        assert drive(where()) == threading.get_ident()

    def test_its_error_is_raised(self) -> None:
        with pytest.raises(KeyError, match="own"):
            drive(failing())
        with pytest.raises(KeyError, match="own"):
            drive(failing(), inline=False)

    def test_what_is_foreign_runs_on_the_portal(self) -> None:
        assert drive(suspended(), inline=False) == 42

    def test_what_suspends_must_not_claim_to_run_inline(self) -> None:
        closed: List[bool] = []

        async def claims() -> None:
            try:
                await asyncio.sleep(0)
            finally:
                closed.append(True)

        with pytest.raises(ConfigurationError, match=r"claims\(\).*runs_inline"):
            drive(claims())
        assert closed == [True]

    def test_in_a_running_loop_it_says_what_to_write(self) -> None:
        async def main() -> None:
            for inline in (True, False):
                with pytest.raises(AsyncContextError, match=r"await \.\.\.answer\("):
                    drive(answer(), inline=inline)

        asyncio.run(main())
        # A coroutine that was never awaited would warn here.
        gc.collect()

    def test_any_awaitable_will_do(self) -> None:
        class Ready:
            def __await__(self) -> Generator[Any, None, int]:
                return 7
                yield

        class Suspends:
            def __await__(self) -> Generator[Any, None, int]:
                yield
                return 7

        assert drive(Ready()) == 7
        with pytest.raises(ConfigurationError, match="method"):
            drive(Suspends())


class TestWaitAndReach:
    def test_without_a_loop_it_goes_to_the_portal(self) -> None:
        async def thread() -> str:
            await asyncio.sleep(0)
            return threading.current_thread().name

        assert drive(wait(thread())) == "contextstore-portal"

    def test_in_a_loop_it_is_awaited_on_the_spot(self) -> None:
        async def main() -> bool:
            loop = asyncio.get_running_loop()

            async def here() -> Any:
                await asyncio.sleep(0)
                return asyncio.get_running_loop()

            return await wait(here()) is loop

        assert asyncio.run(main())

    def test_the_owner_says_which(self) -> None:
        class Inline:
            runs_inline = True

        class Foreign:
            runs_inline = False

        async def thread() -> str:
            return threading.current_thread().name

        name = threading.current_thread().name
        assert drive(reach(Inline(), thread())) == name
        assert drive(reach(Foreign(), thread())) == "contextstore-portal"

    def test_many_threads_share_the_portal(self) -> None:
        results: List[int] = []

        def work() -> None:
            results.extend(drive(suspended(), inline=False) for _ in range(20))

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [42] * 120

    def test_an_interrupted_wait_cancels_the_work(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Interrupted:
            cancelled = False

            def result(self) -> None:
                raise KeyboardInterrupt

            def cancel(self) -> None:
                self.cancelled = True

        future = Interrupted()
        monkeypatch.setattr(portal, "submit", lambda awaitable: future)
        with pytest.raises(KeyboardInterrupt):
            portal.run(object())  # type: ignore[arg-type]
        assert future.cancelled


class TestCall:
    def test_without_a_loop_it_is_a_plain_call(self) -> None:
        assert drive(call(threading.get_ident)) == threading.get_ident()

    def test_in_a_loop_it_does_not_stall_it(self) -> None:
        async def main() -> List[str]:
            order: List[str] = []
            gate = threading.Event()

            def blocking(word: str) -> str:
                assert gate.wait(10)
                return word

            async def opens() -> None:
                order.append("loop runs")
                gate.set()

            result, _ = await asyncio.gather(call(blocking, "done"), opens())
            return [*order, result]

        assert asyncio.run(main()) == ["loop runs", "done"]

    def test_its_error_is_raised(self) -> None:
        def fails() -> None:
            raise KeyError("own")

        with pytest.raises(KeyError, match="own"):
            asyncio.run(call(fails))

    def test_it_sees_the_callers_context(self) -> None:
        variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")

        async def main() -> str:
            variable.set("seen")
            return await call(variable.get)

        assert asyncio.run(main()) == "seen"

    def test_stop_iteration_does_not_hang_the_caller(self) -> None:
        def stops() -> None:
            raise StopIteration

        with pytest.raises(RuntimeError) as caught:
            asyncio.run(call(stops))
        assert isinstance(caught.value.__cause__, StopIteration)

    def test_a_system_exit_reaches_the_caller(self) -> None:
        def leaves() -> None:
            raise SystemExit(3)

        with pytest.raises(SystemExit):
            asyncio.run(call(leaves))

    def test_a_cancelled_caller_leaves_at_once(self) -> None:
        gate = threading.Event()

        async def main() -> None:
            task = asyncio.ensure_future(call(gate.wait, 10))
            await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(main())
        gate.set()


class TestTicket:
    def test_it_is_claimed_once(self) -> None:
        async def main() -> None:
            ticket = Ticket(lambda: 1, asyncio.get_running_loop())
            assert ticket.begin()
            assert not ticket.begin()

        asyncio.run(main())

    def test_cancelled_before_it_begins_it_is_withdrawn(self) -> None:
        async def main() -> None:
            for waiting in (Ticket.outcome, Ticket.settled_outcome):
                ticket = Ticket(lambda: 1, asyncio.get_running_loop())
                task = asyncio.ensure_future(waiting(ticket))
                await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert not ticket.begin()

        asyncio.run(main())

    @pytest.mark.parametrize("error", [None, KeyError("own")])
    def test_cancelled_after_it_began_it_is_waited_for(self, error: Any) -> None:
        async def main() -> None:
            ticket = Ticket(lambda: 1, asyncio.get_running_loop())
            task = asyncio.ensure_future(ticket.settled_outcome())
            assert ticket.begin()
            for _ in range(3):
                await asyncio.sleep(0)
                task.cancel()
            await asyncio.sleep(0)
            assert not task.done()
            ticket.run()
            ticket.error = error
            _hop.deliver([ticket])
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(main())

    def test_cancelled_when_it_is_done_it_is_not_waited_for(self) -> None:
        async def main() -> None:
            ticket = Ticket(lambda: 1, asyncio.get_running_loop())
            task = asyncio.ensure_future(ticket.settled_outcome())
            await asyncio.sleep(0)
            assert ticket.begin()
            ticket.run()
            ticket.resolve()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(main())

    def test_a_closed_loop_is_passed_over(self) -> None:
        closed, opened = asyncio.new_event_loop(), asyncio.new_event_loop()
        tickets = [Ticket(lambda: 1, closed), Ticket(lambda: 2, opened)]
        closed.close()
        for ticket in tickets:
            assert ticket.begin()
            ticket.run()
        _hop.deliver(tickets)
        assert opened.run_until_complete(tickets[1].outcome()) == 2
        opened.close()


class TestWorker:
    def test_it_does_one_after_the_other(self) -> None:
        worker = Worker("test-worker")
        order: List[int] = []

        def work(number: int) -> str:
            time.sleep(0.001 * (5 - number))
            order.append(number)
            return threading.current_thread().name

        async def main() -> List[str]:
            return await asyncio.gather(*(worker.call(work, n) for n in range(5)))

        assert asyncio.run(main()) == ["test-worker"] * 5
        assert order == [0, 1, 2, 3, 4]
        worker.close()

    def test_without_a_loop_it_is_a_plain_call(self) -> None:
        worker = Worker("test-worker")
        assert drive(worker.call(threading.get_ident)) == threading.get_ident()
        worker.close()

    def test_it_ends_and_can_begin_again(self) -> None:
        worker = Worker("test-worker")
        for _ in range(2):
            name = asyncio.run(worker.call(lambda: threading.current_thread().name))
            assert name == "test-worker"
            (thread,) = [t for t in threading.enumerate() if t.name == "test-worker"]
            worker.close()
            worker.close()
            thread.join(10)
            assert not thread.is_alive()


FORK = """
import asyncio, gc, os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of forks with threads
from contextstore._hop import Worker, drive
async def slow():
    await asyncio.sleep(0)
    return os.getpid()
worker = Worker("w")
assert drive(slow(), inline=False) == os.getpid()
assert asyncio.run(worker.call(os.getpid)) == os.getpid()
child = os.fork()
if child == 0:
    code = 1
    try:
        assert drive(slow(), inline=False) == os.getpid()
        assert asyncio.run(worker.call(os.getpid)) == os.getpid()
        gc.collect()
        code = 0
    finally:
        sys.stderr.flush()
        os._exit(code)
assert os.waitpid(child, 0)[1] == 0
assert drive(slow(), inline=False) == os.getpid()
print("done")
"""


def test_a_forked_child_has_threads_of_its_own() -> None:
    assert run(FORK) == (0, "done\n")
