"""nginx, as infra/nginx/pulp.conf sets it up, in front of a real Pulp and a broker.

`make pulp` runs it.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytp_broker.demo.issuer import Issuer
from pytp_broker.demo.packages import TinyPackage
from pytp_broker.demo.process import ServerProcess
from tests.e2e.test_guard_nginx import Site, nginx
from tests.e2e.test_publish import Clients
from tests.support.distributions import CONTENT_TYPE, Distribution, fields, form, wheel
from tests.support.guards import CONFIGURATION, Tokens
from tests.support.ports import free_port
from tests.support.pulp import PUBLISHER, Pulp, pulp, wait

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.environ.get("PYTP_PULP") != "1", reason="`make pulp` runs it"),
]

__all__ = ["CONFIGURATION"]


@dataclass(frozen=True)
class GuardedPulp:
    """A host with the broker's exchange, and Pulp behind it."""

    site: Site
    pulp: Pulp

    def upload(self, file: Distribution, token: str = "", **headers: str) -> int:
        body = form(file, fields(file))
        sent = {"Content_Type": CONTENT_TYPE, **headers}
        return self.site.ask("POST", "/acme/legacy/", token, body, **sent).status_code


@pytest.fixture(scope="module")
def guarded_pulp(
    request: pytest.FixtureRequest, server: ServerProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GuardedPulp]:
    cache: pytest.Cache | None = getattr(request.config, "cache", None)
    place = cache.mkdir("pulp") if cache else tmp_path_factory.mktemp("installed")
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    with pulp(place, tmp_path_factory.mktemp("pulp"), f"https://localhost:{port}") as index:
        behind = {
            "http://127.0.0.1:24817": index.api_url,
            "http://127.0.0.1:24816": index.content_url,
        }
        with nginx(folder, port, "pulp.conf", behind, server) as site:
            yield GuardedPulp(site, index)


@pytest.fixture(scope="module")
def tokens(server: ServerProcess, issuer: Issuer) -> Tokens:
    return Tokens(server, issuer)


def test_uv_publishes_by_itself_and_pip_and_uv_install(
    guarded_pulp: GuardedPulp, tokens: Tokens, tmp_path: Path
) -> None:
    site = guarded_pulp.site
    clients = Clients(tmp_path, str(site.ca_file))
    files = TinyPackage("widgets", greeting="guarded").build(tmp_path / "dist")

    sent = clients.uv_publish(f"{site.url}/acme/legacy/", files, tokens.issuer.start_job())
    assert sent.returncode == 0, sent.stderr
    wait(lambda: guarded_pulp.pulp.files("widgets") == {file.name for file in files})
    index = site.url.replace("://", f"://__token__:{tokens.read()}@") + "/pypi/prod/simple/"

    assert clients.installed("pip", index, "widgets") == "guarded\n"
    assert clients.installed("uv", index, "widgets") == "guarded\n"


def test_twine_publishes(guarded_pulp: GuardedPulp, tokens: Tokens, tmp_path: Path) -> None:
    site = guarded_pulp.site
    clients = Clients(tmp_path, str(site.ca_file))
    files = TinyPackage("sprockets").build(tmp_path / "dist")
    twine = (sys.executable, "-m", "twine", "upload", "--disable-progress-bar")
    variables = {"TWINE_USERNAME": "__token__", "TWINE_PASSWORD": tokens.upload()}
    trust = ("--cert", str(site.ca_file), "--repository-url", f"{site.url}/acme/legacy/")

    sent = clients.run(*twine, *trust, *files, **variables)

    assert sent.returncode == 0, sent.stdout + sent.stderr
    wait(lambda: guarded_pulp.pulp.files("sprockets") == {file.name for file in files})


def test_a_token_that_is_not_good_does_not_pass(guarded_pulp: GuardedPulp, tokens: Tokens) -> None:
    burned = tokens.upload()
    tokens.burn(burned)

    for token in ("", "hunter2", burned, tokens.upload("umbrella")):
        assert guarded_pulp.upload(wheel("widgets", "3.0"), token) in {401, 403}
        for path in ("/pypi/prod/simple/", "/pulp/content/prod/widgets-1.0.0.tar.gz"):
            assert guarded_pulp.site.ask("GET", path, token).status_code == 401
    assert guarded_pulp.upload(wheel("widgets", "3.0"), tokens.read()) == 403


