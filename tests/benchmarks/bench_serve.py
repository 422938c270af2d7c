"""What a request to `pytp-broker serve` costs, and how long many clients at one time wait.

The cost is in multiples of a bare asyncio server that answers the same bytes over one kept
connection. The waits depend on the machine, because clients and server share its cores. Run it with
`make bench`. It asserts only that requests are answered.
"""

import hashlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Final, Self
from urllib.parse import urlsplit

import pytest
import requests
from urllib3.filepost import encode_multipart_formdata

from pytp_broker.demo.issuer import Issuer
from pytp_broker.demo.packages import TinyPackage
from pytp_broker.demo.process import ServerProcess

Address = tuple[str, int]

CONFIGURATION: Final = """
[[issuers]]
url = "{issuer}"
provider = "github"

[[registries]]
name = "acme"
issuers = ["{issuer}"]
[[registries.publishers]]
projects = ["widgets"]
[registries.publishers.github]
repository = "octo-org/widgets"
repository_owner_id = "9919"
workflow = "release.yml"
environment = "release"
"""
ECHO: Final = """
import asyncio, sys
answer = bytes.fromhex(sys.argv[1])
class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        self.transport.write(answer)
async def serve():
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(serve())
"""
CLIENTS: Final = (1, 8, 32)
REQUESTS: Final = 320
KEPT_REQUESTS: Final = 3000


class Kept:
    """A kept connection, and nothing between it and the socket."""

    def __init__(self, address: Address) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def ask(self, request: bytes) -> bytes:
        """Return the answer to a request; it comes whole once its head and length are there."""
        self.socket.sendall(request)
        answer = b""
        while not is_whole(answer):
            answer += self.socket.recv(65536)
        return answer

    def time(self, request: bytes) -> float:
        started = time.perf_counter()
        answer = self.ask(request)
        seconds = time.perf_counter() - started
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        return seconds


def is_whole(answer: bytes) -> bool:
    head, blank, body = answer.partition(b"\r\n\r\n")
    if not blank:
        return False
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return len(body) == int(lengths[0].partition(b":")[2])


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        yield running


@pytest.fixture(scope="module")
def server(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("serve")
    config = folder / "broker.toml"
    config.write_text(CONFIGURATION.format(issuer=issuer.url))
    data = ("--data", str(folder / "data"))
    with ServerProcess(config, folder / "log", "--no-tls", *data) as running:
        yield running


def address_of(server: ServerProcess) -> Address:
    url = urlsplit(server.url)
    assert url.hostname
    assert url.port
    return url.hostname, url.port


def write_request(method: str, path: str, body: bytes = b"", *headers: str) -> bytes:
    lines = (f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


AUDIENCE: Final = write_request("GET", "/acme/_/oidc/audience")


def test_a_request_over_a_kept_connection_against_an_echo(server: ServerProcess) -> None:
    assert server._process
    with Kept(address_of(server)) as kept:
        answer = kept.ask(AUDIENCE)
    ours = measure(address_of(server), server._process.pid)
    with echo(answer) as (address, pid):
        bare = measure(address, pid)

    print("\naudience, over one kept connection    latency        CPU")
    print(f"asyncio, the same bytes             {show(bare)}")
    print(f"serve                               {show(ours)}")
    print(f"ratio                               {ours[0] / bare[0]:6.1f} {ours[1] / bare[1]:10.1f}")


def measure(address: Address, pid: int) -> tuple[float, float]:
    """Return the median latency and the server's processor time of a request, in seconds."""
    with Kept(address) as kept:
        kept.ask(AUDIENCE)
        before = processor_time(pid)
        latencies = [kept.time(AUDIENCE) for _ in range(KEPT_REQUESTS)]
    return median(latencies), (processor_time(pid) - before) / KEPT_REQUESTS


def processor_time(pid: int) -> float:
    """Return the processor time of a process so far, in seconds; Linux counts it in clock ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def show(measured: tuple[float, float]) -> str:
    latency, processor = measured
    return f"{latency * 1e6:6.0f} µs {processor * 1e6:6.0f} µs"


@contextmanager
def echo(answer: bytes) -> Iterator[tuple[Address, int]]:
    command = (sys.executable, "-c", ECHO, answer.hex())
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield ("127.0.0.1", int(process.stdout.readline())), process.pid
        process.terminate()


def test_how_long_clients_wait_that_come_together(
    server: ServerProcess, issuer: Issuer, tmp_path: Path
) -> None:
    audience = requests.get(f"{server.url}/acme/_/oidc/audience", timeout=9).json()["audience"]
    print("\nclients            1                 8                32")
    print("           " + "      p50      p99" * 3 + "  ms")
    show_waits("audience", server, [[AUDIENCE] * REQUESTS for _ in CLIENTS])
    mints = [[write_mint(issuer, audience) for _ in range(REQUESTS)] for _ in CLIENTS]
    show_waits("mint", server, mints)
    token = mint(server, issuer, audience)
    versions = iter(range(len(CLIENTS) * REQUESTS))
    uploads = [
        [write_upload(tmp_path, f"1.{next(versions)}", token) for _ in range(REQUESTS)]
        for _ in CLIENTS
    ]
    show_waits("upload", server, uploads)


def write_mint(issuer: Issuer, audience: str) -> bytes:
    body = b'{"token": "%s"}' % issuer.token(aud=audience).encode()
    return write_request("POST", "/acme/_/oidc/mint-token", body)


def mint(server: ServerProcess, issuer: Issuer, audience: str) -> str:
    url = f"{server.url}/acme/_/oidc/mint-token"
    answered = requests.post(url, json={"token": issuer.token(aud=audience)}, timeout=9)
    token: str = answered.json()["token"]
    return token


def write_upload(folder: Path, version: str, token: str) -> bytes:
    wheel, _ = TinyPackage("widgets", version=version).build(folder)
    content = wheel.read_bytes()
    form: dict[str, str | bytes | tuple[str, str | bytes]] = {
        ":action": "file_upload",
        "protocol_version": "1",
        "metadata_version": "2.4",
        "name": "widgets",
        "version": version,
        "filetype": "bdist_wheel",
        "pyversion": "py3",
        "sha256_digest": hashlib.sha256(content).hexdigest(),
        "content": (wheel.name, content),
    }
    body, content_type = encode_multipart_formdata(form)
    headers = (f"Content-Type: {content_type}", f"Authorization: Bearer {token}")
    return write_request("POST", "/acme/legacy/", body, *headers)


def show_waits(what: str, server: ServerProcess, rounds: Sequence[Sequence[bytes]]) -> None:
    cells = ""
    for clients, sent in zip(CLIENTS, rounds, strict=True):
        waits = sorted(time_together(address_of(server), clients, sent))
        cells += f"{median(waits) * 1e3:9.1f}{quantiles(waits, n=100)[98] * 1e3:9.1f}"
    print(f"{what:11}{cells}")


def time_together(address: Address, clients: int, sent: Sequence[bytes]) -> list[float]:
    """Return how long each request takes, when so many clients send them one after the other."""

    def run(own: Sequence[bytes]) -> list[float]:
        with Kept(address) as kept:
            return [kept.time(request) for request in own]

    with ThreadPoolExecutor(clients) as pool:
        parts = pool.map(run, [sent[number::clients] for number in range(clients)])
        return [seconds for part in parts for seconds in part]
