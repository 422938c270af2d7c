"""`pytp-broker doctor` at a real server over TLS: a sound one has no fault, and each seeded fault
is found by its name and cured by what it says.

The faults of a proxy are made by one that really meddles, those of a data folder in a copy of the
folder of the running server, and those of an issuer by one that really misbehaves.
"""

import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from pytp_broker.cli import main
from pytp_broker.content import Held
from pytp_broker.demo.process import ServerProcess
from pytp_broker.storage.data_folder import DATABASE, open_data_folder
from pytp_broker.storage.file_store import content_key
from tests.support import samples
from tests.support.configurations import github_issuer, github_publisher, registry
from tests.support.meddler import Answered, HungUpError, Meddler, Passing
from tests.support.misbehaving import JWKS, MisbehavingIssuer, answering
from tests.support.ports import free_port

pytestmark = pytest.mark.e2e

CONTENT = b"the bytes of a published file"


@dataclass
class Report:
    """What doctor has printed with --json, and its status."""

    status: int
    findings: list[dict[str, Any]] = field(default_factory=list)

    def of(self, outcome: str) -> dict[str, dict[str, Any]]:
        return {each["name"]: each for each in self.findings if each["outcome"] == outcome}

    @property
    def faults(self) -> set[str]:
        return {*self.of("fault")}


Ask = Callable[..., Report]


@dataclass
class Sound:
    """A server that nothing is wrong with, its folder, and the issuer of its publishers."""

    server: ServerProcess
    config: Path
    data: Path
    issuer: MisbehavingIssuer

    @property
    def ca_file(self) -> str:
        assert self.server.ca_file is not None
        return self.server.ca_file


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sound]:
    folder = tmp_path_factory.mktemp("doctor")
    path, data = folder / "broker.toml", folder / "data"
    with MisbehavingIssuer() as issuer:
        publisher = github_publisher("widgets", issuer=issuer.url, repository_owner_id="9919")
        text = github_issuer(issuer.url) + registry("acme", publisher)
        path.write_text(text + registry("open", access="public"))
        options = ("--data", str(data), "--public-host", "localhost")
        with ServerProcess(path, folder / "log", *options) as server:
            publish_a_file(data)
            yield Sound(server, path, data, issuer)


