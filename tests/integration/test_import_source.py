"""Sources of an import over real sockets: TLS, proxies, and servers that hang, drip or lie."""

import json
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import certifi
import pytest
import trustme

from pytp_broker.cli.sources import paced_connections
from tests.support.distributions import sdist, wheel
from tests.support.importing import Move, move
from tests.support.misbehaving import BEHAVIOURS, MisbehavingIssuer, answering
from tests.support.proxy import Proxy

__all__ = ["move"]

PAGE: Final = "/simple/widgets/"
FILE: Final = f"/files/{wheel().filename}"
# What a server does that hangs or drips: without a limit, the import would last for hours.
SLOW: Final = [
    *("hanging", "dripping status", "dripping headers", "dripping body", "dripping chunks"),
    *("dripping chunk size", "dripping until the end"),
]
ENDLESS: Final = ["endless chunks", "endless headers"]
# These spoil what an issuer answers.
OF_AN_ISSUER: Final = ["compressed", "truncated", "truncated without a length"]
# No page of an index, however it is read.
NONSENSE: Final = sorted(BEHAVIOURS.keys() - {*SLOW, *ENDLESS, *OF_AN_ISSUER})


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a server be slow for half a second, and ask it twice at once."""
    monkeypatch.setattr(paced_connections, "GRACE_SECONDS", 0.5)
    monkeypatch.setattr(paced_connections, "READ_SECONDS", 0.3)
    monkeypatch.setattr("pytp_broker.cli.sources.patience.PAUSES", (0,))
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)


def put(server: MisbehavingIssuer) -> MisbehavingIssuer:
    """Let a server be an index of one project with two files."""
    files = [
        {"filename": f.filename, "url": f"/files/{f.filename}", "hashes": {"sha256": f.sha256}}
        for f in (wheel(), sdist())
    ]
    meta = {"api-version": "1.0"}
    page = json.dumps({"meta": meta, "name": "widgets", "files": files}).encode()
    index = json.dumps({"meta": meta, "projects": [{"name": "widgets"}]}).encode()
    server.misbehave(answering(index, "200 OK", "Set-Cookie: session=1; Path=/"), "/simple/")
    server.misbehave(answering(page), PAGE)
    for file in (wheel(), sdist()):
        server.misbehave(answering(file.content), f"/files/{file.filename}")
    return server


@pytest.fixture
def server() -> Iterator[MisbehavingIssuer]:
    with MisbehavingIssuer() as found:
        yield put(found)


def source(server: MisbehavingIssuer) -> str:
    return f"--from-index {server.url}/simple/"


def test_an_index_is_imported_over_plain_http(move: Move, server: MisbehavingIssuer) -> None:
    assert "imported 2 files" in move.type(source(server))
    assert not any("cookie" in head.lower() for head in server.heads)
    assert all("Accept-Encoding: identity" in head for head in server.heads)


@pytest.mark.parametrize("name", [*SLOW, *ENDLESS])
def test_a_slow_or_endless_page_ends_the_import(
    move: Move, server: MisbehavingIssuer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("pytp_broker.cli.sources.downloads.MAX_PAGE_BYTES", 100_000)
    server.misbehave(BEHAVIOURS[name], "/simple/")
    began = time.monotonic()

    assert move.run(source(server)) == 1
    assert time.monotonic() - began < 10
    assert server.url in move.capsys.readouterr().err


@pytest.mark.parametrize("name", SLOW)
def test_a_slow_file_is_refused_and_the_others_are_imported(
    move: Move, server: MisbehavingIssuer, name: str
) -> None:
    server.misbehave(BEHAVIOURS[name], FILE)

    report = move.report(source(server))

    assert report["imported"] == 1
    (refused,) = report["refused"]
    assert refused["filename"] == wheel().filename
    assert "cannot be reached" in refused["why"]


def test_an_endless_file_is_refused(
    move: Move, server: MisbehavingIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytp_broker.cli.import_delivery.MAX_FILE_BYTES", 1_000_000)
    server.misbehave(BEHAVIOURS["endless chunks"], FILE)

    (refused,) = move.report(source(server))["refused"]
    assert "more than 5 GB" in refused["why"]


@pytest.mark.parametrize("name", NONSENSE)
def test_a_project_whose_page_is_nonsense_has_nothing_to_import(
    move: Move, server: MisbehavingIssuer, name: str
) -> None:
    server.misbehave(BEHAVIOURS[name], PAGE)

    report = move.report(source(server))

    assert report["imported"] == 0
    assert move.files() == {}


@pytest.mark.parametrize("name", [name for name in NONSENSE if name != "{}"])
def test_a_file_that_is_nonsense_is_refused(
    move: Move, server: MisbehavingIssuer, name: str
) -> None:
    server.misbehave(BEHAVIOURS[name], FILE)

    report = move.report(source(server))

    assert [refused["filename"] for refused in report["refused"]] == [wheel().filename]
    assert move.files().keys() == {sdist().filename}


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure(authority: trustme.CA, tmp_path: Path) -> Iterator[MisbehavingIssuer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "old.corp.example.com").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with MisbehavingIssuer(context) as found:
        yield put(found)


def test_an_index_is_imported_over_tls_with_its_own_authorities(
    move: Move, secure: MisbehavingIssuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())

    seen = move.type(f"{source(secure)} --ca-bundle {tmp_path}/ca.pem")

    assert "imported 2 files" in seen


def test_a_certificate_of_an_unknown_authority_is_refused(
    move: Move, secure: MisbehavingIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)

    assert move.run(source(secure)) == 1
    assert "CERTIFICATE_VERIFY_FAILED" in move.capsys.readouterr().err
    assert secure.heads == []


@pytest.mark.parametrize("name", ["hanging", "dripping headers", "dripping body"])
def test_a_slow_page_over_tls_ends_the_import(
    move: Move, secure: MisbehavingIssuer, tmp_path: Path, name: str
) -> None:
    secure.misbehave(BEHAVIOURS[name], "/simple/")
    began = time.monotonic()

    assert move.run(f"{source(secure)} --ca-bundle {tmp_path}/ca.pem") == 1
    assert time.monotonic() - began < 10


def test_an_index_is_imported_through_the_proxy_of_the_environment(
    move: Move, secure: MisbehavingIssuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Proxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        index = f"https://old.corp.example.com:{secure.port}/simple/"

        seen = move.type(f"--from-index {index} --ca-bundle {tmp_path}/ca.pem")

        assert "imported 2 files" in seen
        assert proxy.asked_for == {f"old.corp.example.com:{secure.port}"}


def test_a_proxy_that_drips_ends_the_import(
    move: Move, secure: MisbehavingIssuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Proxy(answer=b"HTTP/1.1 4") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        index = f"https://old.corp.example.com:{secure.port}/simple/"
        began = time.monotonic()

        assert move.run(f"--from-index {index} --ca-bundle {tmp_path}/ca.pem") == 1
        assert time.monotonic() - began < 10


def test_nobody_listens(move: Move) -> None:
    assert move.run("--from-index http://127.0.0.1:1/simple/") == 1
    assert "127.0.0.1:1/simple/ cannot be reached (Connection refused)" in (
        move.capsys.readouterr().err
    )


def test_a_read_that_begins_after_the_budget_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = socket.socketpair()
    with left, paced_connections._Socket(fileno=right.detach()) as paced:
        left.sendall(b"late")
        monkeypatch.setattr(paced_connections, "GRACE_SECONDS", 0)

        with pytest.raises(TimeoutError, match="the source is too slow"):
            paced.recv_into(bytearray(4))


def test_a_page_that_lists_100000_files_is_read_to_its_end(
    move: Move, server: MisbehavingIssuer
) -> None:
    last = wheel()
    names = [*(f"widgets-{number}.0.tar.gz.asc" for number in range(99_999)), last.filename]
    files = [{"filename": name, "url": f"/files/{name}", "hashes": {}} for name in names]
    page = {"meta": {"api-version": "1.0"}, "name": "widgets", "files": files}
    server.misbehave(answering(json.dumps(page).encode()), PAGE)

    seen = move.type(source(server))

    assert "imported 1 file" in seen
    assert "99,999 files were left out" in seen
