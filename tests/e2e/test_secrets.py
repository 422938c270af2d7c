"""A full run, on one machine and on AWS, then a search for secrets in everything that it wrote."""

import base64
import hashlib
import importlib
import json
import os
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import requests

from pytp_broker.cli import main
from pytp_broker.content import Held
from pytp_broker.demo.issuer import Issuer
from pytp_broker.demo.packages import TinyPackage
from pytp_broker.demo.process import ServerProcess
from pytp_broker.local.gateway_events import HttpRequest, build_event
from pytp_broker.local.log_lines import Sentences
from pytp_broker.local.routes import RouteTable, find_template, load_template
from pytp_broker.oidc import fetch
from pytp_broker.provenance.dsse import Envelope
from pytp_broker.registries import Access
from pytp_broker.tokens import UploadToken
from tests.e2e.test_publish import Clients, masked_token, mint, misplace_tokens, trusting
from tests.support import distributions, signing
from tests.support.attesting import attestation
from tests.support.deployment import basic
from tests.support.emulator import REGION, Emulator, create_bucket, create_table
from tests.support.gateways import body_of
from tests.support.ports import free_port
from tests.support.scanner import SecretScanner, match

CLIENT_SECRET = "an-introspection-clients-own-long-secret"
CONFIGURATION = """
{issuers}
[[registries]]
name = "acme"
issuers = ["{issuer}"]
[[registries.introspection_clients]]
id = "devpi"
secret_sha256 = "{secret_sha256}"
[[registries.publishers]]
projects = ["widgets"]
[registries.publishers.github]
repository = "octo-org/widgets"
repository_owner_id = "9919"
workflow = "release.yml"
environment = "release"
[[registries.readers]]
[registries.readers.github]
owner = "octo-org"
repository_owner_id = "9919"
"""
# What must not have the token of a publishing session either.
LOGS = ("log", "stdout", "output", "commands", "sentences", "metrics")


def configuration(issuer: str, issuers: str = "") -> str:
    secret_sha256 = hashlib.sha256(CLIENT_SECRET.encode()).hexdigest()
    return CONFIGURATION.format(issuer=issuer, issuers=issuers, secret_sha256=secret_sha256)


@dataclass
class Search:
    """Secrets, and everything that was written."""

    identity_tokens: list[str] = field(default_factory=list)
    upload_tokens: list[str] = field(default_factory=list)
    session_tokens: list[str] = field(default_factory=list)
    written: dict[str, str] = field(default_factory=dict)

    def add(self, place: str, *texts: object) -> None:
        self.written[place] = self.written.get(place, "") + "\n".join(map(str, texts))

    @property
    def secrets(self) -> dict[str, str]:
        """Return the texts that must not be found, each under its description."""
        passwords = [*self.upload_tokens, *self.identity_tokens]
        credentials = [f"__token__:{p}" for p in passwords] + [f"devpi:{CLIENT_SECRET}"]
        found = {"client secret": CLIENT_SECRET}
        for number, token in enumerate(self.upload_tokens):
            found[f"upload token {number}"] = token
            found[f"upload token {number} as a name"] = token.replace("_", "-")
        for number, token in enumerate(self.identity_tokens):
            segments = zip(("header", "payload", "signature"), token.split("."), strict=True)
            found |= {f"{name} of identity token {number}": text for name, text in segments}
        for number, text in enumerate(credentials):
            found[f"credentials {number}"] = base64.b64encode(text.encode()).decode()
        return found

    def hits(self) -> dict[str, str]:
        """Return which text was found in which file, and the text before it."""
        found = {}
        for name, secret in self.secrets.items():
            for place, text in self.written.items():
                # A project's name is folded before it is compared, and may be shown so.
                before, hit, _ = text.lower().partition(secret.lower())
                if hit:
                    found[f"{name} in {place}"] = before[-100:]
        return found

    def check(self, *, expects: Iterable[str]) -> None:
        """Fail for any secret, and if an expected text is missing: then nothing was searched."""
        prefixes = [UploadToken.parse(token).hash[:12] for token in self.upload_tokens]
        for place in expects:
            assert any(p in self.written[place] for p in prefixes), place
        assert self.hits() == {}
        # A store and the answers have the token of a publishing session, and no log has it.
        logs = [self.written.get(place, "") for place in LOGS]
        assert self.session_tokens
        assert not [token for token in self.session_tokens for log in logs if token in log]


