"""Real uv, twine and pip, unmodified, against `pytp-broker serve` in a separate process."""

import base64
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from threading import Barrier
from typing import Any

import pytest
import requests
from uv import find_uv_bin

from pytp_broker.demo.issuer import Issuer, github_job
from pytp_broker.demo.packages import TinyPackage
from pytp_broker.demo.process import ServerProcess
from pytp_broker.tokens import UploadToken
from tests.support.configurations import github_issuer, github_publisher, registry
from tests.support.emulator import Emulator

pytestmark = pytest.mark.e2e

CONFIGURATION = (
    github_issuer("{issuer}")
    + registry(
        "acme",
        github_publisher(
            "widgets",
            "sprockets",
            "bolts",
            "nuts",
            repository_owner_id="9919",
            environment="release",
        ),
        issuers=["{issuer}"],
        access="public",
    )
    + registry(
        "umbrella",
        github_publisher("gadgets", repository="umbrella-corp/gadgets", repository_owner_id="77"),
        issuers=["{issuer}"],
        access="public",
    )
    + registry(
        "own",
        github_publisher("gizmos", repository="octo-org/gizmos", repository_owner_id="9919"),
        hosts=["localhost", "own.example.com"],
        issuers=["{issuer}"],
        access="public",
    )
)
SERVE = (sys.executable, "-m", "pytp_broker.cli", "serve")
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-cache-dir")


