"""Show the library at work on one long conversation; ``make demo`` runs it.

Two processes write the conversation into a SQLite file, and the first of them is
killed. Then prompts are built from it at three budgets, and it is searched.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from itertools import groupby
from pathlib import Path
from typing import Any, Dict, Iterable, List

import conversation
import embedder

from contextstore import (
    BuildResult,
    ContextBuilder,
    InMemoryEmbeddingStore,
    SessionStoreConfig,
    SQLiteMemory,
    SyncSessionStore,
)

SESSION = "nina-cycle-tour"
MODEL = "gpt-4o"
BUDGETS = (8_000, 2_000, 500)
# The first process gets so far; the second goes on two days later, in the story.
WRITTEN_FIRST = 160
# After this message the newest turn is three long tables, not answered yet.
LONG_TURN_END = 49
SLICE = 50
QUERIES = (
    "Which allergies does Josef have?",
    "Where can we charge the e-bike's battery?",
    "What did the doctor say about the knee?",
    "noise at night",
)
CUT_MARK = "[...]"
WIDTH = 78

Message = Dict[str, Any]


def main(arguments: List[str]) -> None:
    """Run one act of the demo, or all of them."""
    if arguments:
        act, database = arguments
        {"write": write, "go-on": go_on}[act](database)
        return
    with tempfile.TemporaryDirectory() as folder:
        database = str(Path(folder) / "chat.db")
        say(
            "ContextStore keeps what was said to a language model and gives back the "
            "right part of it. Here it is given a conversation of six weeks: Nina, "
            "her sister Ruth and an assistant with tools plan a cycling tour for "
            "their father Josef."
        )
        show_two_processes(database)
        history = SQLiteMemory(database).sync.load_context(SESSION)
        show_budgets(history)
        show_long_turn(history)
        show_summary(history)
        show_word_search(database)
        show_search(database)


def write(database: str) -> None:
    """Append the first messages turn by turn, then die without any farewell."""
    memory = SQLiteMemory(database).sync
    for turn in conversation.turns(conversation.load()[:WRITTEN_FIRST]):
        memory.append_context(SESSION, turn, create=True)
    print(f"  process {os.getpid()}: {WRITTEN_FIRST} messages appended, turn by turn.")
    print("    Now it kills itself with SIGKILL: no close(), no exit handler.")
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)


def go_on(database: str) -> None:
    """Go on where the first process stopped."""
    memory = SQLiteMemory(database).sync
    there = memory.load_context(SESSION)
    print(f"  process {os.getpid()}: finds {len(there)} messages; the last one is")
    show_message(there[-1])
    for turn in conversation.turns(conversation.load()[len(there) :]):
        memory.append_context(SESSION, turn)
    info = memory.session_info(SESSION)
    print(f"    It appends the rest; now there are {info.message_count} messages.")
    unchanged = memory.load_context(SESSION) == conversation.load()
    print(f"    What comes out equals what went in: {unchanged}.")


def show_two_processes(database: str) -> None:
    heading("1. Two processes write one session into a SQLite file")
    for act in ("write", "go-on"):
        command = [sys.executable, __file__, act, database]
        code = subprocess.run(command, check=False).returncode
        expected = -signal.SIGKILL if act == "write" else 0
        if code != expected:
            raise SystemExit(f"the process for {act!r} ended with {code}")
    say(
        "An append returns when its messages are on the disk, all of them or none; "
        "so the killed process lost nothing."
    )


def show_budgets(history: List[Message]) -> None:
    builder = ContextBuilder.from_model(MODEL)
    total = builder.count(history)
    heading(f"2. Prompts for {MODEL} at three budgets")
    say(
        f"The whole conversation costs {about(builder)}{total:,} tokens: "
        f"{len(history)} messages. One sign below is one message, oldest first:"
    )
    say("@ kept always    # kept    . dropped    ~ shortened", indent=4)
    for budget in BUDGETS:
        show_build(history, builder.build(history, max_tokens=budget), budget)
    say(
        "Why these: the system message and the message marked {'pinned': True} (the "
        "allergy) are paid for first. Of the rest the newest turns are kept, as many "
        "whole turns as fit; a turn runs from a user's message to the next. A tool "
        "call and its results stay or go together, so no prompt is refused for a "
        "result without its call."
    )
    show_naive_cut(history, builder)


def show_build(history: List[Message], result: BuildResult, budget: int) -> None:
    left = set(result.metadata["dropped_ids"])
    cut = set(result.metadata["truncated_ids"])
    used = f"{result.total_tokens:,} of {budget:,} tokens"
    print(f"\n  {used}: {len(result.messages)} messages kept, {len(left)} dropped")
    signs = "".join(sign(message, left, cut) for message in history)
    for start in range(0, len(signs), 60):
        print(f"    {history[start]['id']} {signs[start : start + 60]}")
    print(f"    dropped: {ranges(history, left)}")
    after = [m for m in result.messages if not is_kept_always(m)]
    print("    the kept turns start with")
    show_message(after[0], indent=6)


def sign(message: Message, left: Iterable[str], cut: Iterable[str]) -> str:
    if message["id"] in left:
        return "."
    if message["id"] in cut:
        return "~"
    return "@" if is_kept_always(message) else "#"


def ranges(history: List[Message], wanted: Iterable[str]) -> str:
    """Name messages by the first and the last id of each unbroken run."""
    runs = groupby(history, key=lambda message: message["id"] in wanted)
    ids = [[m["id"] for m in run] for is_wanted, run in runs if is_wanted]
    return ", ".join(run[0] if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in ids)


def is_kept_always(message: Message) -> bool:
    pinned = message.get("metadata", {}).get("pinned", False)
    return message["role"] == "system" or pinned is True


def show_naive_cut(history: List[Message], builder: ContextBuilder) -> None:
    """Say what a plain slice of the newest messages would begin with."""
    by_hand = history[-SLICE:]
    assert by_hand[0]["role"] == "tool", "the slice parts a call from its result"
    say(
        f"By hand, history[-{SLICE}:] has {builder.count(by_hand):,} tokens and begins "
        f"with {by_hand[0]['id']}, the result of a call that is gone: providers refuse "
        "that with status 400. The allergy would be gone without a word."
    )


def show_long_turn(history: List[Message]) -> None:
    heading("3. A newest turn that is longer than the budget")
    builder = ContextBuilder.from_model(MODEL)
    said = history[:LONG_TURN_END]
    say(
        "On 13 March the assistant has just got three time-tables from its tools. "
        f"That turn alone costs {about(builder)}{builder.count(said[-5:]):,} tokens:"
    )
    result = builder.build(said, max_tokens=900)
    show_build(said, result, 900)
    say(
        "Nothing can be left out of a turn that is still to be answered, so its "
        "longest texts are cut in the middle, and the metadata names them: "
        f"{', '.join(result.metadata['truncated_ids'])}. Where the last one was cut:"
    )
    content = result.messages[-1]["content"]
    cut = content.index(CUT_MARK)
    print(f"\n      {content[cut - 28 : cut + 35]}")
    say("strategy_opts={'on_overflow': 'error'} raises ContextOverflowError instead.")


def show_summary(history: List[Message]) -> None:
    heading("4. A summary in the place of what is dropped")
    result = ContextBuilder.from_model(MODEL).build(
        history,
        max_tokens=BUDGETS[1],
        strategy="summarize_oldest",
        strategy_opts={"summarizer": summarize},
    )
    say(
        f"summarize_oldest gave {len(result.metadata['summarized_ids'])} messages to a "
        "function that you pass (here a plain one; in a program, a call of a model) "
        "and put its answer behind the system message:"
    )
    summary = next(m for m in result.messages if "id" not in m)
    say(summary["content"], indent=6)


def summarize(messages: List[Message]) -> str:
    """Stand in for a model: quote how the users began each day."""
    days: Dict[str, str] = {}
    for message in messages:
        if message["role"] == "user":
            days.setdefault(message["timestamp"][:10], message["content"])
    quotes = [f"{day}: {shortened(text, 45)}" for day, text in days.items()]
    return "Earlier, the users began: " + "; ".join(quotes)


def show_word_search(database: str) -> None:
    heading("5. Search by words")
    say("search_text finds messages that hold all words of a query, by their stems:")
    print("\n  reserving saddles")
    memory = SQLiteMemory(database).sync
    for match in memory.search_text("reserving saddles", session_id=SESSION, limit=2):
        show_message(match.message)


def show_search(database: str) -> None:
    heading("6. Search by meaning")
    say(
        "Vectors come from a function that you pass. No model can be downloaded here, "
        "so examples/embedder.py stands in: hashed words and parts of words. It finds "
        "texts that share them ('allergies', 'allergic') and knows no meanings. For "
        "real use pass sentence-transformers or OpenAI embeddings (see README.md)."
    )
    store = SyncSessionStore(
        SQLiteMemory(database),
        InMemoryEmbeddingStore(),
        SessionStoreConfig(auto_embed=True, embed_fn=embedder.embed),
    )
    # Saving what is stored changes nothing, and embeds what has no vector yet.
    store.save_context(SESSION, store.load_context(SESSION))
    for query in QUERIES:
        print(f"\n  {query}")
        for item in store.retrieve_relevant(SESSION, query, k=2):
            text = f"{item.score:.2f} {item.message_id} {item.metadata['text']}"
            lines = in_lines(shortened(text, 140), WIDTH - 4, hang=" " * 10)
            print(textwrap.indent(lines, "    "))
    say(
        "The last answer stands in m021 ('she snores'), which shares no word with the "
        "question: finding that takes a real model."
    )


def about(builder: ContextBuilder) -> str:
    return "about " if builder.tokenizer.approximate else ""


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


if __name__ == "__main__":
    main(sys.argv[1:])
