"""Check how embedding functions are called and what of their answers is let through."""

from __future__ import annotations

import asyncio
import functools
import math
import threading
from array import array
from typing import Any, Awaitable, Callable, List

import pytest

from contextstore import _hop
from contextstore.errors import EmbeddingError, InvalidInputError
from contextstore.retrieval.embedding import embed


def lengths(texts: List[str]) -> List[List[float]]:
    """Embed a text as its length and a one."""
    return [[float(len(text)), 1.0] for text in texts]


async def lengths_async(texts: List[str]) -> List[List[float]]:
    """Embed after a real switch to the loop."""
    await asyncio.sleep(0)
    return lengths(texts)


def lengths_awaitable(texts: List[str]) -> Awaitable[List[List[float]]]:
    """Embed by a plain function that returns a coroutine."""
    return lengths_async(texts)


class Embedder:
    """Embed as a callable object."""

    def __call__(self, texts: List[str]) -> List[List[float]]:
        return lengths(texts)


class AsyncEmbedder:
    """Embed as a callable object whose call is a coroutine."""

    async def __call__(self, texts: List[str]) -> List[List[float]]:
        return await lengths_async(texts)


def scaled(texts: List[str], factor: float) -> List[List[float]]:
    """Embed with an argument to bind."""
    return [[factor * x for x in vector] for vector in lengths(texts)]


async def scaled_async(texts: List[str], factor: float) -> List[List[float]]:
    """Embed as a coroutine with an argument to bind."""
    await asyncio.sleep(0)
    return scaled(texts, factor)


FORMS = [
    lengths,
    lengths_async,
    lengths_awaitable,
    Embedder(),
    AsyncEmbedder(),
    functools.partial(scaled, factor=1.0),
    functools.partial(scaled_async, factor=1.0),
    lambda texts: tuple(map(tuple, lengths(texts))),
    lambda texts: [array("d", vector) for vector in lengths(texts)],
    lambda texts: iter(lengths(texts)),
]


def in_a_loop(embed_fn: Any, texts: List[str], **options: Any) -> List[List[float]]:
    """Embed as an async caller does."""
    return asyncio.run(embed(embed_fn, texts, **options))


def without_a_loop(
    embed_fn: Any, texts: List[str], **options: Any
) -> List[List[float]]:
    """Embed as the sync face does."""
    return _hop.drive(embed(embed_fn, texts, **options))


both_faces = pytest.mark.parametrize("run", [in_a_loop, without_a_loop])
Run = Callable[..., List[List[float]]]


@both_faces
@pytest.mark.parametrize("embed_fn", FORMS)
def test_every_form_of_function_is_called(run: Run, embed_fn: Any) -> None:
    assert run(embed_fn, ["a", "bcd"]) == [[1.0, 1.0], [3.0, 1.0]]


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_arrays_of_numpy_are_taken(kind: str) -> None:
    numpy = pytest.importorskip("numpy")
    rows = [[1.0, 2.0], [3.0, 4.0]]
    matrix = numpy.array(rows, dtype=kind)
    assert in_a_loop(lambda _: matrix, ["a", "b"]) == rows
    assert in_a_loop(lambda _: list(matrix), ["a", "b"]) == rows
    assert in_a_loop(lambda _: matrix.tolist(), ["a", "b"]) == rows


@both_faces
def test_batches_have_the_size_asked_for(run: Run) -> None:
    calls: List[List[str]] = []

    def noting(texts: List[str]) -> List[List[float]]:
        calls.append(list(texts))
        texts.clear()  # what a function does to its list reaches nobody
        return lengths(calls[-1])

    texts = ["a", "bb", "ccc", "dddd", "eeeee"]
    vectors = run(noting, texts, batch_size=2)
    assert calls == [["a", "bb"], ["ccc", "dddd"], ["eeeee"]]
    assert [vector[0] for vector in vectors] == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert len(texts) == 5


@both_faces
def test_nothing_to_embed_calls_nothing(run: Run) -> None:
    assert run(None, []) == []


@pytest.mark.parametrize("batch_size", [0, -1, True, 2.0, "8", None])
def test_a_batch_size_is_a_positive_int(batch_size: Any) -> None:
    with pytest.raises(InvalidInputError):
        in_a_loop(lengths, ["a"], batch_size=batch_size)


@both_faces
@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (None, "NoneType"),
        (3.0, "float"),
        ("ab", "str"),
        ({"a": 1, "b": 2}, "dict"),
        ([[1.0]], "1 vectors for 2 texts"),
        ([[1.0]] * 3, "3 vectors for 2 texts"),
        ([], "0 vectors"),
        ([[1.0], [1.0, 2.0]], "of 1 and of 2"),
        ([[1.0], []], "no components"),
        ([1.0, 2.0], "vectors[0] is of type float"),
        ([[1.0], [math.nan]], "vectors[1]"),
        ([[1.0], [math.inf]], "vectors[1]"),
        ([[1.0], ["x"]], "vectors[1][0]"),
        ([[1.0], [[1.0]]], "vectors[1][0]"),
    ],
)
def test_an_answer_that_is_no_set_of_vectors_is_refused(
    run: Run, answer: Any, says: str
) -> None:
    with pytest.raises(EmbeddingError) as caught:
        run(lambda _: answer, ["secret", "words"])
    assert says in str(caught.value)
    assert "secret" not in str(caught.value)


def test_batches_of_different_dimensions_are_refused() -> None:
    with pytest.raises(EmbeddingError, match="of 1 and of 2"):
        in_a_loop(lambda texts: [[1.0] * len(texts[0])], ["a", "bb"], batch_size=1)


@both_faces
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_failure_is_our_error_with_its_cause(run: Run, asynchronous: bool) -> None:
    failure = RuntimeError("no such model")

    def failing(_: List[str]) -> List[List[float]]:
        raise failure

    async def failing_async(_: List[str]) -> List[List[float]]:
        raise failure

    with pytest.raises(EmbeddingError, match="RuntimeError") as caught:
        run(failing_async if asynchronous else failing, ["a"])
    assert caught.value.__cause__ is failure


def test_an_interruption_passes_through() -> None:
    def interrupted(_: List[str]) -> List[List[float]]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        without_a_loop(interrupted, ["a"])


def test_a_cancellation_passes_through() -> None:
    async def main() -> None:
        started = asyncio.Event()

        async def endless(_: List[str]) -> List[List[float]]:
            started.set()
            await asyncio.Event().wait()
            raise AssertionError

        task = asyncio.ensure_future(embed(endless, ["a"]))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_a_blocking_function_does_not_stall_the_loop() -> None:
    async def main() -> None:
        release = threading.Event()

        def blocking(texts: List[str]) -> List[List[float]]:
            assert release.wait(30)
            return lengths(texts)

        task = asyncio.ensure_future(embed(blocking, ["a"]))
        await asyncio.sleep(0)
        # Only a loop that still turns gets here to let the function go on.
        release.set()
        assert await task == [[1.0, 1.0]]

    asyncio.run(main())


def test_without_a_loop_the_function_runs_in_the_callers_thread() -> None:
    seen: List[int] = []

    def noting(texts: List[str]) -> List[List[float]]:
        seen.append(threading.get_ident())
        return lengths(texts)

    without_a_loop(noting, ["a"])
    assert seen == [threading.get_ident()]
