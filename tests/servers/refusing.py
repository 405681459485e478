"""Be a Postgres that lets nobody in, whatever else is wrong."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

from tests.servers.proxy import shut

# Requests for TLS and GSS, which a server without them answers by one letter (Protocol,
# "SSLRequest", "GSSENCRequest").
_REQUESTS = (b"\x04\xd2\x16\x2f", b"\x04\xd2\x16\x30")


class Refusing:
    """Answer each new connection as a server does that refuses the password.

    Attributes:
        port: where clients connect.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """End it."""
        shut(self._listener)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with suppress(OSError):
                    _refuse(client)
                shut(client)


def _refuse(client: socket.socket) -> None:
    while client.recv(1000)[4:8] in _REQUESTS:
        client.sendall(b"N")
    said = b'SFATAL\0C28P01\0Mpassword authentication failed for user "postgres"\0\0'
    client.sendall(b"E" + (len(said) + 4).to_bytes(4, "big") + said)