def test_a_header_names_no_user(guarded_pulp: GuardedPulp, tokens: Tokens) -> None:
    for user in ("admin", PUBLISHER):
        for token in ("", tokens.read()):
            assert guarded_pulp.upload(wheel("widgets", "3.0"), token, Remote_User=user) in {
                401,
                403,
            }


def test_a_header_with_an_underscore_names_no_user(
    guarded_pulp: GuardedPulp, tokens: Tokens
) -> None:
    head = "POST /acme/legacy/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    sent = f"{head}Remote_User: admin\r\nContent-Length: 0\r\n\r\n"

    assert guarded_pulp.site.say(sent.encode()).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    "path",
    [
        "/pulp/api/v3/users/",
        "/pypi/prod/legacy/",
        "/pypi/prod/",
        "/pypi/prod/yank/",
        "/pulp/content/",
        "/pulp/content/prod/../other/",
        "/pulp/content/prod/%2e%2e/other/",
        "/pypi/prod/simple/../legacy/",
        "/pypi/prod/simple/%2e%2e/legacy/",
        "/pypi/other/simple/",
        "/acme/legacy//",
        "/",
    ],
)
def test_a_good_token_reaches_nothing_else(
    guarded_pulp: GuardedPulp, tokens: Tokens, path: str
) -> None:
    file = wheel("widgets", "3.0")
    body = form(file, fields(file))

    for token, method in ((tokens.upload(), "POST"), (tokens.read(), "GET")):
        answer = guarded_pulp.site.ask(method, path, token, body, Content_Type=CONTENT_TYPE)
        # nginx takes two slashes for one.
        assert answer.status_code in ({202, 403} if path == "/acme/legacy//" else {404}), method


def test_a_token_only_reads_pages_and_files(guarded_pulp: GuardedPulp, tokens: Tokens) -> None:
    for path in ("/pypi/prod/simple/", "/pulp/content/prod/widgets-1.0.0.tar.gz"):
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            assert guarded_pulp.site.ask(method, path, tokens.upload()).status_code == 403


def test_no_shared_cache_keeps_a_page(guarded_pulp: GuardedPulp, tokens: Tokens) -> None:
    page = guarded_pulp.site.ask("GET", "/pypi/prod/simple/", tokens.read())

    assert page.status_code == 200
    assert page.headers["Cache-Control"] == "private, no-cache"


def test_a_file_is_not_replaced(guarded_pulp: GuardedPulp, tokens: Tokens) -> None:
    file = wheel("widgets", "4.0")
    assert guarded_pulp.upload(file, tokens.upload()) == 202
    wait(lambda: file.filename in (guarded_pulp.pulp.files("widgets") or ()))

    assert guarded_pulp.upload(file, tokens.upload()) == 400


@pytest.mark.promise("nginx-alone")
def test_a_token_uploads_every_project_because_nginx_sees_no_form(
    guarded_pulp: GuardedPulp, tokens: Tokens
) -> None:
    file = wheel("gadgets", "4.0")

    assert guarded_pulp.upload(file, tokens.upload()) == 202
    wait(lambda: guarded_pulp.pulp.files("gadgets") == {file.filename})


def test_pulp_makes_no_user_of_an_unknown_name(guarded_pulp: GuardedPulp) -> None:
    index = guarded_pulp.pulp

    asked = index.ask("GET", "/pulp/api/v3/users/", **{"Remote-User": "stranger"})

    assert asked.status_code in {401, 403}
    names = {user["username"] for user in index.ask("GET", "/pulp/api/v3/users/").json()["results"]}
    assert names == {"admin", PUBLISHER}


def test_the_publisher_may_do_nothing_but_change_its_repository(guarded_pulp: GuardedPulp) -> None:
    made = guarded_pulp.pulp.ask(
        "POST",
        "/pulp/api/v3/repositories/python/python/",
        {"name": "other"},
        **{"Remote-User": PUBLISHER},
    )

    assert made.status_code == 403
