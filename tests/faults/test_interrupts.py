"""An interrupt between two steps leaves nothing that waits for ever."""

from __future__ import annotations

import asyncio
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from contextstore import SQLiteMemory
from tests.backends.children import run


class InterruptedOnce:
    """Be a queue whose first put is interrupted."""

    def __init__(self, queue: SimpleQueue[bool]) -> None:
        self.queue = queue
        self.interrupts = 1

    def put(self, item: bool) -> None:
        if self.interrupts:
            self.interrupts -= 1
            raise KeyboardInterrupt
        self.queue.put(item)

    def get(self) -> bool:
        return self.queue.get()


def test_the_writer_is_called_again_after_an_interrupt(tmp_path: Path) -> None:
    memory = SQLiteMemory(tmp_path / "chat.db")
    memory.sync.save_context("s", [])
    writer: Any = memory._lease.engine.writer
    writer._calls = InterruptedOnce(writer._calls)

    async def append(message_id: str) -> None:
        # Without the mend this would wait for ever.
        await asyncio.wait_for(memory.append_context("s", [{"id": message_id}]), 20)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(append("1"))
    asyncio.run(append("2"))
    assert "2" in [message["id"] for message in memory.sync.load_context("s")]
    memory.sync.close()


INTERRUPTED_WAKING = """
import asyncio, faulthandler, os, signal, sys
from contextstore import SQLiteMemory, _hop
faulthandler.dump_traceback_later(60, exit=True)
signal.signal(signal.SIGINT, signal.default_int_handler)
resolve, woken = _hop.Ticket.resolve, []
def resolve_and_interrupt(ticket):
    woken.append(ticket)
    if 30 <= len(woken) < 30 + int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGINT)
    resolve(ticket)
_hop.Ticket.resolve = resolve_and_interrupt
memory = SQLiteMemory(sys.argv[1])
memory.sync.save_context("s", [])
async def append():
    while True:
        await memory.append_context("s", [{"role": "user"}])
async def main():
    await asyncio.gather(*(append() for _ in range(20)))
try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted")
"""


# From Python 3.11 on, the first Ctrl-C cancels and only the second one interrupts.
@pytest.mark.parametrize("interrupts", [1, 2, 3])
def test_an_interrupt_while_callers_are_woken_leaves_none_waiting(
    interrupts: int, tmp_path: Path
) -> None:
    code, printed = run(INTERRUPTED_WAKING, tmp_path / "chat.db", interrupts)
    # A third one may hit asyncio as it ends, which then tells of its own task.
    assert (code, "interrupted" in printed.splitlines()) == (0, True), printed
