"""The port for metrics on the wire: small, and patient with nobody."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from pytp_broker.local import metrics_server
from pytp_broker.local.metrics_server import MetricsServer

BODY = b"pytp_build_info 1.0\n" * 5000
PATIENCE = 10


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    monkeypatch.setattr(metrics_server, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(metrics_server, "ANSWER_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = MetricsServer(listener, lambda accept: (BODY, f"text/plain; x={accept.strip()}"))
        server.start()
        try:
            yield listener.getsockname()
        finally:
            server.stop()


def connect(address: tuple[str, int]) -> socket.socket:
    return socket.create_connection(address, PATIENCE)


def read(client: socket.socket) -> bytes:
    answer = b""
    try:
        while piece := client.recv(65536):
            answer += piece
    except ConnectionResetError:
        pass
    return answer


def ask(address: tuple[str, int], request: bytes) -> bytes:
    with connect(address) as client:
        client.sendall(request)
        return read(client)


def test_a_scraper_gets_the_metrics(address: tuple[str, int]) -> None:
    answer = ask(address, b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: a/b\r\n\r\n")

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; x=a/b\r\n")
    assert body == BODY


def test_a_head_has_no_body(address: tuple[str, int]) -> None:
    answer = ask(address, b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"),
        (b"GET /x HTTP/1.1\r\n\r\n", b"404"),
        (b"GET http://evil.example/metrics HTTP/1.1\r\n\r\n", b"404"),
        (b"\xff\xfe\x00 \r\n\r\n", b"405"),
        (b"GET\r\n\r\n", b"404"),
    ],
)
def test_anything_else_is_refused_without_an_echo(
    address: tuple[str, int], request_: bytes, status: bytes
) -> None:
    answer = ask(address, request_)

    assert answer.split()[1] == status
    assert b"evil" not in answer


@pytest.mark.parametrize("request_", [b"", b"GET /metrics HTTP/1.1\r\nX: y", b"x" * 100_000])
def test_a_client_that_does_not_end_its_head_is_disconnected(
    address: tuple[str, int], request_: bytes
) -> None:
    with connect(address) as client:
        client.sendall(request_)
        assert read(client) == b""

    assert ask(address, b"GET /metrics HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 200")


def test_a_client_that_never_closes_is_disconnected(address: tuple[str, int]) -> None:
    with connect(address) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\n\r\nGET /metrics HTTP/1.1\r\n")
        client.sendall(b"more")
        assert read(client).endswith(BODY)


def test_further_connections_are_closed_at_once_and_places_come_back(
    address: tuple[str, int],
) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(connect(address)) for _ in range(16)]
        with connect(address) as one_more:
            assert read(one_more) == b""
        for client in held:
            read(client)

    assert ask(address, b"GET /metrics HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 200")
