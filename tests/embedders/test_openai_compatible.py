"""Check the client of embedding servers against a server of the test's own."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Dict, Iterator, List

import pytest

from contextstore import _hop
from contextstore.embedders import OpenAICompatibleEmbedder
from contextstore.errors import ConfigurationError, EmbeddingError
from contextstore.retrieval.embedding import embed, for_queries


class Server:
    """Speak the protocol, note what was asked, and fail on demand."""

    def __init__(self) -> None:
        self.requests: List[Dict[str, Any]] = []
        self.headers: List[Dict[str, str]] = []
        self.status = 200
        self.answer: Any = None
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                body = json.loads(self.rfile.read(size))
                server.requests.append({"path": self.path, **body})
                server.headers.append(dict(self.headers))
                answer = server.answer
                if answer is None:
                    answer = json.dumps({"data": self.data(body["input"])})
                self.send_response(server.status)
                self.send_header("Location", "/elsewhere")
                self.end_headers()
                self.wfile.write(answer.encode())

            def data(self, texts: List[str]) -> List[Dict[str, Any]]:
                # Out of order, as the protocol allows.
                items = [
                    {"index": index, "embedding": [float(len(text)), 1.0]}
                    for index, text in enumerate(texts)
                ]
                return items[::-1]

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    running = Server()
    thread = threading.Thread(target=running.http.serve_forever, args=(0.01,))
    thread.start()
    yield running
    running.http.shutdown()
    thread.join()
    running.http.server_close()


def test_texts_are_embedded_in_their_order(server: Server) -> None:
    embedder = OpenAICompatibleEmbedder("m", base_url=server.url + "/")
    vectors = _hop.drive(embed(embedder, ["a", "bbb", "cc"], batch_size=2))
    assert vectors == [[1.0, 1.0], [3.0, 1.0], [2.0, 1.0]]
    assert server.requests == [
        {
            "path": "/v1/embeddings",
            "model": "m",
            "input": texts,
            "encoding_format": "float",
        }
        for texts in (["a", "bbb"], ["cc"])
    ]
    assert "Authorization" not in server.headers[0]
    assert embedder.name == "m"


def test_key_dimension_and_prefixes_are_sent(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = OpenAICompatibleEmbedder(
        "m",
        base_url=server.url,
        api_key="secret",
        dimension=2,
        query_prefix="query: ",
        document_prefix="passage: ",
    )
    embedder(["a"])
    for_queries(embedder)(["b"])
    assert [request["input"] for request in server.requests] == [
        ["passage: a"],
        ["query: b"],
    ]
    assert server.requests[0]["dimensions"] == 2
    assert server.headers[0]["Authorization"] == "Bearer secret"
    assert "secret" not in repr(embedder)
    monkeypatch.setenv("OPENAI_API_KEY", "from the environment")
    OpenAICompatibleEmbedder("m", base_url=server.url)(["a"])
    assert server.headers[-1]["Authorization"] == "Bearer from the environment"


@pytest.mark.parametrize("status", [400, 401, 429, 500, 302, 307])
def test_a_refusal_is_an_embedding_error(server: Server, status: int) -> None:
    server.status = status
    embedder = OpenAICompatibleEmbedder("m", base_url=server.url, api_key="secret")
    with pytest.raises(EmbeddingError, match=str(status)) as caught:
        _hop.drive(embed(embedder, ["private words"]))
    assert "secret" not in str(caught.value)
    assert "private" not in str(caught.value)
    # A redirect is not followed: it would hand the key to another server.
    assert [request["path"] for request in server.requests] == ["/v1/embeddings"]


@pytest.mark.parametrize(
    "answer",
    [
        "no JSON",
        "[]",
        "{}",
        '{"data": []}',
        '{"data": [{"index": 1, "embedding": [1.0]}]}',
        '{"data": [{"index": 0}]}',
        '{"data": [3]}',
        '{"data": null}',
    ],
)
def test_an_odd_answer_is_an_embedding_error(server: Server, answer: str) -> None:
    server.answer = answer
    with pytest.raises(EmbeddingError):
        OpenAICompatibleEmbedder("m", base_url=server.url)(["a"])


def test_an_unreachable_server_is_an_embedding_error() -> None:
    embedder = OpenAICompatibleEmbedder("m", base_url="http://127.0.0.1:9", timeout=5)
    with pytest.raises(EmbeddingError, match="could not be reached"):
        embedder(["a"])


@pytest.mark.parametrize("base_url", ["file:///etc", "localhost:80", ""])
def test_an_address_is_http(base_url: str) -> None:
    with pytest.raises(ConfigurationError):
        OpenAICompatibleEmbedder("m", base_url=base_url)