def test_the_search_finds_what_it_looks_for() -> None:
    search = Search(["aaaa.bbbb.cccc"], ["pytp_DDDD"])
    search.add("log", "x bbbb y", "PYTP-dddd", basic("__token__:pytp_DDDD"), CLIENT_SECRET)

    assert list(search.hits()) == [
        "client secret in log",
        "upload token 0 as a name in log",
        "payload of identity token 0 in log",
        "credentials 0 in log",
    ]


# --- on this machine ------------------------------------------------------------------------------


@contextmanager
def serving(scanner: SecretScanner) -> Iterator[str]:
    """Serve the scanner's keys over HTTP; yield their URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"public_keys": scanner.public_keys()}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/keys"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.promise("no-secret-written")
@pytest.mark.promise("readable-key")
@pytest.mark.e2e
def test_nothing_that_a_local_run_writes_holds_a_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search, data = Search(), tmp_path / "data"
    with Issuer() as issuer, serving(SecretScanner()) as keys_url:
        config = tmp_path / "broker.toml"
        issuers = f'[[issuers]]\nurl = "{issuer.url}"\nprovider = "github"\n'
        config.write_text(configuration(issuer.url, issuers))
        metrics_port = str(free_port())
        seen = ("--metrics-port", metrics_port)
        options = ("--data", str(data), "--disclosure-keys-url", keys_url, *seen)
        with ServerProcess(config, tmp_path / "log", *options) as server:
            with trusting(server) as session:
                session.hooks["response"].append(lambda answer, **_: keep(answer, search))
                run_locally(session, server, issuer, tmp_path, search)
                close_locally(session, server, issuer, data, search)
                metrics = session.get(f"http://127.0.0.1:{metrics_port}/metrics").text
                search.add("metrics", metrics)
            operate(data, issuer, search, capsys)
            read_folder(data, search)  # also while it runs: the write-ahead log is there
            server.stop()
        search.identity_tokens += issuer.issued
    read_folder(data, search)
    check_private_keys(data, search)
    search.add("stdout", server.output)
    search.add("log", server.log.read_text())
    events = [json.loads(line) for line in server.log.read_text().splitlines()]
    search.add("sentences", *map(Sentences(), events))
    assert 'pytp_exchanges_total{outcome="accepted"' in search.written["metrics"]

    assert {e["event"] for e in map(json.loads, server.log.read_text().splitlines())} >= {
        *("access", "exchange", "read-exchange", "upload", "session", "session-file"),
        *("burn", "introspection", "disclosure"),
    }
    search.check(expects=["log", "commands", "receipts"])
    shown = search.written["metrics"]
    assert not [name for name in ("widgets", "octo-org", issuer.url, "127.0.0.1") if name in shown]


def keep(answer: requests.Response, search: Search) -> None:
    is_minting = answer.request.path_url.endswith(("/mint-token", "/mint-read-token"))
    if not (is_minting and answer.status_code == 200):
        search.add("answers", answer.text, answer.headers)


def run_locally(
    session: requests.Session, server: ServerProcess, issuer: Issuer, folder: Path, search: Search
) -> None:
    clients = Clients(folder, str(server.ca_file))
    files = TinyPackage("widgets").build(folder / "dist")
    published = clients.uv_publish(f"{server.url}/acme/legacy/", files, issuer.start_job())
    assert published.returncode == 0, published.stderr
    search.upload_tokens += [masked_token(published)]
    for _ in range(2):
        search.upload_tokens.append(mint(session, f"{server.url}/acme", issuer))
    search.upload_tokens.append(mint_to_read(session, f"{server.url}/acme", issuer))
    search.upload_tokens.append(mint(session, f"{server.url}/acme", issuer))

    def call(method: str, path: str, headers: Mapping[str, str], body: bytes) -> str:
        return session.request(method, server.url + path, headers=headers, data=body).text

    search.session_tokens.append(stage_release(call, search.upload_tokens[-1]))
    misplace_tokens(session, server.url, issuer, list(search.upload_tokens))
    token = search.upload_tokens[-1]
    for path in misplaced_paths(token, issuer.token()):
        session.get(server.url + path)
    for method, path, headers, body in further_calls(token, issuer.token()):
        session.request(method, server.url + path, headers=headers, data=body)
    assert (
        session.get(f"{server.url}/acme/_/token/verify", auth=("__token__", token)).status_code
        == 401
    )


def stage_release(call: Callable[[str, str, Mapping[str, str], bytes], str], token: str) -> str:
    """Publish by Upload API 2.0, put the session's token in wrong places, and return it."""
    file = distributions.wheel(version="0.5")
    kind = "application/vnd.pypi.upload.v2+json"
    headers = {"authorization": basic(f"__token__:{token}"), "content-type": kind}

    def send(url: str, **members: object) -> Any:
        body = json.dumps({"meta": {"api-version": "2.0"}, **members}).encode()
        return json.loads(call("POST", urlsplit(url).path, headers, body))

    session = send("/acme/upload/", name="widgets", version="0.5")
    upload = send(
        session["links"]["upload"],
        filename=file.filename,
        size=len(file.content),
        hashes={"sha256": file.sha256},
        mechanism="http-post-bytes",
    )
    call("POST", urlsplit(upload["mechanism"]["file_url"]).path, headers, file.content)
    url = urlsplit(upload["mechanism"]["attestations_url"]).path
    for text in misplaced_attestations(token, file):
        assert '"invalid-upload"' in call("POST", url, headers, text.encode())
    assert send(upload["links"]["complete"])["status"] == "completed"
    staged = str(session["session-token"])
    for path in (
        "/acme/integrity/{}/1/{}/provenance",
        "/acme/upload/{}/x",
        "/acme/simple/{}/",
        "/acme/stage/{}/simple/",
        "/{}",
        "/x?{}",
    ):
        call("GET", path.replace("{}", staged), headers, b"")
        call("DELETE", path.replace("{}", staged), {}, b"")
    assert send(session["links"]["publish"])["status"] == "published"
    return staged


