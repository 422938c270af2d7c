"""Connections that the local server accepts, and its log lines about those that it refuses."""

import asyncio
import errno
import io
import json
import resource
import socket
import struct
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from pytp_broker.demo.process import ServerProcess
from pytp_broker.local import acceptor, refusals
from pytp_broker.local.log import Log
from tests.support.gateways import Gateway, echo
from tests.support.wire import HEAD, Wire, on_the_wire

MANY_ADDRESSES = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8"
)


@pytest.fixture(params=[False, True], ids=["plain", "TLS"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    """Return a folder for certificates, where there is to be TLS."""
    return tmp_path if request.param else None


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server take eight connections."""
    monkeypatch.setattr(acceptor, "MAX_CONNECTIONS", 8)


@pytest.mark.promise("fair-share")
@pytest.mark.usefixtures("narrow")
def test_one_address_has_a_quarter_of_the_connections(folder: Path | None) -> None:
    gateway = Gateway(echo)

    async def act(wire: Wire) -> None:
        taken = [await wire.knock(), await wire.knock()]

        refused = await wire.knock()

        assert await refused.rest() == 0
        assert not any(client.is_closed() for client in taken)
        assert [(line["source_ip"], line["reason"]) for line in gateway.refused] == [
            ("127.0.0.1", "too-many-connections")
        ]

    on_the_wire(gateway, act, folder)


@pytest.mark.usefixtures("narrow")
def test_a_connection_that_ends_leaves_its_place(folder: Path | None) -> None:
    async def act(wire: Wire) -> None:
        for _ in range(5):
            client = await wire.connect(HEAD)
            assert (await client.answer())[0].startswith(b"HTTP/1.1 200 ")
            client.writer.transport.abort()
            while wire.connections:
                await wire.pass_time(0)

    on_the_wire(Gateway(echo), act, folder)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a reset takes the request along")
def test_a_client_that_resets_its_connection_is_known_by_its_address_all_the_same() -> None:
    gateway = Gateway(echo)

    async def act(wire: Wire) -> None:
        with socket.create_connection(wire.listener.getsockname()) as client:
            client.sendall(HEAD)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        while not gateway.lines:
            await wire.pass_time(0)

        assert [line["source_ip"] for line in gateway.lines] == ["127.0.0.1"]

    on_the_wire(gateway, act)


@pytest.mark.promise("many-addresses")
@MANY_ADDRESSES
@pytest.mark.usefixtures("narrow")
def test_all_addresses_together_have_no_more_than_all_connections(folder: Path | None) -> None:
    async def act(wire: Wire) -> None:
        # Two for each of three, a quarter; then half of what is free.
        addresses = [f"127.0.0.{number}" for number in (2, 2, 3, 3, 4, 4, 5, 6)]
        taken = [await wire.knock(address=address) for address in addresses]

        refused = await wire.knock(address="127.0.0.7")

        assert await refused.rest() == 0
        assert not any(client.is_closed() for client in taken)

    on_the_wire(Gateway(echo), act, folder)


def test_nothing_is_made_for_a_client_that_does_not_begin_tls(tmp_path: Path) -> None:
    gateway = Gateway(echo)

    async def act(wire: Wire) -> None:
        client = await wire.knock()
        await wire.pass_time(9)
        assert not client.is_closed()

        await wire.pass_time(2)

        assert await client.rest() == 0
        assert [(line["source_ip"], line["reason"]) for line in gateway.refused] == [
            ("127.0.0.1", "silent")
        ]

    on_the_wire(gateway, act, tmp_path)


@pytest.mark.promise("logged-refusals")
@pytest.mark.parametrize("sent", [HEAD, b"\x16"], ids=["HTTP", "one byte"])
def test_what_is_no_tls_ends_in_a_line_with_its_address(tmp_path: Path, sent: bytes) -> None:
    gateway = Gateway(echo)

    async def act(wire: Wire) -> None:
        client = await wire.knock(sent)
        await wire.pass_time(11)

        await client.rest()

        await wire.pass_time(0)
        assert [(line["source_ip"], line["reason"]) for line in gateway.refused] == [
            ("127.0.0.1", "no-tls")
        ]

    on_the_wire(gateway, act, tmp_path)


@pytest.mark.parametrize("is_reset", [False, True])
@pytest.mark.usefixtures("narrow")
def test_a_client_that_goes_before_it_begins_leaves_no_line_and_its_place(
    tmp_path: Path, *, is_reset: bool
) -> None:
    gateway = Gateway(echo)

    async def act(wire: Wire) -> None:
        for _ in range(5):
            client = await wire.knock()
            if is_reset:
                connection = client.writer.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.writer.transport.abort()
            await wire.pass_time(0)

        assert gateway.refused == []

    on_the_wire(gateway, act, tmp_path)


def test_a_connection_without_a_request_ends_in_a_line_with_its_address(
    folder: Path | None,
) -> None:
    gateway = Gateway(echo)

    async def act(wire: Wire) -> None:
        client = await wire.connect(HEAD[:-1])
        await wire.pass_time(11)

        await client.rest()

        assert [(line["source_ip"], line["reason"]) for line in gateway.refused] == [
            ("127.0.0.1", "no-request")
        ]

    on_the_wire(gateway, act, folder)


class Exhausted(socket.socket):
    """A listening socket of a process that cannot open files, until the test lets it."""

    has_files = False

    def accept(self) -> tuple[socket.socket, Any]:
        if self.has_files:
            return super().accept()
        raise OSError(errno.EMFILE, "Too many open files")


def test_a_process_without_files_says_so_once_a_minute_and_goes_on_when_it_has_some() -> None:
    gateway = Gateway(echo)
    listener = Exhausted()
    listener.bind(("127.0.0.1", 0))

    async def act(wire: Wire) -> None:
        client = await wire.knock(HEAD)
        for _ in range(59):
            await wire.pass_time(1)
        assert [line["reason"] for line in gateway.refused] == ["no-files-left"]
        await wire.pass_time(1)
        assert [line["count"] for line in gateway.refused] == [1, 59]

        listener.has_files = True
        await wire.pass_time(1)

        assert (await client.answer())[0].startswith(b"HTTP/1.1 200 ")

    on_the_wire(gateway, act, make_listener=lambda: listener)


def test_a_server_that_waits_for_files_can_be_ended() -> None:
    listener = Exhausted()
    listener.bind(("127.0.0.1", 0))

    async def act(wire: Wire) -> None:
        await wire.knock(HEAD)

    on_the_wire(Gateway(echo), act, make_listener=lambda: listener)


# --- the limit of open files --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "connections"), [(100, 50), (256, 128), (1024, 768), (4096, 2048), (1 << 20, 2048)]
)
def test_connections_stay_below_the_limit_of_open_files(
    monkeypatch: pytest.MonkeyPatch, files: int, connections: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))

    assert acceptor.max_connections() == connections


def test_the_limit_of_open_files_is_raised_to_what_the_system_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raised = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: raised.append(limits))

    acceptor.raise_file_limit()

    assert raised == [(4096, 4096)]


# --- lines --------------------------------------------------------------------------------------


@pytest.mark.promise("logged-refusals")
def test_a_source_has_one_line_a_minute_that_counts_its_refusals() -> None:
    stream = io.StringIO()

    async def act() -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        loop.time = lambda: now  # type: ignore[method-assign]
        log = refusals.RefusalLog(Log(stream))
        for minute in range(4):
            for _ in range(100 if minute < 2 else 0):
                log.note("2001:db8::1", "silent")
            now += 61
            for _ in range(3):
                await asyncio.sleep(0)

    asyncio.run(act())

    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["count"] for line in lines] == [1, 99, 100]
    assert {line["source_ip"] for line in lines} == {"2001:db8::/64"}


def test_many_sources_are_counted_together() -> None:
    stream = io.StringIO()

    async def act() -> None:
        log = refusals.RefusalLog(Log(stream))
        for number in range(10 * refusals.MAX_SOURCES):
            log.note(f"2001:db8:0:{number:x}::1", "silent")

    asyncio.run(act())

    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(lines) == refusals.MAX_SOURCES + 1
    assert lines[-1]["source_ip"] == "others"


# --- a whole server -----------------------------------------------------------------------------


@pytest.fixture(params=["--no-tls", ""], ids=["plain", "TLS"])
def small_process(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServerProcess]:
    """Return a server that may open 1,024 files, as many systems give a process."""
    config = tmp_path / "broker.toml"
    config.write_text('[[registries]]\nname = "acme"\n')
    process = ServerProcess(config, tmp_path / "log", *filter(None, [request.param]))
    process._command = ["sh", "-c", 'ulimit -n 1024; exec "$@"', "sh", *process._command]
    with process:
        yield process


@pytest.fixture
def many_files() -> Iterator[None]:
    """Let this process, which plays the clients, open as many files as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2000:
        pytest.skip("this system allows no 1,500 connections")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def open_silent(address: tuple[Any, Any]) -> socket.socket:
    connection = socket.socket()
    connection.bind(("127.0.0.2", 0))
    connection.setblocking(False)
    connection.connect_ex(address)
    return connection


def exchange(process: ServerProcess) -> int:
    """Return the status of an exchange over a new connection; it is refused for its token."""
    with requests.Session() as session:
        session.trust_env = False
        answered = session.post(
            f"{process.url}/acme/_/oidc/mint-token",
            json={"token": "x"},
            verify=process.ca_file or True,
            timeout=5,
        )
    return answered.status_code


@pytest.mark.promise("fair-share")
@MANY_ADDRESSES
@pytest.mark.usefixtures("many_files")
def test_fifteen_hundred_silent_connections_fail_no_exchange_of_another_address(
    small_process: ServerProcess,
) -> None:
    url = urlsplit(small_process.url)
    with ExitStack() as silent, ThreadPoolExecutor(4) as clients:
        for _ in range(1500):
            silent.enter_context(open_silent((url.hostname, url.port)))

        statuses = list(clients.map(lambda _: exchange(small_process), range(100)))

    assert set(statuses) == {422}
    refused = small_process.events("refused")
    assert {(line["source_ip"], line["reason"]) for line in refused} >= {
        ("127.0.0.2", "too-many-connections")
    }
    assert len(refused) < 10
    assert small_process.events("fault") == small_process.events("warning") == []


@pytest.mark.parametrize("small_process", [""], ids=["TLS"], indirect=True)
def test_an_end_of_the_server_ends_connections_that_have_not_begun(
    small_process: ServerProcess,
) -> None:
    url = urlsplit(small_process.url)
    address = (url.hostname, url.port)
    with socket.create_connection(address) as silent, socket.create_connection(address) as begun:
        begun.sendall(b"\x16")
        assert exchange(small_process) == 422  # who came earlier is taken earlier

        assert small_process.stop() == 0

        for connection in (silent, begun):
            connection.settimeout(10)
            assert connection.recv(1) == b""
