"""Doctor's own requests: kept connections, early refusals, and what is not HTTP."""

import socket
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from http.client import HTTPConnection
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from pytp_broker.doctor.web import Line, NoAnswerError, Web, _reason, default_authorities

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Serve = Callable[..., Web]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return what lets a server on loopback give these answers, one for each connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads = []

    def start(*answers: bytes) -> Web:
        def run() -> None:
            for answer in answers:
                with suppress(OSError), listener.accept()[0] as connection:
                    connection.settimeout(5)
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = Thread(target=run, daemon=True)
        thread.start()
        threads.append(thread)
        return Web("http", f"127.0.0.1:{listener.getsockname()[1]}")

    yield start
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for thread in threads:
        thread.join(5)


def test_a_connection_that_was_closed_meanwhile_is_opened_again(serve: Serve) -> None:
    with serve(OK, OK).line() as line:
        assert line.ask("GET", "/").body == b"ok"
        assert line.ask("GET", "/").body == b"ok"


def test_a_connection_that_stays_closed_is_no_answer(serve: Serve) -> None:
    with serve(OK, b"").line() as line:
        line.ask("GET", "/")
        with pytest.raises(NoAnswerError, match="GET /"):
            line.ask("GET", "/")


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH_9.9\r\n", b"HTTP/1.1 x\r\n\r\n"])
def test_what_is_not_http_is_no_answer(serve: Serve, answer: bytes) -> None:
    with serve(answer).line() as line, pytest.raises(NoAnswerError, match="GET /"):
        line.ask("GET", "/")


@pytest.mark.parametrize("body", [b"a file", None])
def test_a_refusal_may_come_before_the_body_is_read(body: bytes | None) -> None:
    """Where nothing is left to send, a broken connection is no answer."""

    class Early(HTTPConnection):
        def request(self, *_: Any, **__: Any) -> None:
            raise BrokenPipeError

        def getresponse(self) -> Any:
            return "the refusal"

    line = Line(Web("http", "localhost"))
    line._connection = Early("localhost")

    with nullcontext() if body else pytest.raises(BrokenPipeError):
        answer: Any = line._send("POST", "/legacy/", body, {})
        assert answer == "the refusal"


def test_a_port_without_tls_is_no_answer(serve: Serve) -> None:
    plain = serve(OK)

    with (
        Web("https", plain.host).line() as line,
        pytest.raises(NoAnswerError, match="GET /"),
    ):
        line.ask("GET", "/")


def test_a_slow_answer_is_told_as_such() -> None:
    assert _reason(TimeoutError()) == "no answer in time"


def test_a_failure_without_words_is_told_by_its_type() -> None:
    assert _reason(ValueError("a-secret")) == "ValueError"


def test_the_public_authorities_are_trusted_unless_others_are_named() -> None:
    assert Path(default_authorities()).is_file()
    assert len(Web("https", "packages.example.com").context().get_ca_certs()) > 20
