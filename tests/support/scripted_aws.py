"""A service of AWS on loopback that answers each request as a test has written it."""

import json
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Thread
from typing import Any

from pytp_broker.aws.api.endpoints import Endpoint

# What a server does with a connection on which a request has come.
Step = Callable[[socket.socket], None]


def answer(document: object, status: int = 200, **headers: str) -> bytes:
    """Return an answer as DynamoDB sends it."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    given = {"x-amz-crc32": str(zlib.crc32(body)), "content-length": str(len(body))}
    given |= {name.replace("_", "-"): text for name, text in headers.items()}
    lines = "".join(f"{name}: {text}\r\n" for name, text in given.items())
    return f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + body


def refusal(code: str, status: int = 400, **members: Any) -> bytes:
    """Return the answer to a request that is refused."""
    return answer({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", **members}, status)


def hang_up(connection: socket.socket) -> None:
    """End the connection."""
    connection.shutdown(socket.SHUT_RDWR)


def then_hang_up(octets: bytes) -> Step:
    """Send this, and end the connection."""

    def step(connection: socket.socket) -> None:
        connection.sendall(octets)
        hang_up(connection)

    return step


def late(octets: bytes, seconds: float) -> Step:
    """Send this after so long."""

    def step(connection: socket.socket) -> None:
        time.sleep(seconds)
        connection.sendall(octets)

    return step


@dataclass
class ScriptedAws:
    """The running server. ``requests`` are those that have come, each with its connection."""

    endpoint: Endpoint
    script: list[bytes | Step] = field(default_factory=list)
    requests: list[tuple[int, str, Mapping[str, str], bytes]] = field(default_factory=list)
    connections: int = 0

    @property
    def on_connections(self) -> list[int]:
        """Return on which connection each request came."""
        return [number for number, *_ in self.requests]

    def serve(self, connection: socket.socket) -> None:
        number = self.connections = self.connections + 1
        with suppress(OSError), connection, connection.makefile("rb") as stream:
            while line := stream.readline():
                headers = {}
                while header := stream.readline().strip().decode():
                    name, _, text = header.partition(": ")
                    headers[name] = text
                body = stream.read(int(headers.get("content-length", "0")))
                self.requests.append((number, line.strip().decode(), headers, body))
                step = self.script.pop(0)
                if callable(step):
                    step(connection)
                else:
                    connection.sendall(step)


@contextmanager
def scripted(context: ssl.SSLContext | None = None) -> Iterator[ScriptedAws]:
    """Run a server, with TLS if it has a context."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        endpoint = Endpoint("dynamodb", "us-east-1", "127.0.0.1", port, context is not None)
        server = ScriptedAws(endpoint)
        threads: list[Thread] = []

        def secure(connection: socket.socket) -> None:
            with suppress(OSError):
                server.serve(context.wrap_socket(connection, True) if context else connection)
            connection.close()

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threads.append(Thread(target=secure, args=(connection,), daemon=True))
                    threads[-1].start()

        threads.append(Thread(target=accept, daemon=True))
        threads[0].start()
        yield server
        listener.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join(5)
