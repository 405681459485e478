"""Measure how far the estimator is off, over texts of your own.

    .venv/bin/python -m benchmarks.context.estimates FILE_OR_FOLDER ...

Texts are cut into passages of 1,000 characters; files of one folder, or given by
themselves, are one kind. For each kind: the mean absolute error, and the mean error, of
the passages against each vocabulary, in per cent. The texts behind the table in
docs/context.md may not be shipped; it names them.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Dict, Iterator, List, Sequence, Tuple

from benchmarks.common.environments import ROOT

os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(ROOT / ".cache" / "vocab"))

import tiktoken

from contextstore.context.estimator import estimator_for

_ENCODINGS = ("o200k_base", "cl100k_base")
_PASSAGE = 1_000
# What is left at the end of a file says little.
_LEAST = 200


def passages(path: Path) -> Iterator[str]:
    """Give the passages of a text file; nothing of one that is no text."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return
    for start in range(0, len(text), _PASSAGE):
        passage = text[start : start + _PASSAGE]
        if len(passage) >= _LEAST:
            yield passage


def kinds(places: Sequence[Path]) -> Dict[str, List[str]]:
    """Return the passages of all files, by the place that they were found under."""
    found: Dict[str, List[str]] = {}
    for place in places:
        files = sorted(place.rglob("*")) if place.is_dir() else [place]
        texts = [one for file in files if file.is_file() for one in passages(file)]
        found.setdefault(str(place), []).extend(texts)
    return found


def errors(texts: Sequence[str], name: str) -> Tuple[float, float]:
    """Return the mean absolute error and the mean error, in per cent."""
    estimate = estimator_for(name)
    encode = tiktoken.get_encoding(name).encode_ordinary
    off = [estimate(text) / len(encode(text)) - 1 for text in texts]
    return 100 * sum(map(abs, off)) / len(off), 100 * sum(off) / len(off)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("places", nargs="+", type=Path)
    for kind, texts in kinds(parser.parse_args().places).items():
        print(f"{kind}: {len(texts)} passages")
        for name in _ENCODINGS if texts else ():
            absolute, mean = errors(texts, name)
            print(f"  {name:12} {absolute:5.1f} %, on the whole {mean:+5.1f} %")


if __name__ == "__main__":
    main()
