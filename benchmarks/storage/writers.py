"""Let many async writers append at once, and watch how long the loop is held up."""

from __future__ import annotations

import asyncio
import inspect
import time
from itertools import islice
from typing import Any, Dict, List, Sequence, Tuple

from benchmarks.storage import payload
from benchmarks.storage.systems.base import System

_TICK = 0.001


async def write_concurrently(
    system: System, writers: int, seconds: float
) -> Dict[str, float]:
    """Return turns a second, errors, and how late a task that ticks was called.

    Every writer has a session of its own and starts its next turn when the last one
    was acknowledged.
    """
    natives = [system.native(turn) for turn in islice(payload.turns(), 256)]
    for number in range(writers):
        await _appended(system, f"session {number}", natives[0])
    delays: List[float] = []
    ticker = asyncio.ensure_future(_tick(delays))
    await asyncio.sleep(0.05)
    delays.clear()
    start = time.perf_counter()
    done = await asyncio.gather(
        *(_write(system, number, natives, start + seconds) for number in range(writers))
    )
    elapsed = time.perf_counter() - start
    ticker.cancel()
    delays.sort()
    return {
        "turns a second": sum(turns for turns, _ in done) / elapsed,
        "stall": delays[int(0.99 * len(delays))] * 1e3,
        "errors": sum(errors for _, errors in done),
    }


async def append_together(
    system: System, batches: Sequence[Sequence[Tuple[str, Any]]]
) -> None:
    """Append turns to sessions, those of a batch at the same time."""
    for batch in batches:
        await asyncio.gather(*(system.append(*placed) for placed in batch))


async def _write(
    system: System, number: int, natives: List[Any], deadline: float
) -> Tuple[int, int]:
    turns = errors = 0
    while time.perf_counter() < deadline:
        native = natives[(number + turns) % len(natives)]
        try:
            await _appended(system, f"session {number}", native)
            turns += 1
        except Exception:
            errors += 1
        # A system that never suspends would otherwise let one writer do all its turns.
        await asyncio.sleep(0)
    return turns, errors


async def _appended(system: System, session_id: str, native: Any) -> None:
    result = system.append(session_id, native)
    if inspect.isawaitable(result):
        await result


async def _tick(delays: List[float]) -> None:
    while True:
        start = time.perf_counter()
        await asyncio.sleep(_TICK)
        delays.append(time.perf_counter() - start - _TICK)
