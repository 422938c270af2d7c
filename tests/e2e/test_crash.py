"""A server that is killed while it works, and started again on the same data."""

import hashlib
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
import requests

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
VERSIONS = [f"1.{n}" for n in range(24)]
WHEELS = {version: wheel(version=version) for version in VERSIONS}
KILLED_AFTER = 6


@dataclass
class Site:
    """A server on a data folder, which may be killed and started again."""

    issuer: Issuer
    folder: Path
    url: str = ""

    def server(self) -> ServerProcess:
        config = self.folder / "broker.toml"
        config.write_text(CONFIGURATION.format(issuer=self.issuer.url))
        data = str(self.folder / "data")
        return ServerProcess(config, self.folder / "log", "--no-tls", "--data", data)

    def mint(self, identity_token: str) -> requests.Response:
        url = f"{self.url}/acme/_/oidc/mint-token"
        return requests.post(url, json={"token": identity_token}, timeout=10)

    def upload(self, token: str, version: str) -> int | None:
        """Return the status of the answer, or None where none came."""
        distribution = WHEELS[version]
        file = {"content": (distribution.filename, distribution.content)}
        try:
            answer = requests.post(
                f"{self.url}/acme/legacy/",
                data=dict(fields(distribution)),
                files=file,
                auth=("__token__", token),
                timeout=10,
            )
        except requests.RequestException:
            return None
        return answer.status_code


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Issuer() as issuer:
        yield Site(issuer, tmp_path)


def test_what_was_answered_survives_a_kill_and_nothing_is_half_there(site: Site) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(site.server())
        site.url = server.url
        identity_token = site.issuer.token(aud="acme")
        token = site.mint(identity_token).json()["token"]
        statuses = upload_until_killed(site, server, token)

    with site.server() as restarted:
        site.url = restarted.url

        assert site.mint(identity_token).status_code == 422
        published = files(site)
        for version, status in zip(VERSIONS, statuses, strict=True):
            assert status != 200 or version in published
        assert [site.upload(token, version) for version in VERSIONS] == [200] * len(VERSIONS)
        assert files(site).keys() == set(VERSIONS)


def upload_until_killed(site: Site, server: ServerProcess, token: str) -> list[int | None]:
    answered = count(1)  # no two threads get the same number, and none is left out

    def upload(version: str) -> int | None:
        status = site.upload(token, version)
        if next(answered) == KILLED_AFTER:
            server.stop(signal.SIGKILL)
        return status

    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(upload, VERSIONS))
    assert 200 in statuses
    assert None in statuses
    return statuses


def files(site: Site) -> dict[str, str]:
    """Return the visible files by version, after checking that each has its bytes."""
    page = requests.get(
        f"{site.url}/acme/simple/widgets/",
        headers={"Accept": "application/vnd.pypi.simple.v1+json"},
        timeout=10,
    ).json()
    found = {}
    for file in page["files"]:
        content = requests.get(f"{site.url}{file['url']}", timeout=10).content
        assert hashlib.sha256(content).hexdigest() == file["hashes"]["sha256"]
        found[file["filename"].split("-")[1]] = file["url"]
    return found
