"""devpi-server with the guard's plug-in: clients publish and install, and attacks fail."""

import base64
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from uv import find_uv_bin

from pytp_broker.demo.issuer import Issuer
from pytp_broker.demo.packages import TinyPackage
from pytp_broker.demo.process import ServerProcess
from tests.e2e.test_publish import Clients
from tests.support.distributions import Distribution, metadata, wheel
from tests.support.guards import (
    CONFIGURATION,
    Tokens,
    get,
    guard_variables,
    guarded,
    post,
    post_action,
)
from tests.support.indexes import running
from tests.support.ports import free_port

pytestmark = pytest.mark.e2e

__all__ = ["CONFIGURATION", "guarded"]

USER = "root"
INDEX = f"{USER}/prod"
OTHER = f"{USER}/other"


@dataclass(frozen=True)
class Server:
    """A devpi-server with a guarded index `root/prod`, and others that are not guarded."""

    url: str
    root: requests.Session

    @property
    def index(self) -> str:
        return f"{self.url}/{INDEX}/"

    @property
    def files(self) -> list[str]:
        """Return the paths of all files in the index, as an administrator sees them."""
        found = self.root.get(f"{self.url}/{INDEX}", headers={"Accept": "application/json"})
        projects = found.json()["result"]["projects"]
        pages = [self.root.get(f"{self.url}/{INDEX}/+simple/{project}") for project in projects]
        texts = "".join(page.text for page in pages)
        return [line for line in texts.split('"') if "/+f/" in line]


@contextmanager
def devpi_server(bin_folder: Path, folder: Path, variables: Mapping[str, str]) -> Iterator[Server]:
    data, port = folder / "devpi", free_port()
    init = (bin_folder / "devpi-init", "--serverdir", data, "--no-root-pypi", "--root-passwd", "x")
    subprocess.run(init, check=True, capture_output=True, timeout=120)
    command = (str(bin_folder / "devpi-server"), "--serverdir", str(data))
    address = ("--host", "127.0.0.1", "--port", str(port), "--offline-mode")
    guard = {**variables, "PYTP_GUARD_INDEXES": f"{INDEX},root/loose"}
    with running(folder / "devpi.log", port, *command, *address, environment=guard):
        root = requests.Session()
        root.trust_env = False
        server = Server(f"http://127.0.0.1:{port}", root)
        # devpi computes for a second to check a password, and no time for a session.
        login = root.post(f"{server.url}/+login", json={"user": "root", "password": "x"}).json()
        session = f"root:{login['result']['password']}".encode()
        root.headers["X-Devpi-Auth"] = base64.b64encode(session).decode()
        upload = {"type": "stage", "bases": [], "acl_upload": [":pytp"]}
        for index, more in {
            INDEX: {"volatile": False},
            "root/loose": {"volatile": True},
            "root/other": {"volatile": False},
        }.items():
            made = root.put(f"{server.url}/{index}", json={**upload, **more})
            assert made.status_code == 200, made.text
        yield server


