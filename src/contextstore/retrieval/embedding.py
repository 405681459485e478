"""Call an embedding function, and let nothing through that is no set of vectors."""

from __future__ import annotations

import inspect
from typing import Any, Awaitable, Callable, List, Optional, Sequence, Union

from contextstore import _hop
from contextstore.errors import ContextStoreError, EmbeddingError, InvalidInputError
from contextstore.retrieval.vectors import floats_of

__all__ = ["DEFAULT_BATCH_SIZE", "EmbedFn", "Embeddings", "embed", "for_queries"]

Embeddings = Sequence[Sequence[float]]
"""One vector a text: lists, tuples or arrays of numbers, or one array of rows."""

EmbedFn = Callable[[List[str]], Union[Embeddings, Awaitable[Embeddings]]]
"""What turns texts into vectors, one a text and in their order.

A plain function, an ``async def``, or a plain function that returns a coroutine. Where
an event loop runs, a plain function is called in a thread of its own, so it may block,
but it may not touch that loop: what starts a task is an ``async def``.
"""

DEFAULT_BATCH_SIZE = 64


async def embed(
    embed_fn: EmbedFn,
    texts: Sequence[str],
    *,
    batch_size: int = DEFAULT_BATCH_SIZE,
) -> List[List[float]]:
    """Embed texts in batches and return their vectors, checked.

    Every vector comes back finite and of one dimension, or none does.

    Args:
        batch_size: how many texts one call of ``embed_fn`` gets at most.

    Raises:
        EmbeddingError: ``embed_fn`` raised, or gave something else than one vector a
            text; its cause is what was raised.
        InvalidInputError: ``batch_size`` is no positive int.
    """
    _validate_batch_size(batch_size)
    vectors: List[List[float]] = []
    for start in range(0, len(texts), batch_size):
        batch = texts[start : start + batch_size]
        # The function gets a list of its own, to change as it likes.
        answer = await _ask(embed_fn, list(batch))
        dimension = len(vectors[0]) if vectors else None
        vectors += _checked(answer, len(batch), dimension)
    return vectors


def for_queries(embed_fn: EmbedFn) -> EmbedFn:
    """Return what embeds queries: the function's own ``embed_queries``, if it has one.

    Some models read a question otherwise than the text that answers it.
    """
    queries: Optional[EmbedFn] = getattr(embed_fn, "embed_queries", None)
    return queries or embed_fn


def _validate_batch_size(batch_size: Any) -> None:
    if type(batch_size) is not int or batch_size < 1:
        raise InvalidInputError("batch_size must be a positive int", path="batch_size")


async def _ask(embed_fn: EmbedFn, batch: List[str]) -> Any:
    """Call the function the way its kind asks for; its failure is our error."""
    try:
        if _is_async(embed_fn):
            answer: Any = embed_fn(batch)
        else:
            answer = await _hop.call(embed_fn, batch)
        if inspect.isawaitable(answer):
            answer = await _hop.wait(answer)
    except EmbeddingError:
        raise
    except ContextStoreError as error:
        # Ours carry no text of a message, and say what to do.
        raise EmbeddingError(str(error)) from error
    except Exception as error:
        raise EmbeddingError(
            f"the embedding function failed on {len(batch)} texts with "
            f"{type(error).__name__}; see the cause"
        ) from error
    return answer


def _is_async(function: Any) -> bool:
    if inspect.iscoroutinefunction(function):
        return True
    call: Any = getattr(function, "__call__", None)  # noqa: B004 - it is looked into
    return inspect.iscoroutinefunction(call)


def _checked(answer: Any, expected: int, dimension: Optional[int]) -> List[List[float]]:
    """Return an answer as one list of floats a text."""
    rows = _rows_of(answer)
    if len(rows) != expected:
        raise EmbeddingError(
            f"the embedding function gave {len(rows)} vectors for {expected} texts; "
            f"it must give one a text, in their order"
        )
    vectors: List[List[float]] = []
    for index, row in enumerate(rows):
        vectors.append(_checked_row(row, index, dimension))
        dimension = len(vectors[-1])
    return vectors


def _rows_of(answer: Any) -> List[Any]:
    # A text or a mapping can be listed too, but never as vectors.
    if isinstance(answer, (str, bytes, dict)):
        raise _no_vectors(answer)
    try:
        return list(answer)
    except TypeError as error:
        raise _no_vectors(answer) from error


def _no_vectors(answer: Any) -> EmbeddingError:
    return EmbeddingError(
        f"the embedding function gave an object of type {type(answer).__name__}; "
        f"it must give a list of vectors"
    )


def _checked_row(row: Any, index: int, dimension: Optional[int]) -> List[float]:
    path = f"vectors[{index}]"
    try:
        vector: List[float] = floats_of(row, path).tolist()
    except InvalidInputError as error:
        raise EmbeddingError(
            f"the embedding function gave no usable vector: {error}"
        ) from error
    if dimension is not None and len(vector) != dimension:
        raise EmbeddingError(
            f"the embedding function gave vectors of {dimension} and of "
            f"{len(vector)} components; one model gives one dimension"
        )
    return vector