def misplaced_attestations(secret: str, file: distributions.Distribution) -> list[str]:
    """Return attestations with a secret where somebody may have put one."""
    named = [
        attestation(secret, file.sha256),
        attestation(file.filename, file.sha256, secret),
        attestation(file.filename, secret),
    ]
    return [secret, json.dumps([secret]), *(json.dumps([each]) for each in named)]


def mint_to_read(session: requests.Session, url: str, issuer: Issuer) -> str:
    """Exchange an identity token for a read token, and use it for what it may not do."""
    audience = session.get(f"{url}/_/oidc/audience").json()["audience"]
    body = {"token": issuer.token(aud=audience)}
    token = str(session.post(f"{url}/_/oidc/mint-read-token", json=body).json()["token"])
    assert session.post(f"{url}/legacy/", auth=("__token__", token)).status_code >= 400
    return token


def misplaced_paths(token: str, identity_token: str) -> list[str]:
    return [
        f"{path}{text}"
        for path in ("/", "/acme/simple/", "/acme/_/token/verify/", "/acme/files/0/", "/x?token=")
        for text in (token, identity_token, *identity_token.split("."), identity_token.lower())
    ]


def further_calls(
    token: str, identity_token: str
) -> list[tuple[str, str, Mapping[str, str], bytes]]:
    """Return calls of introspection, verification and disclosure, right and wrong."""
    client = {"Authorization": basic(f"devpi:{CLIENT_SECRET}")}
    stranger = {"Authorization": basic(f"{token}:{CLIENT_SECRET}")}
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    question = urlencode({"token": token, "project": "widgets"}).encode()
    reading = urlencode({"token": token, "permission": "read"}).encode()
    confused = urlencode({"token": identity_token, "project": token, "filename": token}).encode()
    disclosed = json.dumps(
        [match(token, url=f"https://example.com/?{token}"), match(identity_token, type=token)]
    ).encode()
    signed = SecretScanner().sign(disclosed)
    return [
        ("POST", "/acme/_/token/introspect", {**client, **form}, question),
        ("POST", "/acme/_/token/introspect", {**client, **form}, confused),
        ("POST", "/acme/_/token/introspect", {**stranger, **form}, question),
        ("POST", "/acme/_/token/introspect", {**client, **form}, token.encode()),
        ("GET", "/acme/_/token/verify/widgets", {"Authorization": f"Bearer {token}"}, b""),
        ("GET", "/acme/_/token/verify", {"Authorization": f"Bearer {identity_token}"}, b""),
        ("POST", "/acme/_/token/introspect", {**client, **form}, reading),
        ("GET", "/acme/_/token/verify-reader", {"Authorization": f"Bearer {token}"}, b""),
        ("GET", "/acme/simple/widgets/", {"Authorization": basic(f"{token}:")}, b""),
        ("GET", f"/acme/simple/?token={token}", {"Authorization": f"Bearer {token}"}, b""),
        ("GET", f"/acme/simple/{token}/", {"Authorization": f"Bearer {token}"}, b""),
        ("GET", "/acme/simple/", {"Authorization": f"Bearer {identity_token}"}, b""),
        ("POST", "/_/secrets/disclose-token", {}, disclosed),
        ("POST", "/_/secrets/disclose-token", signed, disclosed),
    ]


