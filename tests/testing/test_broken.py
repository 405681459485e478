"""The suites see what they are there to see: each broken backend fails its test."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List, Type

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from contextstore import (
    InMemoryEmbeddingStore,
    InMemoryMemory,
    MemoryBackend,
    RetrievalBackend,
)
from contextstore.testing import (
    MemoryBackendConformance,
    RetrievalBackendConformance,
    memory_machine,
)
from contextstore.testing.faces import FACES, MEMORY_FACES, RETRIEVAL_FACES
from contextstore.testing.suite import Capability, CapabilityReport, ConformanceSuite
from tests.testing import broken
from tests.testing.backends import DeletingDictRetrieval, DictBackend, DictRetrieval
from tests.testing.broken_wider import WIDER, Wrong

ALL = frozenset(MemoryBackendConformance.known_capabilities())


def memory_suite(
    make: Callable[[], MemoryBackend], **members: Any
) -> MemoryBackendConformance:
    members.setdefault("capabilities", ALL - {"durable"})
    members["make"] = lambda self, tmp_path: make()
    suite: MemoryBackendConformance
    suite = type("Suite", (MemoryBackendConformance,), members)()
    return suite


def retrieval_suite(make: Callable[[], RetrievalBackend]) -> Any:
    names = frozenset(RetrievalBackendConformance.known_capabilities())
    members = {"capabilities": names, "make": lambda self, tmp_path: make()}
    return type("Suite", (RetrievalBackendConformance,), members)()


def fails(suite: Any, name: str, face: str, tmp_path: Path) -> bool:
    """Run one test of a suite as pytest would, and tell whether it failed."""
    test = getattr(suite, name)
    backend = suite.make(tmp_path)
    faces: Any = RETRIEVAL_FACES if hasattr(backend, "search") else MEMORY_FACES
    arguments: Dict[str, Any] = {"tmp_path": tmp_path}
    wanted = inspect.signature(test).parameters
    with faces[face](backend) as opened:
        arguments.update(memory=opened, vectors=opened)
        try:
            test(**{key: arguments[key] for key in wanted})
        except (Exception, pytest.fail.Exception):
            return True
    return False


def named(cases: Dict[Any, str]) -> List[Any]:
    return [pytest.param(cls, test, id=cls.__name__) for cls, test in cases.items()]


@pytest.mark.parametrize(("backend", "test"), named(broken.CONTRACT))
def test_the_contract_is_enforced(
    backend: Type[MemoryBackend], test: str, tmp_path: Path
) -> None:
    assert not any(
        fails(memory_suite(DictBackend), test, face, tmp_path) for face in FACES
    )
    assert any(fails(memory_suite(backend), test, face, tmp_path) for face in FACES)


@pytest.mark.parametrize(("backend", "test"), named(broken.CAPABILITIES))
def test_capabilities_are_enforced(
    backend: Type[MemoryBackend], test: str, tmp_path: Path
) -> None:
    for face in FACES:
        assert not fails(memory_suite(broken.Whole), test, face, tmp_path)
        assert fails(memory_suite(backend), test, face, tmp_path)


@pytest.mark.parametrize("wrong", WIDER, ids=lambda wrong: wrong.name)
def test_what_goes_beyond_the_contract_is_enforced(
    wrong: Wrong, tmp_path: Path
) -> None:
    for face in FACES:
        place = tmp_path / face
        place.mkdir()
        assert not fails(memory_suite(broken.Whole), wrong.test, face, place)
        for file in place.iterdir():
            file.unlink()
        assert fails(memory_suite(wrong.backend()), wrong.test, face, place)


@pytest.mark.parametrize(("backend", "test"), named(broken.RETRIEVAL))
def test_the_contract_of_retrieval_is_enforced(
    backend: Type[RetrievalBackend], test: str, tmp_path: Path
) -> None:
    for face in FACES:
        assert not fails(retrieval_suite(DeletingDictRetrieval), test, face, tmp_path)
        assert fails(retrieval_suite(backend), test, face, tmp_path)


@pytest.mark.parametrize(("backend", "test"), named(broken.RETRIEVAL_WIDER))
def test_what_goes_beyond_the_contract_of_retrieval_is_enforced(
    backend: Type[RetrievalBackend], test: str, tmp_path: Path
) -> None:
    for face in FACES:
        assert not fails(retrieval_suite(InMemoryEmbeddingStore), test, face, tmp_path)
        assert fails(retrieval_suite(backend), test, face, tmp_path)


def test_every_test_of_the_suites_can_fail() -> None:
    """Each test is the one that sees some broken backend, or is named here."""
    seen = {
        *broken.CONTRACT.values(),
        *broken.CAPABILITIES.values(),
        *broken.RETRIEVAL.values(),
        *broken.RETRIEVAL_WIDER.values(),
        *(wrong.test for wrong in WIDER),
    }
    elsewhere = {
        # The same code as another test, from another side.
        "test_a_deleted_session_can_be_made_again",
        "test_an_empty_session_can_be_deleted",
        "test_an_id_given_later_is_another_message",
        "test_a_session_that_is_not_there_has_nothing",
        "test_threads_lose_nothing",
        # Below.
        "test_it_has_the_capabilities_that_it_claims",
        "test_what_is_stored_outlives_the_object",
        "test_another_object_sees_a_write_at_once",
        "test_vectors_outlive_the_object",
    }
    tests = {
        name
        for suite in (MemoryBackendConformance, RetrievalBackendConformance)
        for name in dir(suite)
        if name.startswith("test_")
    }
    assert tests - seen == elsewhere


class Buffer(DictBackend):
    """Writes what it holds when it is closed, if ever."""

    disk: Dict[str, Any]

    async def close(self) -> None:
        self.disk.update(self.sessions)


def durable(writes: bool) -> Any:
    class Mine(Buffer):
        disk = {}  # noqa: RUF012

    def reopen(self: Any, tmp_path: Path) -> MemoryBackend:
        again = Mine()
        if writes:
            again.sessions = dict(Mine.disk)
        return again

    return memory_suite(Mine, capabilities=frozenset({"durable"}), reopen=reopen)


@pytest.mark.parametrize("face", FACES)
def test_durability_is_enforced(face: str, tmp_path: Path) -> None:
    kept = "test_what_is_stored_outlives_the_object"
    seen = "test_another_object_sees_a_write_at_once"
    assert fails(durable(writes=False), kept, face, tmp_path)
    assert not fails(durable(writes=True), kept, face, tmp_path)
    assert fails(durable(writes=True), seen, face, tmp_path)


@pytest.mark.parametrize("face", FACES)
def test_durability_of_vectors_is_enforced(face: str, tmp_path: Path) -> None:
    suite = retrieval_suite(DictRetrieval)
    type(suite).reopen = lambda self, tmp_path: DictRetrieval()
    assert fails(suite, "test_vectors_outlive_the_object", face, tmp_path)
    kept = DictRetrieval()
    type(suite).make = type(suite).reopen = lambda self, tmp_path: kept
    assert not fails(suite, "test_vectors_outlive_the_object", face, tmp_path)


def test_a_claim_that_is_not_true_is_seen(tmp_path: Path) -> None:
    suite = memory_suite(DictBackend, capabilities=frozenset({"versions"}))
    found = suite.detected(tmp_path)
    with pytest.raises(pytest.fail.Exception, match="versions"):
        suite.test_it_has_the_capabilities_that_it_claims(found)
    suite = memory_suite(InMemoryMemory, capabilities=frozenset({"versions"}))
    suite.test_it_has_the_capabilities_that_it_claims({"versions": True})


def test_a_claim_of_what_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="telepathy"):
        memory_suite(DictBackend, capabilities=frozenset({"telepathy"}))


def test_only_the_tests_of_claimed_capabilities_are_there() -> None:
    suite = memory_suite(DictBackend, capabilities=frozenset({"create"}))
    assert suite.test_append_can_make_the_session is not None
    assert suite.test_every_change_raises_the_version is None
    assert suite.test_append_adds_at_the_end is not None


def test_capabilities_are_found(tmp_path: Path) -> None:
    plain = memory_suite(DictBackend, capabilities=None)
    found = plain.detected(tmp_path)
    assert {name for name, has in found.items() if has} == {"concurrency"}
    (tmp_path / "whole").mkdir()
    whole = memory_suite(broken.Whole, capabilities=None)
    found = whole.detected(tmp_path / "whole")
    assert {name for name, has in found.items() if not has} == {"durable"}


def test_a_backend_that_refuses_a_repeat_does_not_repeat_safely(
    tmp_path: Path,
) -> None:
    class Refuses(DictBackend):
        async def append_context(self, session_id: str, context: List[Any]) -> None:
            raise ValueError("known")

    found = memory_suite(Refuses, capabilities=None).detected(tmp_path)
    assert found["idempotent-append"] is False


def test_the_report_says_yes_and_no() -> None:
    report = CapabilityReport()
    report.found[DictBackend] = {"create": False, "durable": True}
    assert list(report.lines()) == ["DictBackend: create no, durable yes"]


def test_a_new_capability_costs_a_line() -> None:
    flying = Capability("flying", lambda suite, directory: True)

    class Suite(ConformanceSuite):
        @flying
        def test_it_flies(self) -> None: ...

    assert Suite.known_capabilities() == {"flying": flying}


@pytest.mark.parametrize(
    "backend",
    [
        broken.DropsTheRole,
        broken.GivesOutItsOwnList,
        broken.KeepsTheMessageItself,
        broken.KeepsTheCallersMessages,
        broken.TakesTrueForOne,
    ],
)
def test_random_histories_find_what_is_broken(backend: Type[MemoryBackend]) -> None:
    machine = memory_machine(lambda directory: backend())
    with pytest.raises((AssertionError, KeyError, IndexError, ValueError)):
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=200,
                stateful_step_count=15,
                phases=[Phase.generate],
                derandomize=True,
                database=None,
                suppress_health_check=[HealthCheck.too_slow],
            ),
        )


def test_a_suite_needs_a_make(tmp_path: Path) -> None:
    for suite in (MemoryBackendConformance(), RetrievalBackendConformance()):
        with pytest.raises(NotImplementedError):
            suite.make(tmp_path)
        with pytest.raises(NotImplementedError):
            suite.reopen(tmp_path)


# Run by pytest as somebody else's test: what is lacking is skipped, and reported.
SOMEBODY_ELSES = """
from contextstore.testing import MemoryBackendConformance
from contextstore import InMemoryMemory
from tests.testing.backends import DictBackend

class TestMine(MemoryBackendConformance):
    def make(self, tmp_path):
        return DictBackend()
"""


def test_it_runs_as_somebody_elses_test(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    (tmp_path / "test_mine.py").write_text(SOMEBODY_ELSES)
    command = [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "test_mine.py"],
        cwd=str(tmp_path),
        env={"PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        check=False,
    )
    printed = done.stdout.decode()
    assert done.returncode == 0, printed
    assert "this backend has no capability 'versions'" in printed
    assert "TestMine: backup no, concurrency yes, create no" in printed


class Waits(DictBackend):
    """Awaits something, so that it has to run in a loop."""

    async def load_context(self, session_id: str, k: Any = None) -> List[Any]:
        await asyncio.sleep(0)
        return await super().load_context(session_id, k)


def test_both_faces_run_what_has_to_wait() -> None:
    for name in FACES:
        with MEMORY_FACES[name](Waits()) as face:
            assert face.load_context("s") == []


def test_three_methods_are_enough_for_retrieval() -> None:
    with RETRIEVAL_FACES["async"](DictRetrieval()) as face:
        face.add("s", "m", [1.0], None)
        assert face.has_embedding("s", "m")
