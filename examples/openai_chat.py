"""Chat with a model of OpenAI in a terminal; the conversation is kept.

    python examples/openai_chat.py [FILE]

Needs ``pip install openai 'contextstore[tokens]'`` and OPENAI_API_KEY. Each line is a
question; an empty one ends the chat. The model may call one tool, the clock, so that
calls and results are kept as well.
"""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any, Dict, List

from openai import OpenAI

from contextstore import ContextBuilder, SQLiteMemory, SyncMemory

SESSION = "terminal"
MODEL = "gpt-4o"
MAX_TOKENS = 4_000
SYSTEM = {"role": "system", "content": "Answer in one or two sentences."}
CLOCK = {
    "type": "function",
    "function": {"name": "clock", "description": "Tell the date and the time."},
}
# OpenAI refuses fields that it does not know, such as the timestamp of a message.
SENT = ("role", "content", "name", "tool_calls", "tool_call_id")

Message = Dict[str, Any]


def main(path: str) -> None:
    client = OpenAI()
    builder = ContextBuilder.from_model(MODEL)
    with SQLiteMemory(path).sync as memory:
        if not memory.load_context(SESSION, k=1):
            memory.save_context(SESSION, [SYSTEM])
        for line in sys.stdin:
            if not line.strip():
                break
            question = {"role": "user", "content": line.strip()}
            memory.append_context(SESSION, [question])
            print(answer(client, builder, memory))


def answer(client: OpenAI, builder: ContextBuilder, memory: SyncMemory) -> str:
    """Ask the model, and run its tool calls, until it has an answer."""
    while True:
        prompt = builder.build(memory.load_context(SESSION), MAX_TOKENS, tools=[CLOCK])
        messages: Any = [sendable(message) for message in prompt.messages]
        tools: Any = [CLOCK]
        response = client.chat.completions.create(
            model=MODEL, messages=messages, tools=tools
        )
        said = response.choices[0].message.model_dump(
            exclude_none=True, include=set(SENT)
        )
        calls = said.get("tool_calls", [])
        # A call and its results are one batch: never is the one stored without the
        # other.
        memory.append_context(SESSION, [said, *run(calls)])
        if not calls:
            return str(said.get("content", ""))


def sendable(message: Message) -> Message:
    return {field: message[field] for field in SENT if field in message}


def run(calls: List[Message]) -> List[Message]:
    now = datetime.now().astimezone().isoformat(timespec="minutes")
    return [
        {"role": "tool", "tool_call_id": call["id"], "content": now} for call in calls
    ]


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "chat.db")
