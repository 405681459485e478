"""Say what a memory backend has to do, as tests to subclass."""

from __future__ import annotations

from contextstore.testing.memory_capabilities import CapabilityTests
from contextstore.testing.memory_contract import ContractTests
from contextstore.testing.memory_wider import WiderTests


class MemoryBackendConformance(ContractTests, CapabilityTests, WiderTests):
    """Test a memory backend: subclass this, and write ``make``.

    Every test runs through the async and through the sync face::

        class TestMine(MemoryBackendConformance):
            def make(self, tmp_path: Path) -> MemoryBackend:
                return Mine(tmp_path / "mine")

    A class with just the five methods of the contract, which keeps what it is given,
    passes. What a backend can do beyond that are its capabilities, each of which is
    found by itself and reported: ``stamping`` and ``validation``
    (``prepares_messages``), ``idempotent-append``, ``differential-save``, ``versions``,
    ``create``, ``durable`` (``reopen`` is written), ``concurrency``, and one for each
    further method of MemoryBackend that it has.
    """
