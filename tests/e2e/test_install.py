"""Real pip and uv install from a private registry with a token, over TLS, and not without one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from uv import find_uv_bin

from pytp_broker.demo.issuer import Issuer, github_job
from pytp_broker.demo.packages import TinyPackage
from pytp_broker.demo.process import ServerProcess
from pytp_broker.tokens import UploadToken
from tests.e2e.test_publish import Clients, mint, traffic, trusting
from tests.support.configurations import (
    github_issuer,
    github_publisher,
    github_reader,
    registry,
)
from tests.support.emulator import Emulator

pytestmark = pytest.mark.e2e

CONFIGURATION: Final = (
    github_issuer("{issuer}")
    + registry(
        "acme",
        github_publisher("widgets", repository_owner_id="9919"),
        github_reader(owner="octo-org", repository_owner_id="9919"),
        issuers=["{issuer}"],
    )
    + registry(
        "open",
        github_publisher("widgets", repository_owner_id="9919"),
        issuers=["{issuer}"],
        access="public",
    )
)
GREETING: Final = "private"
PAGE: Final = "GET /acme/simple/widgets/"
# A token of the right form that nobody has minted.
UNKNOWN: Final = UploadToken.mint("f" * 32).reveal()


@pytest.fixture(scope="module")
def server(config: Path, issuer: Issuer) -> Iterator[ServerProcess]:
    with ServerProcess(config, config.parent / "server.log") as running:
        publish(running, issuer, config.parent)
        yield running


def publish(server: ServerProcess, issuer: Issuer, folder: Path) -> None:
    """Publish `widgets` in both registries, with uv."""
    clients = Clients(folder, str(server.ca_file))
    files = TinyPackage("widgets", greeting=GREETING).build(folder / "dist")
    for name in ("acme", "open"):
        published = clients.uv_publish(f"{server.url}/{name}/legacy/", files, issuer.start_job())
        assert published.returncode == 0, published.stderr


@pytest.fixture
def clients(server: ServerProcess, tmp_path: Path) -> Clients:
    return Clients(tmp_path, str(server.ca_file))


def upload_token(server: ServerProcess, issuer: Issuer) -> str:
    with trusting(server) as session:
        return mint(session, f"{server.url}/acme", issuer)


def read_token(server: ServerProcess, issuer: Issuer) -> str:
    """Return a read token of a job of another repository of the owner."""
    job = github_job("octo-org/app", workflow="test.yml", environment=None)
    base = f"{server.url}/acme/_/oidc"
    with trusting(server) as session:
        audience = session.get(f"{base}/audience").json()["audience"]
        identity_token = issuer.token(aud=audience, **job)
        answer = session.post(f"{base}/mint-read-token", json={"token": identity_token})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["token"])


def index_url(server: ServerProcess, token: str = "", registry: str = "acme") -> str:
    credentials = f"__token__:{token}@" if token else ""
    return server.url.replace("https://", f"https://{credentials}") + f"/{registry}/simple/"


def refused(clients: Clients, installer: str, url: str) -> bool:
    """Say whether an installer fails."""
    done = clients.install(installer, clients.folder / "site", ("--index-url", url), "widgets")
    return done.returncode != 0


TOKENS: Final = {"an upload token": upload_token, "a read token": read_token}


@pytest.mark.parametrize("kind", TOKENS)
@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_an_installer_with_a_token_installs(
    server: ServerProcess, issuer: Issuer, clients: Clients, *, installer: str, kind: str
) -> None:
    token = TOKENS[kind](server, issuer)

    assert clients.installed(installer, index_url(server, token), "widgets") == f"{GREETING}\n"


@pytest.mark.promise("private-registry")
@pytest.mark.parametrize("token", ["", UNKNOWN, "hunter2"], ids=["none", "unknown", "malformed"])
@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_an_installer_without_a_good_token_installs_nothing(
    server: ServerProcess, clients: Clients, installer: str, token: str
) -> None:
    before = len(server.events("access"))

    assert refused(clients, installer, index_url(server, token))
    assert set(traffic(server, before)) == {f"{PAGE} 401"}


def test_uv_takes_the_token_from_its_variables(
    server: ServerProcess, issuer: Issuer, clients: Clients
) -> None:
    done = clients.install(
        "uv",
        clients.folder / "site",
        ("--default-index", f"acme={index_url(server)}"),
        "widgets",
        UV_INDEX_ACME_USERNAME="__token__",
        UV_INDEX_ACME_PASSWORD=read_token(server, issuer),
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_an_installer_takes_the_token_from_a_netrc(
    server: ServerProcess, issuer: Issuer, clients: Clients, installer: str
) -> None:
    token = read_token(server, issuer)
    netrc = clients.folder / ".netrc"
    netrc.write_text(f"machine 127.0.0.1 login __token__ password {token}\n")
    netrc.chmod(0o600)

    said = clients.installed(installer, index_url(server), "widgets", NETRC=str(netrc))

    assert said == f"{GREETING}\n"


@pytest.mark.parametrize("token", ["", UNKNOWN, "hunter2"], ids=["none", "unknown", "malformed"])
@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_a_public_registry_asks_for_no_token_and_ignores_a_bad_one(
    server: ServerProcess, clients: Clients, installer: str, token: str
) -> None:
    url = index_url(server, token, "open")

    assert clients.installed(installer, url, "widgets") == f"{GREETING}\n"


def test_uv_skips_what_is_published_in_a_private_registry_already(
    server: ServerProcess, issuer: Issuer, clients: Clients, config: Path
) -> None:
    token = upload_token(server, issuer)
    before = len(server.events("access"))

    published = clients.run(
        *(find_uv_bin(), "publish", "--publish-url", f"{server.url}/acme/legacy/"),
        *("--check-url", index_url(server, token)),  # uv does not send the token there by itself
        *(config.parent / "dist").iterdir(),
        UV_PUBLISH_TOKEN=token,
    )

    assert published.returncode == 0, published.stderr
    # The page is asked for twice, and at the second time it is current.
    assert traffic(server, before) == [f"{PAGE} 200", f"{PAGE} 304"]


@pytest.mark.promise("no-secret-written")
def test_no_token_of_a_reader_is_ever_logged(
    server: ServerProcess, issuer: Issuer, clients: Clients
) -> None:
    token = read_token(server, issuer)
    clients.installed("uv", index_url(server, token), "widgets")
    with trusting(server) as session:
        for path in ("/acme/simple/", f"/acme/simple/{token}/", "/acme/simple/widgets"):
            for sent in (("__token__", token), (token, ""), ("alice", token)):
                session.get(server.url + path, params={"token": token}, auth=sent)

    assert token not in server.log.read_text()


@pytest.mark.ministack
@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_a_private_file_comes_from_the_bucket_by_a_url_of_its_own(
    issuer: Issuer, config: Path, tmp_path: Path, emulator: Emulator, installer: str
) -> None:
    options = (
        *("--store", "dynamodb", "--table", f"install-{installer}", "--bucket", "install-bucket"),
        *("--dynamodb-endpoint", emulator.endpoint_url, "--s3-endpoint", emulator.endpoint_url),
    )
    with ServerProcess(config, tmp_path / "log", *options) as server:
        publish(server, issuer, tmp_path)
        clients = Clients(tmp_path, str(server.ca_file))
        token = read_token(server, issuer)
        before = len(server.events("access"))

        said = clients.installed(installer, index_url(server, token), "widgets")

        assert said == f"{GREETING}\n"
        assert [line for line in traffic(server, before) if line.endswith(" 302")]
        assert refused(clients, installer, index_url(server))
