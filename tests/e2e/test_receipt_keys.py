"""A server whose key of receipts others can read, or is gone, publishes nothing and says why."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from pytp_broker.cli import main
from pytp_broker.demo.issuer import Issuer
from pytp_broker.demo.process import ServerProcess
from tests.support.configurations import github_issuer, github_publisher, registry
from tests.support.distributions import fields, wheel

pytestmark = pytest.mark.e2e

CONFIGURATION = github_issuer("{issuer}") + registry(
    "acme",
    github_publisher("widgets", repository_owner_id="9919", repository_id="70107786"),
    audience="acme",
    issuers=["{issuer}"],
    access="public",
)
FILE = wheel()


@dataclass(frozen=True)
class Machine:
    """A machine with a data folder, on which a server runs from time to time."""

    issuer: Issuer
    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def key_file(self) -> Path:
        (path,) = (self.data / "receipt-keys").iterdir()
        return path

    def server(self) -> ServerProcess:
        config = self.folder / "broker.toml"
        config.write_text(CONFIGURATION.format(issuer=self.issuer.url))
        return ServerProcess(config, self.folder / "log", "--no-tls", "--data", str(self.data))

    def upload(self, server: ServerProcess) -> requests.Response:
        minted = requests.post(
            f"{server.url}/acme/_/oidc/mint-token",
            json={"token": self.issuer.token(aud="acme")},
            timeout=10,
        )
        return requests.post(
            f"{server.url}/acme/legacy/",
            data=dict(fields(FILE)),
            files={"content": (FILE.filename, FILE.content)},
            auth=("__token__", minted.json()["token"]),
            timeout=10,
        )

    def warnings(self) -> list[str]:
        """Return what the servers have said about the key when they started."""
        lines = map(json.loads, (self.folder / "log").read_text().splitlines())
        return [line["message"] for line in lines if line.get("by") == "receipt-key"]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Issuer() as issuer:
        yield Machine(issuer, tmp_path)


def is_visible(server: ServerProcess) -> bool:
    page = requests.get(f"{server.url}/acme/simple/widgets/", timeout=10)
    return FILE.filename in page.text


def check_refused(machine: Machine, server: ServerProcess) -> None:
    refused = machine.upload(server)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (503, "store-unavailable")
    assert "Retry-After" in refused.headers
    assert str(machine.folder) not in refused.text, "a caller learns nothing of this machine"
    assert not is_visible(server)


@pytest.mark.promise("readable-key")
def test_a_key_that_others_can_read_publishes_nothing_until_that_is_cured(
    machine: Machine,
) -> None:
    with machine.server():
        pass
    machine.key_file.chmod(0o644)

    with machine.server() as server:
        (warning,) = machine.warnings()
        check_refused(machine, server)
        machine.key_file.chmod(0o600)
        again = machine.upload(server)
        assert again.status_code == 200, again.text
        assert is_visible(server)

    assert warning.startswith("nothing can be published: other users may read ")


def test_a_key_that_is_gone_publishes_nothing_until_the_operator_makes_a_new_one(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    with machine.server():
        pass
    machine.key_file.unlink()

    with machine.server() as server:
        (warning,) = machine.warnings()
        check_refused(machine, server)
        assert main(["receipt-key", "rotate", "--data", str(machine.data)]) == 0
        again = machine.upload(server)
        assert again.status_code == 200, again.text
        published = requests.get(f"{server.url}/.well-known/pytp-receipt-keys", timeout=10).json()

    assert "is missing; restore it from a backup of the data folder" in warning
    assert machine.key_file.stem in capsys.readouterr().out
    assert machine.key_file.stem in {key["kid"] for key in published["keys"]}
    assert len(published["keys"]) == 2, "receipts of the old key stay good"


def test_a_server_signs_with_the_same_key_after_it_is_started_again(machine: Machine) -> None:
    with machine.server():
        first = machine.key_file
    with machine.server() as server:
        assert machine.upload(server).status_code == 200
        assert machine.key_file == first
    assert machine.warnings() == []
