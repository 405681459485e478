"""Print what the demo has to say, within the width of a terminal."""

from __future__ import annotations

import textwrap
from itertools import groupby
from typing import Any, Collection, Dict, List

from contextstore import BuildResult, RetrievedItem

WIDTH = 78
SIGNS = "@ kept always    # kept    . dropped    + recalled    ~ shortened"
_SIGNS_A_LINE = 60

Message = Dict[str, Any]


def heading(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def say(text: str, indent: int = 2) -> None:
    print()
    print(textwrap.indent(in_lines(text, WIDTH - indent), " " * indent))


def in_lines(text: str, width: int, hang: str = "") -> str:
    return textwrap.fill(text, width, subsequent_indent=hang, break_on_hyphens=False)


def show_message(message: Message, indent: int = 4) -> None:
    text = f"{message['id']} {message['role']}: {message['content']}"
    print(" " * indent + shortened(text, WIDTH - indent))


def shortened(text: str, width: int) -> str:
    """Return a text on one line, cut to so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 3].rstrip() + "..."


def show_found(query: str, found: List[RetrievedItem]) -> None:
    """Print what a search found, with its two halves: words and cosine."""
    print(f"\n  {query}")
    print("    words  cosine")
    for item in found:
        words = f"{item.lexical:5.1f}"
        cosine = f"{'-':>6}" if item.cosine is None else f"{item.cosine:6.2f}"
        text = f"{item.message_id} {item.metadata['text']}"
        print(f"    {words}  {cosine}  {shortened(text, WIDTH - 19)}")


def show_build(history: List[Message], result: BuildResult, budget: int) -> None:
    """Print how large a prompt is and draw which messages it has."""
    left = set(result.metadata["dropped_ids"])
    used = f"{result.total_tokens:,} of {budget:,} tokens"
    print(f"\n  {used}: {len(result.messages)} messages kept, {len(left)} dropped")
    signs = "".join(sign(message, result.metadata) for message in history)
    for start in range(0, len(signs), _SIGNS_A_LINE):
        print(f"    {history[start]['id']} {signs[start : start + _SIGNS_A_LINE]}")


def sign(message: Message, metadata: Dict[str, Any]) -> str:
    """Return the sign of what became of a message."""
    message_id = message["id"]
    if message_id in metadata["dropped_ids"]:
        return "."
    if message_id in (*metadata["truncated_ids"], *metadata.get("packed_ids", ())):
        return "~"
    if message_id in metadata.get("recalled_ids", ()):
        return "+"
    return "@" if is_kept_always(message) else "#"


def is_kept_always(message: Message) -> bool:
    pinned = message.get("metadata", {}).get("pinned", False)
    return message["role"] == "system" or pinned is True


def ranges(history: List[Message], wanted: Collection[str]) -> str:
    """Name messages by the first and the last id of each unbroken run."""
    runs = groupby(history, key=lambda message: message["id"] in wanted)
    ids = [[m["id"] for m in run] for is_wanted, run in runs if is_wanted]
    return ", ".join(run[0] if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in ids)
