"""The index on the loopback interface: who may use it, and what it answers."""

import base64
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from threading import Barrier, Event
from typing import Any
from urllib.parse import urlsplit

import pytest

from pytp_broker.client.proxy import server
from pytp_broker.client.proxy.forms import Form
from pytp_broker.client.proxy.relay import problem
from pytp_broker.client.proxy.server import Address, serving
from pytp_broker.client.uploads.refusals import UploadError
from pytp_broker.client.uploads.wire import Reply

KIND = "multipart/form-data; boundary=xx"


def form(name: str = "w-1.0.tar.gz", content: bytes = b"content") -> bytes:
    disposition = f'Content-Disposition: form-data; name="content"; filename="{name}"'
    return f"--xx\r\n{disposition}\r\n\r\n".encode() + content + b"\r\n--xx--\r\n"


@dataclass
class Relay:
    """Takes what the index has received, and answers as the test says."""

    answer: Callable[[], Reply] = lambda: Reply(200, "OK")
    taken: list[tuple[str, bytes]] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    pages: list[tuple[str, str]] = field(default_factory=list)

    def bring(self, form: Form) -> Reply:
        self.taken.append((form.file.name, form.file.read_bytes()))
        self.folders.append(form.file.parent)
        return self.answer()

    def page(self, path: str, accept: str) -> Reply:
        self.pages.append((path, accept))
        return Reply(200, "OK", {"content-type": "text/html"}, b"<a>")


@pytest.fixture
def relay() -> Relay:
    return Relay()


@pytest.fixture
def address(relay: Relay) -> Iterator[Address]:
    with serving(relay) as address:  # type: ignore[arg-type]
        yield address


def basic(address: Address, password: str | None = None) -> str:
    named = f"__token__:{address.password.reveal() if password is None else password}"
    return f"Basic {base64.b64encode(named.encode()).decode()}"


