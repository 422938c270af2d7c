"""The drill: publish, back up meanwhile, lose the disk, restore, serve."""

import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import urljoin

import pytest
import requests

from pytp_broker.cli import main
from pytp_broker.demo.issuer import Issuer
from pytp_broker.demo.process import ServerError, ServerProcess
from pytp_broker.provenance.checking import Subject, check_receipt
from pytp_broker.provenance.receipt_keys import KeyDocument
from pytp_broker.storage.data_folder import RESTORING
from tests.e2e.test_publish import mint, trusting
from tests.support import distributions
from tests.support.configurations import github_issuer, github_publisher, registry
from tests.support.distributions import Distribution

pytestmark = pytest.mark.e2e

CONFIGURATION = github_issuer("{issuer}") + registry(
    "acme",
    github_publisher("widgets", repository_owner_id="9919", environment="release"),
    issuers=["{issuer}"],
    access="public",
)
NAME, KIND = "Content-Type", distributions.CONTENT_TYPE


class Drill:
    """What was there before the disaster, and the server after it."""

    def __init__(self, server: ServerProcess, session: requests.Session) -> None:
        self.server, self.session = server, session
        self.answered: list[Distribution] = []  # before the backup began
        self.identity_token = ""
        self.upload_token = ""
        self.later_identity_token = ""

    def publish(self, version: str) -> Distribution:
        file = distributions.wheel(version=version)
        answer = self.session.post(
            f"{self.server.url}/acme/legacy/",
            data=distributions.form(file),
            headers={NAME: KIND},
            auth=("__token__", self.upload_token),
        )
        assert answer.status_code == 200, answer.text
        return file

    def exchange(self, identity_token: str) -> requests.Response:
        url = f"{self.server.url}/acme/_/oidc/mint-token"
        return self.session.post(url, json={"token": identity_token})


@pytest.fixture(scope="module")
def drill(
    config: Path, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Drill]:
    folder = tmp_path_factory.mktemp("drill")
    data, backup, log = folder / "data", folder / "backup", folder / "log"
    with ServerProcess(config, log, "--data", str(data)) as server, trusting(server) as session:
        drill = Drill(server, session)
        audience = session.get(f"{server.url}/acme/_/oidc/audience").json()["audience"]
        drill.identity_token = issuer.token(aud=audience)
        drill.upload_token = drill.exchange(drill.identity_token).json()["token"]
        drill.answered = [drill.publish(f"1.{number}") for number in range(3)]
        with publishing(drill):
            assert main(["backup", "--data", str(data), "--to", str(backup)]) == 0
            assert main(["backup", "--data", str(data), "--to", str(backup)]) == 0
        drill.later_identity_token = issuer.token(aud=audience)
        assert drill.exchange(drill.later_identity_token).status_code == 200
        server.stop(signal.SIGKILL)
    shutil.rmtree(data)
    assert main(["restore", str(backup), "--data", str(data)]) == 0
    with ServerProcess(config, log, "--data", str(data)) as server, trusting(server) as session:
        drill.server, drill.session = server, session
        yield drill


class publishing:  # noqa: N801 - reads as a context
    """Publish one file after the other, and note those that were answered."""

    def __init__(self, drill: Drill) -> None:
        self._drill, self._over = drill, Event()
        self._thread = Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._over.is_set():
            self._drill.publish(f"2.{number}")
            number += 1


def test_everything_that_was_answered_before_the_backup_is_there_with_its_receipt(
    drill: Drill,
) -> None:
    page = drill.session.get(
        f"{drill.server.url}/acme/simple/widgets/",
        headers={"Accept": "application/vnd.pypi.simple.v1+json"},
    ).json()
    urls = {file["filename"]: file["url"] for file in page["files"]}
    keys = KeyDocument.from_document(
        drill.session.get(f"{drill.server.url}/.well-known/pytp-receipt-keys").json()
    )

    for file in drill.answered:
        base = f"{drill.server.url}/acme/simple/widgets/"
        got = drill.session.get(urljoin(base, urls[file.filename]))
        assert got.content == file.content
        version = file.filename.split("-")[1]
        path = f"/acme/integrity/widgets/{version}/{file.filename}/receipt"
        receipt = drill.session.get(drill.server.url + path).content
        subject = Subject(file.filename, file.sha256, len(file.content), "acme")
        check_receipt(receipt, keys, subject, datetime.now(UTC))  # raises


def test_what_was_published_meanwhile_can_be_read_if_it_is_listed(drill: Drill) -> None:
    page = drill.session.get(
        f"{drill.server.url}/acme/simple/widgets/",
        headers={"Accept": "application/vnd.pypi.simple.v1+json"},
    ).json()

    assert len(page["files"]) >= 3
    for file in page["files"]:
        base = f"{drill.server.url}/acme/simple/widgets/"
        got = drill.session.get(urljoin(base, file["url"]))
        assert got.status_code == 200


def test_an_identity_token_of_before_is_refused(drill: Drill) -> None:
    for token in (drill.identity_token, drill.later_identity_token):
        answer = drill.exchange(token)
        assert answer.status_code == 422
        assert "the identity token was issued before" in answer.json()["detail"]


def test_an_upload_token_of_before_is_dead(drill: Drill) -> None:
    answer = drill.session.post(
        f"{drill.server.url}/acme/legacy/",
        data=distributions.form(distributions.wheel(version="9.0")),
        headers={NAME: KIND},
        auth=("__token__", drill.upload_token),
    )

    assert answer.status_code == 401


def test_a_new_job_publishes(drill: Drill, issuer: Issuer) -> None:
    # As if half a minute had passed: this issuer's clock is ahead of ours.
    now = int(time.time()) + 29
    changes: dict[str, Any] = {"iat": now, "nbf": now, "exp": now + 300}
    until = time.monotonic() + 20
    while True:
        with suppress(AssertionError):
            drill.upload_token = mint(drill.session, f"{drill.server.url}/acme", issuer, **changes)
            break
        assert time.monotonic() < until
        now = int(time.time()) + 29
        changes = {"iat": now, "nbf": now, "exp": now + 300}
        time.sleep(0.2)

    assert drill.publish("3.0").filename


def test_a_server_does_not_start_on_a_folder_that_was_not_restored_completely(
    config: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / RESTORING).touch()

    with (
        pytest.raises(ServerError, match="restore` again"),
        ServerProcess(config, tmp_path / "log", "--no-tls", "--data", str(data)),
    ):
        pass
