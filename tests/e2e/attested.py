"""A release with attestations: a job publishes it, and everybody can ask what is known of it.

The issuer signs as the public one of GitHub, whose keys the server knows already. A Sigstore of our
own makes the attestations, and the server trusts it.
"""

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, Final

from pytp_broker.demo.issuer import Issuer, github_job
from pytp_broker.demo.packages import TinyPackage
from pytp_broker.demo.process import ServerProcess
from pytp_broker.oidc.keycache import StoredKeySet
from pytp_broker.storage.data_folder import open_data_folder
from tests.e2e.test_publish import Clients, mint, trusting
from tests.support.sigstores import Sigstore, github, statement

GITHUB: Final = "https://token.actions.githubusercontent.com"
REPOSITORY: Final = "octo-org/widgets"
PYTP: Final = (sys.executable, "-m", "pytp_broker.cli")
# Runs a command of ours in a process that cannot reach anybody.
OFFLINE: Final = """
import os, sys

def refuse(event, _arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.sendmsg"}:
        print("the network was used:", event, file=sys.stderr, flush=True)
        os._exit(99)

sys.addaudithook(refuse)
from pytp_broker.cli import main
sys.exit(main(sys.argv[1:]))
"""


@contextmanager
def serving(
    config: Path, data: Path, issuer: Issuer, trusted_root: Path
) -> Iterator[ServerProcess]:
    """Run a server that knows the issuer's keys as those of GitHub."""
    data.mkdir(exist_ok=True)
    _, published = issuer.answer("/.well-known/jwks", "")
    with open_data_folder(data) as storage:
        storage.store.save_key_set(GITHUB, StoredKeySet(published["keys"], datetime.now(UTC)))
    options = ("--data", str(data), "--trusted-root", str(trusted_root))
    with ServerProcess(config, data.with_name(f"{data.name}.log"), *options) as running:
        yield running


@dataclass
class Release:
    """A wheel and an sdist in the folder of a job, and what everybody can know of them."""

    project: str
    clients: Clients
    server: ServerProcess
    issuer: Issuer
    sigstore: Sigstore
    registry: str = "acme"
    files: tuple[Path, ...] = ()

    @property
    def base_url(self) -> str:
        return f"{self.server.url}/{self.registry}"

    @property
    def index_url(self) -> str:
        return f"{self.base_url}/simple/"

    @property
    def job(self) -> dict[str, str]:
        return self.issuer.start_job(iss=GITHUB)

    def build(self) -> None:
        package = TinyPackage(self.project, greeting=self.project)
        self.files = package.build(self.clients.folder / "dist")

    def attest(self, repository: str = REPOSITORY) -> None:
        """Write beside each file the attestation of a job of this repository."""
        identity = github({**github_job(repository), "iss": GITHUB})
        for file in self.files:
            said = statement(file.name, hashlib.sha256(file.read_bytes()).hexdigest())
            made = self.sigstore.attestation(said, identity)
            attestation_of(file).write_text(json.dumps(made))

    def publish(self, client: str) -> CompletedProcess[str]:
        return PUBLISH[client](self)

    def fetch(self, path: str, accept: str = "*/*") -> tuple[int, bytes]:
        """Return status and body of what is at a path of the server."""
        with trusting(self.server) as session:
            answer = session.get(f"{self.server.url}{path}", headers={"Accept": accept})
        return answer.status_code, answer.content

    def listed(self) -> dict[str, dict[str, Any]]:
        """Return the files of the project as an installer sees them."""
        accept = "application/vnd.pypi.simple.v1+json"
        _, page = self.fetch(f"/{self.registry}/simple/{self.project}/", accept)
        return {file["filename"]: file for file in json.loads(page).get("files", ())}

    def integrity_path(self, file: Path, kind: str) -> str:
        return f"/{self.registry}/integrity/{self.project}/1.0.0/{file.name}/{kind}"

    def wait_until_verified(self) -> None:
        """Wait until the page for installers links the provenance of each file."""
        expected = {
            file.name: self.server.url + self.integrity_path(file, "provenance")
            for file in self.files
        }
        until = time.monotonic() + 30
        while {n: file.get("provenance") for n, file in self.listed().items()} != expected:
            assert time.monotonic() < until, self.listed()
            time.sleep(0.05)

    def provenance_of(self, file: Path) -> Any:
        """Return the provenance object of a file."""
        accept = "application/vnd.pypi.integrity.v1+json"
        status, document = self.fetch(self.integrity_path(file, "provenance"), accept)
        assert status == 200, document
        return json.loads(document)

    def keep(self, folder: Path, *kinds: str) -> Path:
        """Keep the proofs of each file beside it, as docs/verify.md says; return the keys."""
        for file in self.files:
            for kind in kinds:
                status, content = self.fetch(self.integrity_path(file, kind))
                assert status == 200, content
                (folder / f"{file.name}.{kind}").write_bytes(content)
        keys = folder / "keys.json"
        keys.write_bytes(self.fetch("/.well-known/pytp-receipt-keys")[1])
        return keys

    def verify_offline(self, *arguments: str | Path) -> CompletedProcess[str]:
        return self.clients.run(sys.executable, "-c", OFFLINE, "verify", *arguments)


def attestation_of(file: Path) -> Path:
    return file.with_name(f"{file.name}.publish.attestation")


def publish_with_uv(release: Release) -> CompletedProcess[str]:
    url = f"{release.base_url}/legacy/"
    return release.clients.uv_publish(url, (Path("dist/*"),), release.job)


def publish_with_twine(release: Release) -> CompletedProcess[str]:
    with trusting(release.server) as session:
        token = mint(session, release.base_url, release.issuer, iss=GITHUB)
    return release.clients.run(
        *(sys.executable, "-m", "twine", "upload", "--non-interactive", "--disable-progress-bar"),
        *("--attestations", "--repository-url", f"{release.base_url}/legacy/"),
        *("--cert", release.clients.ca_file, "-u", "__token__", "-p", token, "dist/*"),
    )


def publish_with_publish(release: Release) -> CompletedProcess[str]:
    url = f"{release.base_url}/legacy/"
    trusted = {"REQUESTS_CA_BUNDLE": release.clients.ca_file, "NO_PROXY": "*"}
    return release.clients.run(*PYTP, "publish", "--url", url, **trusted, **release.job)


PUBLISH: Final[dict[str, Callable[[Release], CompletedProcess[str]]]] = {
    "uv": publish_with_uv,
    "twine": publish_with_twine,
    "publish": publish_with_publish,
}
