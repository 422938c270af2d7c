"""Tokens that an operator made, with real clients: twine and uv publish, pip and uv install."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from uv import find_uv_bin

from pytp_broker.demo.packages import TinyPackage
from pytp_broker.demo.process import ServerProcess
from tests.e2e.test_publish import Clients
from tests.support.configurations import registry

pytestmark = pytest.mark.e2e

PYTP = (sys.executable, "-m", "pytp_broker.cli")
TWINE = (sys.executable, "-m", "twine", "upload", "--non-interactive", "--disable-progress-bar")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """Serve a private registry that trusts nobody."""
    config = tmp_path / "broker.toml"
    config.write_text(registry("acme"))
    data = ("--data", str(tmp_path / "data"))
    with ServerProcess(config, tmp_path / "log", *data) as running:
        yield running


@pytest.fixture
def clients(server: ServerProcess, tmp_path: Path) -> Clients:
    return Clients(tmp_path, str(server.ca_file))


def operate(clients: Clients, *words: str) -> subprocess.CompletedProcess[str]:
    done = clients.run(*PYTP, *words, "--data", clients.folder / "data")
    assert done.returncode == 0, done.stderr
    return done


def create(clients: Clients, *words: str) -> str:
    """Make a token with the command, and return what a pipe gets."""
    return operate(clients, "token", "create", "--registry", "acme", *words).stdout.strip()


def credentials_in(url: str, token: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"__token__:{token}@{parts.netloc}").geturl()


@pytest.mark.promise("shown-as-the-operators")
@pytest.mark.parametrize("client", ["uv", "twine"])
def test_a_person_publishes_with_an_operators_token_and_another_installs(
    server: ServerProcess, clients: Clients, client: str
) -> None:
    files = TinyPackage("widgets", greeting=client).build(clients.folder / "dist")
    token = create(clients, "--upload", "widgets", "--reason", "the CI is down")
    url = f"{server.url}/acme/legacy/"

    if client == "uv":
        options = (find_uv_bin(), "publish", "--trusted-publishing", "never", "--publish-url", url)
        published = clients.run(*options, *files, UV_PUBLISH_TOKEN=token)
    else:
        options = ("--repository-url", url, "--cert", clients.ca_file, "-u", "__token__")
        published = clients.run(*TWINE, *options, *files, TWINE_PASSWORD=token)

    assert published.returncode == 0, published.stdout + published.stderr
    reading = create(clients, "--read", "--for", "Dana", "--days", "30")
    index = credentials_in(f"{server.url}/acme/simple/", reading)
    assert clients.pip_install(index, "widgets") == f"{client}\n"
    assert clients.uv_install(index, "widgets") == f"{client}\n"
    shown = json.loads(operate(clients, "file", "list", "acme", "widgets", "--json").stdout)
    assert {each["published_by"]["reason"] for each in shown} == {"the CI is down"}
    assert {each["published_by"]["issuer"] for each in shown} == {None}
    log = server.log.read_text()
    assert log.count('"event": "operators-token"') == len(files)
    assert token not in log
    assert reading not in log


def test_a_token_that_is_burned_installs_nothing(server: ServerProcess, clients: Clients) -> None:
    token = create(clients, "--read", "--for", "Dana")
    operate(clients, "token", "burn", "--registry", "acme")

    index = credentials_in(f"{server.url}/acme/simple/", token)
    target = ("--target", clients.folder / "target", "--python", sys.executable)
    refused = clients.run(
        *(find_uv_bin(), "pip", "install", *target, "--no-cache", "--index-url", index, "widgets")
    )

    assert refused.returncode != 0
    assert "401" in refused.stderr
