"""Search one session of vectors with each of the systems that are measured."""

# ruff: noqa: PLC0415 - each system has an environment of its own

from __future__ import annotations

import asyncio
import tempfile
from typing import Any, Callable, Dict, List

Row = List[float]
# Takes a query as a list, as an embedding function gives it, and searches.
Search = Callable[[Row], Any]

K = 10


def contextstore(rows: List[Row]) -> Search:
    """Be this library, or its version 1.0.1: the calls are the same."""
    from contextstore import InMemoryEmbeddingStore

    store = InMemoryEmbeddingStore()
    loop = asyncio.new_event_loop()

    async def fill() -> None:
        for number, row in enumerate(rows):
            await store.add("s", str(number), row, {"text": "a message"})

    loop.run_until_complete(fill())
    return lambda query: loop.run_until_complete(store.search("s", query, K))


def bare_product(rows: List[Row]) -> Search:
    """Be the least that reading the vectors costs: no identifiers, no order."""
    import numpy

    matrix = numpy.array(rows, dtype=numpy.float32)
    query = matrix[0].copy()
    return lambda _: matrix @ query


def faiss(rows: List[Row]) -> Search:
    import faiss as package
    import numpy

    matrix = numpy.array(rows, dtype=numpy.float32)
    package.normalize_L2(matrix)
    index = package.IndexFlatIP(matrix.shape[1])
    index.add(matrix)
    return lambda query: index.search(numpy.array([query], dtype=numpy.float32), K)


def usearch(rows: List[Row]) -> Search:
    import numpy
    from usearch.index import MetricKind, search

    matrix = numpy.array(rows, dtype=numpy.float32)
    return lambda query: search(
        matrix, numpy.array(query, dtype=numpy.float32), K, MetricKind.Cos, exact=True
    )


def langchain(rows: List[Row]) -> Search:
    from langchain_core.embeddings import Embeddings
    from langchain_core.vectorstores import InMemoryVectorStore

    class Given(Embeddings):
        def embed_documents(self, texts: List[str]) -> List[Row]:
            return [rows[int(text)] for text in texts]

        def embed_query(self, text: str) -> Row:
            return rows[int(text)]

    store = InMemoryVectorStore(Given())
    store.add_texts([str(number) for number in range(len(rows))])
    return lambda query: store.similarity_search_with_score_by_vector(query, K)


def chroma(rows: List[Row]) -> Search:
    import chromadb

    client = chromadb.EphemeralClient()
    # A name needs three characters.
    collection = client.create_collection("one", metadata={"hnsw:space": "cosine"})
    for start in range(0, len(rows), 5_000):
        some = rows[start : start + 5_000]
        ids = [str(start + place) for place in range(len(some))]
        collection.add(ids=ids, embeddings=some)
    return lambda query: collection.query(query_embeddings=[query], n_results=K)


def lancedb(rows: List[Row]) -> Search:
    import lancedb as package

    database = package.connect(tempfile.mkdtemp())
    data = [{"id": str(place), "vector": row} for place, row in enumerate(rows)]
    table = database.create_table("s", data)
    return lambda query: table.search(query).metric("cosine").limit(K).to_list()


SEARCHERS: Dict[str, Callable[[List[Row]], Search]] = {
    "ours": contextstore,
    "M @ q": bare_product,
    "contextstore 1.0.1": contextstore,
    "faiss flat": faiss,
    "usearch exact": usearch,
    "langchain": langchain,
    "chroma": chroma,
    "lancedb": lancedb,
}
