"""A registry with a time-stamping authority, as operators, jobs and consumers see it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from pytp_broker.demo.issuer import Issuer
from pytp_broker.demo.packages import TinyPackage
from pytp_broker.demo.process import ServerProcess
from tests.support.configurations import github_issuer, github_publisher, registry
from tests.support.time_authority import TimeAuthority, serving

pytestmark = pytest.mark.e2e

HOST = "127.0.0.1"
PROGRAM = (sys.executable, "-m", "pytp_broker.cli")


@dataclass
class Site:
    """A server and its time-stamping authority."""

    folder: Path
    server: ServerProcess
    issuer: Issuer
    authority: TimeAuthority

    @property
    def roots(self) -> Path:
        path = self.folder / "roots.pem"
        path.write_bytes(self.authority.root.public_bytes(Encoding.PEM))
        return path

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        environment = {"HOME": str(self.folder), "NO_PROXY": "*", "NETRC": "/nowhere"}
        environment |= {"REQUESTS_CA_BUNDLE": str(self.server.ca_file)}
        return subprocess.run(
            [*PROGRAM, *words],
            env=environment | self.issuer.start_job(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def publish(self, version: str) -> list[Path]:
        files = [*TinyPackage("widgets", version).build(self.folder / version)]
        ended = self.run("publish", "--url", f"{self.server.url}/acme/legacy/", *files)
        assert ended.returncode == 0, ended.stderr
        return files

    def verify(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return self.run("verify", "--index", f"{self.server.url}/acme/simple/", *words)

    def revoke_key(self) -> Path:
        """Revoke the key; return the file of keys that says so. The server says it a bit later."""
        data = ("--json", "--data", self.folder / "data")
        (key,) = json.loads(self.run("receipt-key", "list", *data).stdout)
        words = ("receipt-key", "revoke", key["key_id"], "--reason", "a laptop was stolen", *data)
        revoked = json.loads(self.run(*words).stdout)
        path = self.folder / "keys.json"
        path.write_text(json.dumps({"host": HOST, "keys": [revoked["jwk"]]}))
        return path


@pytest.fixture(scope="module")
def site(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("timestamps")
    authority = TimeAuthority(lambda: datetime.now(UTC))
    with serving(authority) as url:
        config = folder / "broker.toml"
        publisher = github_publisher("widgets", repository_owner_id="9919", environment="release")
        config.write_text(
            f'[timestamping]\nurl = "{url}"\n'
            + github_issuer(issuer.url)
            + registry("acme", publisher, issuers=[issuer.url], access="public")
        )
        options = ("--data", str(folder / "data"))
        with ServerProcess(config, folder / "server.log", *options) as server:
            yield Site(folder, server, issuer, authority)


def test_a_receipt_outlives_the_revocation_of_its_key_by_its_timestamp(site: Site) -> None:
    stamped = site.publish("1.0")
    site.authority.says(nonce=7)
    bare = site.publish("2.0")

    shown = site.verify(*stamped, "--timestamp-roots", site.roots)
    assert shown.returncode == 0, shown.stdout
    assert shown.stdout.count(", by an authority that you trust") == len(stamped)
    missed = [event["filename"] for event in site.server.events("timestamp")]
    assert sorted(missed) == sorted(file.name for file in bare)

    keys = ("--keys", site.revoke_key())
    roots = ("--timestamp-roots", site.roots)

    assert site.verify(*stamped, *keys, *roots).returncode == 0
    for refused in (site.verify(*stamped, *keys), site.verify(*bare, *keys, *roots)):
        assert refused.returncode == 1
        assert refused.stdout.count("NOT VERIFIED: revoked-key: ") == 2
