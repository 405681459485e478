"""Be the process that measures one system: python -m benchmarks.storage.worker TASK."""

from __future__ import annotations

import json
import sys
from contextlib import closing

from benchmarks.storage import measures


def main() -> None:
    """For every line that comes in, measure once more and print the figures."""
    task = json.loads(sys.argv[1])
    with closing(getattr(measures, task["measure"])(task)) as turns:
        for _ in sys.stdin:
            print(json.dumps(next(turns)), flush=True)


if __name__ == "__main__":
    main()
