"""Let clients do random things to the same sessions at once, and check the history."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from pathlib import Path
from typing import Any, Awaitable, Callable, Dict, List, Tuple

from contextstore.backends.base import MemoryBackend
from contextstore.errors import ConflictError, NotFoundError
from contextstore.testing.faults.children import last_line, open_backend, start
from contextstore.testing.faults.linearizability import (
    CONFLICT,
    DONE,
    NOT_FOUND,
    UNKNOWN,
    Operation,
    by_session,
    from_json,
    unexplained,
)
from contextstore.testing.faults.report import (
    FaultReport,
    Finding,
    Progress,
    merged,
    quiet,
    shown,
)

_SESSIONS = 3
_CLIENTS = 6
_OPERATIONS = 40
# Threads cannot be cancelled, and many calls end first: it comes to a tenth or more.
_CANCELLED = 0.7
# Where a busy machine cuts off nearly all, a history takes hours to check: each call
# that may have happened or not doubles what has to be looked at.
_MOST_CANCELLED = 0.25
_PATIENCE = 0.004

Call = Callable[[Any], Any]


class Client:
    """Choose calls by chance, and keep what came of them.

    Args:
        name: what its choices follow from.
        patience: seconds after which it cancels a call at the latest, if it does.

    Attributes:
        operations: what was done.
        faults: errors that none of the calls may raise.
    """

    def __init__(self, name: str, patience: float) -> None:
        self.chance = random.Random(name)
        self.patience = patience
        self.operations: List[Operation] = []
        self.faults: List[str] = []
        self._name = name.replace("/", "-")
        self._made = 0
        self._known: Dict[str, Tuple[str, ...]] = {}
        self._versions: Dict[str, int] = {}
        self._repeat: List[Tuple[Operation, Call]] = []

    def cancels_next(self) -> bool:
        """Tell whether to cancel the next call, unless it ends first."""
        wanted = self.chance.random() < _CANCELLED
        cut = sum(one.outcome == UNKNOWN for one in self.operations)
        return wanted and cut <= _MOST_CANCELLED * len(self.operations)

    def choose(self) -> Tuple[Operation, Call]:
        """Return what to do next, as it is recorded and as it is called."""
        if self._repeat and self.chance.random() < 0.7:
            return self._repeat.pop()
        session_id = f"s{self.chance.randrange(_SESSIONS)}"
        verbs = ("append",) * 4 + ("load",) * 4 + ("save",) * 2 + ("info", "rewind")
        # A deletion forgets a lot, so that much of it would hide what is wrong.
        verb = self.chance.choice((*verbs * 2, "delete"))
        return getattr(self, f"_{verb}")(session_id)  # type: ignore[no-any-return]

    def _append(self, session_id: str) -> Tuple[Operation, Call]:
        new = self._new_ids()
        return _planned(
            "append", session_id, new
        ), lambda target: target.append_context(session_id, _messages(new))

    def _save(self, session_id: str) -> Tuple[Operation, Call]:
        ids = self._known.get(session_id, ()) + self._new_ids()
        expected = None
        if self.chance.random() < 0.7:
            expected = self._versions.get(session_id, 0)
        return _planned(
            "save", session_id, ids, expected
        ), lambda target: target.save_context(
            session_id, _messages(ids), expected_version=expected
        )

    def _load(self, session_id: str) -> Tuple[Operation, Call]:
        return _planned("load", session_id), lambda target: target.load_context(
            session_id
        )

    def _info(self, session_id: str) -> Tuple[Operation, Call]:
        return _planned("info", session_id), lambda target: target.session_info(
            session_id
        )

    def _rewind(self, session_id: str) -> Tuple[Operation, Call]:
        first = self.chance.choice(self._known.get(session_id) or ("none",))
        return _planned(
            "rewind", session_id, (first,)
        ), lambda target: target.delete_interaction(session_id, first)

    def _delete(self, session_id: str) -> Tuple[Operation, Call]:
        return _planned("delete", session_id), lambda target: target.delete_session(
            session_id
        )

    def _new_ids(self) -> Tuple[str, ...]:
        count = self.chance.choice((1, 2))
        self._made += count
        return tuple(f"{self._name}-{self._made - n}" for n in range(count))

    def succeeded(self, planned: Operation, call: Call, value: Any) -> None:
        """Note what a call gave."""
        session_id, seen = planned.session_id, planned.seen
        version = getattr(value, "version", None)
        if planned.verb == "load":
            seen = tuple(message["id"] for message in value)
            self._known[session_id] = seen
            if value != _messages(seen):
                self.faults.append(f"{planned} gave other messages: {value}")
        elif version is not None:
            self._versions[session_id] = version
        self._ended(planned, DONE, version, seen)

    def failed(self, planned: Operation, call: Call, error: BaseException) -> None:
        """Note the error of a call."""
        if isinstance(error, asyncio.CancelledError):
            if planned.verb == "append":
                # With the same ids: what settles it must not store it twice.
                self._repeat.append((planned, call))
            self._ended(planned, UNKNOWN)
        elif isinstance(error, ConflictError) and planned.expected is not None:
            self._ended(planned, CONFLICT, error.current_version)
        elif isinstance(error, NotFoundError):
            self._ended(planned, NOT_FOUND)
        else:
            self.faults.append(f"{planned}: {shown(error)}")

    def _ended(
        self,
        planned: Operation,
        outcome: str,
        version: Any = None,
        seen: Tuple[str, ...] = (),
    ) -> None:
        end = time.monotonic_ns()
        self.operations.append(
            planned._replace(end=end, outcome=outcome, version=version, seen=seen)
        )


def _planned(
    verb: str, session_id: str, ids: Tuple[str, ...] = (), expected: Any = None
) -> Operation:
    return Operation(verb, session_id, ids, expected, 0, 0, UNKNOWN, None, ())


def _messages(ids: Tuple[str, ...]) -> List[Dict[str, Any]]:
    return [{"id": one, "content": one, "timestamp": "2024"} for one in ids]


def _work_in_thread(client: Client, backend: MemoryBackend, count: int) -> None:
    face = backend.sync
    for _ in range(count):
        planned, call = client.choose()
        planned = planned._replace(start=time.monotonic_ns())
        try:
            client.succeeded(planned, call, call(face))
        except Exception as error:
            client.failed(planned, call, error)


async def _work_in_task(client: Client, backend: MemoryBackend, count: int) -> None:
    for _ in range(count):
        planned, call = client.choose()
        is_cancelled = client.cancels_next()
        patience = client.chance.random() * client.patience if is_cancelled else None
        planned = planned._replace(start=time.monotonic_ns())
        try:
            client.succeeded(planned, call, await _cancelled(call(backend), patience))
        except (Exception, asyncio.CancelledError) as error:
            client.failed(planned, call, error)


async def _cancelled(awaitable: Awaitable[Any], patience: Any) -> Any:
    task = asyncio.ensure_future(awaitable)
    if patience is not None:
        await asyncio.sleep(patience)
        task.cancel()
    return await task


def _in_threads(works: List[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _as_threads(backend: MemoryBackend, clients: List[Client], count: int) -> None:
    _in_threads(
        [
            lambda client=client: _work_in_thread(client, backend, count)  # type: ignore[misc]
            for client in clients
        ]
    )


def _as_tasks(backend: MemoryBackend, clients: List[Client], count: int) -> None:
    async def together() -> None:
        await asyncio.gather(*(_work_in_task(c, backend, count) for c in clients))

    asyncio.run(together())


def _as_loops(backend: MemoryBackend, clients: List[Client], count: int) -> None:
    _in_threads(
        [
            lambda part=part: _as_tasks(backend, part, count)  # type: ignore[misc]
            for part in (clients[::2], clients[1::2])
        ]
    )


_CROWDS = {"threads": _as_threads, "tasks": _as_tasks, "loops": _as_loops}


def work(
    opener: str,
    path: str,
    crowd: str,
    names: List[str],
    count: int,
    patience: float = _PATIENCE,
) -> Tuple[List[Operation], List[str]]:
    """Let clients work as threads, tasks or tasks of two loops on one object."""
    clients = [Client(name, patience) for name in names]
    backend = open_backend(opener, path)
    _CROWDS[crowd](backend, clients, count)
    backend.sync.close()
    return (
        [operation for client in clients for operation in client.operations],
        [fault for client in clients for fault in client.faults],
    )


def work_in_child(**arguments: Any) -> None:
    """Let clients work in a process of its own, and print what they did."""
    print(json.dumps(work(**arguments)))


def _work_in_processes(
    opener: str, path: str, names: List[str], patience: float
) -> Tuple[List[Operation], List[str]]:
    children = [
        start(
            "contextstore.testing.faults.histories:work_in_child",
            opener=opener,
            path=path,
            crowd=crowd,
            names=part,
            count=_OPERATIONS,
            patience=patience,
        )
        for crowd, part in (("tasks", names[::2]), ("loops", names[1::2]))
    ]
    operations: List[Operation] = []
    faults: List[str] = []
    for child in children:
        output, errors = child.communicate()
        if child.returncode:
            faults.append(last_line(errors))
            continue
        rows, told = json.loads(output)
        operations += map(from_json, rows)
        faults += told
    return operations, faults


def run_histories(
    opener: str,
    directory: Path,
    *,
    operations: int,
    seed: int = 1,
    patience: float = _PATIENCE,
    progress: Progress = quiet,
) -> FaultReport:
    """Record so many concurrent operations, and check each session's history.

    Clients append, save (most of them with ``expected_version``), load, rewind and
    delete the same three sessions of a file, as threads, as tasks, as tasks of two
    loops and as tasks of two processes. A part of the calls of tasks is cancelled: such
    a call may have happened or not, but at no other time than while it ran.

    Args:
        opener: ``package.module:function``; called with a path, it gives the backend,
            which has ``session_info`` and ``expected_version``.
        patience: seconds after which a call is cancelled at the latest, if it is. Let
            it be longer than most calls take, so that some end and others do not.
    """
    reports: List[FaultReport] = []
    crowds = ("threads", "tasks", "loops", "tasks", "loops", "processes")
    a_round = _CLIENTS * _OPERATIONS
    rounds = -(-operations // a_round)
    for number in range(rounds):
        crowd = crowds[number % len(crowds)]
        path = str(directory / f"history{number}.db")
        names = [f"{seed}/{number}/{client}" for client in range(_CLIENTS)]
        if crowd == "processes":
            done, faults = _work_in_processes(opener, path, names, patience)
        else:
            done, faults = work(opener, path, crowd, names, _OPERATIONS, patience)
        reports.append(_judged(done, faults, f"round {number}, {crowd}"))
        if number % 20 == 19 or number == rounds - 1:
            progress(f"{(number + 1) * a_round} of {rounds * a_round} operations")
    return merged(reports)


def _judged(done: List[Operation], faults: List[str], where: str) -> FaultReport:
    findings = [Finding("error", where, fault) for fault in faults]
    for session_id, history in by_session(done).items():
        reason = unexplained(history)
        if reason is not None:
            findings.append(Finding("wrong", f"{where}, {session_id}", reason))
    counts = {
        "operations": len(done),
        "cancelled": sum(operation.outcome == UNKNOWN for operation in done),
        "conflicts": sum(operation.outcome == CONFLICT for operation in done),
        "histories": len(by_session(done)),
    }
    return FaultReport(counts, findings)