def close_locally(
    session: requests.Session, server: ServerProcess, issuer: Issuer, data: Path, search: Search
) -> None:
    """Archive the project, and upload to it with a token that is good."""
    token = mint(session, f"{server.url}/acme", issuer)
    search.upload_tokens.append(token)
    close_project(("--data", str(data)), "widgets-1.0.0.tar.gz", (token, issuer.token()))
    headers = {"Content-Type": distributions.CONTENT_TYPE}
    refused = session.post(
        f"{server.url}/acme/legacy/",
        data=distributions.form(distributions.wheel(version="2.0")),
        headers=headers,
        auth=("__token__", token),
    )
    assert '"project-closed"' in refused.text


def close_project(
    target: tuple[str, str], file: str, secrets: Iterable[str], bucket: str = ""
) -> None:
    """Archive the project, after typing each secret where a reason or a name belongs."""

    def run(command: str, *more: str) -> int:
        where = ("--bucket", bucket) if bucket and command.startswith("file delete") else ()
        return main([*command.split(), *more, *target, *where])

    for secret in secrets:
        for command in (
            f"release yank acme widgets 1.0 --reason {secret}",
            f"release unyank acme widgets 1.0 --reason {secret}",
            f"project status acme widgets archived --reason {secret}",
            f"release yank acme widgets {secret} --reason mistake",
            f"file delete acme {file} --reason {secret}",
            f"file delete acme {secret} --reason mistake",
            f"file show acme {secret}",
            f"release show acme widgets {secret}",
            f"token create --registry acme --read --for {secret}",
            f"token create --registry acme --upload widgets --reason {secret}",
            f"token create --registry acme --upload {secret} --reason mistake",
            f"receipt-key revoke x --reason {secret}",
        ):
            assert run(command) == 2
        for command in (
            f"release yank {secret} widgets 1.0 --reason mistake",
            f"release yank acme {secret} 1.0 --reason mistake",
            f"project status {secret} widgets archived --reason mistake",
            f"project status acme {secret} archived --reason mistake",
            f"file delete {secret} {file} --reason mistake",
            *(f"{name} show {secret}" for name in ("registry", "issuer", "publisher", "token")),
            *(f"project show acme {secret}", f"file list acme {secret}"),
            *(f"release list acme {secret}", f"release show {secret} widgets 1.0"),
            f"token create --registry {secret} --read --for Dana",
            *(f"file show {secret} {file}", f"publisher list --registry {secret}"),
            *(f"receipt-key show {secret}", f"receipt-key revoke {secret} --reason lost"),
        ):
            assert run(command) == 1
    for command in (
        "release yank acme widgets 1.0",
        f"file delete acme {file}",
        "project status acme widgets archived",
    ):
        assert run(command, "--reason", "moved") == 0


