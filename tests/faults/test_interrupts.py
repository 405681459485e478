"""An interrupt between two steps leaves nothing that waits for ever."""

from __future__ import annotations

import asyncio
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from contextstore import SQLiteMemory


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
