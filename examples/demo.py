"""Show the library at work on one long conversation; ``make demo`` runs it.

Two processes write the conversation into a SQLite file, and the first of them is
killed. Then prompts are built from it at three budgets, it is searched by words and by
vectors, and a question gets a prompt with what was said about it weeks ago.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any, Dict, List, Set

import conversation
import embedder
from showing import (
    SIGNS,
    heading,
    is_kept_always,
    ranges,
    say,
    shortened,
    show_build,
    show_found,
    show_message,
)

from contextstore import (
    BuildResult,
    ContextBuilder,
    SessionStoreConfig,
    SQLiteEmbeddingStore,
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
    "Where can we charge the e-bike's battery?",
    "What did the doctor say about the knee?",
)
MISSPELT = "vegeterian diners"
BY_MEANING = "noise at night"
# What hotels answered when they were asked about hazelnuts.
ANSWERS = frozenset(
    ["m074", "m075", "m098", "m099", "m100", "m101", "m102", "m108", "m164"]
)
CUT_MARK = "[...]"

Message = Dict[str, Any]


def main(arguments: List[str]) -> None:
    """Run one act of the demo, or all of them."""
    if arguments:
        act, database = arguments
        {"write": write, "go-on": go_on, "embed": embed}[act](database)
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
        show_vectors(database)
        show_recall(database, history)


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
    run_act("write", database, expected=-signal.SIGKILL)
    run_act("go-on", database, expected=0)
    say(
        "An append returns when its messages are on the disk, all of them or none; "
        "so the killed process lost nothing."
    )


def run_act(act: str, database: str, expected: int) -> None:
    """Run an act of the demo in a process of its own."""
    command = [sys.executable, __file__, act, database]
    code = subprocess.run(command, check=False).returncode
    if code != expected:
        raise SystemExit(f"the process for {act!r} ended with {code}")


def show_budgets(history: List[Message]) -> None:
    builder = ContextBuilder.from_model(MODEL)
    total = builder.count(history)
    heading(f"2. Prompts for {MODEL} at three budgets")
    say(
        f"The whole conversation costs {about(builder)}{total:,} tokens: "
        f"{len(history)} messages. One sign below is one message, oldest first:"
    )
    say(SIGNS, indent=4)
    for budget in BUDGETS:
        show_cut(history, builder.build(history, max_tokens=budget), budget)
    say(
        "Why these: the system message and the message marked {'pinned': True} (the "
        "allergy) are paid for first. Of the rest the newest turns are kept, as many "
        "whole turns as fit; a turn runs from a user's message to the next. A tool "
        "call and its results stay or go together, so no prompt is refused for a "
        "result without its call."
    )
    show_naive_cut(history, builder)


def show_cut(history: List[Message], result: BuildResult, budget: int) -> None:
    show_build(history, result, budget)
    print(f"    dropped: {ranges(history, result.metadata['dropped_ids'])}")
    after = [m for m in result.messages if not is_kept_always(m)]
    print("    the kept turns start with")
    show_message(after[0], indent=6)


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
    show_cut(said, result, 900)
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
    heading("5. Finding what was said, by words")
    say(
        "This takes no model and no package. A message counts by the words that it "
        "shares with a question, by their stems ('charge' finds 'charged'), and by "
        "what the messages beside it share."
    )
    store = SyncSessionStore(SQLiteMemory(database))
    for query in (*QUERIES, MISSPELT):
        show_found(query, store.retrieve_relevant(SESSION, query, k=2))
    say(
        "The last question is misspelt: no message has its words (0.0), and what comes "
        "is as good as chance."
    )


def show_vectors(database: str) -> None:
    heading("6. Finding what was meant, by vectors in the same file")
    say(
        "Vectors come from a function that you pass. No model can be downloaded here, "
        "so examples/embedder.py stands in: it hashes words and parts of words, so it "
        "sees through a spelling mistake, and it knows no meanings. For real use pass "
        "a model: contextstore.embedders has sentence-transformers and OpenAI's "
        "protocol."
    )
    print()
    run_act("embed", database, expected=0)
    store = searchable(database)
    print(f"  process {os.getpid()} (this one) opens the same file:")
    print(f"    {store.embedding_status().missing} texts lack a vector.")
    for query in (MISSPELT, BY_MEANING):
        show_found(query, store.retrieve_relevant(SESSION, query, k=2))
    say(
        "The last answer stands in m021 ('she snores'), which shares not even a part "
        "of a word with the question: finding that takes a real model."
    )


def embed(database: str) -> None:
    """Make the vectors of a session that was stored without any."""
    store = searchable(database)
    status = store.embedding_status()
    print(f"  process {os.getpid()} finds messages that were stored without vectors:")
    print(f"    {status.missing} of {status.total} texts lack one.", end=" ")
    print(f"embed_missing() makes {store.embed_missing().embedded}.")


def searchable(database: str) -> SyncSessionStore:
    """Return a store that searches by words and vectors, and counts for MODEL."""
    config = SessionStoreConfig(
        auto_embed=True,
        embed_fn=embedder.embed,
        builder=ContextBuilder.from_model(MODEL),
    )
    return SyncSessionStore(
        SQLiteMemory(database), SQLiteEmbeddingStore(database), config
    )


def show_recall(database: str, history: List[Message]) -> None:
    budget = BUDGETS[1]
    heading("7. The whole prompt in one call")
    say("The newest message asks about things that were settled weeks ago:")
    question = history[-1]
    show_message(question)
    store = searchable(database)
    result = store.build_context(SESSION, budget, query=question["content"])
    say(
        f"store.build_context(session, {budget}, query=...) gives the newest messages "
        "a quarter of the budget, and the rest of it to older ones that the question "
        "is about:"
    )
    say(SIGNS, indent=4)
    show_build(history, result, budget)
    newest = store.build_context(SESSION, budget)
    kept, plain = (sorted(ids_of(r) & ANSWERS) for r in (result, newest))
    say(
        f"Hotels answered {len(ANSWERS)} times what they can do about nuts. "
        f"{len(kept)} of these answers are in this prompt: {', '.join(kept)}. The "
        f"newest messages alone, as in part 2, hold {len(plain)}: {', '.join(plain)}."
    )
    say("result.explain() says what became of each message. Five of its rows:")
    print()
    header, *rows = str(result.explain()).splitlines()
    print(textwrap.indent("\n".join([header, *rows[71:76]]), "    "))


def ids_of(result: BuildResult) -> Set[str]:
    return {message["id"] for message in result.messages}


def about(builder: ContextBuilder) -> str:
    return "about " if builder.tokenizer.approximate else ""


if __name__ == "__main__":
    main(sys.argv[1:])
