"""Run the measures: which variants, with how much data, for how long."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Sequence

from benchmarks.common import processes
from benchmarks.common.environments import ROOT
from benchmarks.common.processes import Result, Worker
from benchmarks.storage import variants
from benchmarks.storage.measures import TRACE_END, TRACE_START

# The figures of each round, by the name of the variant.
Results = Dict[str, List[Result]]

_WORKER = "benchmarks.storage.worker"
_TIMEOUT = 240.0
SMALL, MEDIUM, LARGE = 50, 5_000, 50_000
WRITERS = 64
# One event a call and a connection a call: half a million statements to prepare it.
_WITHOUT_LARGE = ("google-adk",)
_SYNCS = ("fdatasync", "fsync", "msync", "sync_file_range")
_TRACED = 20


class Scale(NamedTuple):
    """Say how much to measure.

    Attributes:
        rounds: how often each timed measure is taken.
        calls: how many lone appends are timed in one round, at most.
        seconds: how long these may take, and how long the writers write.
        turns: how many turns are written to count bytes.
    """

    rounds: int
    calls: int
    seconds: float
    turns: int


class Bench:
    """Run workers on one disk.

    Args:
        disk: where files are made; each worker has a folder of its own in it.
        memory: a folder of a file system in memory, for what only counts bytes.
    """

    def __init__(
        self, pythons: Dict[str, Path], disk: Path, memory: Path, scale: Scale
    ) -> None:
        self._pythons = pythons
        self._disk = disk
        self._memory = memory
        self._scale = scale
        self.measures: Dict[str, Callable[[], Results]] = {
            "append": self.append,
            "load": self.load,
            "writers": self.writers,
            "trace": self.trace,
            "change": self.change,
            "fill": self.fill,
            "fill together": self.fill_together,
        }

    def append(self) -> Results:
        """Time lone appends to a small and to a large session."""
        task = {
            "measure": "append",
            "small": SMALL,
            "large": MEDIUM,
            "count": self._scale.calls,
            "seconds": self._scale.seconds / 4,
        }
        return self._interleaved(variants.BOTH_FACES, task, is_prepared=True)

    def load(self) -> Results:
        """Time loading the end of a long session, and all of a shorter one."""
        task = {
            "measure": "load",
            "loads": {"last 20": [LARGE, 20, 100], "all": [MEDIUM, None, 5]},
            "seconds": self._scale.seconds / 4,
        }
        return self._interleaved(variants.BOTH_CODECS, task, is_prepared=True)

    def writers(self) -> Results:
        """Let many async writers write, each to a session of its own."""
        task = {
            "measure": "writers",
            "writers": WRITERS,
            "seconds": self._scale.seconds,
        }
        return self._interleaved(variants.ASYNC, task, is_prepared=False)

    def trace(self) -> Results:
        """Count the syncs of the disk that a lone append takes."""
        if shutil.which("strace") is None:
            return {}
        names = [*variants.BOTH_FACES, *variants.PEERS]
        return {name: [self._traced(name)] for name in names}

    def change(self) -> Results:
        """Count bytes for saving a history with two new messages, or appending them."""
        results: Results = {}
        for name, how in [
            ("sync, full", "append"),
            ("sync, full", "save"),
            ("contextstore-1.0.1", "append"),
            ("contextstore-1.0.1", "save"),
        ]:
            task = {"measure": "change", "session": f"of {MEDIUM}", "how": how}
            with _scratch(self._memory) as folder:
                shutil.copytree(self._prepared(name), folder, dirs_exist_ok=True)
                results[f"{name}, {how}"] = [self._once(name, task, folder)]
        return results

    def fill(self) -> Results:
        """Count bytes for turns that come one by one, over all sessions in turn."""
        task = {
            "measure": "fill",
            "count": self._scale.turns,
            "sessions": WRITERS,
            "seconds": 5 * self._scale.seconds,
        }
        results: Results = {}
        for name in ["floor, full", "sync, full", *variants.PEERS]:
            with _scratch(self._memory) as folder:
                results[name] = [self._once(name, task, folder)]
        return results

    def fill_together(self) -> Results:
        """Count bytes for turns that share a commit: of one session, and of many."""
        results: Results = {}
        for sessions in (1, WRITERS):
            task = {
                "measure": "fill_together",
                "count": self._scale.turns,
                "sessions": sessions,
                "together": WRITERS,
            }
            for name in ["floor, full", "async, full"]:
                with _scratch(self._disk) as folder:
                    result = self._once(name, task, folder)
                results.setdefault(name, [{}])[0][f"written, {sessions}"] = result[
                    "written"
                ]
        return results

    def _interleaved(
        self, names: List[str], task: Dict[str, Any], *, is_prepared: bool
    ) -> Results:
        rounds = self._scale.rounds
        task = {**task, "turns": rounds}
        with _scratch(self._disk) as base:
            start: Dict[str, Callable[[], Worker]] = {}
            for name in [*names, *variants.PEERS]:
                folder = base / name
                if is_prepared:
                    shutil.copytree(self._prepared(name), folder)
                else:
                    folder.mkdir()
                start[name] = partial(self._worker, name, task, folder)
            if task["measure"] == "append":
                (base / "disk").mkdir()
                disk = {**task, "measure": "disk"}
                start["disk"] = partial(self._worker, "disk", disk, base / "disk")
            # What was copied must not reach the disk while something is measured.
            os.sync()
            tell = partial(_tell, task["measure"])
            return processes.interleave(start, rounds, tell)

    def _traced(self, name: str) -> Result:
        with _scratch(self._disk) as folder:
            log = folder.with_suffix(".trace")
            calls = f"trace={','.join(_SYNCS)},/access"
            prefix = ["strace", "-f", "-o", str(log), "-e", calls]
            task = {"measure": "trace", "count": _TRACED}
            result = self._once(name, task, folder, prefix)
            text = log.read_text()
            log.unlink()
        if "error" in result:
            return result
        between = text.partition(TRACE_START)[2].partition(TRACE_END)[0]
        syncs = re.findall(rf"\b(?:{'|'.join(_SYNCS)})\(", between)
        return {"syncs": len(syncs) / _TRACED}

    def _prepared(self, name: str) -> Path:
        """Return a folder with a file of one session of each size, made at most once.

        All variants of one system start from the same file; that of a pinned peer is
        kept for later runs.
        """
        name = variants.PREPARED_BY.get(name, name)
        packages = variants.requirements().get(name)
        base = ROOT / ".cache" / "bench" if packages else self._memory
        digest = hashlib.sha256(repr((packages, MEDIUM, LARGE)).encode()).hexdigest()
        folder = base / f"{name}-{digest[:12]}"
        if not folder.exists():
            task = _fitting(name, {"measure": "prepare", "sizes": [MEDIUM, LARGE]})
            with _scratch(self._memory) as made:
                result = self._once(name, task, made)
                if "error" in result:
                    raise SystemExit(f"preparing {name} failed: {result['error']}")
                shutil.copytree(made, folder)
        return folder

    def _once(
        self,
        name: str,
        task: Dict[str, Any],
        folder: Path,
        prefix: Sequence[str] = (),
    ) -> Result:
        worker = self._worker(name, task, folder, prefix)
        try:
            result = worker.ask()
        finally:
            worker.close()
        _tell(task["measure"], name, result)
        return result

    def _worker(
        self,
        name: str,
        task: Dict[str, Any],
        folder: Path,
        prefix: Sequence[str] = (),
    ) -> Worker:
        variant = variants.VARIANTS[name]
        whole = {
            **_fitting(name, task),
            "system": variant.system,
            "durability": variant.durability,
            "folder": str(folder),
        }
        python = self._pythons[variant.environment]
        return Worker(python, _WORKER, whole, timeout=_TIMEOUT, prefix=prefix)


def _fitting(name: str, task: Dict[str, Any]) -> Dict[str, Any]:
    """Leave out the size that cannot be prepared for a system in reasonable time."""
    if name not in _WITHOUT_LARGE:
        return task
    fitting = dict(task)
    if "sizes" in task:
        fitting["sizes"] = [size for size in task["sizes"] if size != LARGE]
    if "loads" in task:
        fitting["loads"] = {
            key: load for key, load in task["loads"].items() if load[0] != LARGE
        }
    return fitting


@contextmanager
def _scratch(base: Path) -> Iterator[Path]:
    """Give a new folder, which is gone after the block."""
    folder = Path(tempfile.mkdtemp(dir=base))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _tell(measure: str, name: str, result: Result) -> None:
    figures = "  ".join(
        f"{key} {value:,.2f}" if isinstance(value, (int, float)) else f"{key} {value}"
        for key, value in result.items()
    )
    print(f"{measure:14} {name:20} {figures}", flush=True)
