"""Compare builders of prompts: time, budget kept, validity, cacheable share.

    make vocab
    .venv/bin/python -m benchmarks.context [--seconds 2] [--write]

Each system runs in an environment and a process of its own. Budgets and validity are
judged here, by this library's own counts and its independent validator. With --write
the tables of docs/context.md are written anew. Of the measures, ``times`` and ``chats``
compare; ``scaling`` and ``invariants`` are programs of their own, for this library.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Sequence

from benchmarks.common.document import table, write_section
from benchmarks.common.environments import ROOT, provide
from benchmarks.common.processes import Worker

os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(ROOT / ".cache" / "vocab"))

from benchmarks.context.histories import conversation
from benchmarks.context.judge import Reuse, faults, reuse, share_of
from benchmarks.context.systems import OURS, SYSTEMS, System

MEASURES = ("times", "chats", "scaling", "invariants")
SIZES = ((1_000, 4_000), (10_000, 4_000), (1_000, 32_000))
BUDGETS = (4_000, 8_000, 16_000)
TURNS = 300
LONGEST_SECONDS = 15.0
LONGEST_CHAT_SECONDS = 120.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--systems", nargs="*", help="names of modules in trimmers/")
    parser.add_argument("--measures", nargs="*", choices=MEASURES, default=MEASURES)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    chosen = [s for s in SYSTEMS if not options.systems or s.module in options.systems]
    tables = {"times": lambda: _times(pythons, options.seconds)}
    tables["chats"] = lambda: _chats(pythons)
    if not tables.keys().isdisjoint(options.measures):
        pythons = {system: _python(system) for system in chosen}
    for name in options.measures:
        if name in tables:
            _tell(name, tables[name](), write=options.write)
        else:
            module = f"benchmarks.context.{name}"
            subprocess.run([sys.executable, "-m", module], cwd=ROOT, check=True)


def _tell(name: str, text: str, *, write: bool) -> None:
    print(f"\n{text}", flush=True)
    if write:
        write_section(name, text, ROOT / "docs" / "context.md")


def _python(system: System) -> Path:
    if system.peer is None:
        return Path(sys.executable)
    peers = json.loads(Path(__file__).with_name("peers.json").read_text())
    return provide(f"context-{system.peer.replace(' ', '-')}", peers[system.peer])


def _ask(python: Path, task: Dict[str, Any], timeout: float) -> Dict[str, Any]:
    worker = Worker(python, "benchmarks.context.worker", task, timeout=timeout)
    try:
        return worker.ask()
    finally:
        worker.close()


def _times(pythons: Dict[System, Path], seconds: float) -> str:
    """Return a table of the times of a build."""
    rows = {system: [system.label] for system in pythons}
    too_slow: List[System] = []
    for messages, budget in SIZES:
        history = conversation(messages)
        for system, python in pythons.items():
            if system in too_slow:
                rows[system].append("not tried")
                continue
            task = {"system": system.module, "measure": "time", "messages": messages}
            task.update(budget=budget, seconds=seconds)
            answer = _ask(python, task, LONGEST_SECONDS)
            if "prompt" not in answer:
                too_slow.append(system)
            rows[system].append(_timing(answer, history, budget))
            print(f"{messages} {budget} {' | '.join(rows[system])}", flush=True)
    header = ["", *(f"{m:,} messages, {b:,} tokens" for m, b in SIZES)]
    return table(header, rows.values())


def _timing(answer: Dict[str, Any], history: List[Any], budget: int) -> str:
    if "prompt" not in answer:
        return _no_answer(answer)
    prompt = answer["prompt"]
    found = faults(prompt, budget, history)
    verdict = "**" + ", ".join(found) + "**" if found else "no fault"
    return f"{answer['least_ms']:,.2f} ms; {share_of(prompt, budget):.0%}; {verdict}"


def _chats(pythons: Dict[System, Path]) -> str:
    """Return a table of what the prompts of a chat share."""
    rows = {system: [system.label] for system in pythons}
    too_slow: List[System] = []
    for budget in BUDGETS:
        tokens_to_the_brim = 0.0
        for system, python in pythons.items():
            if system in too_slow:
                rows[system].append("not tried")
                continue
            task = {"system": system.module, "measure": "chat", "turns": TURNS}
            answer = _ask(python, {**task, "budget": budget}, LONGEST_CHAT_SECONDS)
            if "prompts" in answer:
                shared = reuse(answer["prompts"], budget)
                if system == OURS:
                    tokens_to_the_brim = shared.tokens
                rows[system].append(_sharing(shared, tokens_to_the_brim))
            else:
                too_slow.append(system)
                rows[system].append(_no_answer(answer))
            print(f"{budget} {' | '.join(rows[system])}", flush=True)
    header: Sequence[str] = ["", *(f"{budget:,} tokens" for budget in BUDGETS)]
    return table(header, rows.values())


def _no_answer(answer: Dict[str, Any]) -> str:
    return str(answer["error"])


def _sharing(shared: Reuse, tokens_to_the_brim: float) -> str:
    kept = f"{shared.tokens:,.0f} tokens"
    if tokens_to_the_brim:
        kept = f"{kept} ({shared.tokens / tokens_to_the_brim:.0%})"
    bad = f"**{shared.faulty} prompts with faults**" if shared.faulty else "no fault"
    return f"{shared.share:.0%} of {kept}; {bad}"


if __name__ == "__main__":
    main()
