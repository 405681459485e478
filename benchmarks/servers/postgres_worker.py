"""Be the process that measures one system: python -m ... TASK.

For every line that comes in, it measures once more and prints the figures.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from itertools import islice
from typing import Any, Callable, Dict, List

from benchmarks.servers.systems.postgres_base import System, make
from benchmarks.storage import payload

_LAST = 20


async def prepare(system: System, task: Dict[str, Any]) -> None:
    """Fill the sessions that are loaded."""
    turns = list(islice(payload.turns(), task["turns"]))

    async def fill(session_id: str) -> None:
        for turn in turns:
            await system.append(session_id, system.native(turn))

    await asyncio.gather(*(fill(f"full {n}") for n in range(task["tasks"])))


async def measure(system: System, task: Dict[str, Any], number: int) -> Dict[str, Any]:
    """Append, and then load, from many tasks for a while; return calls a second."""
    natives = [system.native(turn) for turn in islice(payload.turns(), 64)]

    async def append(worker: int, count: int) -> None:
        native = natives[(worker + count) % len(natives)]
        await system.append(f"new {worker} {number}", native)

    async def load(worker: int, count: int) -> None:
        assert len(await system.load(f"full {worker}", _LAST)) == _LAST

    return {
        "appends/s": await _rate(append, task["tasks"], task["seconds"]),
        "loads/s": await _rate(load, task["tasks"], task["seconds"]),
    }


async def _rate(call: Callable[[int, int], Any], tasks: int, seconds: float) -> float:
    start = time.perf_counter()
    end = start + seconds

    async def work(worker: int) -> int:
        count = 0
        while time.perf_counter() < end:
            await call(worker, count)
            count += 1
        return count

    counts: List[int] = await asyncio.gather(*map(work, range(tasks)))
    return sum(counts) / (time.perf_counter() - start)


async def once(system: System, task: Dict[str, Any]) -> None:
    """Do one thing alone, so that its round trips can be counted."""
    (turn,) = islice(payload.turns(), 1)
    if task["what"] == "append":
        await system.append("full 0", system.native(turn))
    else:
        await system.load("full 0", _LAST)


async def serve(task: Dict[str, Any]) -> None:
    """Answer each line that comes in."""
    system = make(task["system"], task["dsn"])
    await system.open()
    loop = asyncio.get_running_loop()
    number = 0
    while True:
        line = await loop.run_in_executor(None, sys.stdin.readline)
        if not line:
            break
        number += 1
        if task["measure"] == "prepare":
            await prepare(system, task)
            answer: Dict[str, Any] = {}
        elif task["measure"] == "once":
            await once(system, task)
            answer = {}
        else:
            answer = await measure(system, task, number)
        print(json.dumps(answer), flush=True)
    await system.close()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))