@dataclass
class Clients:
    """The real clients, in an environment without secrets and without a user's configuration."""

    folder: Path
    ca_file: str

    def run(self, *command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        base = {
            "HOME": str(self.folder),
            "NO_COLOR": "1",
            "PATH": os.defpath,
            "PIP_CERT": self.ca_file,
            "PIP_CONFIG_FILE": os.devnull,
            "SSL_CERT_FILE": self.ca_file,
            "UV_CACHE_DIR": str(self.folder / "cache"),
            "UV_NO_CONFIG": "1",
            "UV_PYTHON_DOWNLOADS": "never",
        }
        return subprocess.run(
            command,
            env=base | environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def uv_publish(
        self, url: str, files: tuple[Path, ...], job: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        always = ("--trusted-publishing", "always")
        return self.run(find_uv_bin(), "publish", *always, "--publish-url", url, *files, **job)

    def uv_install(self, index_url: str, name: str) -> str:
        """Install with uv and return what the installed package prints."""
        target = self.folder / f"uv-{name}"
        options = ("--python", sys.executable, "--target", target, "--no-cache")
        index = ("--index-url", index_url)
        installed = self.run(find_uv_bin(), "pip", "install", *options, *index, name)
        assert installed.returncode == 0, installed.stderr
        return self.run(sys.executable, target / f"{name}.py").stdout

    def install(
        self, installer: str, target: Path, index: tuple[str, ...], requirement: str, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """Install into a folder with pip or uv; ``index`` is an option and its value."""
        commands = {
            "pip": (*PIP, "install", "--no-input"),
            "uv": (find_uv_bin(), "pip", "install", "--no-cache", "--python", sys.executable),
        }
        return self.run(*commands[installer], "--target", target, *index, requirement, **more)

    def installed(self, installer: str, index_url: str, requirement: str, **more: str) -> str:
        """Install into a new folder with pip or uv; return what the package prints."""
        target = Path(mkdtemp(dir=self.folder))
        done = self.install(installer, target, ("--index-url", index_url), requirement, **more)
        assert done.returncode == 0, done.stderr
        name = requirement.partition("==")[0]
        return self.run(sys.executable, target / f"{name}.py").stdout

    def pip_install(self, index_url: str, name: str) -> str:
        """Install with pip and return what the installed package prints."""
        target = self.folder / f"pip-{name}"
        options = ("--target", target, "--index-url", index_url)
        installed = self.run(*PIP, "install", *options, name)
        assert installed.returncode == 0, installed.stderr
        return self.run(sys.executable, target / f"{name}.py").stdout


@pytest.fixture
def clients(server: ServerProcess, tmp_path: Path) -> Clients:
    return Clients(tmp_path, str(server.ca_file))


@pytest.fixture
def session(server: ServerProcess) -> Iterator[requests.Session]:
    with trusting(server) as opened:
        yield opened


def trusting(server: ServerProcess) -> requests.Session:
    """Return a session that trusts the server, and no proxy."""
    session = requests.Session()
    session.trust_env = False
    session.verify = server.ca_file or True
    return session


def mint(session: requests.Session, base_url: str, issuer: Issuer, **changes: Any) -> str:
    """Return an upload token, asked for at a registry's prefix or a host's root."""
    audience = session.get(f"{base_url}/_/oidc/audience").json()["audience"]
    answer = session.post(
        f"{base_url}/_/oidc/mint-token", json={"token": issuer.token(aud=audience, **changes)}
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["token"])


def masked_token(published: subprocess.CompletedProcess[str]) -> str:
    """Return the upload token that uv asks the CI to mask."""
    found = re.search(r"::add-mask::(\S+)", published.stdout)
    assert found, published
    return found[1]


def traffic(server: ServerProcess, since: int = 0) -> list[str]:
    requests_seen = server.events("access")[since:]
    return [f"{r['method']} {r['path']} {r['status']}" for r in requests_seen]


# --- publish and install ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("registry", "repository", "owner_id"),
    [("acme", "octo-org/widgets", "9919"), ("umbrella", "umbrella-corp/gadgets", "77")],
)
def test_uv_publishes_to_a_registry_of_a_shared_host(
    server: ServerProcess,
    issuer: Issuer,
    clients: Clients,
    *,
    registry: str,
    repository: str,
    owner_id: str,
) -> None:
    project = repository.partition("/")[2]
    files = TinyPackage(project, greeting=registry).build(clients.folder / "dist")
    job = issuer.start_job(**github_job(repository, owner_id=owner_id))
    before = len(server.events("access"))

    published = clients.uv_publish(f"{server.url}/{registry}/legacy/", files, job)

    assert published.returncode == 0, published.stderr
    assert traffic(server, before) == [
        "GET /_/oidc/audience 200",
        "POST /_/oidc/mint-token 200",
        f"POST /{registry}/legacy/ 200",
        f"POST /{registry}/legacy/ 200",
        "POST /_/oidc/burn-token 202",
    ]
    index_url = f"{server.url}/{registry}/simple/"
    assert clients.uv_install(index_url, project) == f"{registry}\n"
    assert clients.pip_install(index_url, project) == f"{registry}\n"


def test_uv_publishes_to_a_registry_with_a_host_of_its_own(
    server: ServerProcess, issuer: Issuer, clients: Clients
) -> None:
    url = server.url.replace("127.0.0.1", "localhost")
    files = TinyPackage("gizmos", greeting="own").build(clients.folder / "dist")
    job = issuer.start_job(**github_job("octo-org/gizmos"))

    published = clients.uv_publish(f"{url}/legacy/", files, job)

    assert published.returncode == 0, published.stderr
    assert "audience=localhost" in issuer.requests[-1]
    assert clients.uv_install(f"{url}/simple/", "gizmos") == "own\n"
    assert clients.pip_install(f"{url}/simple/", "gizmos") == "own\n"


def test_an_upload_url_may_lack_its_last_slash(
    server: ServerProcess, issuer: Issuer, clients: Clients
) -> None:
    files = TinyPackage("bolts").build(clients.folder / "dist")

    published = clients.uv_publish(f"{server.url}/acme/legacy", files, issuer.start_job())

    assert published.returncode == 0, published.stderr


def test_twine_uploads_with_a_token_minted_at_the_prefix(
    server: ServerProcess, issuer: Issuer, clients: Clients, session: requests.Session
) -> None:
    token = mint(session, f"{server.url}/acme", issuer)
    files = TinyPackage("sprockets", greeting="twine").build(clients.folder / "dist")

    uploaded = clients.run(
        *(sys.executable, "-m", "twine", "upload", "--non-interactive", "--disable-progress-bar"),
        *("--repository-url", f"{server.url}/acme/legacy/", "--cert", clients.ca_file),
        *("-u", "__token__", "-p", token, *files),
    )

    assert uploaded.returncode == 0, uploaded.stdout + uploaded.stderr
    assert clients.pip_install(f"{server.url}/acme/simple/", "sprockets") == "twine\n"


def test_sixty_four_uploads_that_come_together_from_one_address_are_all_published(
    server: ServerProcess, issuer: Issuer, clients: Clients, session: requests.Session
) -> None:
    token = mint(session, f"{server.url}/acme", issuer)
    folder = clients.folder / "dist"
    wheels = [TinyPackage("bolts", version=f"9.{part}").build(folder)[0] for part in range(64)]
    together = Barrier(len(wheels))

    def upload(wheel: Path) -> int:
        form = {
            ":action": "file_upload",
            "protocol_version": "1",
            "metadata_version": "2.4",
            "name": "bolts",
            "version": wheel.name.split("-")[1],
            "filetype": "bdist_wheel",
            "pyversion": "py3",
            "sha256_digest": hashlib.sha256(wheel.read_bytes()).hexdigest(),
        }
        with trusting(server) as own, wheel.open("rb") as content:
            together.wait(60)
            answered = own.post(
                f"{server.url}/acme/legacy/",
                auth=("__token__", token),
                data=form,
                files={"content": (wheel.name, content)},
            )
        return answered.status_code

    with ThreadPoolExecutor(len(wheels)) as pool:
        assert set(pool.map(upload, wheels)) == {200}


# --- refusals -----------------------------------------------------------------------------------


def test_a_burned_token_is_refused(
    server: ServerProcess, issuer: Issuer, clients: Clients, session: requests.Session
) -> None:
    files = TinyPackage("nuts").build(clients.folder / "dist")
    url = f"{server.url}/acme/legacy/"
    token = masked_token(clients.uv_publish(url, files, issuer.start_job()))

    refused = session.post(url, auth=("__token__", token), files={"content": b""})

    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Basic")
    assert refused.json()["errors"][0]["code"] == "unauthorized"


def test_twine_shows_what_to_do_about_a_refusal(
    server: ServerProcess, issuer: Issuer, clients: Clients, session: requests.Session
) -> None:
    token = mint(session, f"{server.url}/acme", issuer)
    files = TinyPackage("gadgets", version="3").build(clients.folder / "dist")

    refused = clients.run(
        *(sys.executable, "-m", "twine", "upload", "--non-interactive", "--disable-progress-bar"),
        *("--repository-url", f"{server.url}/acme/legacy/", "--cert", clients.ca_file),
        *("-u", "__token__", "-p", token, *files),
    )

    shown = " ".join((refused.stdout + refused.stderr).split())
    assert "the file is for the project `gadgets`, but this upload token is for `widgets`" in shown


def test_a_token_of_one_registry_is_refused_at_another(
    server: ServerProcess, issuer: Issuer, clients: Clients, session: requests.Session
) -> None:
    token = mint(session, f"{server.url}/acme", issuer)
    files = TinyPackage("gadgets", version="2").build(clients.folder / "dist")
    url = f"{server.url}/umbrella/legacy/"

    refused = clients.run(
        find_uv_bin(), "publish", "--publish-url", url, *files, UV_PUBLISH_TOKEN=token
    )

    assert refused.returncode != 0
    assert traffic(server)[-1] == "POST /umbrella/legacy/ 403"


def test_another_repositorys_job_is_refused_with_the_reason(
    server: ServerProcess, issuer: Issuer, clients: Clients
) -> None:
    files = TinyPackage("widgets", version="2").build(clients.folder / "dist")
    job = issuer.start_job(**github_job("octo-org/other"))

    refused = clients.uv_publish(f"{server.url}/acme/legacy/", files, job)

    assert refused.returncode != 0
    assert "invalid-publisher" in refused.stderr
    assert "no trusted publisher here matches repository `octo-org/other`" in refused.stderr
    assert traffic(server)[-1] == "POST /_/oidc/mint-token 422"


def test_an_identity_token_is_exchanged_once_however_many_ask(
    server: ServerProcess, issuer: Issuer, session: requests.Session
) -> None:
    audience = session.get(f"{server.url}/acme/_/oidc/audience").json()["audience"]
    identity_token = issuer.token(aud=audience)
    gate = Barrier(50)

    def post(_number: int) -> requests.Response:
        with trusting(server) as one:
            gate.wait(timeout=30)
            return one.post(f"{server.url}/acme/_/oidc/mint-token", json={"token": identity_token})

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(post, range(50)))

    refused = [a.json()["errors"][0]["code"] for a in answers if a.status_code == 422]
    assert [a.status_code for a in answers].count(200) == 1
    assert refused == ["invalid-reuse-token"] * 49


# --- hosts and routes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "forwarded", "audience"),
    [
        ("own.example.com", "", "localhost"),
        ("OWN.example.com:443", "", "localhost"),
        ("stranger.example.com", "", "pytp-127.0.0.1"),
        ("stranger.example.com", "own.example.com", "pytp-127.0.0.1"),
    ],
)
def test_the_host_header_alone_chooses_a_registrys_own_host(
    server: ServerProcess, session: requests.Session, host: str, forwarded: str, audience: str
) -> None:
    headers = {"Host": host, "X-Forwarded-Host": forwarded}

    answer = session.get(f"{server.url}/_/oidc/audience", headers=headers)

    assert answer.json() == {"audience": audience}


def test_an_identity_token_for_one_audience_is_refused_at_another(
    server: ServerProcess, issuer: Issuer, session: requests.Session
) -> None:
    url = f"{server.url}/acme/_/oidc/mint-token"

    refused = session.post(url, json={"token": issuer.token(aud="pytp-127.0.0.1")})

    assert refused.status_code == 422
    assert refused.json()["errors"][0]["code"] == "invalid-token"


def test_errors_are_problem_objects_everywhere(
    server: ServerProcess, session: requests.Session
) -> None:
    answers = {
        404: session.get(f"{server.url}/nothing/here"),
        405: session.get(f"{server.url}/acme/legacy/"),
        413: session.post(f"{server.url}/_/oidc/mint-token", data=b"x" * (1024 * 1024 + 1)),
        422: session.post(f"{server.url}/_/oidc/mint-token", data=b"{"),
    }

    assert {status: answer.status_code for status, answer in answers.items()} == {
        status: status for status in answers
    }
    for status, answer in answers.items():
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["status"] == status
        assert answer.json()["errors"]


def test_discovery_names_endpoints_that_answer(
    server: ServerProcess, session: requests.Session
) -> None:
    discover = session.get(f"{server.url}/.well-known/pytp?discover=%2Facme%2Flegacy%2F")

    audience = session.get(discover.json()["audience-endpoint"])

    assert audience.status_code == 200
    assert discover.json()["token-mint-endpoint"].startswith(f"{server.url}/acme/")


# --- what is logged -----------------------------------------------------------------------------


@pytest.mark.promise("proxys-log")
def test_no_token_is_ever_logged(issuer: Issuer, config: Path, tmp_path: Path) -> None:
    secrets: list[str] = []
    with ServerProcess(config, tmp_path / "log") as server, trusting(server) as session:
        clients = Clients(tmp_path, str(server.ca_file))
        first = len(issuer.issued)
        files = TinyPackage("widgets").build(tmp_path / "dist")
        job = issuer.start_job()
        published = clients.uv_publish(f"{server.url}/acme/legacy/", files, job)
        secrets += [masked_token(published), mint(session, f"{server.url}/acme", issuer)]
        misplace_tokens(session, server.url, issuer, secrets)
        secrets += [base64.b64encode(f"__token__:{s}".encode()).decode() for s in secrets]
        secrets += [part for token in issuer.issued[first:] for part in token.split(".")]
        server.stop()

    written = server.output + server.log.read_text()
    assert server.events("exchange")
    assert server.events("upload")
    assert [secret for secret in secrets if secret in written] == []


def misplace_tokens(
    session: requests.Session, url: str, issuer: Issuer, secrets: list[str]
) -> None:
    """Send tokens in wrong places and in wrong shapes."""
    identity_token, upload_token = issuer.token(), secrets[-1]
    mint_url, upload_url = f"{url}/acme/_/oidc/mint-token", f"{url}/acme/legacy/"
    session.post(mint_url, data=identity_token)
    session.post(mint_url, json={"token": [identity_token]})
    session.post(mint_url, json={"token": identity_token + "x"})
    session.post(mint_url, json={"token": upload_token})
    session.get(mint_url, params={"token": identity_token})
    session.post(upload_url, auth=("__token__", identity_token), files={"content": b"x"})
    session.post(upload_url, auth=(upload_token, upload_token), files={"content": b"x"})
    session.post(upload_url, headers={"Authorization": f"Bearer {upload_token}"}, data=b"x")
    session.post(upload_url, auth=("__token__", upload_token), data={"name": upload_token})
    session.post(f"{url}/_/oidc/burn-token", json={"token": upload_token, "x": identity_token})


# --- the server as a process --------------------------------------------------------------------


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_cleanly(
    config: Path, tmp_path: Path, signal_number: signal.Signals
) -> None:
    with ServerProcess(config, tmp_path / "log") as server:
        temporary = Path(str(server.ca_file)).parents[1]
        assert temporary.is_dir()

        assert server.stop(signal_number) == 0

    assert not temporary.exists()
    assert [json.loads(line) for line in server.output.splitlines()] == [
        {"url": server.url, "ca_file": server.ca_file}
    ]
    said = [json.loads(line)["event"] for line in server.log.read_text().splitlines()]
    assert said == ["note"], "that nothing is kept"


def test_a_request_under_way_is_answered_before_the_server_ends(
    config: Path, tmp_path: Path
) -> None:
    head = b"POST /_/oidc/mint-token HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
    with (
        ServerProcess(config, tmp_path / "log", "--no-tls") as server,
        socket.create_connection(("127.0.0.1", port_of(server))) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        client.sendall(head + b"Expect: 100-continue\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 100 ")
        client.sendall(b"{")
        ended = pool.submit(server.stop)
        give_up_at = time.monotonic() + 30
        while accepts_connections(server):
            assert time.monotonic() < give_up_at
            time.sleep(0.01)
        client.sendall(b"}")
        answer = client.recv(4096)

        assert answer.startswith(b"HTTP/1.1 422 ")
        assert ended.result() == 0


def port_of(server: ServerProcess) -> int:
    return int(server.url.rpartition(":")[2])


def accepts_connections(server: ServerProcess) -> bool:
    """Say whether the server has not yet heard the signal that ends it."""
    try:
        socket.create_connection(("127.0.0.1", port_of(server))).close()
    except OSError:
        return False
    return True


def test_a_taken_port_is_named_in_one_line(config: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])

        ended = subprocess.run(
            [*SERVE, "--config", config, "--port", port],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    assert ended.returncode == 1
    assert ended.stderr == f"cannot listen on 127.0.0.1:{port}: Address already in use\n"
    assert ended.stdout == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[registries]]\nname = "Acme!"\n', "registries[1].name: `Acme!` must match"),
        ("[[registries]\n", "not TOML"),
        (None, "No such file or directory"),
    ],
)
def test_a_broken_configuration_is_explained(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "broker.toml"
    if text is not None:
        path.write_text(text)

    ended = subprocess.run(
        [*SERVE, "--config", path], capture_output=True, text=True, timeout=30, check=False
    )

    assert ended.returncode == 2
    assert said in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_installers_ignore_a_yanked_release_unless_it_is_named(
    issuer: Issuer, config: Path, tmp_path: Path, installer: str
) -> None:
    data = tmp_path / "data"
    with ServerProcess(config, tmp_path / "log", "--data", str(data)) as server:
        clients = Clients(tmp_path, str(server.ca_file))
        for version in ("1.0", "1.1"):
            package = TinyPackage("widgets", version, greeting=version)
            files = package.build(tmp_path / "dist" / version)
            upload_url = f"{server.url}/acme/legacy/"
            assert clients.uv_publish(upload_url, files, issuer.start_job()).returncode == 0
        index_url = f"{server.url}/acme/simple/"

        release_command(clients, "yank", data)
        assert clients.installed(installer, index_url, "widgets") == "1.0\n"
        assert clients.installed(installer, index_url, "widgets==1.1") == "1.1\n"

        release_command(clients, "unyank", data)
        assert clients.installed(installer, index_url, "widgets") == "1.1\n"


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_an_archived_project_takes_no_files_and_a_quarantined_one_gives_none(
    issuer: Issuer, config: Path, tmp_path: Path, installer: str
) -> None:
    data = tmp_path / "data"
    with ServerProcess(config, tmp_path / "log", "--data", str(data)) as server:
        clients = Clients(tmp_path, str(server.ca_file))
        upload_url, index_url = f"{server.url}/acme/legacy/", f"{server.url}/acme/simple/"
        old, new = (
            TinyPackage("widgets", version, greeting=version).build(tmp_path / "dist" / version)
            for version in ("1.0", "1.1")
        )
        assert clients.uv_publish(upload_url, old, issuer.start_job()).returncode == 0

        status_command(clients, "archived", data)
        refused = clients.uv_publish(upload_url, new, issuer.start_job())
        assert refused.returncode != 0
        assert "is archived and takes no files: moved" in " ".join(refused.stderr.split())
        assert clients.installed(installer, index_url, "widgets") == "1.0\n"

        status_command(clients, "quarantined", data)
        with pytest.raises(AssertionError):
            clients.installed(installer, index_url, "widgets")

        status_command(clients, "active", data)
        assert clients.uv_publish(upload_url, new, issuer.start_job()).returncode == 0
        assert clients.installed(installer, index_url, "widgets") == "1.1\n"


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_installers_choose_another_version_than_the_one_whose_files_are_deleted(
    issuer: Issuer, config: Path, tmp_path: Path, installer: str
) -> None:
    data = tmp_path / "data"
    with ServerProcess(config, tmp_path / "log", "--data", str(data)) as server:
        clients = Clients(tmp_path, str(server.ca_file))
        upload_url, index_url = f"{server.url}/acme/legacy/", f"{server.url}/acme/simple/"
        old, new = (
            TinyPackage("widgets", version, greeting=version).build(tmp_path / "dist" / version)
            for version in ("1.0", "1.1")
        )
        for files in (old, new):
            assert clients.uv_publish(upload_url, files, issuer.start_job()).returncode == 0
        lock(clients, index_url)
        assert clients.installed(installer, index_url, "widgets") == "1.1\n"

        for file in new:
            delete_command(clients, file.name, data)

        assert clients.installed(installer, index_url, "widgets") == "1.0\n"
        with pytest.raises(AssertionError, match=r"widgets==1\.1"):
            clients.installed(installer, index_url, "widgets==1.1")
        locked = clients.run(
            *(find_uv_bin(), "pip", "install", "--no-cache", "--python", sys.executable),
            *("--target", tmp_path / "locked", "--requirements", "pylock.toml"),
        )
        assert locked.returncode != 0
        assert f"has deleted `{new[0].name}`: contains a password" in locked.stderr
        again = clients.uv_publish(upload_url, new, issuer.start_job())
        assert again.returncode != 0
        assert "has deleted" in " ".join(again.stderr.split())


def lock(clients: Clients, index_url: str) -> None:
    """Write a lock file that names the file of the newest version."""
    (clients.folder / "requirements.in").write_text("widgets\n")
    locked = clients.run(
        *(find_uv_bin(), "pip", "compile", "--no-cache", "--python", sys.executable),
        *("--index-url", index_url, "requirements.in", "--output-file", "pylock.toml"),
    )
    assert locked.returncode == 0, locked.stderr
    assert "widgets-1.1-py3-none-any.whl" in (clients.folder / "pylock.toml").read_text()


def test_an_operator_finds_who_published_a_file_and_by_which_rule(
    issuer: Issuer, config: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    with ServerProcess(config, tmp_path / "log", "--data", str(data)) as server:
        clients = Clients(tmp_path, str(server.ca_file))
        files = TinyPackage("widgets").build(tmp_path / "dist")
        published = clients.uv_publish(f"{server.url}/acme/legacy/", files, issuer.start_job())

        (file, *_) = list_command(clients, data, "file", "list", "acme", "widgets")
        shown = list_command(clients, data, "file", "show", "acme", file["filename"])
        job = shown["published_by"]
        (publisher_id,) = job["publishers"]
        publisher = list_command(clients, data, "publisher", "show", publisher_id)
        projects = list_command(clients, data, "project", "list", "acme")

    assert shown.pop("provenance")["published"]["words"] == ["full"]
    assert shown == file
    assert job["token_hash"] == UploadToken.parse(masked_token(published)).hash[:12]
    assert (job["repository"], job["provider"]) == ("octo-org/widgets", "github")
    assert job["run_url"].endswith(f"/octo-org/widgets/actions/runs/{job['run']}")
    assert publisher["fields"]["repository"] == "octo-org/widgets"
    assert "widgets" in publisher["projects"]
    assert [each["name"] for each in projects if each["files"]] == ["widgets"]


def list_command(clients: Clients, data: Path, *words: str) -> Any:
    """Return what a command that lists or shows prints as JSON, on a running server's folder."""
    command = (sys.executable, "-m", "pytp_broker.cli", *words)
    done = clients.run(*command, "--json", "--data", data)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def delete_command(clients: Clients, filename: str, data: Path) -> None:
    """Delete a file of a running server, as its operator does."""
    done = clients.run(
        *(sys.executable, "-m", "pytp_broker.cli", "file", "delete", "acme", filename),
        *("--reason", "contains a password", "--data", data),
    )
    assert done.returncode == 0, done.stderr


def status_command(clients: Clients, status: str, data: Path) -> None:
    """Set the status of a project of a running server, as its operator does."""
    done = clients.run(
        *(sys.executable, "-m", "pytp_broker.cli", "project", "status", "acme", "widgets"),
        *(status, "--reason", "moved", "--data", data),
    )
    assert done.returncode == 0, done.stderr


def release_command(clients: Clients, action: str, data: Path) -> None:
    """Yank or unyank a release of a running server, as its operator does."""
    done = clients.run(
        *(sys.executable, "-m", "pytp_broker.cli", "release", action, "acme", "widgets", "1.1"),
        *("--reason", "loses data", "--data", data),
    )
    assert done.returncode == 0, done.stderr


def test_data_keeps_files_tokens_and_trust_over_a_restart(
    issuer: Issuer, config: Path, tmp_path: Path
) -> None:
    options = ("--data", str(tmp_path / "data"))
    with ServerProcess(config, tmp_path / "log", *options) as server, trusting(server) as session:
        trusted = str(shutil.copy(str(server.ca_file), tmp_path / "trusted.pem"))
        files = TinyPackage("widgets").build(tmp_path / "dist")
        clients = Clients(tmp_path, str(server.ca_file))
        clients.uv_publish(f"{server.url}/acme/legacy/", files, issuer.start_job())
        token = mint(session, f"{server.url}/acme", issuer)
        used = issuer.issued[-1]
        assert server.stop() == 0

    with ServerProcess(config, tmp_path / "log", *options) as server, trusting(server) as session:
        session.verify = trusted
        page = session.get(f"{server.url}/acme/simple/widgets/")
        replayed = session.post(f"{server.url}/acme/_/oidc/mint-token", json={"token": used})
        clients = Clients(tmp_path, trusted)
        more = TinyPackage("bolts").build(tmp_path / "dist")
        uploaded = clients.run(
            *(find_uv_bin(), "publish", "--publish-url", f"{server.url}/acme/legacy/", *more),
            UV_PUBLISH_TOKEN=token,
        )

    assert "widgets-1.0.0.tar.gz" in page.text
    assert replayed.json()["errors"][0]["code"] == "invalid-reuse-token"
    assert uploaded.returncode == 0, uploaded.stderr
    keys = list((tmp_path / "data" / "tls").glob("*.key"))
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}


def test_without_tls_the_server_speaks_plain_http(
    issuer: Issuer, config: Path, tmp_path: Path
) -> None:
    with ServerProcess(config, tmp_path / "log", "--no-tls") as server:
        with trusting(server) as session:
            token = mint(session, server.url, issuer)

        assert server.url.startswith("http://127.0.0.1:")
        assert server.ca_file is None
        assert token.startswith("pytp_")


@pytest.mark.ministack
def test_the_same_story_on_dynamodb_and_s3(
    issuer: Issuer, config: Path, tmp_path: Path, emulator: Emulator
) -> None:
    options = (
        *("--store", "dynamodb", "--table", "e2e-table", "--bucket", "e2e-bucket"),
        *("--dynamodb-endpoint", emulator.endpoint_url, "--s3-endpoint", emulator.endpoint_url),
    )
    with ServerProcess(config, tmp_path / "log", *options) as server:
        clients = Clients(tmp_path, str(server.ca_file))
        files = TinyPackage("widgets", greeting="aws").build(tmp_path / "dist")

        published = clients.uv_publish(f"{server.url}/acme/legacy/", files, issuer.start_job())

        assert published.returncode == 0, published.stderr
        assert clients.uv_install(f"{server.url}/acme/simple/", "widgets") == "aws\n"
        assert clients.pip_install(f"{server.url}/acme/simple/", "widgets") == "aws\n"
