"""Issuers inside a company in the configuration: `private`, `ca_file` and `proxy`."""

import importlib
import re
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest
import trustme

from pytp_broker import config
from pytp_broker.config import ConfigurationError
from pytp_broker.oidc.documents import FetchError
from pytp_broker.oidc.keysets import KeySets
from pytp_broker.registries import ENVIRONMENT_PROXY, PUBLIC_ACCESS, Access, Issuer
from tests.support.fakes import MemoryStore
from tests.support.signing import GITHUB, NOW
from tests.unit.project.test_template import ENVIRONMENT

URL = "https://gitlab.corp.example.com"
ISSUER = f"""
[[issuers]]
url = "{URL}"
provider = "gitlab"
"""


@pytest.fixture(scope="module")
def authorities() -> list[str]:
    """Return the certificates of two authorities, as PEM."""
    return [trustme.CA().cert_pem.bytes().decode() for _ in range(2)]


def load(folder: Path, options: str) -> Access:
    """Return how the issuer with these further lines in its table is reached."""
    file = folder / "broker.toml"
    file.write_text(ISSUER + options)
    return config.load(file, allow_loopback=False).configuration.issuers[URL].access


def mistake(folder: Path, options: str) -> str:
    with pytest.raises(ConfigurationError) as refused:
        load(folder, options)
    (line,) = refused.value.lines
    assert line.startswith(f"{folder}/broker.toml:{len(ISSUER.splitlines()) + 1}: ")
    assert line.endswith(f" (issuer `{URL}`)")
    return line.partition(": ")[2].removesuffix(f" (issuer `{URL}`)")


def test_an_issuer_is_public_unless_its_table_says_otherwise(tmp_path: Path) -> None:
    assert load(tmp_path, "") == PUBLIC_ACCESS


def test_an_issuer_may_be_private(tmp_path: Path) -> None:
    assert load(tmp_path, "private = true") == Access(is_private=True)


def test_a_well_known_issuer_is_never_private(tmp_path: Path) -> None:
    table = f'[[issuers]]\nurl = "{GITHUB}"\nprovider = "github"\nprivate = true'
    file = tmp_path / "broker.toml"
    file.write_text(table)

    with pytest.raises(ConfigurationError, match=r"issuers\[1\].private: .* is a public issuer"):
        config.load(file, allow_loopback=False)


def test_the_table_that_the_documentation_shows_is_accepted(
    tmp_path: Path, authorities: list[str]
) -> None:
    page = (Path(__file__).parents[3] / "docs/configuration.md").read_text()
    section = page.partition("## Issuers inside a company")[2]
    (table,) = re.findall(r"```toml\n(.*?)```", section.partition("\n## ")[0], re.DOTALL)
    (tmp_path / "corp-ca.pem").write_text(authorities[0])
    (tmp_path / "broker.toml").write_text(table)

    loaded = config.load(tmp_path / "broker.toml", allow_loopback=False)

    assert loaded.configuration.issuers[URL].access == Access(
        is_private=True, ca_pem=authorities[0], proxy="http://proxy.corp.example.com:3128"
    )


def test_a_well_known_issuer_may_be_behind_a_proxy(tmp_path: Path) -> None:
    table = f'[[issuers]]\nurl = "{GITHUB}"\nprovider = "github"\nproxy = true'
    (tmp_path / "broker.toml").write_text(table)

    loaded = config.load(tmp_path / "broker.toml", allow_loopback=False)

    assert loaded.configuration.issuers[GITHUB].access == Access(proxy=ENVIRONMENT_PROXY)


# --- authorities ----------------------------------------------------------------------------------


def test_the_certificates_are_read_beside_the_configuration(
    tmp_path: Path, authorities: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls" / "ca.pem").write_text("Our authority\n" + "\n".join(authorities))
    monkeypatch.chdir("/")

    access = load(tmp_path, 'ca_file = "tls/ca.pem"')

    assert access == Access(ca_pem="".join(authorities))


def test_an_absolute_path_is_taken_as_it_is(tmp_path: Path, authorities: list[str]) -> None:
    file = tmp_path / "ca.pem"
    file.write_text(authorities[0])

    assert load(tmp_path, f'ca_file = "{file}"').ca_pem == authorities[0]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    line = mistake(tmp_path, 'ca_file = "ca.pem"')

    path = f"{tmp_path}/ca.pem"
    assert line.startswith("issuers[1].ca_file: `")
    assert line.endswith("cannot be read: No such file or directory")
    assert path[:60] in line


@pytest.mark.parametrize("path", ["", "   ", "/", "a\\u0000b"])
def test_what_is_not_a_file_is_refused(tmp_path: Path, path: str) -> None:
    assert mistake(tmp_path, f'ca_file = "{path}"').startswith("issuers[1].ca_file: ")


@pytest.mark.parametrize("content", ["", "no certificate", "-----BEGIN CERTIFICATE REQUEST-----"])
def test_a_file_without_a_certificate_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "ca.pem").write_text(content)

    assert mistake(tmp_path, 'ca_file = "ca.pem"').endswith("holds no certificate in PEM")


def test_a_broken_certificate_beside_a_good_one_is_said(
    tmp_path: Path, authorities: list[str]
) -> None:
    broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    (tmp_path / "ca.pem").write_text(authorities[0] + broken)

    assert "holds a certificate that cannot be read" in mistake(tmp_path, 'ca_file = "ca.pem"')


