"""Speak the protocol of OpenAI's chat completions and embeddings, on this machine.

It refuses what OpenAI refuses (unknown fields, results without their call, a missing
key) with status 400 or 401, and answers each question with what it was asked.
"""

from __future__ import annotations

import base64
import json
import struct
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Dict, Generator, List, NamedTuple

from tests.docs.vectors import words_as_vector

_FIELDS = {"role", "content", "name", "tool_calls", "tool_call_id", "refusal"}
_ROLES = {"system", "developer", "user", "assistant", "tool"}

Json = Dict[str, Any]


class Refusal(Exception):
    """Be what the service answers with status 400."""


class Service(NamedTuple):
    """Be a server that runs: its address, and the requests that it got."""

    url: str
    requests: List[Json]


@contextmanager
def serving() -> Generator[Service, None, None]:
    """Serve on a free port of this machine until the block ends."""
    requests: List[Json] = []

    class Handler(_Handler):
        seen = requests

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}
    )
    thread.start()
    try:
        yield Service(f"http://127.0.0.1:{server.server_address[1]}/v1", requests)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    seen: List[Json]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append(body)
        routes: Dict[str, Callable[[Json], Json]] = {
            "/v1/chat/completions": complete,
            "/v1/embeddings": embed,
        }
        if self.path not in routes:
            self._answer(404, {"error": {"message": f"no such path: {self.path}"}})
        elif not self.headers["Authorization"].startswith("Bearer "):
            self._answer(401, {"error": {"message": "no key"}})
        else:
            self._answer_by(routes[self.path], body)

    def _answer_by(self, route: Callable[[Json], Json], body: Json) -> None:
        try:
            self._answer(200, route(body))
        except Refusal as refusal:
            self._answer(400, {"error": {"message": str(refusal)}})

    def _answer(self, status: int, body: Json) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        # One request a connection, so that none is left open when a test ends.
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def complete(request: Json) -> Json:
    """Answer a chat request in the form that OpenAI's answers have."""
    check_messages(request["messages"])
    message = _reply(request["messages"][-1], request.get("tools", []))
    reason = "tool_calls" if "tool_calls" in message else "stop"
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": request["model"],
        "choices": [{"index": 0, "finish_reason": reason, "message": message}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


def _reply(last: Json, tools: List[Json]) -> Json:
    """Call the first tool for a question about the time; else quote what was said."""
    if last["role"] == "user" and tools and "time" in last["content"]:
        function = {"name": tools[0]["function"]["name"], "arguments": "{}"}
        call = {"id": "call_1", "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [call]}
    said = "You said" if last["role"] == "user" else "The tool said"
    return {"role": "assistant", "content": f"{said}: {last['content']}"}


def check_messages(messages: List[Json]) -> None:
    """Refuse messages that OpenAI refuses.

    Raises:
        Refusal: naming the first fault.
    """
    if not messages:
        raise Refusal("[] is too short - 'messages'")
    open_calls: List[str] = []
    for place, message in enumerate(messages):
        unknown = sorted(set(message) - _FIELDS)
        if unknown:
            raise Refusal(f"messages.{place}: unexpected {', '.join(unknown)}")
        if message["role"] not in _ROLES:
            raise Refusal(f"messages.{place}: no such role")
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_calls:
                raise Refusal(f"messages.{place}: a result without its call")
            open_calls.remove(message["tool_call_id"])
            continue
        if open_calls:
            raise Refusal(f"messages.{place}: calls before it have no result")
        open_calls = [call["id"] for call in message.get("tool_calls", [])]
    if open_calls:
        raise Refusal("the last calls have no result")


def embed(request: Json) -> Json:
    """Answer an embeddings request, in floats or as the client asks for it."""
    texts = request["input"]
    texts = [texts] if isinstance(texts, str) else texts
    as_base64 = request.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(text, as_base64)}
        for index, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    return {"object": "list", "data": data, "model": request["model"], "usage": usage}


def _encoded(text: str, as_base64: bool) -> Any:
    vector = words_as_vector(text)
    if not as_base64:
        return vector
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
