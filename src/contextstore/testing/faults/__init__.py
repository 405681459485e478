"""Break a backend the way the world does, and see what it keeps."""

from __future__ import annotations
