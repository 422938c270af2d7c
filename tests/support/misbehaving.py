"""An issuer on loopback that misbehaves over real sockets when a test tells it to.

It answers like `tests.support.signing.Issuer` until a behaviour is put in the place of a path's
answer.
"""

import gzip
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Event, Thread
from types import TracebackType
from typing import Self

from pytp_broker.oidc.documents import FetchError
from tests.support import signing

DISCOVERY = "/.well-known/openid-configuration"
JWKS = "/.well-known/jwks"

Behaviour = Callable[["MisbehavingIssuer"], Iterator[bytes]]


class MisbehavingIssuer(signing.Issuer):
    """Listens while its `with` block lasts. `heads` are the requests that it was sent.

    A behaviour yields what is written to the socket, piece by piece; the connection ends with it.
    """

    def __init__(self, context: ssl.SSLContext | None = None, name: str = "127.0.0.1") -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._context = context
        self.port: int = self._listener.getsockname()[1]
        scheme = "http" if context is None else "https"
        super().__init__(url=f"{scheme}://{name}:{self.port}")
        self.behaviours: dict[str, Behaviour] = {}
        self.heads: list[str] = []
        self.connections = 0
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

    def misbehave(self, behaviour: Behaviour, *paths: str) -> None:
        """Behave like this from now on, at these paths or at all."""
        self.behaviours |= dict.fromkeys(paths or (DISCOVERY, JWKS), behaviour)

    def behave(self) -> None:
        self.behaviours.clear()

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = Thread(target=target, args=arguments, name="misbehaving", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.settimeout(5)
            if self._context is None:
                self._answer(connection)
                return
            with self._context.wrap_socket(connection, server_side=True) as secured:
                self._answer(secured)

    def _answer(self, connection: socket.socket) -> None:
        head = connection.makefile("rb")
        lines = [line.decode("latin-1") for line in iter(head.readline, b"\r\n") if line]
        # A connection that is closed with something unread is reset, and the answer may be lost.
        head.read(_length_of(lines))
        head.close()
        self.heads.append("".join(lines))
        path = lines[0].split(" ")[1]
        behaviour = self.behaviours.get(path, well)
        for piece in behaviour(self):
            connection.sendall(piece)
            if self.over.is_set():
                return

    @property
    def last_path(self) -> str:
        return self.heads[-1].split(" ", 2)[1]


def _length_of(lines: list[str]) -> int:
    fields = (line.partition(":") for line in lines)
    return sum(int(value) for name, _, value in fields if name.lower() == "content-length")


# --- behaviours -----------------------------------------------------------------------------------


def well(issuer: MisbehavingIssuer) -> Iterator[bytes]:
    """Answer as an issuer should."""
    try:
        yield response(issuer.fetch(issuer.url + issuer.last_path))
    except FetchError:
        yield response(b"{}", "503 Service Unavailable")


def response(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    length = (
        ()
        if any(h.lower().startswith("content-length") for h in headers)
        else (f"Content-Length: {len(body)}",)
    )
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", *length, *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def answering(body: bytes, status: str = "200 OK", *headers: str) -> Behaviour:
    """Give this answer to every request."""
    return lambda _: iter([response(body, status, *headers)])


def hanging(issuer: MisbehavingIssuer) -> Iterator[bytes]:
    """Accept the request, and say nothing."""
    issuer.over.wait(30)
    yield b""


def reset(_: MisbehavingIssuer) -> Iterator[bytes]:
    """End the connection without a word."""
    yield b""


def _drip(issuer: MisbehavingIssuer, piece: bytes) -> Iterator[bytes]:
    # Each piece is well within any limit on a single read; only a limit on all of them ends this.
    while not issuer.over.wait(0.02):
        yield piece


def dripping_status(issuer: MisbehavingIssuer) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 "
    yield from _drip(issuer, b"O")


def dripping_headers(issuer: MisbehavingIssuer) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nX-Slow: "
    yield from _drip(issuer, b"x")


def dripping_body(issuer: MisbehavingIssuer) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n"
    yield from _drip(issuer, b" ")


def dripping_chunks(issuer: MisbehavingIssuer) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    yield from _drip(issuer, b"1\r\n \r\n")


def dripping_chunk_size(issuer: MisbehavingIssuer) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    yield from _drip(issuer, b"0")


def dripping_until_the_end(issuer: MisbehavingIssuer) -> Iterator[bytes]:
    yield b"HTTP/1.0 200 OK\r\n\r\n"
    yield from _drip(issuer, b" ")


def endless_chunks(issuer: MisbehavingIssuer) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    while not issuer.over.is_set():
        yield b"2000\r\n" + b" " * 0x2000 + b"\r\n"


def endless_headers(issuer: MisbehavingIssuer) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    while not issuer.over.is_set():
        yield b"X-More: " + b"x" * 1000 + b"\r\n"


def truncated(issuer: MisbehavingIssuer) -> Iterator[bytes]:
    body = issuer.fetch(issuer.url + issuer.last_path)
    yield response(body[: len(body) // 2], "200 OK", f"Content-Length: {len(body)}")


def truncated_without_a_length(issuer: MisbehavingIssuer) -> Iterator[bytes]:
    body = issuer.fetch(issuer.url + issuer.last_path)
    yield b"HTTP/1.0 200 OK\r\n\r\n" + body[: len(body) // 2]


def compressed(issuer: MisbehavingIssuer) -> Iterator[bytes]:
    """Give a good answer, but compressed, which nobody asked for."""
    body = gzip.compress(issuer.fetch(issuer.url + issuer.last_path))
    yield response(body, "200 OK", "Content-Encoding: gzip")


BOMB = gzip.compress(b" " * 50_000_000)
# As a key set these say that the issuer has no key any more; as anything else they are nonsense.
WITHDRAWALS = ("an empty set", "keys that are none")
BEHAVIOURS: dict[str, Behaviour] = {
    "500": answering(b"{}", "500 Internal Server Error"),
    "429": answering(b"{}", "429 Too Many Requests", "Retry-After: 3600"),
    "404": answering(b"Not Found", "404 Not Found"),
    "204": answering(b"", "204 No Content"),
    "206": answering(b"{}", "206 Partial Content"),
    "401": answering(b"{}", "401 Unauthorized", 'WWW-Authenticate: Basic realm="x"'),
    "HTML": answering(b"<!doctype html><title>Sign in</title>"),
    "nothing": answering(b""),
    "{}": answering(b"{}"),
    "an empty set": answering(b'{"keys": []}'),
    "keys that are none": answering(b'{"keys": [null, 5, "x", [], {}, {"kid": "key-1"}]}'),
    "a list": answering(b"[]"),
    "nesting": answering(b"[" * 50_000),
    "a mark before it": answering(b"\xef\xbb\xbf{}"),
    "10 MB": answering(b" " * 10_000_000),
    "100 KiB and a byte": answering(b" " * (100 * 1024 + 1)),
    "a lie about the length": answering(b"{}", "200 OK", "Content-Length: 99999999999"),
    "a negative length": answering(b"{}", "200 OK", "Content-Length: -1"),
    "a gzip bomb": answering(BOMB, "200 OK", "Content-Encoding: gzip"),
    "a bomb in a bomb": answering(gzip.compress(BOMB), "200 OK", "Content-Encoding: gzip, gzip"),
    "compressed": compressed,
    "no HTTP": lambda _: iter([b"SSH-2.0-OpenSSH_9.9\r\n"]),
    "no status": lambda _: iter([b"HTTP/1.1 x\r\n\r\n"]),
    "a header without an end": lambda _: iter([b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000]),
    "reset": reset,
    "hanging": hanging,
    "dripping status": dripping_status,
    "dripping headers": dripping_headers,
    "dripping body": dripping_body,
    "dripping chunks": dripping_chunks,
    "dripping chunk size": dripping_chunk_size,
    "dripping until the end": dripping_until_the_end,
    "endless chunks": endless_chunks,
    "endless headers": endless_headers,
    "truncated": truncated,
    "truncated without a length": truncated_without_a_length,
}
