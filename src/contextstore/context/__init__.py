"""Cut a history to a token budget without ever making a prompt that is refused."""

from __future__ import annotations

from contextstore.context.as_anthropic import to_anthropic
from contextstore.context.as_openai import to_openai
from contextstore.context.providers import Fault, validate

__all__ = ["Fault", "to_anthropic", "to_openai", "validate"]
