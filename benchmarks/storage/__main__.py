"""Measure stores of conversations side by side, and write docs/benchmarks.md.

    python -m benchmarks.storage [--rounds N] [--seconds S] [--only MEASURE ...]

It takes about a quarter of an hour. Figures are kept in .cache/bench/storage.json; with
--only, the measures that are not named are taken from there. --tiny shows that all of
it works and writes no document.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

from benchmarks.common import document, machine
from benchmarks.common.environments import ROOT
from benchmarks.storage import report
from benchmarks.storage.plan import Bench, Scale
from benchmarks.storage.variants import provide_pythons

_KEPT = ROOT / ".cache" / "bench" / "storage.json"
_TINY = Scale(rounds=2, calls=10, seconds=0.5, turns=256)


def main() -> None:
    """Take the measures that were asked for, and write the document."""
    options = _options()
    scale = _TINY if options.tiny else Scale(options.rounds, 40, options.seconds, 5120)
    _KEPT.parent.mkdir(parents=True, exist_ok=True)
    kept = json.loads(_KEPT.read_text()) if _KEPT.exists() and options.only else {}
    disk = Path(tempfile.mkdtemp(prefix="bench-", dir=options.folder))
    in_memory = "/dev/shm" if Path("/dev/shm").is_dir() else options.folder
    memory = Path(tempfile.mkdtemp(prefix="bench-", dir=in_memory))
    try:
        kept["machine"] = machine.describe(disk)
        kept["rounds"], kept["turns"] = scale.rounds, scale.turns
        bench = Bench(provide_pythons(), disk, memory, scale)
        for name, measure in bench.measures.items():
            if not options.only or name in options.only:
                kept[name] = measure()
                if not options.tiny:
                    _KEPT.write_text(json.dumps(kept, indent=1))
    finally:
        shutil.rmtree(disk)
        shutil.rmtree(memory)
    if options.tiny:
        print(report.text(kept))
        return
    if "writers" in kept:
        report.draw(kept)
    document.write_section("storage", report.text(kept))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--folder", help="where to make files, if not in /tmp")
    parser.add_argument("--tiny", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
