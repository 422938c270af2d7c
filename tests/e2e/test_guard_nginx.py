"""nginx, as infra/nginx/guard.conf sets it up, in front of a guarded pypiserver and a broker."""

import os
import shutil
import socket
import ssl
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
import trustme

from pytp_broker.demo.issuer import Issuer
from pytp_broker.demo.packages import TinyPackage
from pytp_broker.demo.process import ServerProcess
from tests.e2e.test_publish import Clients
from tests.support.distributions import CONTENT_TYPE, fields, form, noise, wheel, wheel_members
from tests.support.guards import (
    CONFIGURATION,
    Tokens,
    guard_variables,
    guarded,
    guarded_pypiserver,
)
from tests.support.indexes import running
from tests.support.ports import free_port
from tests.support.released import ROOT

pytestmark = pytest.mark.e2e

__all__ = ["CONFIGURATION", "guarded"]

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
_AROUND = """\
pid {folder}/nginx.pid;
error_log {folder}/error.log;
user root;
events {{}}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/guard.conf;
}}
"""


@dataclass(frozen=True)
class Site:
    """A host with the broker's exchange, and an index that takes its tokens."""

    url: str
    ca_file: Path
    folder: Path

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def stored(self) -> set[str]:
        return {path.name for path in (self.folder / "packages").iterdir()}

    def ask(
        self, method: str, path: str, token: str = "", body: bytes = b"", **headers: str
    ) -> requests.Response:
        """Send a request whose path stays as it is written."""
        session = requests.Session()
        session.trust_env = False
        auth = ("__token__", token) if token else None
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        made = requests.Request(method, self.url, data=body, headers=named, auth=auth)
        prepared = session.prepare_request(made)
        prepared.url = self.url + path
        with session:
            return session.send(prepared, verify=str(self.ca_file), timeout=30)

    def say(self, sent: bytes) -> bytes:
        """Send bytes, and return what is answered until nginx ends the connection."""
        context = ssl.create_default_context(cafile=self.ca_file)
        with (
            socket.create_connection(("localhost", self.port), timeout=30) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            connection.sendall(sent)
            return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.fixture(scope="module")
def site(
    guarded: Path, server: ServerProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("nginx")
    public = guard_variables(server, folder, PYTP_GUARD_READS="public")
    with (
        guarded_pypiserver(guarded, folder, public) as guard_url,
        nginx(folder, free_port(), "guard.conf", {"http://127.0.0.1:8080/": guard_url}, server) as (
            site
        ),
    ):
        yield site


@contextmanager
def nginx(
    folder: Path, port: int, name: str, behind: Mapping[str, str], server: ServerProcess
) -> Iterator[Site]:
    """Run nginx with a file of infra/nginx, in which addresses of this test stand for those shown.

    Skip where nginx is not installed, or fail where all must run.
    """
    if NGINX is None:
        reason = "nginx is not installed: `apt-get install nginx-light`"
        if os.environ.get("PYTP_REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    ca_file = write_configuration(folder, port, name, behind, server)
    command = (NGINX, "-e", f"{folder}/error.log", "-p", str(folder), "-c")
    options = (f"{folder}/nginx.conf", "-g", "daemon off;")
    with running(folder / "nginx.log", port, *command, *options):
        yield Site(f"https://localhost:{port}", ca_file, folder)


def write_configuration(
    folder: Path, port: int, name: str, behind: Mapping[str, str], server: ServerProcess
) -> Path:
    """Write the configuration with the addresses of this test; return the authority's file."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(folder / "packages.pem"))
    trusted = folder / "trusted.pem"
    authority.cert_pem.write_to_path(str(trusted))
    text = (ROOT / "infra/nginx" / name).read_text()
    for shown, here in {
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "/etc/nginx/packages.pem": f"{folder}/packages.pem",
        "/etc/nginx/packages.key": f"{folder}/packages.pem",
        "/etc/ssl/certs/ca-certificates.crt": str(server.ca_file),
        "set $broker broker.example.com": f"set $broker {server.url.removeprefix('https://')}",
        "proxy_ssl_name broker.example.com": "proxy_ssl_name localhost",
        "server_name packages.example.com": "server_name localhost",
        **behind,
    }.items():
        assert shown in text
        text = text.replace(shown, here)
    (folder / "guard.conf").write_text(text)
    (folder / "nginx.conf").write_text(_AROUND.format(folder=folder))
    return trusted


@pytest.fixture(scope="module")
def tokens(server: ServerProcess, issuer: Issuer) -> Tokens:
    return Tokens(server, issuer)


def test_uv_publishes_by_itself_and_pip_and_uv_install(
    site: Site, tokens: Tokens, tmp_path: Path
) -> None:
    clients = Clients(tmp_path, str(site.ca_file))
    files = TinyPackage("widgets", greeting="guarded").build(tmp_path / "dist")

    sent = clients.uv_publish(f"{site.url}/acme/legacy/", files, tokens.issuer.start_job())
    index = site.url.replace("://", f"://__token__:{tokens.read()}@") + "/simple/"

    assert sent.returncode == 0, sent.stderr
    assert clients.installed("pip", index, "widgets") == "guarded\n"
    assert clients.installed("uv", index, "widgets") == "guarded\n"


def test_twine_publishes(site: Site, tokens: Tokens, tmp_path: Path) -> None:
    clients = Clients(tmp_path, str(site.ca_file))
    files = TinyPackage("sprockets").build(tmp_path / "dist")
    twine = (sys.executable, "-m", "twine", "upload", "--disable-progress-bar")
    variables = {"TWINE_USERNAME": "__token__", "TWINE_PASSWORD": tokens.upload()}
    trust = ("--cert", str(site.ca_file), "--repository-url", f"{site.url}/acme/legacy/")

    sent = clients.run(*twine, *trust, *files, **variables)

    assert sent.returncode == 0, sent.stdout + sent.stderr


def test_a_file_of_many_megabytes_passes(site: Site, tokens: Tokens) -> None:
    members = {**wheel_members("widgets", "6.0"), "widgets/data.bin": noise(3 * 2**20)}
    file = wheel("widgets", "6.0", members=members)
    body = form(file, fields(file))

    sent = site.ask("POST", "/acme/legacy/", tokens.upload(), body, Content_Type=CONTENT_TYPE)

    assert sent.status_code == 200, sent.text
    assert file.filename in site.stored


def upload(
    site: Site, token: str, project: str = "widgets", path: str = "/acme/legacy/", **headers: str
) -> int:
    file = wheel(project, "4.0")
    body = form(file, fields(file))
    sent = {"Content_Type": CONTENT_TYPE, **headers}
    return site.ask("POST", path, token, body, **sent).status_code


def test_the_form_is_judged_behind_nginx(site: Site, tokens: Tokens) -> None:
    spoofed = {"X_Pytp_Projects": "gadgets", "X_Pytp_Registry": "acme", "X_Original_URI": "/"}

    assert upload(site, tokens.upload(), "gadgets", **spoofed) == 403
    assert wheel("gadgets", "4.0").filename not in site.stored


@pytest.mark.promise("nginx-alone")
def test_a_form_of_another_project_passes_nginx_and_only_the_guard_refuses_it(
    site: Site, tokens: Tokens
) -> None:
    file = wheel("gadgets", "4.0")
    body = form(file, fields(file))

    answer = site.ask("POST", "/acme/legacy/", tokens.upload(), body, Content_Type=CONTENT_TYPE)

    assert answer.status_code == 403
    assert answer.json()["detail"].startswith("the token is not for the project `gadgets`")


def test_a_token_that_is_not_good_does_not_pass(site: Site, tokens: Tokens) -> None:
    burned = tokens.upload()
    tokens.burn(burned)

    for token in ("", "hunter2", burned, tokens.upload("umbrella")):
        assert upload(site, token) in {401, 403}
        page = site.ask("GET", "/simple/", token)
        assert page.status_code == 401
        assert page.headers["WWW-Authenticate"].startswith("Basic ")
    assert upload(site, tokens.read()) == 403


TRICKS = [
    "/acme//legacy/",
    "/acme/legacy",
    "/acme/legacy//",
    "/acme/legacy/widgets/",
    "/acme/%6cegacy/../simple/",
    "/ACME/legacy/",
    "/acme/legacy%2F",
    "/simple/%2e%2e/",
    "/simple/../../",
    "/packages/..%2f",
    "/_verify_uploader",
    "/_verify_reader",
    "/acme/_/token/introspect",
    "/acme/simple/",
    "/acme/packages/",
    "/simple/../packages/",
    "/%73imple/",
    "/RPC2",
    "/",
]


@pytest.mark.parametrize("path", TRICKS)
def test_no_spelling_of_a_path_goes_around_the_check(site: Site, tokens: Tokens, path: str) -> None:
    before = site.stored

    for method in ("GET", "POST"):
        answer = site.ask(method, path, "", form(wheel()), Content_Type=CONTENT_TYPE)
        assert answer.status_code in {400, 401, 403, 404, 405}, (method, answer.text)
    assert upload(site, tokens.upload(), "gadgets", path) >= 400
    assert site.stored == before


@pytest.mark.parametrize("method", ["PUT", "DELETE", "MKCOL", "PROPFIND", "COPY", "MOVE", "PATCH"])
def test_no_other_method_passes(site: Site, tokens: Tokens, method: str) -> None:
    for path in ("/acme/legacy/", "/simple/", "/packages/x.whl"):
        assert site.ask(method, path, tokens.upload()).status_code in {403, 405}
    assert site.ask("POST", "/simple/", tokens.upload()).status_code == 403


def test_a_gigabyte_without_a_token_is_refused_before_it_is_sent(site: Site) -> None:
    head = (
        "POST /acme/legacy/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {2**30}\r\n\r\n"
    )

    assert site.say(head.encode()).startswith(b"HTTP/1.1 401 ")


def test_a_request_hidden_in_another_is_not_answered(site: Site, tokens: Tokens) -> None:
    page = "GET /simple/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    for lengths in (
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 6",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding:\x0bchunked",
        "Content-Length: +5",
    ):
        head = f"POST /acme/legacy/ HTTP/1.1\r\nHost: localhost\r\n{lengths}\r\n\r\n"

        answered = site.say(f"{head}0\r\n\r\n{page}".encode())

        assert answered.count(b"HTTP/1.1 ") == 1, lengths
        assert answered[9:12] in {b"400", b"501"}, lengths


def test_nothing_passes_while_the_registry_is_down(
    site: Site, server: ServerProcess, tokens: Tokens
) -> None:
    token, read = tokens.upload(), tokens.read()
    server.stop()

    page = site.ask("GET", "/simple/", read)

    assert page.status_code == 503
    assert page.headers["Retry-After"] == "5"
    assert upload(site, token) == 503
