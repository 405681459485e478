"""Keep a conversation in a file and build a prompt from it.

    python examples/quickstart.py [FILE]

Run it twice with the same file: the second run goes on where the first one stopped.
"""

from __future__ import annotations

import asyncio
import sys

from contextstore import SessionStore, SQLiteMemory

SESSION = "garden"


async def main(path: str) -> None:
    async with SQLiteMemory(path) as memory:
        store = SessionStore(memory)
        said_before = await store.load_context(SESSION)
        print(f"{len(said_before)} messages from earlier runs")

        turn = [
            {"role": "user", "content": f"Question {len(said_before) // 2 + 1}"},
            {"role": "assistant", "content": "An answer of some words."},
        ]
        await store.append_context(SESSION, turn, create=True)

        # Tokens are estimated; builder=ContextBuilder.from_model("gpt-4o") counts them.
        prompt = await store.build_context(SESSION, max_tokens=40)
        stored = len(said_before) + len(turn)
        print(f"{len(prompt.messages)} of {stored} messages fit 40 tokens:")
        for message in prompt.messages:
            print(f"  {message['role']}: {message['content']}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "quickstart.db"))
