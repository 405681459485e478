"""What authors of backends read where pytest or hypothesis is not installed."""

from __future__ import annotations

import pytest

from tests.backends.children import run

LACKING = """
import sys
sys.modules[sys.argv[1]] = None
from contextstore import MissingDependencyError
try:
    exec(sys.argv[2])
except MissingDependencyError as error:
    print(error.extra, error)
"""


@pytest.mark.parametrize(
    ("package", "statement"),
    [
        ("pytest", "import contextstore.testing"),
        ("pytest", "import contextstore.testing.faults"),
        ("hypothesis", "from contextstore.testing import memory_machine"),
        ("hypothesis", "import contextstore.testing.stateful"),
        ("hypothesis", "import contextstore.testing.faults.fuzz"),
        ("hypothesis", "from contextstore.testing.faults import run_fuzz"),
    ],
)
def test_the_package_and_the_extra_are_named(package: str, statement: str) -> None:
    expected = f"test this needs the package {package!r}: "
    assert run(LACKING, package, statement) == (
        0,
        f"{expected}pip install 'contextstore[test]'\n",
    )


def test_the_suites_do_without_hypothesis() -> None:
    assert run(LACKING, "hypothesis", "import contextstore.testing.faults") == (0, "")
