"""A kept TLS connection of a benchmark, with little that would take the client's own time."""

import socket
import ssl
import time
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

_PIECE_BYTES: Final = 256 * 1024
_LAST_CHUNK: Final = b"\r\n0\r\n\r\n"


class KeptTls:
    """A connection to a server, on which one request follows the other."""

    def __init__(self, url: str, ca_file: str) -> None:
        parts = urlsplit(url)
        plain = socket.create_connection((str(parts.hostname), parts.port), timeout=60)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = ssl.create_default_context(cafile=ca_file)
        self._socket = context.wrap_socket(plain, server_hostname=parts.hostname)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def ask(self, request: bytes) -> tuple[int, bytes, bytes]:
        """Return the status, the head and the body of the answer to a request."""
        self._socket.sendall(request)
        received = bytearray()
        while b"\r\n\r\n" not in received:
            received += self._receive()
        end = received.index(b"\r\n\r\n") + 4
        head = bytes(received[:end])
        body = received[end:]
        status = int(head.split(b" ", 2)[1])
        while not _is_whole(status, head, body):
            body += self._receive()
        return status, head, bytes(body)

    def time(self, request: bytes) -> tuple[int, float]:
        """Return the status of the answer, and how many seconds it took to come whole."""
        started = time.perf_counter()
        status, _, _ = self.ask(request)
        return status, time.perf_counter() - started

    def _receive(self) -> bytes:
        received = self._socket.recv(_PIECE_BYTES)
        if not received:
            raise ConnectionResetError("the server has closed the connection")
        return received


def _is_whole(status: int, head: bytes, body: bytearray) -> bool:
    lines = head.lower().split(b"\r\n")
    lengths = [line.partition(b":")[2] for line in lines if line.startswith(b"content-length:")]
    if status == 304 or not (lengths or b"transfer-encoding: chunked" in lines):
        return True
    if lengths:
        return len(body) >= int(lengths[0])
    return body == _LAST_CHUNK[2:] or body.endswith(_LAST_CHUNK)


def write_request(method: str, path: str, body: bytes = b"", *headers: str) -> bytes:
    """Return a request as it goes over the wire."""
    lines = (f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body
