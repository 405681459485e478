"""Find by how much a tokenizer is off, from what a provider counted for a prompt."""

from __future__ import annotations

from typing import Sequence

from contextstore.context.accounting import Accounting
from contextstore.context.tokenizers import Tokenizer, scaled
from contextstore.messages import Message

__all__ = ["factor_of_texts"]

# Halves an interval down to less than the texts of any prompt can tell apart.
_HALVINGS = 30


def factor_of_texts(
    tokenizer: Tokenizer, messages: Sequence[Message], tokens: float
) -> float:
    """Return the least factor for texts by which messages cost at least so much.

    What stands around the texts (roles apart) costs what the provider's rules say, and
    each text is rounded up, so that it is not the ratio of what was counted. That ratio
    is returned where no factor will do: nothing but what stands around texts is there,
    or already costs too much.

    Args:
        tokenizer: what counted the messages.
        messages: those of a prompt.
        tokens: what they cost at the provider.
    """

    def cost(factor: float) -> int:
        return Accounting(scaled(tokenizer, factor)).prompt(messages)

    whole, around = cost(1), cost(0)
    if not around < min(whole, tokens):
        return tokens / whole
    low, high = 0.0, tokens / (whole - around)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if cost(middle) >= tokens else (middle, high)
    return high