def ask(
    address: Address,
    method: str = "POST",
    path: str = "/legacy/",
    body: bytes | None = None,
    **headers: str,
) -> tuple[HTTPResponse, bytes]:
    parts = urlsplit(address.upload_url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    given = {"Authorization": basic(address), "Content-Type": KIND, **headers}
    try:
        connection.request(method, path, body, given)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def test_a_file_is_given_to_the_relay_and_then_removed(relay: Relay, address: Address) -> None:
    response, _ = ask(address, body=form())

    assert response.status == 200
    assert relay.taken == [("w-1.0.tar.gz", b"content")]
    assert not relay.folders[0].exists()


def test_the_index_listens_to_this_machine_alone(address: Address) -> None:
    assert urlsplit(address.upload_url).hostname == "127.0.0.1"


@pytest.mark.promise("password-of-a-proxy")
@pytest.mark.parametrize("password", ["", "wrong", "proxy-"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_process_without_the_password_is_refused(
    relay: Relay, address: Address, method: str, password: str
) -> None:
    given = {"Authorization": basic(address, password)} if password else {"Authorization": ""}
    path = "/legacy/" if method == "POST" else "/simple/widgets/"

    response, _ = ask(address, method, path, form(), **given)

    assert response.status == 401
    assert response.headers["WWW-Authenticate"].startswith("Basic ")
    assert (relay.taken, relay.pages) == ([], [])


def test_two_runs_have_two_passwords(relay: Relay, address: Address) -> None:
    with serving(relay) as other:  # type: ignore[arg-type]
        assert other.password.reveal() != address.password.reveal()
        assert ask(other, body=form(), Authorization=basic(address))[0].status == 401


def test_the_answer_is_the_registrys(relay: Relay, address: Address) -> None:
    relay.answer = lambda: problem(400, "its RECORD is wrong")

    response, body = ask(address, body=form())

    assert (response.status, response.reason) == (400, "its RECORD is wrong")
    assert response.headers["Content-Type"] == "application/problem+json"
    assert body == problem(400, "its RECORD is wrong").body


def test_a_reason_cannot_add_a_header(relay: Relay, address: Address) -> None:
    kind = {"content-type": "text/html\r\nSet-Cookie: a=b"}
    relay.answer = lambda: Reply(400, "no\r\nX-Evil: 1", kind, b"")

    response, _ = ask(address, body=form())

    assert "X-Evil" not in response.headers
    assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize(
    ("error", "status"), [(UploadError("down", may_pass=True), 502), (RuntimeError("secret"), 500)]
)
def test_an_error_becomes_an_answer_without_its_secrets(
    relay: Relay, address: Address, error: Exception, status: int
) -> None:
    def fail() -> Reply:
        raise error

    relay.answer = fail

    response, body = ask(address, body=form())

    assert response.status == status
    assert b"secret" not in body


def test_a_client_is_kept_waiting_while_the_registry_works(
    relay: Relay, address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "INTERIM_SECONDS", 0.01)
    may_end = Event()
    relay.answer = lambda: Reply(200 if may_end.wait(20) else 500)

    with connected(address, form(), len(form())) as connection:
        interim = connection.recv(25)
        may_end.set()
        with connection.makefile("rb") as rest:
            final = rest.read()

    assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert b"HTTP/1.1 200" in final


def test_a_client_of_http_1_0_gets_one_answer(
    relay: Relay, address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "INTERIM_SECONDS", 0.01)

    def wait() -> Reply:
        Event().wait(0.1)
        return Reply(200)

    relay.answer = wait

    with (
        connected(address, form(), len(form()), "HTTP/1.0") as connection,
        connection.makefile("rb") as answer,
    ):
        assert answer.read().startswith(b"HTTP/1.1 200")


@contextmanager
def connected(
    address: Address, sent: bytes, length: int, version: str = "HTTP/1.1"
) -> Iterator[socket.socket]:
    """Connect, and send a request of this length, or its beginning."""
    parts = urlsplit(address.upload_url)
    head = (
        f"POST /legacy/ {version}\r\nHost: x\r\nAuthorization: {basic(address)}\r\n"
        f"Content-Type: {KIND}\r\nContent-Length: {length}\r\n\r\n"
    )
    with socket.create_connection((parts.hostname, parts.port or 0), 20) as connection:
        connection.sendall(head.encode() + sent)
        yield connection


def test_uploads_go_on_at_the_same_time(relay: Relay, address: Address) -> None:
    together = Barrier(2)

    def meet() -> Reply:
        together.wait(20)
        return Reply(200)

    relay.answer = meet

    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(ask, address, body=form(f"w-{n}.0.tar.gz")) for n in (1, 2)]
        assert [each.result()[0].status for each in asked] == [200, 200]
    assert sorted(name for name, _ in relay.taken) == ["w-1.0.tar.gz", "w-2.0.tar.gz"]


def test_a_client_that_is_killed_in_the_middle_uploads_nothing(
    relay: Relay, address: Address
) -> None:
    with connected(address, form()[:60], 100_000) as connection:
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as answer:
            assert b"HTTP/1.1 400" in answer.read()

    assert ask(address, body=form())[0].status == 200
    assert len(relay.taken) == 1


def test_a_client_that_stands_still_is_left(
    relay: Relay, address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server._Handler, "timeout", 0.05)

    with connected(address, form()[:60], 100_000) as connection:
        assert connection.recv(100) == b""

    assert relay.taken == []


def test_a_disk_that_is_full_is_said(
    relay: Relay, address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Form:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(server, "receive", fail)

    response, body = ask(address, body=form())

    assert response.status == 507
    assert b"this machine cannot keep the file: No space left on device" in body


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/legacy", {}, 200),
        ("POST", "/other/", {}, 404),
        ("POST", "/legacy/", {"Content-Type": "text/plain"}, 400),
        ("POST", "/legacy/", {"Content-Length": "-1"}, 411),
        ("GET", "/legacy/%2Bsimple/widgets/", {}, 404),
        ("GET", "/simple/../legacy/", {}, 404),
        ("DELETE", "/legacy/", {}, 501),
    ],
)
def test_a_request_of_another_form_is_refused(
    address: Address, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    body = form() if method == "POST" else None

    assert ask(address, method, path, body, **headers)[0].status == status


@pytest.mark.parametrize("path", ["", "widgets/", "widgets"])
def test_pages_of_the_index_are_the_registrys(relay: Relay, address: Address, path: str) -> None:
    response, body = ask(address, "GET", f"/simple/{path}", Accept="text/html")

    assert (response.status, body) == (200, b"<a>")
    assert relay.pages == [(path, "text/html")]


def test_nothing_is_left_when_the_run_ends(relay: Relay) -> None:
    with serving(relay) as address:  # type: ignore[arg-type]
        ask(address, body=form())

    assert not relay.folders[0].parent.exists()
    with pytest.raises(ConnectionRefusedError):
        ask(address, body=form())
