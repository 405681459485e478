"""Be what the conformance suites stand on: capabilities, found and reported.

A test belongs to the contract, which every backend has to pass, or to a capability,
which a backend may have. To add a capability: make a ``Capability`` and put it over the
tests that it stands for.
"""

from __future__ import annotations

from pathlib import Path
from typing import (
    Any,
    Callable,
    ClassVar,
    Dict,
    FrozenSet,
    Iterator,
    Optional,
    Tuple,
    Type,
    TypeVar,
)

import pytest

from contextstore._lifecycle import Backend, overrides

Test = TypeVar("Test", bound=Callable[..., None])
Detect = Callable[[Any, Path], bool]

_REPORT_PLUGIN = "contextstore-capabilities"


class Capability:
    """Name something that a backend may offer beyond the contract.

    Used as a decorator it says which tests stand for it.

    Args:
        name: what reports and the ``capabilities`` of a suite call it.
        detect: tells whether a backend has it, given the suite and an empty directory.
    """

    def __init__(self, name: str, detect: Detect) -> None:
        self.name = name
        self.detect = detect

    def __call__(self, test: Test) -> Test:
        """Say that a test stands for this capability, beside others over it."""
        test.capabilities = (*_needed(test), self)  # type: ignore[attr-defined]
        return test


class ConformanceSuite:
    """Run the tests of the contract, and of the capabilities that a backend has.

    Attributes:
        capabilities: the names of those that the backend claims, each of which it then
            has to have. None finds out, and skips the tests of those that it lacks.
    """

    capabilities: ClassVar[Optional[FrozenSet[str]]] = None

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if cls.capabilities is None:
            return
        known = cls.known_capabilities()
        unknown = sorted(cls.capabilities - known.keys())
        if unknown:
            raise ValueError(f"unknown: {unknown}; there are {sorted(known)}")
        for name, capability in list(_tests_of_capabilities(cls)):
            if capability.name not in cls.capabilities:
                # What is not callable is no test to pytest.
                setattr(cls, name, None)

    @classmethod
    def known_capabilities(cls) -> Dict[str, Capability]:
        """Return what a backend may claim, by name."""
        found = {
            capability.name: capability
            for base in cls.__mro__
            for _, capability in _tests_of_capabilities(base)
        }
        return dict(sorted(found.items()))

    def detected(self, directory: Path) -> Dict[str, bool]:
        """Find out which capabilities the backend has.

        Args:
            directory: an empty one, for files.
        """
        found: Dict[str, bool] = {}
        for name, capability in self.known_capabilities().items():
            place = directory / f"detect-{name}"
            place.mkdir()
            found[name] = capability.detect(self, place)
        return found

    @pytest.fixture
    def detected_capabilities(
        self, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
    ) -> Dict[str, bool]:
        """Find the capabilities once a class, for the report at the end of the run."""
        found = report_of(request.config).found
        suite = type(self)
        if suite not in found:
            directory = tmp_path_factory.mktemp("capabilities")
            found[suite] = self.detected(directory)
        return found[suite]

    @pytest.fixture(autouse=True)
    def skip_what_is_lacking(
        self, request: pytest.FixtureRequest, detected_capabilities: Dict[str, bool]
    ) -> None:
        """Skip the tests of a capability that nobody claims and that is not there."""
        if self.capabilities is not None:
            return
        for capability in _needed(request.function):
            if not detected_capabilities[capability.name]:
                pytest.skip(f"this backend has no capability {capability.name!r}")

    def test_it_has_the_capabilities_that_it_claims(
        self, detected_capabilities: Dict[str, bool]
    ) -> None:
        """Every name in ``capabilities`` is found in the backend."""
        claimed = self.capabilities or frozenset()
        lacking = sorted(name for name in claimed if not detected_capabilities[name])
        if lacking:
            pytest.fail(f"claimed, but not found in the backend: {lacking}")


def written_over(base: Type[Backend], method: str) -> Detect:
    """Return what finds out whether the backend of a suite has written a method.

    Args:
        base: the class that says what a backend without the method does.
    """

    def detect(suite: Any, directory: Path) -> bool:
        backend = suite.make(directory)
        backend.sync.close()
        return overrides(backend, base, method)

    return detect


def _tests_of_capabilities(cls: type) -> Iterator[Tuple[str, Capability]]:
    for name in dir(cls):
        if name.startswith("test_"):
            for capability in _needed(getattr(cls, name)):
                yield name, capability


def _needed(test: Any) -> Tuple[Capability, ...]:
    needed: Tuple[Capability, ...] = getattr(test, "capabilities", ())
    return needed


class CapabilityReport:
    """Write at the end of a pytest run which capabilities each backend has.

    Attributes:
        found: for each suite that ran, which capabilities its backend has.
    """

    def __init__(self) -> None:
        self.found: Dict[type, Dict[str, bool]] = {}

    def lines(self) -> Iterator[str]:
        """Give one line a suite."""
        for suite, found in self.found.items():
            answers = [f"{name} {_answer(has)}" for name, has in found.items()]
            yield f"{suite.__name__}: {', '.join(answers)}"

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Write the lines; pytest calls this."""
        terminalreporter.section("capabilities of the backends")
        for line in self.lines():
            terminalreporter.write_line(line)


def _answer(has: bool) -> str:
    return "yes" if has else "no"


def report_of(config: pytest.Config) -> CapabilityReport:
    """Return the report of this run, which is made when it is first asked for."""
    report = config.pluginmanager.get_plugin(_REPORT_PLUGIN)
    if not isinstance(report, CapabilityReport):
        report = CapabilityReport()
        config.pluginmanager.register(report, _REPORT_PLUGIN)
    return report
