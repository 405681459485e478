"""Compare builders of prompts: time, budget kept, validity, cacheable share.

    make vocab
    .venv/bin/python -m benchmarks.context [--seconds 2]

Each system runs in an environment and a process of its own. Budgets and validity are
judged here, by this library's own counts and its independent validator.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any, Dict, List

from benchmarks.common.environments import ROOT, provide
from benchmarks.common.processes import Worker
from benchmarks.context.trimmers import MODEL
from contextstore import ContextBuilder
from contextstore.context import to_openai, validate

Message = Dict[str, Any]

SIZES = ((1_000, 4_000), (10_000, 4_000), (1_000, 32_000))
BUDGETS = (4_000, 8_000, 16_000)
LONGEST_SECONDS = 60.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--systems", nargs="*")
    options = parser.parse_args()
    os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(ROOT / ".cache" / "vocab"))
    pythons = _pythons(options.systems)
    builder = ContextBuilder.from_model(MODEL)
    for messages, budget in SIZES:
        print(f"\n{messages} messages, {budget} tokens")
        for system, python in pythons.items():
            task = {"system": system, "measure": "time", "messages": messages}
            task.update(budget=budget, seconds=options.seconds)
            answer = _ask(python, task)
            print(f"  {system:20} {_timing(answer, builder, budget)}", flush=True)
    for budget in BUDGETS:
        print(f"\nchat of 300 turns, {budget} tokens")
        for system, python in pythons.items():
            task = {"system": system, "measure": "chat", "turns": 300}
            answer = _ask(python, {**task, "budget": budget})
            print(f"  {system:20} {_reuse(answer, builder, budget)}", flush=True)


def _pythons(chosen: Any) -> Dict[str, Path]:
    peers = json.loads(Path(__file__).with_name("peers.json").read_text())
    ours = Path(sys.executable)
    pythons = {"ours": ours, "ours, headroom 0.5": ours}
    for name, requirements in peers.items():
        if not chosen or name in chosen:
            folder = name.replace(" ", "-")
            pythons[name] = provide(f"context-{folder}", requirements)
    return pythons


def _ask(python: Path, task: Dict[str, Any]) -> Dict[str, Any]:
    worker = Worker(python, "benchmarks.context.worker", task, timeout=LONGEST_SECONDS)
    try:
        return worker.ask()
    finally:
        worker.close()


def _timing(answer: Dict[str, Any], builder: ContextBuilder, budget: int) -> str:
    if "prompt" not in answer:
        return f"no answer within {LONGEST_SECONDS:.0f} s, or an error"
    return (
        f"{answer['ms']:10.3f} ms (least {answer['least_ms']:.3f}); "
        f"{_judge(answer['prompt'], builder, budget)}"
    )


def _judge(prompt: List[Message], builder: ContextBuilder, budget: int) -> str:
    faults: List[str] = []
    share = builder.count(prompt) / budget
    if share > 1:
        faults.append(f"{share:.0%} of the budget")
    if not any(message["role"] == "system" for message in prompt):
        faults.append("system message lost")
    if validate(to_openai(prompt), "openai"):
        faults.append("refused by OpenAI")
    return ", ".join(faults) or f"fine, {share:.0%} of the budget"


def _reuse(answer: Dict[str, Any], builder: ContextBuilder, budget: int) -> str:
    if "prompts" not in answer:
        return f"no answer within {LONGEST_SECONDS:.0f} s, or an error"
    prompts = answer["prompts"]
    total = reused = bad = 0
    for before, after in zip(prompts, prompts[1:]):
        same = 0
        while same < min(len(before), len(after)) and before[same] == after[same]:
            same += 1
        reused += builder.count(after[:same])
        total += builder.count(after)
        bad += not _judge(after, builder, budget).startswith("fine")
    tokens = total / max(1, len(prompts) - 1)
    return f"{reused / total:6.1%} reusable, {tokens:6.0f} tokens, {bad} with faults"


if __name__ == "__main__":
    main()