READS = (
    *("registry list", "registry show acme", "issuer list", "publisher list", "token list"),
    "reader list",
    *("project list acme", "project show acme widgets", "file list acme", "file list acme widgets"),
    *("release list acme widgets", "release show acme widgets 1.0"),
    *(f"issuer show {signing.GITHUB}", "receipt-key list", "audit"),
)


def read_all(target: tuple[str, str]) -> None:
    """Run each command that lists or shows, as a table and as JSON."""
    for command in READS:
        for form in ((), ("--json",)) if command != "audit" else ((),):
            assert main([*command.split(), *target, *form]) == 0


def check_hashes(shown: str, search: Search) -> None:
    """Check that no listing shows a hash of which the beginning is enough."""
    secret_hash = hashlib.sha256(CLIENT_SECRET.encode()).hexdigest()
    assert secret_hash[:12] in shown
    for hash_ in (secret_hash, *(UploadToken.parse(t).hash for t in search.upload_tokens)):
        assert hash_ not in shown


def move_in(folder: Path, target: tuple[str, str], token: str, identity_token: str) -> None:
    """Import with a token in each place where somebody may have put one."""
    command = ("import", "--registry", "acme", *target)
    for secret in (token, identity_token):
        for source in (
            f"http://__token__:{secret}@127.0.0.1:1/simple/",
            f"http://{secret}@127.0.0.1:1/simple/",
            f"http://127.0.0.1:1/{secret}/simple/",
        ):
            assert main([*command, "--from-index", source]) == 1
        query = f"http://127.0.0.1:1/simple/?token={secret}"
        assert main([*command, "--from-index", query]) == 2
    packages = folder / token
    packages.mkdir()
    for file in (distributions.wheel(version="3.0"), distributions.wheel(filename=f"{token}.whl")):
        (packages / file.filename).write_bytes(file.content)
    for options in ((), ("--json",)):
        assert main([*command, "--from-folder", str(packages), *options]) == 1


def operate(data: Path, issuer: Issuer, search: Search, capsys: pytest.CaptureFixture[str]) -> None:
    target = ("--data", str(data))
    move_in(data.parent, target, search.upload_tokens[-1], issuer.token())
    read_all(target)
    make_tokens(target, search, capsys)
    change_keys(target)
    assert main(["token", "burn", "--all", *target]) == 0
    read_all(target)
    search.add("commands", *capsys.readouterr())
    check_hashes(search.written["commands"], search)
    assert '"event": "configuration"' in search.written["commands"]
    for event in ("burn", "yank", "file-deletion", "project-status", "token-creation"):
        assert f'"event": "{event}"' in search.written["commands"]