@pytest.fixture(scope="module")
def devpi(
    guarded: Path, server: ServerProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("devpi")
    with devpi_server(guarded, folder, guard_variables(server, folder)) as running_server:
        yield running_server


@pytest.fixture(scope="module")
def tokens(server: ServerProcess, issuer: Issuer) -> Tokens:
    return Tokens(server, issuer)


@pytest.fixture
def clients(server: ServerProcess, tmp_path: Path) -> Clients:
    return Clients(tmp_path, str(server.ca_file))


def test_twine_publishes_and_pip_and_uv_install(
    devpi: Server, tokens: Tokens, clients: Clients
) -> None:
    files = TinyPackage("widgets", greeting="guarded").build(clients.folder / "dist")
    twine = (sys.executable, "-m", "twine", "upload", "--disable-progress-bar")
    variables = {"TWINE_USERNAME": "__token__", "TWINE_PASSWORD": tokens.upload()}

    sent = clients.run(*twine, "--repository-url", devpi.index, *files, **variables)
    index = devpi.index.replace("://", f"://__token__:{tokens.read()}@") + "+simple/"

    assert sent.returncode == 0, sent.stdout + sent.stderr
    assert clients.installed("pip", index, "widgets") == "guarded\n"
    assert clients.installed("uv", index, "widgets") == "guarded\n"


def test_uv_publishes_with_a_token_that_run_exchanges_and_burns(
    devpi: Server, tokens: Tokens, clients: Clients
) -> None:
    files = TinyPackage("sprockets").build(clients.folder / "dist")
    exchange = ("--url", f"{tokens.server.url}/acme/legacy/", "--")
    run = (sys.executable, "-m", "pytp_broker.cli", "run", *exchange)
    publish = (find_uv_bin(), "publish", "--publish-url", devpi.index, *map(str, files))

    sent = clients.run(*run, *publish, **tokens.issuer.start_job())

    assert sent.returncode == 0, sent.stderr
    assert len([path for path in devpi.files if "sprockets" in path]) == 2


# Attacks on the seam between the broker and the index


LIES: dict[str, tuple[Distribution, dict[str, Any]]] = {
    "the form": (wheel("gadgets", "3.0"), {"name": "widgets"}),
    "the archive": (wheel("widgets", "3.0", text=metadata("gadgets", "3.0")), {}),
    "the file name and the archive": (wheel("gadgets", "3.0"), {}),
    "only the form": (wheel("widgets", "3.0"), {"name": "gadgets"}),
    "the version": (wheel("widgets", "3.0"), {"version": "3.0.1"}),
}


@pytest.mark.promise("guard-names")
@pytest.mark.parametrize("lie", LIES)
def test_a_file_of_another_project_is_refused_wherever_its_name_stands(
    devpi: Server, tokens: Tokens, lie: str
) -> None:
    file, changes = LIES[lie]
    before = devpi.files

    answer = post(devpi.index, file, tokens.upload(), **changes)

    assert answer.status_code in {400, 403}, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.reason == answer.json()["detail"][:200]
    assert devpi.files == before


def send(devpi: Server, token: str, method: str, path: str, **options: Any) -> requests.Response:
    session = requests.Session()
    session.trust_env = False
    with session:
        auth = ("__token__", token)
        return session.request(method, devpi.url + path, auth=auth, timeout=30, **options)


OTHER_REQUESTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "removes a file": ("DELETE", "FILE", {}),
    "removes a release": ("DELETE", f"/{INDEX}/widgets/5.0", {}),
    "removes a project": ("DELETE", f"/{INDEX}/widgets", {}),
    "removes the index": ("DELETE", f"/{INDEX}", {}),
    "opens the index": ("PATCH", f"/{INDEX}", {"json": ["acl_upload=:ANONYMOUS:"]}),
    "replaces the configuration": ("PUT", f"/{INDEX}", {"json": {"volatile": True}}),
    "makes an index": ("PUT", f"/{USER}/mine", {"json": {"type": "stage"}}),
    "makes a user": ("PUT", "/mallory", {"json": {"password": "x"}}),
    "changes a password": ("PATCH", "/root", {"json": {"password": "y"}}),
    "removes a user": ("DELETE", "/root", {}),
    "copies a release": (
        "POST",
        f"/{INDEX}",
        {"json": {"name": "widgets", "version": "5.0", "targetindex": "root/other"}},
    ),
    "pushes a release": (
        "PUSH",
        f"/{INDEX}",
        {"json": {"name": "widgets", "version": "5.0", "targetindex": "root/other"}},
    ),
    "stores a test's result": ("POST", "FILE", {"json": {"testenvs": {}}}),
    "logs in": ("POST", "/+login", {"json": {"user": "root", "password": "x"}}),
}


@pytest.mark.promise("guard-nothing-else")
@pytest.mark.parametrize("kind", ["upload", "read"])
def test_a_token_does_nothing_but_upload_and_read(devpi: Server, tokens: Tokens, kind: str) -> None:
    token = tokens.upload()
    assert post(devpi.index, wheel("widgets", "5.0"), token).status_code == 200
    before = devpi.files
    (path,) = [path for path in before if "widgets-5.0" in path]
    token = token if kind == "upload" else tokens.read()

    for act, (method, target, options) in OTHER_REQUESTS.items():
        file = f"/{INDEX}/{path.partition('#')[0].lstrip('./')}"
        answer = send(devpi, token, method, target.replace("FILE", file), **options)

        assert answer.status_code in {400, 403}, (act, answer.text)
        assert answer.headers["Content-Type"] == "application/problem+json", act
        assert devpi.files == before, act


