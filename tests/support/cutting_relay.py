"""A relay on loopback that cuts connections after some bytes, as a bad network does."""

import socket
from contextlib import suppress
from threading import Thread
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

_PIECE_BYTES: Final = 16 * 1024


class CuttingRelay:
    """Relays to the server at a URL; ``cuts`` has after how many bytes each next cut comes."""

    def __init__(self, url: str, *cuts: int) -> None:
        self._server = urlsplit(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.cuts = list(cuts)
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection((self._server.hostname, self._server.port))
                Thread(target=self._up, args=(client, server), daemon=True).start()
                Thread(target=_down, args=(server, client), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        """Relay what the client sends until the next cut."""
        with suppress(OSError), client, server:
            sent = 0
            while piece := client.recv(_PIECE_BYTES):
                sent += len(piece)
                if self.cuts and sent > self.cuts[0]:
                    self.cuts.pop(0)
                    return
                server.sendall(piece)


def _down(server: socket.socket, client: socket.socket) -> None:
    with suppress(OSError), client, server:
        while piece := server.recv(_PIECE_BYTES):
            client.sendall(piece)