def make_tokens(
    target: tuple[str, str], search: Search, capsys: pytest.CaptureFixture[str]
) -> None:
    """Make tokens as an operator does: stdout has the token, and nothing else has."""
    for purpose in (("--read", "--for", "Dana"), ("--upload", "widgets", "--reason", "no CI")):
        search.add("commands", *capsys.readouterr())
        assert main(["token", "create", "--registry", "acme", *purpose, *target]) == 0
        printed = capsys.readouterr()
        search.upload_tokens.append(printed.out.removesuffix("\n"))
        search.add("commands", printed.err)


def change_keys(target: tuple[str, str], *kms_key: str) -> None:
    """Make a new key of receipts."""
    assert main(["receipt-key", "rotate", *kms_key, *target]) == 0


def check_private_keys(data: Path, search: Search) -> None:
    """Check that a private key is in its own file and nowhere else."""
    files = list((data / "receipt-keys").iterdir())
    assert len(files) > 1
    for path in files:
        secret = max(path.read_text().splitlines(), key=len)
        found = [place for place, text in search.written.items() if secret in text]
        assert found == [f"file {path.name}"]


def read_folder(folder: Path, search: Search) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            search.add(f"file {path.name}", path, path.read_bytes().decode("latin-1"))
            if "receipts" in path.parts:
                search.add("receipts", payload_of(path.read_bytes()))


def payload_of(receipt: bytes) -> str:
    """Return what a receipt says; its envelope has that in base64."""
    return Envelope.read(receipt).payload.decode()


# --- on AWS ---------------------------------------------------------------------------------------

FUNCTIONS = ("broker", "upload", "read", "web", "introspect")


class Aws:
    """The functions behind a gateway, in this process, on moto."""

    def __init__(self, modules: Mapping[str, ModuleType], search: Search) -> None:
        self._modules = modules
        self._search = search
        self._routes = RouteTable.from_template(load_template(find_template()))

    def call(
        self, method: str, url: str, headers: Mapping[str, str] = {}, body: bytes = b""
    ) -> Any:
        path, _, query = url.partition("?")
        sent = [("host", "packages.example.com"), *headers.items()]
        request = HttpRequest(method, path, query, sent, Held(body))
        selected = self._routes.select(method, request.path)
        assert selected
        route = selected.route
        event = build_event(request, selected, datetime.now(UTC))
        module = self._modules[route.function.removesuffix("Function").lower()]
        context = SimpleNamespace(
            function_name=route.function,
            memory_limit_in_mb=512,
            invoked_function_arn="arn",
            aws_request_id="r-1",
        )
        result = module.handler(event, context)
        content = body_of(result).decode()
        is_minting = path.endswith(("/mint-token", "/mint-read-token"))
        if not (is_minting and result["statusCode"] == 200):
            self._search.add("answers", content, result["headers"])
        return SimpleNamespace(status=result["statusCode"], text=content)


class Documents:
    """Fetches what the issuer and the scanner of the test publish, without a network."""

    def __init__(self, issuer: signing.Issuer, scanner: SecretScanner) -> None:
        self._issuer = issuer
        self._scanner = scanner

    def __call__(self, url: str) -> bytes:
        return (self._scanner if url == self._scanner.keys_url else self._issuer).fetch(url)

    def reach(self, _access: Access) -> "Documents":
        return self


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Set the functions' environment."""
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    variables = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "PYTP_SHARED_HOST": "packages.example.com",
        "PYTP_ERROR_TYPE_BASE": "urn:pytp-broker:errors#",
        "PYTP_DISCLOSURE_KEYS_URL": SecretScanner().keys_url,
        "PYTP_VERIFY_FUNCTION": "pytp-broker-VerifyFunction",
        "PYTP_ATTEST_FUNCTION": "pytp-broker-AttestFunction",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


