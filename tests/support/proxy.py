"""A proxy on loopback that knows only CONNECT, and finds hosts that nobody else finds."""

import socket
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread
from types import TracebackType
from typing import Self


class Proxy:
    """Listens while its `with` block lasts; `heads` are the requests that it was sent.

    It connects to this machine for every host.
    """

    def __init__(self, answer: bytes = b"HTTP/1.1 200 Connected\r\n\r\n") -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._answer = answer
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.heads: list[str] = []
        self.over = Event()
        self._threads: list[Thread] = []

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    @property
    def asked_for(self) -> set[str]:
        """Return the hosts and ports that it was asked to connect to."""
        return {head.split(" ")[1] for head in self.heads}

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = Thread(target=target, args=arguments, name="proxy", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.settimeout(5)
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += connection.recv(1)
            self.heads.append(head.decode())
            if b" 200 " not in self._answer:
                self._drip(connection)
                return
            port = int(head.split(b" ")[1].rpartition(b":")[2])
            with socket.create_connection(("127.0.0.1", port), 5) as target:
                connection.sendall(self._answer)
                self._start(_copy, target, connection)
                _copy(connection, target)

    def _drip(self, connection: socket.socket) -> None:
        # As slow as it likes, should the answer not end with a line.
        connection.sendall(self._answer)
        while not self._answer.endswith(b"\n") and not self.over.wait(0.02):
            connection.sendall(b"x")


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
