"""The local server on the wire, and clients that stop in the middle."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from pytp_broker.demo.process import ServerProcess
from pytp_broker.endpoints.events import read_event
from pytp_broker.local.kinds import MAX_SMALL_BODY_BYTES
from pytp_broker.local.protocol import Protocol
from tests.support.gateways import BEARER, Gateway, echo, function_answering
from tests.support.wire import HEAD, LARGE, Client, Wire, on_the_wire


@pytest.fixture(scope="module")
def shared_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("server")
    config = folder / "broker.toml"
    config.write_text('[[registries]]\nname = "acme"\naccess = "public"\n')
    with ServerProcess(config, folder / "log", "--no-tls") as running:
        yield running


@pytest.fixture
def process(shared_process: ServerProcess) -> ServerProcess:
    """Return a server whose log is empty, so that a test finds only its own lines."""
    shared_process.log.write_text("")
    return shared_process


def exchange_bytes(process: ServerProcess, *sent: bytes) -> bytes:
    """Send each part after an answer to the previous one has begun; return everything received."""
    address = urlsplit(process.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        received = b""
        for octets in sent:
            connection.sendall(octets)
            received += connection.recv(65536)
        while octets := connection.recv(65536):
            received += octets
    return received


@pytest.mark.parametrize(
    "sent",
    [
        b"no http\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /acme/legacy/ HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nno\r\n",
    ],
    ids=["garbage", "no host", "impossible length", "malformed chunk"],
)
def test_what_is_no_http_gets_the_one_error_object(process: ServerProcess, sent: bytes) -> None:
    head, _, body = exchange_bytes(process, sent).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/problem+json\r\n" in head.lower()
    assert b"\r\ndate: " in head.lower()
    assert json.loads(body)["errors"][0]["code"] == "invalid-request"
    [warning] = process.events("warning")
    assert warning["by"] == "pytp_broker.local.protocol"
    assert warning["source_ip"] == "127.0.0.1"


NEXT = b"0\r\n\r\nGET /next HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST /acme/_/oidc/burn-token HTTP/1.1\r\nhost: x\r\n"


@pytest.mark.promise("one-end")
@pytest.mark.parametrize(
    "head",
    [
        POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        POST + b"content-length: 5\r\ncontent-length: 5\r\n\r\n",
        POST + b"content-length: 5\r\ncontent-length: 6\r\n\r\n",
        POST + b"content-length: 5, 6\r\n\r\n",
        POST + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
        POST + b"transfer-encoding: chunked, gzip\r\n\r\n",
        POST + b"transfer-encoding: gzip, chunked\r\n\r\n",
        POST + b"transfer-encoding: xchunked\r\n\r\n",
        POST + b"transfer-encoding:\r\n chunked\r\n\r\n",
        POST + b"content-length : 5\r\n\r\n",
        POST + b"x: y\r\n content-length: 5\r\n\r\n",
        POST + b"x: y\ncontent-length: 5\r\n\r\n",
        POST + b"content-length: 5\r\n\n",
        POST + b"x: y\rcontent-length: 5\r\n\r\n",
        POST.replace(b"1.1", b"1.0") + b"transfer-encoding: chunked\r\n\r\n",
    ],
)
def test_a_request_that_could_end_in_two_places_ends_the_connection(
    process: ServerProcess, head: bytes
) -> None:
    received = exchange_bytes(process, head + NEXT)

    assert received.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nconnection: close\r\n" in received.lower()
    assert received.count(b"HTTP/1.1") == 1
    assert process.events("access") == []
    assert [line["source_ip"] for line in process.events("warning")] == ["127.0.0.1"]


def test_a_head_that_comes_in_pieces_is_one_head(process: ServerProcess) -> None:
    sent = b"GET /acme/_/oidc/audience HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
    address = urlsplit(process.url)

    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in sent:
            connection.sendall(bytes([octet]))
        received = b"".join(iter(lambda: connection.recv(65536), b""))

    assert received.startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_refusal_says_in_its_first_line_what_is_wrong(process: ServerProcess) -> None:
    sent = (
        b"POST /acme/legacy/ HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )

    head, _, body = exchange_bytes(process, sent).partition(b"\r\n\r\n")

    detail = json.loads(body)["detail"]
    assert head.splitlines()[0].decode() == f"HTTP/1.1 401 {detail}"


def test_what_is_no_http_is_told_in_the_first_line_too(process: ServerProcess) -> None:
    head = POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n"

    received, _, body = exchange_bytes(process, head).partition(b"\r\n\r\n")

    detail = json.loads(body)["detail"]
    assert "send one Content-Length, or Transfer-Encoding" in detail
    assert received.splitlines()[0].decode() == f"HTTP/1.1 400 {detail}"


def test_a_request_for_another_protocol_is_answered_in_this_one(process: ServerProcess) -> None:
    upgrade = b"connection: upgrade\r\nupgrade: websocket\r\n\r\n"

    first = b"GET /acme/simple/ HTTP/1.1\r\nhost: x\r\n"
    last = first + b"connection: close\r\n\r\n"

    received = exchange_bytes(process, first + upgrade, last)

    assert received.startswith(b"HTTP/1.1 200 ")
    assert process.events("warning") == []


def test_what_is_no_http_after_the_answer_ends_the_connection(process: ServerProcess) -> None:
    head = b"POST /acme/simple/ HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    size = MAX_SMALL_BODY_BYTES + 1
    chunk = b"%x\r\n%s\r\n" % (size, bytes(size))

    received = exchange_bytes(process, head + chunk, b"no\r\n")

    assert received.startswith(b"HTTP/1.1 413 ")
    assert received.count(b"HTTP/1.1") == 1
    assert process.events("fault") == []


def test_every_error_has_the_type_that_the_operator_names(tmp_path: Path) -> None:
    config = tmp_path / "broker.toml"
    config.write_text('[[registries]]\nname = "acme"\naccess = "public"\n')
    page = "https://docs.example.com/errors#"
    close = b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    requests = {
        "not-found": b"GET /" + close + b"\r\n",
        "invalid-payload": b"POST /_/oidc/mint-token" + close + b"content-length: 0\r\n\r\n",
        "payload-too-large": b"POST /" + close + b"content-length: 99999999\r\n\r\n",
        "invalid-request": b"no http\r\n\r\n",
    }

    with ServerProcess(config, tmp_path / "log", "--no-tls", "--error-type-base", page) as process:
        bodies = {
            code: exchange_bytes(process, sent).partition(b"\r\n\r\n")[2]
            for code, sent in requests.items()
        }

    types = {code: json.loads(body)["type"] for code, body in bodies.items()}
    assert types == {code: page + code for code in requests}


# --- clients that do not go on -----------------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["plain", "TLS"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    """Return a folder for certificates, where there is to be TLS."""
    return tmp_path if request.param else None


def test_whoever_reads_nothing_is_given_up_and_leaves_its_place(folder: Path | None) -> None:
    gateway = Gateway(function_answering(bytes(LARGE)))

    async def act(wire: Wire) -> None:
        client = await wire.connect(HEAD)
        while not gateway.lines:
            await wire.pass_time(0)
        await wire.pass_time(1)
        assert gateway.app.lanes["others"].requests == {"127.0.0.1": 1}

        for _ in range(5):  # some bytes may have been on their way
            await wire.pass_time(31)

        assert gateway.app.lanes["others"].requests == {}
        assert await client.rest() < LARGE / 10

    on_the_wire(gateway, act, folder)


def test_whoever_leaves_the_end_unread_is_given_up_too(folder: Path | None) -> None:
    def respond(event: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"statusCode": 200, "body": "x" * int(event["rawPath"][1:])}

    gateway = Gateway(respond)

    async def act(wire: Wire) -> None:
        # In one of these the end is behind what the kernel takes, and in front of what it has not
        # room for at all.
        for size in range(100_000, 400_000, 25_000):
            await wire.connect(HEAD.replace(b"/", b"/%d" % size, 1))
        while len(gateway.lines) < 12:
            await wire.pass_time(0)

        for _ in range(15):
            await wire.pass_time(6)

        assert wire.connections == set()

    on_the_wire(gateway, act, folder)


def test_whoever_reads_slowly_gets_everything(folder: Path | None) -> None:
    async def act(wire: Wire) -> None:
        client = await wire.connect(HEAD)
        await client.reader.readuntil(b"\r\n\r\n")

        for _ in range(5):
            await wire.pass_time(29)
            await client.reader.readexactly(LARGE // 5)

    on_the_wire(Gateway(function_answering(bytes(LARGE))), act, folder)


@pytest.mark.promise("slow-clients")
def test_whoever_reads_too_little_in_a_minute_is_given_up(folder: Path | None) -> None:
    gateway = Gateway(function_answering(bytes(LARGE)))

    async def act(wire: Wire) -> None:
        client = await wire.connect(HEAD)
        await client.reader.readuntil(b"\r\n\r\n")
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            for _ in range(18):
                await wire.pass_time(10)
                await client.reader.readexactly(60_000)

        assert wire.connections == set()

        assert gateway.app.lanes["others"].requests == {}
        assert {(line["source_ip"], line["reason"]) for line in gateway.refused} == {
            ("127.0.0.1", "slow-reader")
        }

    on_the_wire(gateway, act, folder)


def test_whoever_reads_twice_of_what_is_asked_gets_everything(folder: Path | None) -> None:
    async def act(wire: Wire) -> None:
        client = await wire.connect(HEAD)
        await client.reader.readuntil(b"\r\n\r\n")

        for _ in range(30):
            await wire.pass_time(10)
            await client.reader.readexactly(LARGE // 30)

    on_the_wire(Gateway(function_answering(bytes(LARGE))), act, folder)


UPLOAD = b"POST /acme/legacy/ HTTP/1.1\r\nhost: x\r\ncontent-length: 9000000\r\n"
TOKEN = f"authorization: {BEARER}\r\n".encode()


async def trickle(wire: Wire, client: Client, octets: int) -> None:
    """Send so many bytes of a body every ten seconds, until there is an answer or no more."""
    for _ in range(9_000_000 // octets):
        await wire.pass_time(10)
        client.writer.write(bytes(octets))
        for _ in range(octets // 10_000):
            await wire.pass_time(0)
        if client.has_answer():
            return


@pytest.mark.promise("slow-clients")
def test_an_upload_that_comes_too_slowly_is_ended(folder: Path | None) -> None:
    gateway = Gateway(echo, function="UploadFunction")

    async def act(wire: Wire) -> None:
        client = await wire.connect(UPLOAD + TOKEN + b"\r\n")
        await trickle(wire, client, 60_000)

        head, body = await client.answer()

        assert head.startswith(b"HTTP/1.1 400 ")
        assert b"\r\nconnection: close\r\n" in head.lower()
        assert "after 60 s" in json.loads(body)["detail"]
        assert gateway.app.lanes["uploads"].requests == {}

    on_the_wire(gateway, act, folder)


def test_an_upload_at_a_megabit_a_second_is_taken(folder: Path | None) -> None:
    gateway = Gateway(echo, function="UploadFunction")

    async def act(wire: Wire) -> None:
        client = await wire.connect(UPLOAD + TOKEN + b"\r\n")
        await trickle(wire, client, 1_250_000)
        client.writer.write(bytes(9_000_000 % 1_250_000))

        assert (await client.answer())[0].startswith(b"HTTP/1.1 200 ")

    on_the_wire(gateway, act, folder)


def test_a_client_that_sends_its_upload_without_a_token_hears_why(folder: Path | None) -> None:
    gateway = Gateway(echo, function="UploadFunction")

    async def act(wire: Wire) -> None:
        client = await wire.connect(UPLOAD + b"\r\n")
        client.writer.write(bytes(9_000_000))
        await client.writer.drain()

        _, body = await client.answer()

        assert body == b""  # what the function makes of no body
        client.writer.write(HEAD)
        assert (await client.answer())[0].startswith(b"HTTP/1.1 200 ")

    on_the_wire(gateway, act, folder)


@pytest.mark.parametrize(
    "head",
    [
        UPLOAD + b"connection: close\r\n\r\n",
        UPLOAD + b"Connection: TE, Close\r\n\r\n",
        UPLOAD.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n",
    ],
)
def test_a_client_that_ends_its_connection_hears_why_too(folder: Path | None, head: bytes) -> None:
    gateway = Gateway(function_answering(b"why", 401), function="UploadFunction")

    async def act(wire: Wire) -> None:
        client = await wire.connect(head)
        answer = await client.reader.readuntil(b"why")
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert gateway.app.lanes["others"].requests == {}
        assert not client.is_closed()

        client.writer.write(bytes(9_000_000))
        await client.writer.drain()

        assert await client.rest() == 0

    on_the_wire(gateway, act, folder)


def test_a_client_that_ends_its_connection_and_sends_nothing_is_not_waited_for() -> None:
    gateway = Gateway(function_answering(b"why", 401), function="UploadFunction")

    async def act(wire: Wire) -> None:
        client = await wire.connect(UPLOAD + b"connection: close\r\n\r\n")
        await client.reader.readuntil(b"why")
        await wire.pass_time(1)
        assert not client.is_closed()

        await wire.pass_time(2)

        assert await client.rest() == 0

    on_the_wire(gateway, act)


def test_a_client_that_ends_its_connection_and_sends_slowly_is_waited_for_a_minute() -> None:
    gateway = Gateway(function_answering(b"why", 401), function="UploadFunction")

    async def act(wire: Wire) -> None:
        client = await wire.connect(UPLOAD + b"connection: close\r\n\r\n")
        await client.reader.readuntil(b"why")
        for _ in range(59):
            client.writer.write(b"x")
            await wire.pass_time(1)
        assert not client.is_closed()

        client.writer.write(b"x")
        await wire.pass_time(2)

        assert await client.rest() == 0

    on_the_wire(gateway, act)


@pytest.mark.parametrize("token", [b"", TOKEN], ids=["without", "with"])
def test_a_client_that_asks_first_sends_its_body_only_with_a_token(
    folder: Path | None, token: bytes
) -> None:
    gateway = Gateway(echo, function="UploadFunction")

    async def act(wire: Wire) -> None:
        client = await wire.connect(UPLOAD + token + b"expect: 100-continue\r\n\r\n")
        first = await client.reader.readuntil(b"\r\n\r\n")

        if not token:
            assert b"\r\nconnection: close\r\n" in first.lower()
            assert await client.rest() == 0
            return

        assert first == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.writer.write(bytes(9_000_000))
        assert (await client.answer())[0].startswith(b"HTTP/1.1 200 ")

    on_the_wire(gateway, act, folder)


def test_the_end_of_an_answer_may_be_read_late(folder: Path | None) -> None:
    async def act(wire: Wire) -> None:
        client = await wire.connect(HEAD.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
        for _ in range(5):
            await wire.pass_time(5)

        _, body = await client.answer()

        assert len(body) == 200_000

    on_the_wire(Gateway(function_answering(bytes(200_000))), act, folder)


@pytest.mark.parametrize("sent", [b"", HEAD[:1], HEAD[:-1]])
def test_a_connection_without_a_whole_head_is_closed_after_ten_seconds(
    folder: Path | None, sent: bytes
) -> None:
    async def act(wire: Wire) -> None:
        client = await wire.connect(sent[:-1])
        await wire.pass_time(9)
        assert not client.reader.at_eof()
        client.writer.write(sent[-1:])

        await wire.pass_time(2)

        assert await client.rest() == 0

    on_the_wire(Gateway(echo), act, folder)


def test_tls_is_agreed_upon_in_ten_seconds(tmp_path: Path) -> None:
    async def act(wire: Wire) -> None:
        client = await wire.connect(is_tls=False)
        await wire.pass_time(9)
        assert not client.reader.at_eof()

        await wire.pass_time(2)

        assert await client.rest() == 0

    on_the_wire(Gateway(echo), act, tmp_path)


def test_the_time_for_another_head_begins_with_the_end_of_the_answer(folder: Path | None) -> None:
    async def act(wire: Wire) -> None:
        client = await wire.connect()
        [connection] = wire.connections
        assert isinstance(connection, Protocol)

        async def begin(head: bytes) -> None:
            client.writer.write(head)
            while not connection._received:  # it waits for a first byte
                await wire.pass_time(0)

        for _ in range(3):
            await wire.pass_time(4)
            await begin(HEAD[:9])
            await wire.pass_time(4)
            client.writer.write(HEAD[9:])
            assert (await client.answer())[0].startswith(b"HTTP/1.1 200 ")
        await begin(HEAD[:-1])
        await wire.pass_time(9)
        assert not client.reader.at_eof()

        await wire.pass_time(2)

        assert await client.rest() == 0

    on_the_wire(Gateway(echo), act, folder)


def test_a_connection_is_kept_for_five_seconds_after_an_answer(folder: Path | None) -> None:
    async def act(wire: Wire) -> None:
        client = await wire.connect(HEAD)
        await client.answer()
        await wire.pass_time(4)
        assert not client.reader.at_eof()

        await wire.pass_time(2)

        assert await client.rest() == 0

    on_the_wire(Gateway(echo), act, folder)


class Halted:
    """A function that answers when the test lets it go on."""

    def __init__(self) -> None:
        self.is_asked, self.go_on = threading.Event(), threading.Event()

    def __call__(self, event: Mapping[str, Any]) -> Mapping[str, Any]:
        self.is_asked.set()
        self.go_on.wait(10)
        return echo(event)


def test_a_whole_head_is_answered_however_long_that_takes(folder: Path | None) -> None:
    function = Halted()

    async def act(wire: Wire) -> None:
        client = await wire.connect(HEAD)
        while not function.is_asked.is_set():
            await wire.pass_time(0)
        await wire.pass_time(100)
        function.go_on.set()

        assert (await client.answer())[0].startswith(b"HTTP/1.1 200 ")

    on_the_wire(Gateway(function), act, folder)


def test_a_body_that_was_refused_may_still_be_sent_for_a_minute(folder: Path | None) -> None:
    gateway = Gateway(echo)
    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9999999\r\n\r\n"

    async def act(wire: Wire) -> None:
        client = await wire.connect(head)
        assert (await client.answer())[0].startswith(b"HTTP/1.1 413 ")
        client.writer.write(b"x")
        await wire.pass_time(59)
        assert not client.reader.at_eof()
        client.writer.write(b"x")

        await wire.pass_time(2)

        assert await client.rest() == 0
        assert [line["reason"] for line in gateway.refused] == ["no-body"]

    on_the_wire(gateway, act, folder)


def test_what_turns_out_to_be_no_http_leaves_its_place_at_once(folder: Path | None) -> None:
    gateway = Gateway(echo)
    head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"

    async def act(wire: Wire) -> None:
        client = await wire.connect(head)
        while gateway.app.lanes["others"].requests != {"127.0.0.1": 1}:
            await wire.pass_time(0)
        client.writer.write(b"no\r\n")

        assert (await client.answer())[0].startswith(b"HTTP/1.1 400 ")

        assert gateway.app.lanes["others"].requests == {}
        await wire.pass_time(100)
        assert gateway.lines == []

    on_the_wire(gateway, act, folder)


def test_a_client_is_at_the_address_that_it_connects_from(folder: Path | None) -> None:
    def respond(event: Mapping[str, Any]) -> Mapping[str, Any]:
        request = read_event(event)
        return {"statusCode": 200, "body": f"{request.source_ip} {request.scheme}"}

    other = "http" if folder else "https"
    forged = f"x-forwarded-for: 192.0.2.9\r\nx-forwarded-proto: {other}\r\n\r\n".encode()

    async def act(wire: Wire) -> None:
        client = await wire.connect(HEAD[:-2] + forged)

        _, body = await client.answer()

        assert body.decode() == f"127.0.0.1 {'https' if folder else 'http'}"

    on_the_wire(Gateway(respond), act, folder)


def test_every_write_leaves_at_once(folder: Path | None) -> None:
    async def act(wire: Wire) -> None:
        await wire.connect()

        [connection] = wire.connections

        assert isinstance(connection, Protocol)
        accepted = connection.transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0

    on_the_wire(Gateway(echo), act, folder)


def test_every_write_leaves_at_once_where_a_connection_inherits_nothing() -> None:
    async def act(wire: Wire) -> None:
        wire.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        await wire.connect()

        [connection] = wire.connections

        assert isinstance(connection, Protocol)
        accepted = connection.transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0

    on_the_wire(Gateway(echo), act)


def test_the_first_line_of_a_success_is_as_ever() -> None:
    async def act(wire: Wire) -> None:
        client = await wire.connect(HEAD + HEAD)

        for _ in range(2):
            head, _ = await client.answer()
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")

    on_the_wire(Gateway(echo), act)


def test_the_first_line_of_a_refusal_is_not_that_of_the_next_answer() -> None:
    def respond(event: Mapping[str, Any]) -> Mapping[str, Any]:
        if event["rawPath"] == "/":
            return echo(event)
        raise ValueError

    async def act(wire: Wire) -> None:
        client = await wire.connect(HEAD.replace(b"/", b"/fault", 1) + HEAD)

        assert (await client.answer())[0].startswith(
            b"HTTP/1.1 500 the broker met an unexpected error"
        )
        assert (await client.answer())[0].startswith(b"HTTP/1.1 200 OK\r\n")

    on_the_wire(Gateway(respond), act)


def test_an_answer_to_head_has_its_length_and_no_body() -> None:
    head = HEAD.replace(b"GET", b"HEAD")

    async def act(wire: Wire) -> None:
        client = await wire.connect(head + head)

        for _ in range(2):
            answered = await client.reader.readuntil(b"\r\n\r\n")
            assert b"\r\ncontent-length: 9900000\r\n" in answered

    on_the_wire(Gateway(function_answering(b"", content_length=str(LARGE))), act)


@pytest.mark.parametrize("is_closed_meanwhile", [False, True])
def test_a_malformed_answer_is_an_error_and_ends_the_connection(
    folder: Path | None, *, is_closed_meanwhile: bool
) -> None:
    gateway = Gateway(function_answering(b"", x="a\r\nb"))

    async def act(wire: Wire) -> None:
        client = await wire.connect()
        if is_closed_meanwhile:
            [connection] = wire.connections
            client.writer.write(HEAD)
            client.writer.transport.abort()
            while connection in wire.connections:
                await wire.pass_time(0)
            return
        client.writer.write(HEAD)

        head, body = await client.answer()

        assert head.startswith(b"HTTP/1.1 500 ")
        assert b"\r\nconnection: close\r\n" in head
        assert body == b"Internal Server Error"
        assert await client.rest() == 0

    on_the_wire(gateway, act, folder)


def test_what_follows_a_last_request_is_not_read(folder: Path | None) -> None:
    gateway = Gateway(echo)

    async def act(wire: Wire) -> None:
        last = HEAD.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
        client = await wire.connect(last + HEAD)

        assert (await client.answer())[0].startswith(b"HTTP/1.1 200 ")

        assert await client.rest() == 0
        assert len(gateway.lines) == 1

    on_the_wire(gateway, act, folder)


def test_a_server_that_stops_answers_first(folder: Path | None) -> None:
    function = Halted()

    async def act(wire: Wire) -> None:
        client = await wire.connect(HEAD)
        while not function.is_asked.is_set():
            await wire.pass_time(0)
        [connection] = wire.connections
        connection.shutdown()
        function.go_on.set()

        head, _ = await client.answer()

        assert head.startswith(b"HTTP/1.1 200 ")
        assert b"\r\nconnection: close\r\n" in head
        assert await client.rest() == 0

    on_the_wire(Gateway(function), act, folder)
