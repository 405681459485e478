"""The systems that are measured, behind one face; each imports only its own package."""

from __future__ import annotations
