"""A guard on the wire: a registry that misbehaves is no answer, and its own server holds."""

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests
import trustme

from pytp_broker.errors import Unavailable
from pytp_broker.guards import introspection, web_server
from pytp_broker.guards.introspection import Broker, Standing
from pytp_broker.guards.settings import Settings
from pytp_broker.redaction import Hidden
from tests.support.asked_brokers import NOW, TOKEN, standing

GOOD: Mapping[str, Any] = {
    "active": True,
    "scope": "upload",
    "aud": "acme",
    "exp": NOW + 900,
    "projects": ["widgets"],
}
SECRET = "a-long-random-secret"


class Registry(ThreadingHTTPServer):
    """Answers introspections with what a test says; ``seen`` are the requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, Mapping[str, str], str]] = []
        self.connections = 0
        self.status, self.headers, self.body = 200, dict[str, str](), json.dumps(GOOD).encode()
        self.ends_connections = False

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a guard has ended the connection on purpose."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/acme"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Registry

    def do_POST(self) -> None:
        registry = self.server
        form = self.rfile.read(int(self.headers["Content-Length"])).decode()
        registry.seen.append((self.path, dict(self.headers), form))
        self.send_response(registry.status)
        for name, value in registry.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(registry.body)))
        self.end_headers()
        self.wfile.write(registry.body)
        # As a server does after a while, without saying so.
        self.close_connection = registry.ends_connections

    do_GET = do_POST  # noqa: N815 - the base class calls it so

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


def broker_at(url: str) -> Broker:
    return Broker(Settings(url, "guard", Hidden(SECRET), is_public=False, max_file_bytes=1))


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


def test_a_question_is_a_form_with_the_guards_credentials(registry: Registry) -> None:
    found = broker_at(registry.url).ask(TOKEN, project="widgets")

    assert found == standing("widgets")
    ((path, headers, form),) = registry.seen
    assert path == "/acme/_/token/introspect"
    assert headers["Authorization"] == requests.auth._basic_auth_str("guard", SECRET)
    assert form == f"token={TOKEN.reveal()}&project=widgets"


def test_an_inactive_token_has_no_standing(registry: Registry) -> None:
    registry.body = b'{"active": false}'

    assert broker_at(registry.url).ask(TOKEN) is None


def test_a_connection_is_kept_and_replaced_when_it_has_ended(registry: Registry) -> None:
    broker = broker_at(registry.url)
    for _ in range(3):
        broker.ask(TOKEN)
    assert registry.connections == 1

    registry.ends_connections = True
    for _ in range(3):
        broker.ask(TOKEN)

    assert len(registry.seen) == 6


NONSENSE: Mapping[str, bytes] = {
    "HTML": b"<html>welcome to the hotel</html>",
    "nothing": b"",
    "a list": b"[]",
    "two members of one name": b'{"active": false, "active": true}',
    "no member": b"{}",
    "a text for active": json.dumps({**GOOD, "active": "true"}).encode(),
    "a number for active": json.dumps({**GOOD, "active": 1}).encode(),
    "another scope": json.dumps({**GOOD, "scope": "admin"}).encode(),
    "no scope": json.dumps({n: v for n, v in GOOD.items() if n != "scope"}).encode(),
    "no expiry": json.dumps({**GOOD, "exp": True}).encode(),
    "a text of projects": json.dumps({**GOOD, "projects": "widgets"}).encode(),
    "numbers as projects": json.dumps({**GOOD, "projects": [1]}).encode(),
    "half a character": b'{"active": true, "projects": ["\\ud800"]}',
    "deep": b"[" * 100_000,
    "huge": b" " * (introspection.MAX_ANSWER_BYTES + 1),
}


@pytest.mark.promise("guard-closed")
@pytest.mark.parametrize("kind", NONSENSE)
def test_nonsense_is_no_answer(registry: Registry, kind: str) -> None:
    registry.body = NONSENSE[kind]

    with pytest.raises(Unavailable) as refused:
        broker_at(registry.url).ask(TOKEN)

    assert refused.value.headers["Retry-After"] == "5"
    assert refused.value.detail.startswith("the registry cannot be asked now")


@pytest.mark.parametrize("status", [201, 204, 302, 307, 308, 401, 403, 404, 429, 500, 503])
def test_no_other_status_is_an_answer(registry: Registry, status: int) -> None:
    registry.status = status
    registry.headers = {"Location": f"{registry.url}/elsewhere"}
    registry.body = b"" if status == 204 else registry.body

    with pytest.raises(Unavailable):
        broker_at(registry.url).ask(TOKEN)

    assert [path for path, _, _ in registry.seen] == ["/acme/_/token/introspect"]


def test_the_operator_learns_that_the_secret_is_wrong(registry: Registry) -> None:
    registry.status = 401

    with pytest.raises(Unavailable) as refused:
        broker_at(registry.url).ask(TOKEN)

    assert "introspection_clients" in refused.value.operator_detail
    assert SECRET not in refused.value.operator_detail


def test_a_registry_that_is_down_is_no_answer(registry: Registry) -> None:
    url = registry.url
    registry.shutdown()
    registry.server_close()

    with pytest.raises(Unavailable) as refused:
        broker_at(url).ask(TOKEN)

    assert refused.value.operator_detail == "it cannot be reached (ConnectionError)"


def test_a_registry_that_is_slow_is_no_answer(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(introspection, "_DEADLINE_SECONDS", -1.0)
    with pytest.raises(Unavailable) as refused:
        broker_at(registry.url).ask(TOKEN)
    assert refused.value.operator_detail == "its answer is too slow"

    monkeypatch.setattr(introspection, "_READ_SECONDS", 0.05)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(Unavailable) as unanswered,
    ):
        broker_at(f"http://127.0.0.1:{silent.getsockname()[1]}").ask(TOKEN)
    assert unanswered.value.operator_detail == "it did not answer in time"


def test_a_certificate_of_a_stranger_is_no_answer(registry: Registry) -> None:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    registry.socket = context.wrap_socket(registry.socket, server_side=True)

    with pytest.raises(Unavailable) as refused:
        broker_at(registry.url.replace("http:", "https:")).ask(TOKEN)

    assert "REQUESTS_CA_BUNDLE" in refused.value.operator_detail
    assert registry.seen == []


def test_threads_may_share_a_broker(registry: Registry) -> None:
    broker, found = broker_at(registry.url), list[Standing | None]()
    threads = [threading.Thread(target=lambda: found.append(broker.ask(TOKEN))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [standing("widgets")] * 20


# The guard's own server


Answer = Callable[[dict[str, Any], Callable[..., Any]], list[bytes]]


@contextmanager
def serving(application: Answer, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Run the guard's server as its command does; yield the port, and end it by its signal."""
    handlers: list[Callable[..., None]] = []
    monkeypatch.setattr("signal.signal", lambda _number, handler: handlers.append(handler))
    ports: list[int] = []
    ready = threading.Event()

    def announce(text: str, **_: Any) -> None:
        ports.append(int(text.rstrip("/").rpartition(":")[2]))
        ready.set()

    monkeypatch.setattr("builtins.print", announce)
    thread = threading.Thread(target=web_server.serve, args=(application, "127.0.0.1", 0))
    thread.start()
    assert ready.wait(10)
    try:
        yield ports[0]
    finally:
        handlers[0]()
        thread.join(10)
        assert not thread.is_alive()