@pytest.mark.promise("guard-nothing-else")
def test_a_login_without_a_header_gets_no_session(devpi: Server, tokens: Tokens) -> None:
    for user in ("__token__", "root"):
        body = {"user": user, "password": tokens.upload()}
        answer = requests.post(f"{devpi.url}/+login", json=body, timeout=30)

        assert answer.status_code == 401
        assert "expiration" not in answer.text


@pytest.mark.parametrize("action", ["submit", "doc_upload", "remove_pkg"])
def test_no_other_action_than_an_upload_is_taken(
    devpi: Server, tokens: Tokens, action: str
) -> None:
    asked = {":action": action, "name": "widgets", "version": "9.9"}

    assert post_action(devpi.index, tokens.upload(), **asked).status_code == 400


def test_a_token_uploads_to_no_other_index(devpi: Server, tokens: Tokens) -> None:
    for index in ("root/other", "root/loose"):
        url = f"{devpi.url}/{index}/"

        assert post(url, wheel("widgets", "6.0"), tokens.upload()).status_code == 403
        listed = devpi.root.get(url, headers={"Accept": "application/json"})
        assert listed.json()["result"]["projects"] == []


def test_a_file_is_never_replaced(devpi: Server, tokens: Tokens) -> None:
    first = wheel("widgets", "7.0")
    other = wheel("widgets", "7.0", text=metadata("widgets", "7.0", "Summary: another"))
    assert post(devpi.index, first, tokens.upload()).status_code == 200

    assert post(devpi.index, first, tokens.upload()).status_code == 200
    assert post(devpi.index, other, tokens.upload()).status_code == 409


def test_a_token_that_is_not_good_here_uploads_nothing(devpi: Server, tokens: Tokens) -> None:
    burned = tokens.upload()
    tokens.burn(burned)
    single = tokens.upload(features=["single-use-token"])
    assert post(devpi.index, wheel("widgets", "8.0"), single).status_code == 200
    refused = {"": 401, "hunter2": 401, burned: 401, single: 401, tokens.upload("umbrella"): 401}
    refused[tokens.read()] = 403

    for token, status in refused.items():
        answer = post(devpi.index, wheel("widgets", "8.1"), token)

        assert answer.status_code == status, answer.text
        assert ("WWW-Authenticate" in answer.headers) is (status == 401)
    assert not [path for path in devpi.files if "widgets-8.1" in path]


def test_nobody_sees_a_private_index_without_a_token(devpi: Server, tokens: Tokens) -> None:
    pages = ("", "+simple/", "+simple/widgets/", "widgets", "widgets/5.0")
    paths = ["/", "/root", f"/{INDEX}", f"/{OTHER}/+simple/", "/+status"]
    for path in (*paths, *(f"/{INDEX}/{page}" for page in pages)):
        for token in ("", "hunter2", tokens.upload("umbrella")):
            answer = get(devpi.url + path, token)

            assert answer.status_code == 401, path
            assert answer.headers["WWW-Authenticate"].startswith("Basic ")


def test_a_file_is_read_with_a_token_alone(devpi: Server, tokens: Tokens) -> None:
    file = wheel("widgets", "9.0")
    assert post(devpi.index, file, tokens.upload()).status_code == 200
    (path,) = [path for path in devpi.files if "widgets-9.0" in path]
    url = f"{devpi.index}{path.partition('#')[0].lstrip('./')}"

    assert get(url).status_code == 401
    assert get(url, tokens.read()).content == file.content


def test_a_token_reads_no_other_index(devpi: Server, tokens: Tokens) -> None:
    for path in (f"/{OTHER}/+simple/", "/", "/root", "/+status"):
        assert get(devpi.url + path, tokens.read()).status_code == 403


def test_an_administrator_works_as_before(devpi: Server) -> None:
    assert devpi.root.get(f"{devpi.url}/").status_code == 200
    changed = devpi.root.patch(f"{devpi.url}/{OTHER}", json=["title=still mine"])
    assert changed.status_code == 200, changed.text


def test_authcheck_judges_the_token_of_the_request_that_it_stands_for(
    devpi: Server, tokens: Tokens
) -> None:
    original = {"X-Original-URI": f"{devpi.url}/{INDEX}/+simple/widgets/"}
    for token, status in {"hunter2": 401, tokens.read(): 200}.items():
        answer = get(f"{devpi.url}/+authcheck", token, headers=original)

        assert answer.status_code == status
