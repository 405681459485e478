"""Find by how much a tokenizer is off, from what a provider counted for a prompt."""

from __future__ import annotations

from typing import Sequence

from contextstore.context.accounting import Accounting
from contextstore.context.tokenizers import Tokenizer, scaled
from contextstore.messages import Message

__all__ = ["factor_of_texts"]


def factor_of_texts(
    tokenizer: Tokenizer, messages: Sequence[Message], tokens: float
) -> float:
    """Return what to multiply the tokens of texts by, so that messages cost so much.

    What stands around the texts costs what the provider's rules say, whatever the
    tokenizer. Where nothing else is there, or that alone costs more, the ratio of the
    whole is returned.

    Args:
        tokenizer: what counted the messages.
        messages: those of a prompt.
        tokens: what they cost at the provider.
    """
    whole = Accounting(tokenizer).prompt(messages)
    around = Accounting(scaled(tokenizer, 0.0)).prompt(messages)
    if around < min(whole, tokens):
        return (tokens - around) / (whole - around)
    return tokens / whole
