"""Chat with a model of OpenAI in a terminal; the conversation is kept.

    python examples/openai_chat.py [FILE]

Needs ``pip install openai 'contextstore[tokens]'`` and OPENAI_API_KEY. Each line is a
question; an empty one ends the chat. The model may call one tool, the clock, so that
calls and results are kept as well. When the conversation outgrows MAX_TOKENS, the model
sees the newest messages and what was said about the question before.
"""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any, Dict, List

from openai import OpenAI

from contextstore import (
    ContextBuilder,
    SessionStoreConfig,
    SQLiteMemory,
    SyncSessionStore,
)
from contextstore.context import to_openai

SESSION = "terminal"
MODEL = "gpt-4o"
MAX_TOKENS = 4_000
SYSTEM = {"role": "system", "content": "Answer in one or two sentences."}
CLOCK = {
    "type": "function",
    "function": {"name": "clock", "description": "Tell the date and the time."},
}
# What the store keeps of an answer: the fields that OpenAI takes back.
KEPT = {"role", "content", "tool_calls"}

Message = Dict[str, Any]


def main(path: str) -> None:
    config = SessionStoreConfig(builder=ContextBuilder.from_model(MODEL))
    with OpenAI() as client, SQLiteMemory(path).sync as memory:
        store = SyncSessionStore(memory.backend, config=config)
        if not store.load_context(SESSION, k=1):
            store.save_context(SESSION, [SYSTEM])
        for line in sys.stdin:
            if not line.strip():
                break
            print(answer(client, store, line.strip()))


def answer(client: OpenAI, store: SyncSessionStore, question: str) -> str:
    """Ask the model, and run its tool calls, until it has an answer."""
    store.append_context(SESSION, [{"role": "user", "content": question}])
    while True:
        prompt = store.build_context(SESSION, MAX_TOKENS, question, tools=[CLOCK])
        messages: Any = to_openai(prompt.messages)
        tools: Any = [CLOCK]
        response = client.chat.completions.create(
            model=MODEL, messages=messages, tools=tools
        )
        said = response.choices[0].message.model_dump(exclude_none=True, include=KEPT)
        calls = said.get("tool_calls", [])
        # A call and its results are one batch: never is the one stored without the
        # other.
        store.append_context(SESSION, [said, *run(calls)])
        if not calls:
            return str(said.get("content", ""))


def run(calls: List[Message]) -> List[Message]:
    now = datetime.now().astimezone().isoformat(timespec="minutes")
    return [
        {"role": "tool", "tool_call_id": call["id"], "content": now} for call in calls
    ]


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "chat.db")
