"""Provenance from the job to the consumer.

Real clients send attestations, the server verifies and serves them, pip installs, and `verify`
proves file and publisher without a network.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree
from subprocess import CompletedProcess
from typing import Final

import pytest

from pytp_broker.demo.issuer import Issuer
from pytp_broker.demo.process import ServerProcess
from tests.e2e.attested import (
    GITHUB,
    PUBLISH,
    PYTP,
    REPOSITORY,
    Release,
    attestation_of,
    serving,
)
from tests.e2e.test_publish import PIP, Clients
from tests.support.configurations import github_publisher, registry
from tests.support.sigstores import Sigstore

pytestmark = pytest.mark.e2e

PUBLISHER: Final = github_publisher(
    *("by-uv", "by-twine", "by-publish", "widgets", "gadgets"),
    repository_owner_id="9919",
    environment="release",
)
CONFIGURATION: Final = registry("acme", PUBLISHER, access="public") + registry(
    "strict", PUBLISHER, access="public", require_attestations=True
)


@pytest.fixture(scope="module")
def sigstore() -> Sigstore:
    return Sigstore()


@pytest.fixture(scope="module")
def trusted_root(sigstore: Sigstore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sigstore.write_trusted_root(tmp_path_factory.mktemp("sigstore") / "trusted_root.json")


@pytest.fixture(scope="module")
def server(config: Path, issuer: Issuer, trusted_root: Path) -> Iterator[ServerProcess]:
    with serving(config, config.parent / "data", issuer, trusted_root) as running:
        yield running


@pytest.fixture
def release(server: ServerProcess, issuer: Issuer, sigstore: Sigstore, tmp_path: Path) -> Release:
    """Return a release that nobody has published yet."""
    made = Release("gadgets", Clients(tmp_path, str(server.ca_file)), server, issuer, sigstore)
    made.build()
    return made


@pytest.mark.parametrize("client", PUBLISH)
def test_what_a_client_sends_is_verified_and_served(release: Release, client: str) -> None:
    release.project = f"by-{client}"
    release.clients.folder /= client
    release.build()
    release.attest()

    published = release.publish(client)

    assert published.returncode == 0, published.stdout + published.stderr
    release.wait_until_verified()
    for file in release.files:
        (bundle,) = release.provenance_of(file)["attestation_bundles"]
        assert bundle["publisher"] == {
            "kind": "GitHub",
            "repository": REPOSITORY,
            "workflow": "release.yml",
            "environment": "release",
        }
        assert bundle["attestations"] == [json.loads(attestation_of(file).read_text())]


# What a consumer has


@dataclass
class Kept:
    """What somebody has who has downloaded a release with its proofs: no server, no token."""

    folder: Path
    keys: Path
    trusted_root: Path
    release: Release

    def copy(self, folder: Path) -> "Kept":
        copied = Path(copytree(self.folder, folder / "copy"))
        return Kept(copied, copied / self.keys.name, self.trusted_root, self.release)

    def verify(self, *options: str | Path) -> CompletedProcess[str]:
        trust = ("--keys", self.keys, "--trusted-root", self.trusted_root)
        return self.release.verify_offline(self.folder, *trust, *options)


@pytest.fixture(scope="module")
def kept(
    server: ServerProcess,
    issuer: Issuer,
    sigstore: Sigstore,
    trusted_root: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Kept:
    clients = Clients(tmp_path_factory.mktemp("publisher"), str(server.ca_file))
    release = Release("widgets", clients, server, issuer, sigstore)
    release.build()
    release.attest()
    published = release.publish("uv")
    assert published.returncode == 0, published.stderr
    release.wait_until_verified()
    folder = tmp_path_factory.mktemp("consumer")
    got = clients.run(
        *(*PIP, "download", "--dest", folder, "--index-url", release.index_url, "widgets")
    )
    assert got.returncode == 0, got.stderr
    release.files = tuple(folder.glob("*.whl"))
    return Kept(folder, release.keep(folder, "receipt", "provenance"), trusted_root, release)


def test_a_file_and_its_publisher_are_proven_without_a_network(kept: Kept) -> None:
    done = kept.verify()

    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    workflow = f"{REPOSITORY}/.github/workflows/release.yml@refs/tags/v1.0.0"
    for label, text in (
        ("registry", "127.0.0.1/acme"),
        ("repository", REPOSITORY),
        ("commit", "8c7d3f1a0b9e2d4c6f8a1b3c5d7e9f0a2b4c6d8e"),
        ("workflow", workflow),
        ("run", f"https://github.com/{REPOSITORY}/actions/runs/11855712345"),
        ("attestations", "verified"),
    ):
        assert f"  {label:13}{text}\n" in done.stdout


def test_a_proof_that_needs_the_network_fails_without_one(kept: Kept) -> None:
    """Otherwise the test above could not fail."""
    done = kept.release.verify_offline(kept.folder, "--index", kept.release.index_url)

    assert done.returncode == 99
    assert "the network was used" in done.stderr


def test_what_was_proven_is_what_pip_installs(kept: Kept, tmp_path: Path) -> None:
    clients = kept.release.clients

    installed = clients.install("pip", tmp_path, ("--find-links", str(kept.folder)), "widgets")

    assert installed.returncode == 0, installed.stderr
    assert clients.run(sys.executable, tmp_path / "widgets.py").stdout == "widgets\n"


def reason(done: CompletedProcess[str]) -> str:
    (file,) = json.loads(done.stdout)["files"]
    assert (done.returncode, file["verified"]) == (1, False)
    return str(file["reason"])


def test_a_wheel_that_was_changed_is_not_proven(kept: Kept, tmp_path: Path) -> None:
    changed = kept.copy(tmp_path)
    (wheel,) = changed.folder.glob("*.whl")
    wheel.write_bytes(wheel.read_bytes() + b"more")

    assert reason(changed.verify("--json")) == "wrong-digest"


def test_a_publisher_that_was_not_expected_is_not_accepted(kept: Kept, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(f'[projects.widgets]\nissuer = "{GITHUB}"\nrepository = "octo-org/gadgets"\n')

    assert reason(kept.verify("--json", "--policy", policy)) == "not-expected"


def test_attestations_of_another_sigstore_do_not_satisfy_a_policy(
    kept: Kept, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(
        f'[projects.widgets]\nissuer = "{GITHUB}"\nrepository = "{REPOSITORY}"\n'
        "require_attestations = true\n"
    )
    other = Sigstore("other.example.com").write_trusted_root(tmp_path / "other.json")
    doubting = Kept(kept.folder, kept.keys, other, kept.release)

    assert kept.verify("--policy", policy).returncode == 0
    assert reason(doubting.verify("--json", "--policy", policy)) == "not-expected"


# A registry that takes only what is attested


def test_a_strict_registry_takes_only_files_of_the_job_that_attests_them(release: Release) -> None:
    release.registry = "strict"

    without = release.publish("uv")
    release.attest("octo-org/gadgets")
    foreign = release.publish("uv")
    nothing = release.listed()
    release.attest()
    published = release.publish("uv")

    assert without.returncode != 0
    assert "takes only files with attestations" in without.stderr
    assert foreign.returncode != 0
    assert "takes only files with verified attestations" in foreign.stderr
    assert nothing == {}
    assert published.returncode == 0, published.stderr
    assert all("provenance" in file for file in release.listed().values())
    assert len(release.listed()) == 2


# Keys of receipts


def test_receipts_outlive_a_rotated_key_and_not_a_revoked_one(
    config: Path, issuer: Issuer, sigstore: Sigstore, trusted_root: Path, tmp_path: Path
) -> None:
    data, proofs = tmp_path / "data", tmp_path / "dist"
    with serving(config, data, issuer, trusted_root) as server:
        old = Release("widgets", Clients(tmp_path, str(server.ca_file)), server, issuer, sigstore)
        old.build()
        assert old.publish("uv").returncode == 0
        old.keep(proofs, "receipt")

    assert operate(old, data, "rotate").returncode == 0
    with serving(config, data, issuer, trusted_root) as server:
        new = Release("gadgets", old.clients, server, issuer, sigstore)
        new.build()
        assert new.publish("publish").returncode == 0, "what is published already is skipped"
        keys = new.keep(proofs, "receipt")
        rotated = new.verify_offline(proofs, "--keys", keys)
        first = json.loads(keys.read_bytes())["keys"][0]["kid"]
        revoked = operate(old, data, "revoke", first, "--reason", "the disk was stolen")
        assert revoked.returncode == 0, revoked.stderr

    with serving(config, data, issuer, trusted_root) as new.server:
        keys = new.keep(proofs)
    done = new.verify_offline(proofs, "--keys", keys, "--json")

    assert rotated.stdout.endswith("4 of 4 files verified\n")
    verified = {file["filename"][:7]: file["reason"] for file in json.loads(done.stdout)["files"]}
    assert verified == {"widgets": "revoked-key", "gadgets": None}


def operate(release: Release, data: Path, *words: str) -> CompletedProcess[str]:
    return release.clients.run(*PYTP, "receipt-key", *words, "--data", data)
