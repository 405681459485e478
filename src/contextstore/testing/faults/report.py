"""Say what a fault tool did and what it found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, List, NamedTuple

Progress = Callable[[str], None]


class Finding(NamedTuple):
    """Be one broken promise.

    Attributes:
        kind: ``lost`` (acknowledged and not there), ``wrong`` (what is there was never
            stored like that, or only a part of it), ``silent`` (an empty list for what
            is damaged), ``error`` (an error where none may be), ``unsettled`` (a
            repeat of the call does not settle it), ``verify`` (verify() complains of a
            sound store, or is content with a damaged one) or ``written`` (a file that
            may not change changed).
        where: the round, image or session, to find it again by.
        detail: what exactly.
    """

    kind: str
    where: str
    detail: str


@dataclass(frozen=True)
class FaultReport:
    """Say what was done, in counts, and what was found.

    Attributes:
        counts: what was done, by name, in the order to print it.
        findings: the broken promises; empty for a sound backend.
    """

    counts: Dict[str, int]
    findings: List[Finding]

    @property
    def ok(self) -> bool:
        """Tell whether every promise was kept."""
        return not self.findings

    def count(self, kind: str) -> int:
        """Count the findings of a kind."""
        return sum(finding.kind == kind for finding in self.findings)


def merged(reports: Iterable[FaultReport]) -> FaultReport:
    """Add up reports of the same tool."""
    counts: Dict[str, int] = {}
    findings: List[Finding] = []
    for report in reports:
        for name, count in report.counts.items():
            counts[name] = counts.get(name, 0) + count
        findings += report.findings
    return FaultReport(counts, findings)


def quiet(_: str) -> None:
    """Print no progress."""


def shown(error: BaseException) -> str:
    """Return an error as a finding shows it."""
    return f"{type(error).__name__}: {error}"


def at_most(value: Any, length: int = 200) -> str:
    """Return the repr of a value, cut where it is long."""
    text = repr(value)
    return text if len(text) <= length else f"{text[:length]}..."
