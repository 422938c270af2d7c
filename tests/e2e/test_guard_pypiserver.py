"""pypiserver behind its guard: real clients publish and install, and attacks on the seam fail."""

import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from uv import find_uv_bin

from pytp_broker.demo.issuer import Issuer
from pytp_broker.demo.packages import TinyPackage
from pytp_broker.demo.process import ServerProcess
from pytp_broker.tokens import UploadToken
from tests.e2e.test_publish import Clients
from tests.support.distributions import Distribution, metadata, sdist, wheel, wheel_members
from tests.support.guards import (
    CONFIGURATION,
    Tokens,
    get,
    guard_variables,
    guarded,
    guarded_pypiserver,
    post,
    post_action,
)

pytestmark = pytest.mark.e2e

__all__ = ["CONFIGURATION", "guarded"]

UNKNOWN = UploadToken.mint("f" * 32).reveal()


@pytest.fixture(scope="module")
def tokens(server: ServerProcess, issuer: Issuer) -> Tokens:
    return Tokens(server, issuer)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("guard")


@pytest.fixture(scope="module")
def url(guarded: Path, folder: Path, server: ServerProcess) -> Iterator[str]:
    """Return the address of a private pypiserver behind a guard of `acme`."""
    with guarded_pypiserver(guarded, folder, guard_variables(server, folder)) as running:
        yield running


def stored(folder: Path) -> set[str]:
    return {path.name for path in (folder / "packages").iterdir()}


@pytest.fixture
def clients(server: ServerProcess, tmp_path: Path) -> Clients:
    return Clients(tmp_path, str(server.ca_file))


def test_twine_publishes_and_pip_and_uv_install(url: str, tokens: Tokens, clients: Clients) -> None:
    files = TinyPackage("widgets", greeting="guarded").build(clients.folder / "dist")
    twine = (sys.executable, "-m", "twine", "upload", "--disable-progress-bar")
    variables = {"TWINE_USERNAME": "__token__", "TWINE_PASSWORD": tokens.upload()}

    sent = clients.run(*twine, "--repository-url", url, *files, **variables)
    index = url.replace("://", f"://__token__:{tokens.read()}@") + "simple/"

    assert sent.returncode == 0, sent.stdout + sent.stderr
    assert clients.installed("pip", index, "widgets") == "guarded\n"
    assert clients.installed("uv", index, "widgets") == "guarded\n"


def test_uv_publishes_with_a_token_that_run_exchanges_and_burns(
    url: str, tokens: Tokens, clients: Clients, folder: Path
) -> None:
    files = TinyPackage("sprockets").build(clients.folder / "dist")
    exchange = ("--url", f"{tokens.server.url}/acme/legacy/", "--")
    run = (sys.executable, "-m", "pytp_broker.cli", "run", *exchange)
    publish = (find_uv_bin(), "publish", "--publish-url", url, *map(str, files))

    sent = clients.run(*run, *publish, **tokens.issuer.start_job())

    assert sent.returncode == 0, sent.stderr
    assert stored(folder) >= {file.name for file in files}
    assert tokens.server.events("burn")[-1]["outcome"] == "accepted"


# Attacks on the seam between the broker and the index


LIES: dict[str, tuple[Distribution, dict[str, Any]]] = {
    "the form": (wheel("gadgets", "3.0"), {"name": "widgets"}),
    "the archive": (wheel("widgets", "3.0", text=metadata("gadgets", "3.0")), {}),
    "the archive of an sdist": (sdist("widgets", "3.0", text=metadata("gadgets", "3.0")), {}),
    "the file name and the archive": (wheel("gadgets", "3.0"), {}),
    "the file name": (
        Distribution("gadgets-3.0-py3-none-any.whl", wheel("widgets", "3.0").content),
        {},
    ),
    "the file name, with the form": (
        Distribution("gadgets-3.0-py3-none-any.whl", wheel("widgets", "3.0").content),
        {"name": "widgets"},
    ),
    "only the form": (wheel("widgets", "3.0"), {"name": "gadgets"}),
    "the version": (wheel("widgets", "3.0"), {"version": "4.0"}),
}


@pytest.mark.promise("guard-names")
@pytest.mark.parametrize("lie", LIES)
def test_a_file_of_another_project_is_refused_wherever_its_name_stands(
    url: str, tokens: Tokens, folder: Path, lie: str
) -> None:
    file, changes = LIES[lie]
    before = stored(folder)

    answer = post(url, file, tokens.upload(), **changes)

    assert answer.status_code in {400, 403}, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.reason == answer.json()["detail"][:200]
    assert stored(folder) == before


