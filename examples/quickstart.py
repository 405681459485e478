"""Keep a conversation in a file and build a prompt from it.

    python examples/quickstart.py [FILE]

Run it twice with the same file: the second run goes on where the first one stopped.
"""

from __future__ import annotations

import asyncio
import sys

from contextstore import ContextBuilder, SQLiteMemory

SESSION = "garden"


async def main(path: str) -> None:
    async with SQLiteMemory(path) as memory:
        said_before = await memory.load_context(SESSION)
        print(f"{len(said_before)} messages from earlier runs")

        turn = [
            {"role": "user", "content": f"Question {len(said_before) // 2 + 1}"},
            {"role": "assistant", "content": "An answer of some words."},
        ]
        await memory.append_context(SESSION, turn, create=True)

        history = await memory.load_context(SESSION)
        # "fallback" estimates; ContextBuilder.from_model("gpt-4o") counts exactly.
        prompt = ContextBuilder("fallback").build(history, max_tokens=40)
        print(f"{len(prompt.messages)} of {len(history)} messages fit 40 tokens:")
        for message in prompt.messages:
            print(f"  {message['role']}: {message['content']}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "quickstart.db"))
