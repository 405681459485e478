"""Trim a history with each system, as its documentation does, where it is installed."""

from __future__ import annotations

from typing import Any, Callable, Dict, List

Message = Dict[str, Any]
Trim = Callable[[List[Message], int], List[Message]]

MODEL = "gpt-4o"


def ours() -> Trim:
    from contextstore import ContextBuilder  # noqa: PLC0415

    builder = ContextBuilder.from_model(MODEL)
    return lambda messages, budget: builder.build(messages, budget).messages


def ours_headroom() -> Trim:
    from contextstore import ContextBuilder  # noqa: PLC0415

    builder = ContextBuilder.from_model(MODEL)
    options = {"headroom": 0.5}
    return lambda messages, budget: (
        builder.build(messages, budget, strategy_opts=options).messages
    )


def contextstore_1_0_1() -> Trim:
    from contextstore import ContextBuilder  # noqa: PLC0415

    builder = ContextBuilder.from_model(MODEL)

    def trim(messages: List[Message], budget: int) -> List[Message]:
        # It sorts by time, so that it needs one.
        timed = [
            {**message, "timestamp": f"{at:09}"} for at, message in enumerate(messages)
        ]
        kept = builder.build(timed, budget).messages
        return [
            {key: value for key, value in message.items() if key != "timestamp"}
            for message in kept
        ]

    return trim


def langchain() -> Trim:
    import tiktoken  # noqa: PLC0415
    from langchain_core.messages import (  # noqa: PLC0415
        convert_to_messages,
        convert_to_openai_messages,
        trim_messages,
    )

    encoding = tiktoken.encoding_for_model(MODEL)

    def count(messages: List[Any]) -> int:
        return 3 + sum(_cost(m, encoding) for m in convert_to_openai_messages(messages))

    def trim(messages: List[Message], budget: int) -> List[Message]:
        kept = trim_messages(
            convert_to_messages(messages),
            max_tokens=budget,
            token_counter=count,
            strategy="last",
            include_system=True,
            start_on="human",
        )
        trimmed: List[Message] = convert_to_openai_messages(kept)
        return trimmed

    return trim


def _cost(message: Message, encoding: Any) -> int:
    texts = [message["role"], message.get("content") or ""]
    for call in message.get("tool_calls") or ():
        texts += [call["function"]["name"], call["function"]["arguments"]]
    return 3 + sum(len(encoding.encode_ordinary(str(text))) for text in texts)


def litellm() -> Trim:
    from litellm.utils import trim_messages  # noqa: PLC0415

    def trim(messages: List[Message], budget: int) -> List[Message]:
        kept: List[Message] = trim_messages(
            [dict(message) for message in messages],
            model=MODEL,
            max_tokens=budget,
            trim_ratio=1.0,
        )
        return kept

    return trim


def llamaindex() -> Trim:
    import tiktoken  # noqa: PLC0415
    from llama_index.core.base.llms.types import ChatMessage  # noqa: PLC0415
    from llama_index.core.memory import ChatMemoryBuffer  # noqa: PLC0415

    encoding = tiktoken.encoding_for_model(MODEL)

    def trim(messages: List[Message], budget: int) -> List[Message]:
        history = [
            ChatMessage(
                role=message["role"],
                content=message["content"],
                additional_kwargs={"place": at},
            )
            for at, message in enumerate(messages)
        ]
        memory = ChatMemoryBuffer.from_defaults(
            chat_history=history,
            token_limit=budget,
            tokenizer_fn=encoding.encode_ordinary,
        )
        return [messages[kept.additional_kwargs["place"]] for kept in memory.get()]

    return trim


TRIMMERS: Dict[str, Callable[[], Trim]] = {
    "ours": ours,
    "ours, headroom 0.5": ours_headroom,
    "contextstore 1.0.1": contextstore_1_0_1,
    "langchain": langchain,
    "litellm": litellm,
    "llamaindex": llamaindex,
}
