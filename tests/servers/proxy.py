"""Stand between a client and a server: count, delay, hold up or cut what passes."""

from __future__ import annotations

import socket
import threading
import time
from typing import Iterator, List, Optional


class Proxy:
    """Pass bytes on between clients and one server, on loopback.

    Args:
        port: that of the server.
        delay: seconds that everything takes from one side to the other.

    Attributes:
        port: where clients connect.
        round_trips: how often the server answered after a client had spoken.
    """

    def __init__(self, port: int, *, delay: float = 0.0) -> None:
        self.delay = delay
        self.round_trips = 0
        self._target = port
        self._cut_after: Optional[bytes] = None
        self._is_down = False
        self._sockets: List[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_answer_to(self, part: bytes) -> None:
        """Cut the connection when the server answers a request with these bytes in it.

        The server has done what was asked by then, and the client does not hear of it.
        """
        self._cut_after = part

    def go_down(self) -> None:
        """Cut all connections, and refuse new ones."""
        self._is_down = True
        self._cut_all()

    def come_back(self) -> None:
        """Take connections again."""
        self._is_down = False

    def close(self) -> None:
        """End for good."""
        self._listener.close()
        self._cut_all()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._is_down:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets += [client, server]
            Link(self, client, server).start()

    def _cut_all(self) -> None:
        for one in self._sockets:
            shut(one)
        self._sockets.clear()

    def should_cut(self, request: bytes) -> bool:
        """Tell, once, whether the answer to a request is to be cut off."""
        if self._cut_after is None or self._cut_after not in request:
            return False
        self._cut_after = None
        return True


class Link:
    """Be one client and its connection to the server."""

    def __init__(
        self, proxy: Proxy, client: socket.socket, server: socket.socket
    ) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._is_asking = False
        self._cuts = False

    def start(self) -> None:
        for work in (self._pass_on, self._pass_back):
            threading.Thread(target=work, daemon=True).start()

    def _pass_on(self) -> None:
        for data in _read(self._client):
            self._is_asking = True
            if self._proxy.should_cut(data):
                self._cuts = True
            time.sleep(self._proxy.delay)
            _send(self._server, data)
        shut(self._server)

    def _pass_back(self) -> None:
        for data in _read(self._server):
            if self._is_asking:
                self._is_asking = False
                self._proxy.round_trips += 1
            if self._cuts:
                break
            time.sleep(self._proxy.delay)
            _send(self._client, data)
        shut(self._client)
        shut(self._server)


def shut(one: socket.socket) -> None:
    """End a connection, whatever it is doing."""
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    one.close()


def _read(one: socket.socket) -> Iterator[bytes]:
    return iter(lambda: _received(one), b"")


def _received(one: socket.socket) -> bytes:
    try:
        return one.recv(1 << 20)
    except OSError:
        return b""


def _send(one: socket.socket, data: bytes) -> None:
    try:
        one.sendall(data)
    except OSError:
        pass