def refuse(_environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("401 no token", [("Content-Length", "2")])
    return [b"no"]


def exchange(port: int, sent: bytes) -> bytes:
    """Send bytes and return all that is answered until the server ends the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_client_that_still_sends_reads_why_it_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(web_server, "_LINGER_SECONDS", 60.0)
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n"

    with serving(refuse, monkeypatch) as port:
        answered = exchange(port, head + b"x" * 8_000_000)

    assert answered.startswith(b"HTTP/1.0 401 no token\r\n")
    assert answered.endswith(b"\r\n\r\nno")


def test_a_client_that_never_stops_sending_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_server, "_LINGER_SECONDS", 0.0)

    with serving(refuse, monkeypatch) as port:
        answered = exchange(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")

    assert answered.startswith(b"HTTP/1.0 401 ")


def test_a_second_request_on_a_connection_is_not_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[str] = []

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        seen.append(environ["PATH_INFO"])
        return refuse(environ, start_response)

    with serving(answer, monkeypatch) as port:
        exchange(port, b"GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n")

    assert seen == ["/a"]


def test_an_error_is_logged_without_what_the_client_sent(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    caplog.set_level(logging.INFO)

    class Server(web_server.Server):
        def finish_request(self, request: Any, client_address: Any) -> None:
            raise OSError(TOKEN.reveal())

    monkeypatch.setattr(web_server, "Server", Server)
    with serving(refuse, monkeypatch) as port:
        assert exchange(port, b"GET / HTTP/1.1\r\n\r\n") == b""

    assert "a connection ended early" in caplog.messages
    assert TOKEN.reveal() not in caplog.text + "".join(capfd.readouterr())


def test_a_server_without_a_thread_to_spare_frees_the_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with web_server.Server(("::1", 0)) as server:
        monkeypatch.setattr(threading.Thread, "start", fail)
        for _ in range(web_server.MAX_CONNECTIONS + 1):
            with pytest.raises(RuntimeError):
                server.process_request(None, None)