@pytest.mark.promise("guard-nothing-else")
@pytest.mark.parametrize("action", ["remove_pkg", "submit", "verify", "doc_upload", ""])
def test_no_other_action_than_an_upload_reaches_pypiserver(
    url: str, tokens: Tokens, folder: Path, action: str
) -> None:
    file = wheel("widgets", f"2.{len(action)}")
    assert post(url, file, tokens.upload()).status_code == 200

    asked = {":action": action, "name": "widgets", "version": f"2.{len(action)}"}
    answer = post_action(url, tokens.upload(), **asked)

    assert answer.status_code == 400
    assert file.filename in stored(folder)


@pytest.mark.promise("guard-nothing-else")
def test_a_file_is_never_replaced(url: str, tokens: Tokens, folder: Path) -> None:
    first = wheel("widgets", "5.0")
    other = wheel("widgets", "5.0", members={**wheel_members(version="5.0"), "more.py": "x = 1\n"})
    assert other.filename == first.filename
    assert post(url, first, tokens.upload()).status_code == 200

    answer = post(url, other, tokens.upload())

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "file-exists")
    assert "already exist" in answer.reason
    assert (folder / "packages" / first.filename).read_bytes() == first.content


BAD_TOKENS: dict[str, tuple[Callable[[Tokens], str], int]] = {
    "none": (lambda _tokens: "", 401),
    "malformed": (lambda _tokens: "hunter2", 401),
    "unknown": (lambda _tokens: UNKNOWN, 401),
    "of another registry": (lambda tokens: tokens.upload("umbrella"), 401),
    "for reading": (lambda tokens: tokens.read(), 403),
}


@pytest.mark.parametrize("kind", BAD_TOKENS)
def test_an_upload_without_a_token_that_uploads_is_refused(
    url: str, tokens: Tokens, folder: Path, kind: str
) -> None:
    make, status = BAD_TOKENS[kind]
    before = stored(folder)

    answer = post(url, wheel("widgets", "6.0"), make(tokens))

    assert answer.status_code == status
    assert ("WWW-Authenticate" in answer.headers) is (status == 401)
    assert stored(folder) == before


@pytest.mark.parametrize("path", ["simple/", "simple/widgets/", "packages/", "", "widgets/json"])
@pytest.mark.parametrize("kind", ["none", "malformed", "unknown", "of another registry"])
def test_nobody_reads_without_a_token_that_reads(
    url: str, tokens: Tokens, path: str, kind: str
) -> None:
    make, status = BAD_TOKENS[kind]

    answer = get(url + path, make(tokens))

    assert answer.status_code == status
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.promise("guard-ends")
def test_a_burned_token_uploads_nothing_at_once(url: str, tokens: Tokens) -> None:
    token = tokens.upload()
    assert post(url, wheel("widgets", "7.0"), token).status_code == 200

    tokens.burn(token)

    assert post(url, wheel("widgets", "7.1"), token).status_code == 401


@pytest.mark.promise("guard-ends")
def test_a_single_use_token_uploads_one_file(url: str, tokens: Tokens, folder: Path) -> None:
    token = tokens.upload(features=["single-use-token"])

    first = post(url, wheel("widgets", "8.0"), token)
    second = post(url, wheel("widgets", "8.1"), token)

    assert (first.status_code, second.status_code) == (200, 401)
    assert wheel("widgets", "8.1").filename not in stored(folder)


def test_headers_that_name_projects_change_nothing(url: str, tokens: Tokens) -> None:
    spoofed = {"X-Pytp-Projects": "gadgets", "X-Pytp-Registry": "acme", "Remote-User": "root"}

    answer = post(url, wheel("gadgets", "1.0"), tokens.upload(), extra=spoofed)

    assert answer.status_code == 403


def test_a_gigabyte_without_a_token_is_refused_before_it_is_sent(url: str) -> None:
    host, _, port = url.removeprefix("http://").strip("/").partition(":")
    head = (
        f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        f"Content-Length: {2**30}\r\n\r\n"
    )

    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(head.encode())
        answer = connection.recv(4096)

    assert answer.startswith(b"HTTP/1.0 401 ")


@pytest.mark.promise("guard-hides")
def test_a_guard_whose_secret_is_wrong_refuses_everything(
    guarded: Path, tmp_path: Path, server: ServerProcess, tokens: Tokens
) -> None:
    wrong = guard_variables(server, tmp_path)
    (tmp_path / "secret").write_text("another-long-random-secret")

    with guarded_pypiserver(guarded, tmp_path, wrong) as url:
        upload = post(url, wheel("widgets", "9.0"), tokens.upload())
        page = get(f"{url}simple/", tokens.read())

    assert (upload.status_code, page.status_code) == (503, 503)
    assert upload.headers["Retry-After"]
    assert stored(tmp_path) == set()
    log = (tmp_path / "pypiserver.log").read_text()
    assert "it does not know this guard" in log
    assert "pytp_" not in log
    assert "secret-of" not in log
