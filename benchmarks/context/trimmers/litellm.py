"""LiteLLM: trim_messages, which counts by itself."""

from __future__ import annotations

import os
from typing import Any, List

from benchmarks.context.trimmers.base import MODEL, Message, Trimmer

# Without this, importing it waits for a download.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

from litellm.utils import trim_messages


class System(Trimmer):
    def trim(self) -> Any:
        return trim_messages(self.history, model=MODEL, max_tokens=self.budget)

    def prompt(self, trimmed: Any) -> List[Message]:
        return list(trimmed)