def test_how_a_certificate_in_der_becomes_pem_is_said(
    tmp_path: Path, authorities: list[str]
) -> None:
    (tmp_path / "ca.pem").write_bytes(ssl.PEM_cert_to_DER_cert(authorities[0]))

    assert "`openssl x509 -inform der" in mistake(tmp_path, 'ca_file = "ca.pem"')


def test_a_file_without_an_end_is_refused(tmp_path: Path) -> None:
    assert mistake(tmp_path, 'ca_file = "/dev/zero"').endswith("holds no certificate in PEM")


def test_a_private_key_is_never_taken_into_the_configuration(tmp_path: Path) -> None:
    certificate = trustme.CA().issue_cert("gitlab.corp.example.com")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "ca.pem"))

    assert "holds a private key" in mistake(tmp_path, 'ca_file = "ca.pem"')


def test_a_bundle_of_all_authorities_is_too_much(tmp_path: Path, authorities: list[str]) -> None:
    (tmp_path / "ca.pem").write_text(authorities[0] * 60)

    assert "give only the authorities that sign" in mistake(tmp_path, 'ca_file = "ca.pem"')


# --- proxies --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "proxy"),
    [
        ("false", ""),
        ("true", ENVIRONMENT_PROXY),
        ('"http://proxy.example.com:3128"', "http://proxy.example.com:3128"),
        ('"http://10.0.0.1:8080/"', "http://10.0.0.1:8080"),
        ('"http://[fd00::1]:8080"', "http://[fd00::1]:8080"),
    ],
)
def test_a_proxy_is_named_or_the_environments(tmp_path: Path, value: str, proxy: str) -> None:
    assert load(tmp_path, f"proxy = {value}").proxy == proxy


@pytest.mark.parametrize(
    "proxy",
    [
        "proxy.example.com:3128",
        "http://proxy.example.com",
        "http://proxy.example.com:0",
        "http://proxy.example.com:65536",
        "https://proxy.example.com:3128",
        "socks5://proxy.example.com:1080",
        "http://proxy.example.com:3128/path",
        "http://[::1",
    ],
)
def test_what_is_no_proxy_is_refused(tmp_path: Path, proxy: str) -> None:
    line = mistake(tmp_path, f'proxy = "{proxy}"')

    assert line.startswith("issuers[1].proxy: must be `true`, or an http URL such as")


@pytest.mark.parametrize("option", ["proxy", "ca_file"])
def test_an_empty_text_is_a_mistake(tmp_path: Path, option: str) -> None:
    line = mistake(tmp_path, f'{option} = " "')

    assert line == f"issuers[1].{option}: is empty; write a value, or remove `{option}`"


@pytest.mark.parametrize("value", ["1", "1.5", "[]", "{}"])
def test_a_proxy_is_a_switch_or_a_text(tmp_path: Path, value: str) -> None:
    assert mistake(tmp_path, f"proxy = {value}").startswith("issuers[1].proxy: must be `true`")


def test_a_proxys_password_does_not_belong_in_the_configuration(tmp_path: Path) -> None:
    line = mistake(tmp_path, 'proxy = "http://me:secret@proxy.example.com:3128"')

    assert "set HTTPS_PROXY" in line
    assert "secret" not in line


# --- rows -----------------------------------------------------------------------------------------


def test_an_issuer_is_read_as_it_was_stored() -> None:
    access = Access(is_private=True, ca_pem="PEM", proxy="http://proxy.example.com:3128")
    issuer = Issuer(URL, "gitlab", ("RS256",), access=access)

    assert Issuer.from_document(issuer.document()) == issuer


def test_a_row_of_an_earlier_version_is_a_public_issuers() -> None:
    document: dict[str, Any] = dict(Issuer(URL, "gitlab", ("RS256",)).document())
    for name in ("private", "ca_pem", "proxy"):
        del document[name]

    assert Issuer.from_document(document).access == PUBLIC_ACCESS


# --- the fetch ------------------------------------------------------------------------------------


@pytest.mark.promise("own-authority")
def test_only_the_issuer_that_needs_it_is_reached_in_another_way() -> None:
    ways: list[tuple[Access, str]] = []

    def way_of(access: Access) -> Any:
        def fetch(url: str) -> bytes:
            ways.append((access, url.partition("/.well-known")[0]))
            raise FetchError("nobody is there")

        return fetch

    key_sets = KeySets(way_of, MemoryStore(), lambda _: None)
    own = Access(is_private=True)
    for issuer in (Issuer(URL, "gitlab", (), access=own), Issuer(GITHUB, "github", ())):
        with pytest.raises(Exception, match="cannot be fetched"):
            key_sets.find_key(issuer, "key-1", NOW)

    assert ways == [(own, URL), (PUBLIC_ACCESS, GITHUB)]


def test_the_deployed_function_reaches_it_and_stays_in_public_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (*ENVIRONMENT.items(), ("HTTPS_PROXY", "http://proxy.example.com:3128")):
        monkeypatch.setenv(name, value)
    monkeypatch.delitem(sys.modules, "pytp_broker.aws.broker", raising=False)
    function = importlib.import_module("pytp_broker.aws.broker")

    fetch = function.fetch.reach(Access(proxy=ENVIRONMENT_PROXY))

    assert fetch._proxy() == "http://proxy.example.com:3128"
    assert fetch._only_public
    assert function.fetch._proxy() == ""
