"""`verify` against a real registry: with its keys, its receipts and its credentials, over TLS."""

import json
import sys
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, Final

import pytest
from uv import find_uv_bin

from pytp_broker.demo.issuer import Issuer
from pytp_broker.demo.packages import TinyPackage
from pytp_broker.demo.process import ServerProcess
from tests.e2e.test_install import index_url, read_token
from tests.e2e.test_publish import Clients
from tests.support.configurations import (
    github_issuer,
    github_publisher,
    github_reader,
    registry,
)

pytestmark = pytest.mark.e2e

CONFIGURATION: Final = github_issuer("{issuer}") + registry(
    "acme",
    github_publisher("widgets", repository_owner_id="9919"),
    github_reader(owner="octo-org", repository_owner_id="9919"),
    issuers=["{issuer}"],
)
POLICY: Final = """
[projects.widgets]
registry = "127.0.0.1/acme"
issuer = "{issuer}"
repository = "octo-org/widgets"
workflow = "release.yml"
"""


@pytest.fixture(scope="module")
def published(server: ServerProcess, issuer: Issuer, config: Path) -> tuple[Path, ...]:
    """Publish `widgets` with uv; return its files."""
    files = TinyPackage("widgets").build(config.parent / "dist")
    clients = Clients(config.parent, str(server.ca_file))
    done = clients.uv_publish(f"{server.url}/acme/legacy/", files, issuer.start_job())
    assert done.returncode == 0, done.stderr
    return files


@pytest.fixture
def clients(server: ServerProcess, tmp_path: Path) -> Clients:
    return Clients(tmp_path, str(server.ca_file))


def verify(clients: Clients, *arguments: str | Path, **environment: str) -> CompletedProcess[str]:
    command = (sys.executable, "-m", "pytp_broker.cli", "verify", *arguments)
    return clients.run(*command, NETRC=str(clients.folder / ".netrc"), **environment)


def document(done: CompletedProcess[str]) -> Any:
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_a_published_release_is_verified_as_the_policy_expects(
    server: ServerProcess, issuer: Issuer, clients: Clients, published: tuple[Path, ...]
) -> None:
    netrc = clients.folder / ".netrc"
    token = read_token(server, issuer)
    netrc.write_text(f"machine 127.0.0.1 login __token__ password {token}\n")
    netrc.chmod(0o600)
    policy = clients.folder / "policy.toml"
    policy.write_text(POLICY.format(issuer=issuer.url))
    index = index_url(server)

    done = verify(clients, published[0].parent, "--index", index, "--policy", policy, "--json")

    found = document(done)
    assert done.returncode == 0
    assert [file["expected"] for file in found["files"]] == [True] * len(published)
    assert found["releases"][0]["words"] == ["full"]
    assert token not in done.stdout


def test_a_job_that_may_read_verifies_with_its_identity(
    server: ServerProcess, issuer: Issuer, clients: Clients, published: tuple[Path, ...]
) -> None:
    done = verify(clients, published[0], PIP_INDEX_URL=index_url(server), **issuer.start_job())

    assert (done.returncode, done.stderr) == (0, "")
    assert f"{published[0].name}: verified" in done.stdout


def test_without_credentials_nothing_is_verified(
    server: ServerProcess, clients: Clients, published: tuple[Path, ...]
) -> None:
    done = verify(clients, published[0], "--index", index_url(server), "--json")

    assert done.returncode == 1
    assert [file["reason"] for file in document(done)["files"]] == ["unauthorized"]


def test_a_file_that_was_changed_is_not_verified(
    server: ServerProcess, issuer: Issuer, clients: Clients, published: tuple[Path, ...]
) -> None:
    changed = clients.folder / published[0].name
    changed.write_bytes(published[0].read_bytes() + b"x")

    done = verify(clients, changed, "--index", index_url(server, read_token(server, issuer)))

    assert done.returncode == 1
    assert "NOT VERIFIED: wrong-digest" in done.stdout


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("pylock.toml", ("--format", "pylock.toml")),
        ("requirements.txt", ("--generate-hashes",)),
    ],
)
@pytest.mark.usefixtures("published")
def test_what_uv_locks_is_verified_as_a_whole(
    server: ServerProcess, issuer: Issuer, clients: Clients, name: str, options: tuple[str, ...]
) -> None:
    index = index_url(server, read_token(server, issuer))
    wanted = clients.folder / "requirements.in"
    wanted.write_text("widgets\n")
    locked = clients.run(
        *(find_uv_bin(), "pip", "compile", "--python", sys.executable, *options),
        *("--default-index", index, "--output-file", name, wanted),
    )
    assert locked.returncode == 0, locked.stderr

    done = verify(clients, clients.folder / name, "--index", index, "--json")

    found = document(done)
    assert done.returncode == 0, done.stdout
    assert [file["verified"] for file in found["files"]] == [True, True]
