"""A local AWS: ministack, started once for the whole test run on a free loopback port."""

import http.client
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import boto3
import botocore.session
import pytest
from botocore.config import Config

from pytp_broker.aws.boto import Client
from pytp_broker.aws.dynamodb.broker_table import ensure_table
from tests.support.ports import free_port

ROOT: Final = Path(__file__).parents[2]
VIRTUAL_ENVIRONMENT: Final = ROOT / ".venv-emulator"
REGION: Final = "us-east-1"
START_SECONDS: Final = 60
# Each session of boto3 would read megabytes of JSON again, in which AWS describes its services.
botocore.session.create_loader = cache(botocore.session.create_loader)

# Variables with which the emulator, or the functions that it runs, would import our source tree.
_NOT_INHERITED: Final = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}


@dataclass(frozen=True)
class Emulator:
    """A running emulator."""

    endpoint_url: str
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        """Return the run's boto3 client of a service; it is closed with the emulator."""
        if service not in self._clients:
            self._clients[service] = make_client(service, endpoint_url=self.endpoint_url)
        return self._clients[service]

    def close(self) -> None:
        for client in self._clients.values():
            client.close()


def make_client(service: str, **options: Any) -> Any:
    """Return a client of boto3 with made-up credentials, wide enough for the races."""
    config = Config(
        max_pool_connections=64,
        signature_version="s3v4" if service == "s3" else None,
        s3={"addressing_style": "path"},
    )
    build: Any = boto3.client  # typed for each service by its literal name
    made = build(
        service,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=config,
        **options,
    )
    return Client(made)


def create_table(client: Any) -> str:
    """Create an empty table like the one in template.yaml; return its name."""
    name = f"table-{uuid4()}"
    ensure_table(client, name)
    return name


def create_bucket(client: Any) -> str:
    """Create an empty bucket; return its name."""
    name = f"bucket-{uuid4()}"
    client.create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """Run ministack for the session; skip without it, or fail where everything must run."""
    if not VIRTUAL_ENVIRONMENT.is_dir():
        reason = "no .venv-emulator: `make emulator` makes it"
        if os.environ.get("PYTP_REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with run_emulator(tmp_path_factory.mktemp("emulator")) as running:
        yield running


@contextmanager
def run_emulator(folder: Path, **settings: str) -> Iterator[Emulator]:
    """Run a separate emulator in a folder, with further settings in its environment."""
    port = free_port()
    environment = {k: v for k, v in os.environ.items() if k not in _NOT_INHERITED}
    # By default it listens on every address, and for MQTT beside.
    environment |= {"BIND_HOST": "127.0.0.1", "IOT_MTLS_ENABLED": "0", "SFTP_ENABLED": "0"}
    environment |= {"GATEWAY_PORT": str(port), **settings}
    log_path = folder / "emulator.log"
    with (
        log_path.open("wb") as log,
        subprocess.Popen(
            [VIRTUAL_ENVIRONMENT / "bin" / "python", "-m", "ministack"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            _wait_until_ready(process, port, log_path)
            with closing(Emulator(f"http://127.0.0.1:{port}")) as running:
                yield running
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log_path: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _is_ready(port):
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"the emulator does not start:\n{log_path.read_text()[-2000:]}")
        time.sleep(0.05)


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/_ministack/health")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
