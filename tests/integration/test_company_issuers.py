"""Issuers inside a company, through `pytp-broker serve`: authorities, private network, proxy."""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
import trustme

from pytp_broker.demo.process import ServerProcess
from tests.support.configurations import github_issuer, github_publisher, registry
from tests.support.misbehaving import MisbehavingIssuer
from tests.support.proxy import Proxy
from tests.support.signing import github_claims

# Nobody but the proxy finds this host.
INSIDE = "gitlab.corp.example.com"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def folder(authority: trustme.CA, tmp_path: Path) -> Path:
    authority.cert_pem.write_to_path(str(tmp_path / "corp-ca.pem"))
    return tmp_path


def issuer_at(name: str, authority: trustme.CA) -> MisbehavingIssuer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return MisbehavingIssuer(context, name)


@pytest.fixture
def issuer(authority: trustme.CA) -> Iterator[MisbehavingIssuer]:
    with issuer_at("127.0.0.1", authority) as found:
        yield found


@pytest.fixture
def other(authority: trustme.CA) -> Iterator[MisbehavingIssuer]:
    with issuer_at("127.0.0.1", authority) as found:
        yield found


@pytest.fixture
def inside(authority: trustme.CA) -> Iterator[MisbehavingIssuer]:
    with issuer_at(INSIDE, authority) as found:
        yield found


def serve(folder: Path, issuers: dict[str, str]) -> ServerProcess:
    """Return a server whose issuers have these further lines in their tables."""
    text = "".join(f"{github_issuer(url)}{options}\n" for url, options in issuers.items())
    publishers = (
        github_publisher("widgets", issuer=url, repository_owner_id="9919") for url in issuers
    )
    text += registry("acme", *publishers, audience="acme")
    (folder / "broker.toml").write_text(text)
    return ServerProcess(folder / "broker.toml", folder / "server.log", "--no-tls")


def mint(server: ServerProcess, issuer: MisbehavingIssuer) -> requests.Response:
    claims = github_claims(datetime.now(UTC), iss=issuer.url)
    with requests.Session() as session:
        session.trust_env = False
        return session.post(
            f"{server.url}/acme/_/oidc/mint-token", json={"token": issuer.sign(claims)}, timeout=15
        )


def detail(server: ServerProcess) -> str:
    """Return what the operator's log says about the key set that cannot be fetched."""
    (record,) = server.events("key-set")
    return str(record["detail"])


def test_an_issuer_with_a_private_authority_is_believed(
    folder: Path, issuer: MisbehavingIssuer
) -> None:
    with serve(folder, {issuer.url: 'ca_file = "corp-ca.pem"'}) as server:
        answer = mint(server, issuer)

    assert answer.status_code == 200, answer.text


@pytest.mark.promise("own-authority")
def test_no_other_issuer_profits_from_it(
    folder: Path, issuer: MisbehavingIssuer, other: MisbehavingIssuer
) -> None:
    with serve(folder, {issuer.url: 'ca_file = "corp-ca.pem"', other.url: ""}) as server:
        assert mint(server, issuer).status_code == 200
        refused = mint(server, other)

    assert refused.status_code == 503
    assert refused.json()["errors"][0]["code"] == "issuer-unavailable"
    assert other.heads == []


def test_without_it_the_log_says_what_to_do_and_the_caller_is_told_nothing(
    folder: Path, issuer: MisbehavingIssuer
) -> None:
    with serve(folder, {issuer.url: ""}) as server:
        refused = mint(server, issuer)

    assert refused.status_code == 503
    assert "ca_file" not in refused.text
    assert "signed by an unknown authority" in detail(server)
    assert "`ca_file`" in detail(server)


@pytest.mark.promise("proxied-issuer")
@pytest.mark.parametrize("how", ["in the table", "in the environment"])
def test_an_issuer_behind_a_proxy_is_reached_through_it(
    folder: Path, inside: MisbehavingIssuer, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Proxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        value = "true" if how == "in the environment" else f'"{proxy.url}"'
        options = f'ca_file = "corp-ca.pem"\nproxy = {value}'
        with serve(folder, {inside.url: options}) as server:
            answer = mint(server, inside)

        assert answer.status_code == 200, answer.text
        assert proxy.asked_for == {f"{INSIDE}:{inside.port}"}


def test_a_proxy_in_the_environment_is_nobodys_unless_its_table_says_so(
    folder: Path, issuer: MisbehavingIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Proxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with serve(folder, {issuer.url: 'ca_file = "corp-ca.pem"'}) as server:
            assert mint(server, issuer).status_code == 200

        assert proxy.heads == []


def test_a_proxy_that_is_not_set_is_said(
    folder: Path, inside: MisbehavingIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serve(folder, {inside.url: "proxy = true"}) as server:
        assert mint(server, inside).status_code == 503

    assert "set HTTPS_PROXY" in detail(server)
