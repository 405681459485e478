"""Speak TLS in front of a server that does not, with a certificate signed by itself.

Neither the wheel of Postgres nor that of Valkey was built with OpenSSL.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
from contextlib import suppress
from pathlib import Path
from typing import List

from tests.servers.proxy import shut

CERTIFICATE = Path(__file__).with_name("tls.pem")
# What a client of Postgres sends first (Protocol, "SSLRequest").
_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


class TlsFront:
    """Take connections with TLS, and pass on to a server what they say.

    Args:
        port: that of the server.
        asks: whether clients ask for TLS first, as those of Postgres do.

    Attributes:
        port: where clients connect.
        served: how many shook hands.
    """

    def __init__(self, port: int, *, asks: bool) -> None:
        self.served = 0
        self._target = port
        self._asks = asks
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(str(CERTIFICATE))
        self._open: List[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """End it, and what goes over it."""
        for one in (self._listener, *self._open):
            shut(one)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        # Who does not trust the certificate ends the handshake.
        with suppress(OSError):
            if self._asks:
                assert client.recv(len(_REQUEST)) == _REQUEST
                client.sendall(b"S")
            with self._context.wrap_socket(client, server_side=True) as secure:
                self.served += 1
                with socket.create_connection(("127.0.0.1", self._target)) as server:
                    _pass_on(secure, server)
        shut(client)


def _pass_on(secure: ssl.SSLSocket, server: socket.socket) -> None:
    """Pass bytes on until one side ends; in one thread, as OpenSSL wants it."""
    while True:
        ready = (
            [secure] if secure.pending() else select.select([secure, server], [], [])[0]
        )
        for one in ready:
            data = one.recv(1 << 16)
            if not data:
                return
            (server if one is secure else secure).sendall(data)
