"""Name the types of parts and items that mean the same in the providers' shapes.

Tuples and no sets: what stands in the place of a type need not have a hash.
``providers.py`` has names of its own on purpose: it judges what is made with these.
"""

from __future__ import annotations

__all__ = ["CALLS", "IMAGES", "TEXTS", "THOUGHTS"]

TEXTS = ("text", "input_text", "output_text")
IMAGES = ("image", "image_url", "input_image")
THOUGHTS = ("thinking", "redacted_thinking")
# Items whose result the caller owes; a web_search_call, say, answers itself.
CALLS = ("function_call", "custom_tool_call")