def publish_a_file(data: Path) -> None:
    import hashlib

    sha256 = hashlib.sha256(CONTENT).hexdigest()
    file = samples.file(registry="acme", sha256=sha256, size=len(CONTENT))
    with open_data_folder(data) as storage:
        key = content_key("acme", sha256, file.filename)
        storage.files.save(key, Held(CONTENT), sha256)
        storage.store.add_file(file)


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    """Return what runs doctor in this process."""

    def run(*options: object) -> Report:
        capsys.readouterr()
        status = main(["doctor", "--json", *map(str, options)])
        printed = capsys.readouterr()
        assert printed.err == ""
        return Report(status, json.loads(printed.out)["findings"])

    return run


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_bundle(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(scope="module")
def shared_proxy(sound: Sound, authority: trustme.CA) -> Iterator[Meddler]:
    with Meddler(sound.server.url, sound.ca_file, authority) as running:
        yield running


@pytest.fixture
def proxy(shared_proxy: Meddler, authority: trustme.CA) -> Iterator[Meddler]:
    yield shared_proxy
    shared_proxy.behave()
    shared_proxy.present(authority)


# --- a sound server -------------------------------------------------------------------------------


def test_a_sound_server_has_no_fault(sound: Sound, ask: Ask) -> None:
    report = ask("--data", sound.data, "--config", sound.config)

    assert report.of("fault") == {}
    assert report.of("warning") == {}
    assert report.status == 0
    assert {*report.of("not-checked")} == {"plain-http"}


def test_a_sound_server_has_no_fault_from_outside(sound: Sound, ask: Ask) -> None:
    report = ask("--url", f"{sound.server.url}/acme/legacy/", "--ca-bundle", sound.ca_file)

    assert report.of("fault") == {}
    assert report.status == 0
    assert {*report.of("not-checked")} == {"plain-http", "inside"}


def test_a_proxy_that_passes_everything_on_is_no_fault(
    sound: Sound, proxy: Meddler, ca_bundle: Path, ask: Ask
) -> None:
    report = ask("--url", proxy.url, "--data", sound.data, "--ca-bundle", ca_bundle)

    assert report.of("fault") == {}


def test_doctor_writes_nothing(sound: Sound, ask: Ask) -> None:
    def dump() -> dict[str, list[Any]]:
        with closing(sqlite3.connect(sound.data / DATABASE)) as database:
            query = "SELECT name FROM sqlite_master WHERE type = 'table'"
            names = [name for (name,) in database.execute(query)]
            return {name: [*database.execute(f"SELECT * FROM {name}")] for name in names}  # noqa: S608

    before = dump()

    ask("--data", sound.data)

    assert dump() == before


def test_the_lines_for_people_say_what_is_wrong_and_the_cure(
    sound: Sound, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = copied(sound, tmp_path)
    data.chmod(0o755)

    status = main(["doctor", "--data", str(data)])

    printed = capsys.readouterr().out.splitlines()
    at = next(n for n, line in enumerate(printed) if line.startswith("✗ folder-readable "))
    assert printed[at + 1].strip().startswith(f"cure: run chmod 700 {data}")
    assert printed[-1].endswith("0 warnings, 1 fault, 2 not checked")
    assert status == 1


# --- what is in front of a server -----------------------------------------------------------------


def redirect(passing: Passing) -> Answered | None:
    return Answered(302, {"Location": f"https://elsewhere.example.com{passing.path}"})


def strip_prefix(passing: Passing) -> None:
    passing.path = passing.path.removeprefix("/acme")


def drop(*names: str) -> Callable[[Passing], None]:
    def meddle(passing: Passing) -> None:
        passing.headers = {n: v for n, v in passing.headers.items() if n.lower() not in names}

    return meddle


def drop_query(passing: Passing) -> None:
    passing.path = passing.path.partition("?")[0]


def limit_bodies(passing: Passing) -> Answered | None:
    too_large = Answered(413, {"Content-Type": "text/html"}, b"<h1>413</h1>")
    return too_large if len(passing.body) > 1024**2 else None


def lose_introspection(passing: Passing) -> Answered | None:
    lost = "/_/token/" in passing.path
    return Answered(404, {"Content-Type": "text/html"}, b"<h1>404</h1>") if lost else None


def swallow_burns(passing: Passing) -> None:
    passing.path = passing.path.replace("/_/oidc/burn-token", "/simple/")


def lead_to_another_registry(passing: Passing) -> None:
    if passing.path == "/acme/_/oidc/audience":
        passing.path = "/open/_/oidc/audience"


def hang_up(passing: Passing) -> Answered | None:
    if "mint-token" in passing.path:
        raise HungUpError
    return None


def fail_everywhere(passing: Passing) -> Answered | None:
    failing = passing.path.startswith("/acme/simple/")
    return Answered(502, {"Content-Type": "text/html"}, b"") if failing else None


def another_site(_: Passing) -> Answered | None:
    return Answered(200, {"Content-Type": "text/html"}, b"<h1>It works!</h1>")


def ask_for_a_password(passing: Passing) -> Answered | None:
    asked = {"WWW-Authenticate": 'Basic realm="staff"', "Content-Type": "text/html"}
    return Answered(401, asked, b"") if "/simple/" in passing.path else None


def answer_from_a_cache(passing: Passing) -> Answered | None:
    cached = passing.method == "GET" and passing.path == "/acme/simple/"
    return Answered(200, {"Content-Type": "text/html"}, b"<a>widgets</a>") if cached else None


def no_registry(passing: Passing) -> Answered | None:
    is_asked = passing.path.startswith("/.well-known/pytp?")
    return Answered(404, {"Content-Type": "text/html"}, b"") if is_asked else None


def no_audience(passing: Passing) -> Answered | None:
    is_asked = passing.path.endswith("/_/oidc/audience")
    return Answered(404, {"Content-Type": "text/html"}, b"") if is_asked else None


def mint_for_everybody(passing: Passing) -> Answered | None:
    minted = Answered(200, {"Content-Type": "application/json"}, b'{"token": "pytp_x"}')
    return minted if passing.method == "POST" and passing.path.endswith("mint-token") else None


def publish_no_keys(passing: Passing) -> Answered | None:
    is_asked = passing.path == "/.well-known/pytp-receipt-keys"
    none = Answered(200, {"Content-Type": "application/json"}, b'{"keys": []}')
    return none if is_asked and passing.method == "GET" else None


def store_down(passing: Passing) -> Answered | None:
    down = {"errors": [{"code": "store-unavailable", "description": "x"}]}
    is_asked = passing.path == "/_/health" and passing.method == "GET"
    return Answered(503, {}, json.dumps(down).encode()) if is_asked else None


REQUESTS: dict[str, Callable[[Passing], Answered | None]] = {
    "redirected": redirect,
    "path-changed": strip_prefix,
    "authorization-lost": drop("authorization"),
    "accept-lost": drop("accept"),
    "query-lost": drop_query,
    "body-limited": limit_bodies,
    "route-missing": lose_introspection,
    "route-swallowed": swallow_burns,
    "audience-wrong": lead_to_another_registry,
    "audience-missing": no_audience,
    "no-answer": hang_up,
    "function-fails": fail_everywhere,
    "not-a-broker": another_site,
    "public-registry-closed": ask_for_a_password,
    "private-registry-open": answer_from_a_cache,
    "discovery-missing": no_registry,
    "mint-open": mint_for_everybody,
    "receipt-keys-unpublished": publish_no_keys,
    "unhealthy": store_down,
}


@pytest.mark.parametrize("fault", REQUESTS)
def test_what_a_proxy_does_to_requests_is_found(
    fault: str, sound: Sound, proxy: Meddler, ca_bundle: Path, ask: Ask
) -> None:
    proxy.to_server = REQUESTS[fault]

    report = ask("--url", proxy.url, "--data", sound.data, "--ca-bundle", ca_bundle)

    assert fault in report.faults
    assert report.of("fault")[fault]["cure"]
    assert report.status == 1


def shift_the_clock(_: Passing, answered: Answered) -> Answered:
    answered.headers["date"] = format_datetime(datetime.now(UTC) + timedelta(minutes=10), True)
    return answered


def turn_the_clock_back(_: Passing, answered: Answered) -> Answered:
    answered.headers["date"] = format_datetime(datetime.now(UTC) - timedelta(minutes=10), True)
    return answered


def add_a_charset(_: Passing, answered: Answered) -> Answered:
    answered.headers["content-type"] = f"{answered.headers.get('content-type')}; charset=utf-8"
    return answered


def name_another_host(_: Passing, answered: Answered) -> Answered:
    answered.body = answered.body.replace(b"https://localhost", b"https://127.0.0.1")
    return answered


def drop_the_challenge(_: Passing, answered: Answered) -> Answered:
    answered.headers.pop("www-authenticate", None)
    return answered


def write_an_own_page(_: Passing, answered: Answered) -> Answered:
    if answered.status == 422:
        return Answered(400, {"content-type": "text/html"}, b"<h1>Bad request</h1>")
    return answered


ANSWERS = {
    "clock-off": shift_the_clock,
    "discovery-media-type": add_a_charset,
    "mint-refusal": write_an_own_page,
    "discovery-elsewhere": name_another_host,
    "challenge-lost": drop_the_challenge,
}


@pytest.mark.parametrize("fault", ANSWERS)
def test_what_a_proxy_does_to_answers_is_found(
    fault: str, proxy: Meddler, ca_bundle: Path, ask: Ask
) -> None:
    proxy.to_client = ANSWERS[fault]

    report = ask("--url", f"{proxy.url}/acme/legacy/", "--ca-bundle", ca_bundle)

    assert fault in report.faults
    assert report.of("fault")[fault]["cure"]


def test_a_clock_that_is_behind_is_told_apart(proxy: Meddler, ca_bundle: Path, ask: Ask) -> None:
    proxy.to_client = turn_the_clock_back

    report = ask("--url", proxy.url, "--ca-bundle", ca_bundle)

    assert " s behind this machine's" in report.of("fault")["clock-off"]["seen"]


# --- TLS ------------------------------------------------------------------------------------------


def test_a_certificate_of_an_unknown_authority_is_found(
    proxy: Meddler, ca_bundle: Path, ask: Ask
) -> None:
    proxy.present(trustme.CA())

    report = ask("--url", proxy.url, "--ca-bundle", ca_bundle)

    assert report.faults == {"certificate-untrusted"}
    assert "root-routes" in report.of("not-checked")["outside"]["seen"]


def test_a_chain_without_its_intermediate_is_found(
    proxy: Meddler, authority: trustme.CA, ca_bundle: Path, ask: Ask
) -> None:
    import ssl

    leaf = authority.create_child_ca().issue_cert("localhost")
    proxy._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with (
        leaf.private_key_pem.tempfile() as key,
        leaf.cert_chain_pems[0].tempfile() as alone,
    ):
        proxy._context.load_cert_chain(alone, key)

    report = ask("--url", proxy.url, "--ca-bundle", ca_bundle)

    assert report.faults == {"certificate-untrusted"}


def test_a_certificate_for_another_name_is_found(
    proxy: Meddler, authority: trustme.CA, ca_bundle: Path, ask: Ask
) -> None:
    proxy.present(authority, "other.example.com")

    report = ask("--url", proxy.url, "--ca-bundle", ca_bundle)

    assert report.faults == {"certificate-wrong-name"}
    assert "certificate for localhost" in report.of("fault")["certificate-wrong-name"]["cure"]


def test_an_expired_certificate_is_found(
    proxy: Meddler, authority: trustme.CA, ca_bundle: Path, ask: Ask
) -> None:
    now = datetime.now(UTC)
    proxy.present(
        authority, "localhost", not_before=now - timedelta(2), not_after=now - timedelta(1)
    )

    assert ask("--url", proxy.url, "--ca-bundle", ca_bundle).faults == {"certificate-expired"}


def test_a_certificate_that_ends_soon_is_a_warning(
    proxy: Meddler, authority: trustme.CA, ca_bundle: Path, ask: Ask
) -> None:
    proxy.present(authority, "localhost", not_after=datetime.now(UTC) + timedelta(3))

    report = ask("--url", proxy.url, "--ca-bundle", ca_bundle)

    assert "in 2 days" in report.of("warning")["certificate-ends-soon"]["seen"]
    assert report.status == 0


def test_a_port_where_nobody_listens_is_found(ask: Ask) -> None:
    assert ask("--url", f"https://localhost:{free_port()}").faults == {"unreachable"}


def test_a_port_without_tls_is_found(sound: Sound, ask: Ask) -> None:
    port = sound.issuer.port  # it speaks HTTP

    assert ask("--url", f"https://localhost:{port}").faults == {"unreachable"}


def test_plain_http_is_found(tmp_path: Path, ask: Ask) -> None:
    path = tmp_path / "broker.toml"
    path.write_text(registry("acme"))
    with ServerProcess(path, tmp_path / "log", "--no-tls") as server:
        report = ask("--url", server.url)

    assert report.faults == {"no-tls"}


def test_a_wrong_host_name_is_found(sound: Sound, ask: Ask) -> None:
    port = sound.server.url.rpartition(":")[2]

    report = ask("--url", f"https://127.0.0.1:{port}", "--data", sound.data)

    # The audience of an address begins with a letter.
    wrong = report.of("fault")["audience-wrong"]
    assert "asks for the audience localhost, and this address has pytp-127.0.0.1" in wrong["seen"]
    assert "--public-host 127.0.0.1" in wrong["cure"]


def test_a_broker_can_be_asked_before_dns_names_it(sound: Sound, ask: Ask) -> None:
    port = sound.server.url.rpartition(":")[2]

    report = ask(
        *("--url", sound.server.url, "--connect", f"127.0.0.1:{port}"),
        *("--ca-bundle", sound.ca_file),
    )

    assert report.faults == set()


# --- issuers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "body", "status"),
    [
        ("issuer-unreachable", b"<!doctype html><title>Sign in</title>", "200 OK"),
        ("issuer-unreachable", b"{}", "503 Service Unavailable"),
        ("issuer-no-keys", b'{"keys": [{"kty": "oct", "kid": "1", "k": "c2VjcmV0"}]}', "200 OK"),
        ("issuer-no-keys", b'{"keys": []}', "200 OK"),
    ],
    ids=["HTML", "down", "symmetric", "empty"],
)
def test_an_issuer_that_misbehaves_is_found(
    sound: Sound, ask: Ask, fault: str, body: bytes, status: str
) -> None:
    sound.issuer.misbehave(answering(body, status), JWKS)
    try:
        report = ask("--data", sound.data)
    finally:
        sound.issuer.behave()

    assert report.faults == {fault}
    assert sound.issuer.url in report.of("fault")[fault]["seen"]


# --- a data folder --------------------------------------------------------------------------------


def copied(sound: Sound, tmp_path: Path) -> Path:
    """Return a copy of the folder, which the server does not know."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    with (
        closing(sqlite3.connect(sound.data / DATABASE)) as source,
        closing(sqlite3.connect(data / DATABASE)) as target,
    ):
        source.backup(target)
        target.execute("PRAGMA journal_mode = WAL")
    (data / DATABASE).chmod(0o600)
    for name in ("tls", "receipt-keys", "files", "serve.lock"):
        source_path = sound.data / name
        (shutil.copytree if source_path.is_dir() else shutil.copy2)(source_path, data / name)
    return data


def make_readable(data: Path) -> None:
    data.chmod(0o755)


def make_key_readable(data: Path) -> None:
    (key,) = data.glob("receipt-keys/*.pem")
    key.chmod(0o644)


def stored(data: Path) -> Path:
    return next(data.glob("files/files/acme/*/*"))


def lose_a_file(data: Path) -> None:
    stored(data).unlink()


def damage_a_file(data: Path) -> None:
    stored(data).write_bytes(b"short")


def break_a_page(data: Path) -> None:
    path = data / DATABASE
    with closing(sqlite3.connect(path)) as database:
        (page,) = database.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'operator_records'"
        ).fetchone()
        (size,) = database.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)


def sql(*statements: str) -> Callable[[Path], None]:
    def change(data: Path) -> None:
        with closing(sqlite3.connect(data / DATABASE)) as database, database:
            for statement in statements:
                database.execute(statement)

    return change


def lose_the_private_key(data: Path) -> None:
    shutil.rmtree(data / "receipt-keys")


def let_another_process_hold_it(data: Path) -> None:
    holder = json.loads((data / "serve.lock").read_bytes())
    (data / "serve.lock").write_text(json.dumps({**holder, "pid": 2**22 + 1}))


def hold_it_with_an_old_server(data: Path) -> None:
    holder = json.loads((data / "serve.lock").read_bytes())
    del holder["version"]
    (data / "serve.lock").write_text(json.dumps(holder))


FOLDER = {
    "folder-readable": make_readable,
    "key-readable": make_key_readable,
    "file-lost": lose_a_file,
    "file-damaged": damage_a_file,
    "database-broken": break_a_page,
    "database-newer": sql("PRAGMA user_version = 99"),
    "receipt-key-missing": sql("DELETE FROM receipt_keys"),
    "receipt-key-unusable": lose_the_private_key,
    "not-served": let_another_process_hold_it,
    "server-version": hold_it_with_an_old_server,
}


@pytest.mark.parametrize("fault", FOLDER)
def test_a_fault_of_a_data_folder_is_found(
    fault: str, sound: Sound, tmp_path: Path, ask: Ask
) -> None:
    data = copied(sound, tmp_path)
    FOLDER[fault](data)

    report = ask("--data", data)

    assert fault in report.faults
    assert report.of("fault")[fault]["cure"]
    assert report.status == 1


def test_bytes_with_another_hash_are_found_if_asked_thoroughly(
    sound: Sound, tmp_path: Path, ask: Ask
) -> None:
    data = copied(sound, tmp_path)
    stored(data).write_bytes(CONTENT[::-1])

    assert ask("--data", data).faults == set()
    assert ask("--data", data, "--thorough").faults == {"file-damaged"}


def test_bytes_that_no_record_knows_are_a_warning(sound: Sound, tmp_path: Path, ask: Ask) -> None:
    data = copied(sound, tmp_path)
    unknown = stored(data).with_name("gadgets-1.0.tar.gz")
    unknown.write_bytes(b"garbage")
    os.utime(unknown, (time.time() - 7200,) * 2)

    report = ask("--data", data)

    assert str(unknown) in report.of("warning")["file-unknown"]["seen"]
    assert report.status == 0


def test_an_older_database_is_not_changed(sound: Sound, tmp_path: Path, ask: Ask) -> None:
    data = copied(sound, tmp_path)
    sql("PRAGMA user_version = 8")(data)

    report = ask("--data", data)

    assert "database-older" in report.of("warning")
    with closing(sqlite3.connect(data / DATABASE)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (8,)


def test_a_configuration_that_was_changed_is_found(sound: Sound, tmp_path: Path, ask: Ask) -> None:
    path = tmp_path / "broker.toml"
    path.write_text(sound.config.read_text() + registry("new"))

    report = ask("--data", sound.data, "--config", path)

    assert report.faults == {"configuration-differs"}
    assert "+ registry new" in report.of("fault")["configuration-differs"]["seen"]