@pytest.mark.promise("hashes-only")
@pytest.mark.ministack
@pytest.mark.promise("no-secret-written")
def test_nothing_that_the_functions_write_on_aws_holds_a_secret(
    emulator: Emulator,
    environment: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    search, issuer, scanner = Search(), signing.Issuer(), SecretScanner()
    dynamodb, s3 = emulator.client("dynamodb"), emulator.client("s3")
    table, bucket = create_table(dynamodb), create_bucket(s3)
    s3.put_bucket_versioning(
        Bucket=bucket,
        VersioningConfiguration={"Status": "Enabled"},  # as in template.yaml
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL", emulator.endpoint_url)
    monkeypatch.setenv("PYTP_TABLE", table)
    monkeypatch.setenv("PYTP_BUCKET", bucket)
    config = tmp_path / "broker.toml"
    config.write_text(configuration(signing.GITHUB))
    assert main(["apply", "--yes", "--config", str(config), "--table", table]) == 0
    change_keys(("--table", table), "--kms-key", make_kms_key(emulator.client("kms")))

    monkeypatch.setattr(fetch, "HttpFetch", lambda **_: Documents(issuer, scanner))
    with started() as modules:
        run_on_aws(Aws(modules, search), table, issuer, search)
    read_all(("--table", table))
    main(["token", "burn", "--all", "--table", table])
    search.add("output", *capsys.readouterr())
    read_table(dynamodb, table, search)
    read_bucket(s3, bucket, search)

    asked = ("exchange", "read-exchange", "upload", "burn", "introspection", "disclosure")
    for event in (*asked, "session", "session-file"):
        assert f'"event":"{event}"' in search.written["output"]
    assert '"UnexpectedErrors"' in search.written["output"]
    search.check(expects=["output", "table", "receipts"])


def make_kms_key(client: Any) -> str:
    made = client.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    return str(made["KeyMetadata"]["KeyId"])


@contextmanager
def started() -> Iterator[dict[str, ModuleType]]:
    """Import the functions' modules as a cold start does, and forget them afterwards."""
    names = {function: f"pytp_broker.aws.{function}" for function in FUNCTIONS}
    for name in names.values():
        sys.modules.pop(name, None)
    yield {function: importlib.import_module(name) for function, name in names.items()}
    for name in names.values():
        sys.modules.pop(name, None)


def run_on_aws(aws: Aws, table: str, issuer: signing.Issuer, search: Search) -> None:
    token = mint_on_aws(aws, issuer, search)
    single = mint_on_aws(aws, issuer, search, features=["single-use-token"])
    reading = mint_on_aws(aws, issuer, search, "mint-read-token")
    upload = {"content-type": distributions.CONTENT_TYPE}
    wheel, sdist = (
        distributions.form(distributions.wheel()),
        distributions.form(distributions.sdist()),
    )
    for credentials, body in (
        (token, wheel),
        (single, sdist),
        (single, wheel),
        (reading, wheel),
        ("x", wheel),
    ):
        headers = {**upload, "authorization": basic(f"__token__:{credentials}")}
        aws.call("POST", "/acme/legacy/", headers, body)

    def ask(method: str, path: str, headers: Mapping[str, str], body: bytes) -> str:
        return str(aws.call(method, path, headers, body).text)

    search.session_tokens.append(stage_release(ask, token))
    reader = {"authorization": basic(f"__token__:{token}")}
    for page in ("/acme/simple/widgets/", "/acme/project/widgets/"):
        assert "widgets-1.0" in aws.call("GET", page, reader).text
        assert aws.call("GET", page).status == 401
    aws.call("GET", f"/acme/?q={token}", {"accept": "text/html"})
    aws.call("GET", f"/acme/project/{token}/", {"accept": "text/html"})
    close_project(
        ("--table", table),
        distributions.sdist().filename,
        (token, new_identity_token(issuer, search)),
        os.environ["PYTP_BUCKET"],
    )
    headers = {**upload, "authorization": basic(f"__token__:{token}")}
    assert '"project-closed"' in aws.call("POST", "/acme/legacy/", headers, wheel).text

    identity_token = new_identity_token(issuer, search)
    for path in misplaced_paths(token, identity_token):
        aws.call("GET", path)
    for refused in (identity_token, json.dumps({"token": [identity_token]}), token):
        aws.call("POST", "/acme/_/oidc/mint-token", {}, refused.encode())
        aws.call("POST", "/acme/legacy/", {"authorization": f"Bearer {refused}"}, refused.encode())
    for call in further_calls(token, identity_token):
        aws.call(*call)
    aws.call("POST", "/_/oidc/burn-token", {}, json.dumps({"token": single}).encode())
    break_down(aws, token, identity_token)


def mint_on_aws(
    aws: Aws, issuer: signing.Issuer, search: Search, mint: str = "mint-token", **members: Any
) -> str:
    body = json.dumps({"token": new_identity_token(issuer, search), **members}).encode()
    minted = aws.call("POST", f"/acme/_/oidc/{mint}", {}, body)
    assert minted.status == 200, minted.text
    token = str(json.loads(minted.text)["token"])
    search.upload_tokens.append(token)
    return token


def new_identity_token(issuer: signing.Issuer, search: Search) -> str:
    audience = "packages.example.com/acme"
    token = issuer.sign(signing.github_claims(datetime.now(UTC), aud=audience))
    search.identity_tokens.append(token)
    return token


def break_down(aws: Aws, token: str, identity_token: str) -> None:
    """Make every function fail unexpectedly while it handles secrets."""
    for module in aws._modules.values():
        with pytest.MonkeyPatch.context() as broken:

            def fail(*_: object) -> None:
                raise RuntimeError(f"{token} {identity_token}")

            broken.setattr("pytp_broker.endpoints.events.respond", fail)
            event = {"requestContext": {"http": {"method": "GET"}, "domainName": "h"}}
            headers = {"authorization": f"Bearer {token}"}
            context = SimpleNamespace(
                function_name="f",
                memory_limit_in_mb=512,
                invoked_function_arn="arn",
                aws_request_id="r-1",
            )
            event |= {"rawPath": "/acme", "headers": headers, "body": identity_token}  # type: ignore[dict-item]
            answer = module.handler(event, context)
            assert answer["statusCode"] == 500
            aws._search.add("answers", body_of(answer).decode(), answer["headers"])


def read_table(client: Any, table: str, search: Search) -> None:
    items = client.scan(TableName=table, ConsistentRead=True)["Items"]
    assert {item["pk"]["S"].partition("#")[0] for item in items} == {
        *("CONFIGURATION", "OPERATOR", "PUBLISHER", "TRUST", "PROJECT", "REGISTRY"),
        *("TOKEN", "USE", "KEYSET", "STATUS", "YANKED", "SESSION", "LIVE", "LISTING"),
        *("RECEIPTKEYS", "APPLIED"),
    }
    search.add("table", json.dumps(items, default=_unpacked))


def _unpacked(octets: bytes) -> str:
    """Return what a compressed document says."""
    either_format = 32 + zlib.MAX_WBITS
    return zlib.decompress(octets, either_format).decode()


def read_bucket(client: Any, bucket: str, search: Search) -> None:
    """Read every object, and those that were deleted: the bucket keeps them for a time."""
    versions = client.list_object_versions(Bucket=bucket)["Versions"]
    keys = [(version["Key"], version["VersionId"]) for version in versions]
    for key, version in keys:
        found = client.get_object(Bucket=bucket, Key=key, VersionId=version)
        octets = found.pop("Body").read()
        search.add("bucket", key, found, octets.decode("latin-1"))
        if key.startswith("receipts/"):
            search.add("receipts", payload_of(octets))
    for each in client.list_objects_v2(Bucket=bucket)["Contents"]:
        tags = client.get_object_tagging(Bucket=bucket, Key=each["Key"])["TagSet"]
        search.add("bucket", each["Key"], tags)
    assert len(keys) == 9  # each of three files with its metadata and its receipt
