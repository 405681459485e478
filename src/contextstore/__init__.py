"""Keep what was said to a language model and give back the right part of it."""

from __future__ import annotations

__version__ = "2.0.0a1"
