"""A release is staged in `serve`, tried by pip and uv, and then published, all over the wire.

One wheel is so large that the server checks it after the request that completes it.
"""

import hashlib
import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import requests

from pytp_broker.demo.issuer import Issuer
from pytp_broker.demo.packages import TinyPackage
from pytp_broker.demo.process import ServerProcess
from pytp_broker.http.upload_api import MEDIA_TYPE, META
from pytp_broker.index.sessions.announcements import POST_BYTES, PUT
from pytp_broker.local.deployment import IMMEDIATE_BYTES
from tests.e2e.test_publish import Clients, mint, trusting
from tests.support.configurations import github_issuer, github_publisher, registry
from tests.support.distributions import wheel, wheel_members

pytestmark = pytest.mark.e2e

CONFIGURATION = github_issuer("{issuer}") + registry(
    "acme", github_publisher("widgets", repository_owner_id="9919"), issuers=["{issuer}"]
)
SECONDS = 60


@dataclass
class Publisher:
    """A client of Upload API 2.0 with a token, and its session."""

    session: requests.Session
    url: str
    token: str
    links: Mapping[str, str]

    def ask(self, method: str, url: str, **members: Any) -> requests.Response:
        return self.session.request(
            method,
            url,
            data=json.dumps({"meta": META, **members}),
            headers={"Content-Type": MEDIA_TYPE},
            auth=("__token__", self.token),
        )

    def send(self, filename: str, content: bytes, mechanism: str) -> requests.Response:
        """Send a file by a mechanism, and complete it; return that answer."""
        announced = self.ask(
            "POST",
            self.links["upload"],
            filename=filename,
            size=len(content),
            hashes={"sha256": hashlib.sha256(content).hexdigest()},
            mechanism=mechanism,
        )
        assert announced.status_code == 202, announced.text
        sent = self._put(announced.json()["mechanism"], content)
        assert sent.status_code in {200, 204}, sent.text
        return self.ask("POST", announced.json()["links"]["complete"])

    def _put(self, how: Mapping[str, Any], content: bytes) -> requests.Response:
        if how["identifier"] == POST_BYTES:
            headers, auth = {"Content-Type": "application/octet-stream"}, ("__token__", self.token)
            return self.session.post(how["file_url"], data=content, headers=headers, auth=auth)
        return self.session.put(how["url"], data=content, headers=how["headers"])

    def wait(self, completed: requests.Response) -> str:
        """Ask for the status of a file until it is settled."""
        until = time.monotonic() + SECONDS
        while True:
            status = self.ask("GET", completed.headers["Location"]).json()["status"]
            if status != "processing":
                return str(status)
            assert time.monotonic() < until, "the file is still being checked"
            time.sleep(0.1)


@contextmanager
def staging(server: ServerProcess, issuer: Issuer, version: str) -> Iterator[Publisher]:
    """Begin a publishing session of `widgets`."""
    with trusting(server) as session:
        token = mint(session, f"{server.url}/acme", issuer)
        publisher = Publisher(session, server.url, token, {})
        root = f"{server.url}/acme/upload/"
        created = publisher.ask("POST", root, name="widgets", version=version)
        assert created.status_code == 201, created.text
        publisher.links = created.json()["links"]
        yield publisher


@pytest.fixture
def server(config: Path, tmp_path: Path) -> Iterator[ServerProcess]:
    with serving(config, tmp_path) as running:
        yield running


def serving(config: Path, folder: Path) -> ServerProcess:
    return ServerProcess(config, folder / "server.log", "--data", str(folder / "data"))


@cache
def large_wheel() -> tuple[str, bytes]:
    """Return a wheel of `widgets` 2.0 above the size that is checked at once."""
    members = wheel_members("widgets", "2.0")
    noise = os.urandom(IMMEDIATE_BYTES)
    distribution = wheel(
        "widgets", "2.0", members={**members, "widgets.py": 'print("large")', "noise": noise}
    )
    return distribution.filename, distribution.content


def test_a_staged_release_is_tried_and_then_published(
    server: ServerProcess, issuer: Issuer, tmp_path: Path
) -> None:
    clients = Clients(tmp_path, str(server.ca_file))
    files = TinyPackage("widgets", version="1.0", greeting="staged").build(tmp_path / "dist")
    with staging(server, issuer, "1.0") as publisher:
        for file in files:
            completed = publisher.send(file.name, file.read_bytes(), POST_BYTES)
            assert completed.status_code == 201, completed.text
        stage = publisher.links["stage"]

        for installer in ("pip", "uv"):
            assert clients.installed(installer, stage, "widgets") == "staged\n"
        private = publisher.session.get(f"{server.url}/acme/simple/widgets/")
        assert private.status_code == 401

        published = publisher.ask("POST", publisher.links["publish"])
        assert published.status_code == 201, published.text
        assert publisher.session.get(stage).status_code == 404
        index = f"{server.url.replace('://', f'://__token__:{publisher.token}@')}/acme/simple/"
        assert clients.installed("uv", index, "widgets") == "staged\n"
        assert publisher.links["stage"].split("/")[5] not in server.log.read_text()


def test_a_large_file_is_checked_after_the_request(
    server: ServerProcess, issuer: Issuer, tmp_path: Path
) -> None:
    clients = Clients(tmp_path, str(server.ca_file))
    with staging(server, issuer, "2.0") as publisher:
        completed = publisher.send(*large_wheel(), PUT)

        assert completed.status_code == 202, completed.text
        assert publisher.wait(completed) == "completed"
        assert clients.installed("uv", publisher.links["stage"], "widgets") == "large\n"
        assert publisher.ask("POST", publisher.links["publish"]).status_code == 201
    (record,) = server.events("verification")
    assert record["outcome"] == "accepted"


def test_a_server_that_was_killed_goes_on_with_what_it_was_checking(
    config: Path, issuer: Issuer, tmp_path: Path
) -> None:
    with serving(config, tmp_path) as server, staging(server, issuer, "2.0") as publisher:
        completed = publisher.send(*large_wheel(), PUT)
        assert completed.status_code == 202, completed.text
        server.stop(signal.SIGKILL)

    with serving(config, tmp_path) as again, trusting(again) as session:
        location = completed.headers["Location"].replace(publisher.url, again.url)
        publisher.session = session
        completed.headers["Location"] = location
        assert publisher.wait(completed) == "completed"


def test_a_server_ends_cleanly_while_it_checks_a_file(
    config: Path, issuer: Issuer, tmp_path: Path
) -> None:
    with serving(config, tmp_path) as server, staging(server, issuer, "2.0") as publisher:
        assert publisher.send(*large_wheel(), PUT).status_code == 202

        assert server.stop() == 0
    assert not server.events("fault")
